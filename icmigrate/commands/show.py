"""`icmigrate show`: one capsule, asked of its home."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icmigrate.commands.command import UNCHANGED, CapsuleArgument, command
from icmigrate.commands.outcome import Outcome
from icmigrate.commands.view_parts import home, person
from icmigrate.console.amounts import size

if TYPE_CHECKING:
    from icmigrate.capsule.find import CapsuleDetail
    from icmigrate.commands.session import Session
    from icmigrate.console.people import People


@command(state=UNCHANGED)
async def show(session: Session, capsule: CapsuleArgument = None) -> Outcome:
    """Show what a capsule holds and where it lives."""
    from icmigrate.capsule.find import read_capsule

    async with session.capsule(capsule) as (toolkit, capsule_id):
        detail = await read_capsule(toolkit.hub, capsule_id)
    return Outcome(detail.model_dump(mode="json"), lambda people: view(people, detail))


def view(people: People, detail: CapsuleDetail) -> None:
    summary = detail.summary
    people.facts(
        f"Capsule {detail.capsule_id}",
        {
            "home": home(detail.home),
            "subject": person(summary.subject),
            "owners": ", ".join(person(owner.person) for owner in detail.capsule.owners),
            "controllers": ", ".join(person(entry.person) for entry in detail.capsule.controllers) or "none",
            "memories": summary.memories,
            "folders": summary.folders,
            "galleries": summary.galleries,
            "access entries": summary.access_entries,
            "connections": summary.connections,
            "groups": summary.groups,
            "records": f"{summary.records}, {size(summary.record_bytes)}",
            "blobs": f"{summary.blobs}, {size(summary.blob_bytes)}",
            "migration": detail.migration.phase.value if detail.migration else "none",
        },
    )
