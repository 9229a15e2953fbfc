"""Phase 1: the hub opens the migration's record and sets its cycles aside."""

from __future__ import annotations

from icmigrate.contract.migrations import Migration
from icmigrate.migration.context import Wiring


async def reserve(wiring: Wiring, capsule_id: str) -> Migration:
    """The migration that was opened, or the one that is active."""
    wiring.progress.phase("reserve")
    return await wiring.hub.migration_reserve(capsule_id)
