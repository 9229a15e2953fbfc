"""`icmigrate verify`: the differences between hub and personal canister, each by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icmigrate.commands.command import UNCHANGED, CapsuleArgument, ModuleOption, command
from icmigrate.commands.outcome import OK, Outcome
from icmigrate.console.amounts import size
from icmigrate.errors import VerificationDifference

if TYPE_CHECKING:
    from icmigrate.commands.session import Session
    from icmigrate.console.people import People
    from icmigrate.proof.verify import VerifyReport


@command(state=UNCHANGED)
async def verify(session: Session, capsule: CapsuleArgument = None, module: ModuleOption = None) -> Outcome:
    """Compare hub and personal canister.

    Compares certified manifests, and everybody's access to everything; names every difference.
    """
    from icmigrate.capsule.find import personal_canister_id
    from icmigrate.proof.verify import verify as compare

    async with session.capsule(capsule, module) as (toolkit, capsule_id):
        personal = toolkit.personal(await personal_canister_id(toolkit.hub, capsule_id))
        report = await compare(toolkit.hub, personal, capsule_id, toolkit.personal_module)
    return Outcome(
        {**report.model_dump(mode="json"), "equal": report.equal},
        lambda people: view(people, report),
        OK if report.equal else VerificationDifference.exit_code,
    )


def view(people: People, report: VerifyReport) -> None:
    people.facts(
        f"Capsule {report.capsule_id}",
        {
            "personal canister": report.canister_id,
            "manifest root, hub": report.hub_root.hex(),
            "manifest root, personal": report.personal_root.hex(),
            "records": report.records,
            "blobs": f"{report.blobs}, {size(report.bytes)}",
            "access compared": f"{report.persons_and_resources} permissions",
            "equal": "yes" if report.equal else "no",
        },
    )
    for difference in (*report.manifest_differences, *report.access_differences):
        people.say(f"difference: {difference}")
