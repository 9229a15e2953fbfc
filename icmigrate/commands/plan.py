"""`icmigrate plan`: what a migration would take, and whether it can be had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icmigrate.commands.command import UNCHANGED, CapsuleArgument, ModuleOption, command
from icmigrate.commands.outcome import OK, Outcome
from icmigrate.commands.view_parts import home
from icmigrate.console.amounts import cycles, size
from icmigrate.errors import PreflightRefused

if TYPE_CHECKING:
    from icmigrate.commands.session import Session
    from icmigrate.console.people import People
    from icmigrate.migration.plan import Plan


@command(state=UNCHANGED)
async def plan(session: Session, capsule: CapsuleArgument = None, module: ModuleOption = None) -> Outcome:
    """Quote a migration; spends nothing.

    Tells sizes, calls and cycles, and what stands in its way.
    """
    from icmigrate.migration.plan import make_plan

    async with session.capsule(capsule, module) as (toolkit, capsule_id):
        quoted = await make_plan(toolkit, capsule_id)
    return Outcome(
        {**quoted.model_dump(mode="json"), "feasible": quoted.feasible},
        lambda people: view(people, quoted),
        OK if quoted.feasible else PreflightRefused.exit_code,
    )


def view(people: People, quoted: Plan) -> None:
    people.facts(
        f"Plan for capsule {quoted.capsule_id}",
        {
            "home": home(quoted.home),
            "records": f"{quoted.records}, {size(quoted.record_bytes)}",
            "blobs": f"{quoted.blobs}, {size(quoted.bytes)}",
            "chunks": f"{quoted.chunks_to_send} to send, {quoted.chunks_present} there already",
            "to send": size(quoted.bytes_to_send),
            "calls": quoted.calls,
            "cycles, expected use": cycles(quoted.cycles_quoted),
            "cycles set aside": cycles(quoted.cycles_set_aside),
            "cycles available": cycles(quoted.cycles_available),
            "feasible": "nothing to do" if quoted.is_migrated else "yes" if quoted.feasible else "no",
        },
    )
    for problem in quoted.problems:
        people.say(f"problem: {problem}")
