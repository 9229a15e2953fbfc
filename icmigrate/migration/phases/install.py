"""Phase 3: the factory installs the personal module; its hash is read back certified."""

from __future__ import annotations

from icmigrate.contract.migrations import Migration
from icmigrate.migration.toolkit import Toolkit
from icmigrate.proof.module import require_module


async def install(toolkit: Toolkit, capsule_id: str) -> Migration:
    """The migration with its module's hash. Raises `VerificationDifference` where another module runs.

    What counts is the module that this release ships, or that the operator named, never what the hub says of itself.
    """
    toolkit.progress.phase("install")
    migration = await toolkit.hub.migration_install(capsule_id)
    await require_module(toolkit.agent, migration.created_canister(), toolkit.personal_module)
    return migration
