"""`icmigrate ingest`: a folder of files, brought into a capsule."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from icmigrate.commands.command import Argument, command
from icmigrate.commands.outcome import Outcome
from icmigrate.console.amounts import seconds, size

if TYPE_CHECKING:
    from icmigrate.capsule.ingest import IngestReport
    from icmigrate.commands.session import Session
    from icmigrate.console.people import People


@command(state="What was sent is kept; the same command sends the rest.")
async def ingest(
    session: Session,
    folder: Annotated[Path, Argument(metavar="DIR", help="A folder of photos, videos, documents, anything.")],
    capsule: Annotated[
        str | None, Argument(metavar="CAPSULE", help="Its id, or its owner's principal [default: your own].")
    ] = None,
) -> Outcome:
    """Bring a folder of files into a capsule.

    Without a capsule into your own, which is made if there is none and the hub's policy lets you. Done again, it
    sends what is missing.
    """
    from icmigrate.capsule.find import find_capsule, own_capsule
    from icmigrate.capsule.ingest import ingest as ingest_folder
    from icmigrate.capsule.ingest import require_folder

    require_folder(folder)
    async with session.toolkit() as toolkit:
        given = await find_capsule(toolkit.hub, capsule) if capsule else (await own_capsule(toolkit.hub)).id
        report = await ingest_folder(toolkit.hub, given, folder, session.progress, window=toolkit.window)
    return Outcome(report.model_dump(mode="json"), lambda people: view(people, report))


def view(people: People, report: IngestReport) -> None:
    people.facts(
        f"Ingested into capsule {report.capsule_id}",
        {
            "files": f"{report.files}, {size(report.bytes)}",
            "memories": f"{report.created} new, {report.updated} updated, {report.existing} as before",
            "folders": report.folders,
            "chunks": f"{report.chunks_sent} sent, {report.chunks_skipped} there already",
            "left out": len(report.problems),
            "time": seconds(report.seconds),
        },
    )
