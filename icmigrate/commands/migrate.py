"""`icmigrate migrate`: the move of a capsule, begun or continued."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from icmigrate.commands.command import CapsuleArgument, ModuleOption, UrlsOption, command
from icmigrate.commands.outcome import Outcome
from icmigrate.commands.view_parts import show_migration, show_urls

if TYPE_CHECKING:
    from icmigrate.capsule.assets import AssetUrl
    from icmigrate.commands.session import Session
    from icmigrate.console.people import People
    from icmigrate.migration.report import MigrationReport


@command(
    state="The capsule is whole: the hub is its home until cut-over. `icmigrate status` shows how far it has come."
)
async def migrate(
    session: Session, capsule: CapsuleArgument = None, module: ModuleOption = None, urls: UrlsOption = False
) -> Outcome:
    """Move a capsule into a canister of its own.

    The same command continues after any interruption.
    """
    from icmigrate.capsule.assets import asset_urls
    from icmigrate.migration.migrate import migrate as migrate_capsule

    async with session.capsule(capsule, module) as (toolkit, capsule_id):
        report = await migrate_capsule(toolkit, capsule_id)
        personal = toolkit.personal(report.canister_id)
        found = await asset_urls(toolkit.network, personal, capsule_id) if urls else []
    return Outcome(
        report.model_dump(mode="json") | ({"urls": [url.model_dump(mode="json") for url in found]} if urls else {}),
        lambda people: view(people, report, found),
    )


def view(people: People, report: MigrationReport, urls: Sequence[AssetUrl]) -> None:
    show_urls(people, urls)
    show_migration(people, report)
