"""Phase 5: the capsule becomes read-only in the hub; reads and HTTP go on."""

from __future__ import annotations

from icmigrate.contract.migrations import Migration
from icmigrate.migration.toolkit import Toolkit


async def freeze(toolkit: Toolkit, capsule_id: str) -> Migration:
    """The migration with the generation of this freeze."""
    toolkit.progress.phase("freeze")
    return await toolkit.hub.migration_freeze(capsule_id)
