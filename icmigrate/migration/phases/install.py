"""Phase 3: the factory installs the personal module; its hash is read back certified."""

from __future__ import annotations

from icmigrate.contract.migrations import Migration
from icmigrate.migration.context import Wiring
from icmigrate.proof.module import require_module


async def install(wiring: Wiring, capsule_id: str) -> Migration:
    """The migration with its module's hash. Raises `VerificationDifference` where another module runs.

    What counts is the module that this release ships, or that the operator named, never what the hub says of itself.
    """
    wiring.progress.phase("install")
    migration = await wiring.hub.migration_install(capsule_id)
    await require_module(wiring.agent, migration.created_canister(), wiring.personal_module)
    return migration
