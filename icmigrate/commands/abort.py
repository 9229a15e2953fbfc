"""`icmigrate abort`: a migration given up, its cycles returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icmigrate.commands.command import CapsuleArgument, command
from icmigrate.commands.outcome import Outcome
from icmigrate.console.amounts import cycles

if TYPE_CHECKING:
    from icmigrate.commands.session import Session
    from icmigrate.console.people import People
    from icmigrate.contract.migrations import Migration


@command(state="`icmigrate status` shows how things stand; the capsule's data is untouched.")
async def abort(session: Session, capsule: CapsuleArgument = None) -> Outcome:
    """Give a migration up before its cut-over.

    The capsule is writable again, and the cycles come back to the hub.
    """
    from icmigrate.migration.abort import abort as abort_migration

    async with session.capsule(capsule) as (toolkit, capsule_id):
        migration = await abort_migration(toolkit, capsule_id)
    return Outcome(migration.model_dump(mode="json"), lambda people: view(people, migration))


def view(people: People, migration: Migration) -> None:
    people.facts(
        f"Migration of capsule {migration.capsule_id} aborted",
        {"cycles returned": cycles(migration.returned), "cycles lost": cycles(migration.spent)},
    )
