"""`icmigrate handoff`: the personal canister, given into its owner's sole control."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from icmigrate.commands.command import Argument, ModuleOption, Option, command
from icmigrate.commands.confirmation import confirmation
from icmigrate.commands.outcome import Outcome

if TYPE_CHECKING:
    from icmigrate.commands.session import Session
    from icmigrate.console.people import People
    from icmigrate.migration.handoff import HandoffReport


@command(state="`icmigrate status` shows how things stand; the same command goes on.")
async def handoff(
    session: Session,
    capsule: Annotated[str, Argument(metavar="CAPSULE", help="Its id, or its owner's principal.")],
    recovery: Annotated[
        str | None, Option("--recovery", metavar="PRINCIPAL", help="One more controller, for emergencies.")
    ] = None,
    yes: Annotated[bool, Option("--yes", help="Do not ask.")] = False,
    module: ModuleOption = None,
) -> Outcome:
    """Leave the owner in sole control; irreversible.

    An owner consents to all owners and --recovery as controllers; an operator uses the consent of an owner.
    """
    from icmigrate.capsule.find import principal_option
    from icmigrate.migration.handoff import handoff as hand_off

    recovery_principal = principal_option("--recovery", recovery) if recovery else None
    async with session.capsule(capsule, module) as (toolkit, capsule_id):
        report = await hand_off(toolkit, capsule_id, recovery_principal, confirmation(yes))
    return Outcome(report.model_dump(mode="json"), lambda people: view(people, report))


def view(people: People, report: HandoffReport) -> None:
    people.facts(
        f"Capsule {report.capsule_id} handed off",
        {"personal canister": report.canister_id, "controllers": ", ".join(report.controllers)},
    )
