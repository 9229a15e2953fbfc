"""`icmigrate demo`: the whole way once; its steps are in `demo_steps.py`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from icmigrate.commands.command import Option, command
from icmigrate.commands.outcome import Outcome
from icmigrate.commands.view_parts import show_migration

if TYPE_CHECKING:
    from icmigrate.commands.session import Session
    from icmigrate.console.people import People
    from icmigrate.migration.report import MigrationReport


@command(state="What was done is kept; the same command continues.")
async def demo(
    session: Session,
    source: Annotated[
        Path | None, Option("--from", metavar="DIR", help="Your files [default: a small set of samples].")
    ] = None,
) -> Outcome:
    """Go the whole way once, with sample files.

    Replica, hub, a capsule full of files, its migration, and URLs to open. Works any number of times.
    """
    from icmigrate.commands.demo_steps import demonstrate

    report = await demonstrate(session, source)
    return Outcome(report.model_dump(mode="json"), lambda people: view(people, report, session.stop_command()))


def view(people: People, report: MigrationReport, stop_command: str) -> None:
    show_migration(people, report)
    people.say(f"The replica stays up so that these URLs open; `{stop_command}` ends it.")
