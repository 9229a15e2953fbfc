"""The migration of one capsule, phase by phase. Read this first.

Each call is one phase of `steps.py`. The durable engine records its result, so that a run that was killed
goes on at the phase it was in; the canisters' own state makes every phase safe to do again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec, TypeVar

from dbos import DBOS

from icmigrate.migration import steps
from icmigrate.migration.context import Wiring
from icmigrate.migration.steps import MigrationReport

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

wirings: dict[str, Wiring] = {}
"""What this process works with, by capsule id: agents and keys stay out of the engine's records."""


@DBOS.workflow(name="migrate")
async def migrate(capsule_id: str, started_at: float) -> MigrationReport:
    """Phases 0 to 9. `started_at` is seconds since 1970."""
    planned = await durable(steps.plan, capsule_id)
    await durable(steps.reserve, capsule_id)
    await durable(steps.create, capsule_id)
    installed = await durable(steps.install, capsule_id)
    canister_id = steps.created(installed)
    copied = await durable(steps.pre_copy, capsule_id, planned, canister_id)
    frozen = await durable(steps.freeze, capsule_id)
    caught_up = await durable(steps.catch_up, capsule_id, frozen)
    verified = await durable(steps.compare, capsule_id, canister_id)
    answered = await durable(steps.compare_http, capsule_id, canister_id)
    await durable(steps.cut_over, capsule_id, verified.personal_root)
    return await durable(
        steps.report,
        capsule_id,
        planned,
        copied.followed_by(caught_up.copied),
        answered,
        verified,
        started_at,
    )


async def durable(
    step: Callable[Concatenate[Wiring, str, Arguments], Awaitable[Result]],
    capsule_id: str,
    *arguments: Arguments.args,
    **named: Arguments.kwargs,
) -> Result:
    """Runs one phase, or answers its recorded result when an earlier process has ended it."""

    async def run() -> Result:
        return await step(wirings[capsule_id], capsule_id, *arguments, **named)

    return await DBOS.run_step_async({"name": step.__name__}, run)
