"""Phase 2: the factory creates the personal canister, or adopts the one it has created."""

from __future__ import annotations

from icmigrate.contract.migrations import Migration
from icmigrate.migration.context import Wiring


async def create(wiring: Wiring, capsule_id: str) -> Migration:
    """The migration with the id of its personal canister."""
    wiring.progress.phase("create")
    return await wiring.hub.migration_create_canister(capsule_id)
