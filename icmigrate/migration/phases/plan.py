"""Phase 0: refuses what is not feasible, before anything is spent."""

from __future__ import annotations

from icmigrate.migration.context import Wiring
from icmigrate.migration.plan import Plan, make_plan


async def plan(wiring: Wiring, capsule_id: str) -> Plan:
    """Sizes, calls and cycles of the migration. Raises `PreflightRefused` with everything that stands in its way."""
    wiring.progress.phase("plan")
    planned = await make_plan(wiring, capsule_id)
    planned.require_feasible()
    return planned
