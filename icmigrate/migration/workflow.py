"""The migration of one capsule, phase by phase. Read this first.

Each call is one phase, a file of `phases/`. The durable engine records its result, so that a run that was killed
goes on at the phase it was in; the canisters' own state makes every phase safe to do again. Phases take and return
small records: bytes, agents and keys never pass through the engine.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from icmigrate.migration import phases
from icmigrate.migration.report import MigrationReport, report
from icmigrate.migration.toolkit import Toolkit

if TYPE_CHECKING:
    from icmigrate.engine.engine import Steps


async def migrate(phase: Steps[Toolkit], capsule_id: str, started_at: float) -> MigrationReport:
    """Phases 0 to 9. `started_at` is seconds since 1970."""
    planned = await phase(phases.plan, capsule_id)
    await phase(phases.reserve, capsule_id)
    await phase(phases.create, capsule_id)
    installed = await phase(phases.install, capsule_id)
    canister_id = installed.created_canister()
    copied = await phase(phases.pre_copy, capsule_id, planned, canister_id)
    frozen = await phase(phases.freeze, capsule_id)
    caught_up = await phase(phases.catch_up, capsule_id, frozen)
    verified = await phase(phases.verify, capsule_id, canister_id)
    answered = await phase(phases.check_http, capsule_id, canister_id)
    await phase(phases.cut_over, capsule_id, verified.personal_root)
    return await phase(
        report, capsule_id, planned, copied.followed_by(caught_up.copied), answered, verified, started_at
    )


def run_family(toolkit: Toolkit, capsule_id: str) -> str:
    """What the ids of all runs of this capsule on this network begin with."""
    root_key = hashlib.sha256(toolkit.agent.root_key).hexdigest()[:8]
    return f"migrate-{root_key}-{toolkit.hub.canister_id}-{capsule_id}-run"
