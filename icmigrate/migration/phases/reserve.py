"""Phase 1: the hub opens the migration's record and sets its cycles aside."""

from __future__ import annotations

from icmigrate.contract.migrations import Migration
from icmigrate.migration.toolkit import Toolkit


async def reserve(toolkit: Toolkit, capsule_id: str) -> Migration:
    """The migration that was opened, or the one that is active."""
    toolkit.progress.phase("reserve")
    return await toolkit.hub.migration_reserve(capsule_id)
