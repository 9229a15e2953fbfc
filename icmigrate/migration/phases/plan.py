"""Phase 0: refuses what is not feasible, before anything is spent."""

from __future__ import annotations

from icmigrate.migration.plan import Plan, make_plan
from icmigrate.migration.toolkit import Toolkit


async def plan(toolkit: Toolkit, capsule_id: str) -> Plan:
    """Sizes, calls and cycles of the migration. Raises `PreflightRefused` with everything that stands in its way."""
    toolkit.progress.phase("plan")
    planned = await make_plan(toolkit, capsule_id)
    planned.require_feasible()
    return planned
