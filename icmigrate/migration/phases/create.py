"""Phase 2: the factory creates the personal canister, or adopts the one it has created."""

from __future__ import annotations

from icmigrate.contract.migrations import Migration
from icmigrate.migration.toolkit import Toolkit


async def create(toolkit: Toolkit, capsule_id: str) -> Migration:
    """The migration with the id of its personal canister."""
    toolkit.progress.phase("create")
    return await toolkit.hub.migration_create_canister(capsule_id)
