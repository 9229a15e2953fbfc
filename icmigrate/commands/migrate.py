"""`icmigrate migrate`: the move of a capsule, begun or continued."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icmigrate.commands.command import CapsuleArgument, command
from icmigrate.commands.outcome import Outcome
from icmigrate.commands.view_parts import show_migration

if TYPE_CHECKING:
    from icmigrate.commands.session import Session


@command(
    state="The capsule is whole: the hub is its home until cut-over. `icmigrate status` shows how far it has come."
)
async def migrate(session: Session, capsule: CapsuleArgument = None) -> Outcome:
    """Move a capsule into a canister of its own.

    The same command continues after any interruption.
    """
    from icmigrate.migration.migrate import migrate as migrate_capsule

    async with session.capsule(capsule) as (wiring, capsule_id):
        report = await migrate_capsule(wiring, capsule_id)
    return Outcome(report.model_dump(mode="json"), lambda people: show_migration(people, report))
