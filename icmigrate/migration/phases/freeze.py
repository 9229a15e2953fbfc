"""Phase 5: the capsule becomes read-only in the hub; reads and HTTP go on."""

from __future__ import annotations

from icmigrate.contract.migrations import Migration
from icmigrate.migration.context import Wiring


async def freeze(wiring: Wiring, capsule_id: str) -> Migration:
    """The migration with the generation of this freeze."""
    wiring.progress.phase("freeze")
    return await wiring.hub.migration_freeze(capsule_id)
