"""`icmigrate capsules`: all capsules of the hub in a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icmigrate.commands.command import UNCHANGED, command
from icmigrate.commands.outcome import Outcome
from icmigrate.commands.view_parts import home, person
from icmigrate.console.amounts import size

if TYPE_CHECKING:
    from icmigrate.commands.session import Session
    from icmigrate.console.people import People
    from icmigrate.contract.records import CapsuleSummary


@command(state=UNCHANGED)
async def capsules(session: Session) -> Outcome:
    """List the capsules of the hub."""
    from icmigrate.contract.client import all_pages

    async with session.toolkit() as toolkit:
        found = [capsule async for capsule in all_pages(toolkit.hub.capsules_list)]
    listed = [capsule.model_dump(mode="json") for capsule in found]
    return Outcome({"hub": toolkit.hub.canister_id, "capsules": listed}, lambda people: view(people, found))


def view(people: People, found: list[CapsuleSummary]) -> None:
    people.table(
        "Capsules",
        ("capsule", "subject", "memories", "records", "blobs", "home"),
        [
            (
                capsule.id,
                person(capsule.subject),
                capsule.memories,
                capsule.records,
                size(capsule.blob_bytes),
                home(capsule.home),
            )
            for capsule in found
        ],
    )
