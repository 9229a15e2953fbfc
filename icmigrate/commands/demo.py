"""`icmigrate demo`: the whole way once; its steps are in `demo_steps.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from icmigrate.commands.command import Option, command
from icmigrate.commands.outcome import Outcome
from icmigrate.commands.view_parts import show_migration, show_urls

if TYPE_CHECKING:
    from icmigrate.capsule.assets import AssetUrl
    from icmigrate.commands.session import Session
    from icmigrate.console.people import People
    from icmigrate.migration.report import MigrationReport

URLS_SHOWN = 5
"""URLs shown to people; programs get all."""


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

    report, urls = await demonstrate(session, source)
    return Outcome(
        report.model_dump(mode="json") | {"urls": [url.model_dump(mode="json") for url in urls]},
        lambda people: view(people, report, urls, session.stop_command()),
    )


def view(people: People, report: MigrationReport, urls: Sequence[AssetUrl], stop_command: str) -> None:
    show_migration(people, report)
    show_urls(people, urls[:URLS_SHOWN])
    people.say(f"The replica stays up so that these URLs open; `{stop_command}` ends it.")
