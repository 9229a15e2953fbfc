"""`icmigrate status`: where a migration stands, and the command that comes next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icmigrate.commands.command import UNCHANGED, CapsuleArgument, command
from icmigrate.commands.outcome import Outcome
from icmigrate.commands.view_parts import home
from icmigrate.console.amounts import cycles

if TYPE_CHECKING:
    from icmigrate.commands.session import Session
    from icmigrate.console.people import People
    from icmigrate.migration.status import MigrationStatus


@command(state=UNCHANGED)
async def status(session: Session, capsule: CapsuleArgument = None) -> Outcome:
    """Tell how far a migration has come."""
    from icmigrate.migration.status import status as migration_status

    async with session.capsule(capsule) as (toolkit, capsule_id):
        found = await migration_status(toolkit, capsule_id)
    return Outcome(found.model_dump(mode="json"), lambda people: view(people, found))


def view(people: People, found: MigrationStatus) -> None:
    facts: dict[str, object] = {"home": home(found.home)}
    if found.migration:
        facts |= {
            "migration": f"{found.migration.id}, {found.migration.phase.value}",
            "personal canister": found.migration.canister_id or "none yet",
            "cycles spent": cycles(found.migration.spent),
        }
    if found.target:
        facts |= {
            "import": found.target.state,
            "records": found.target.records,
            "blobs": f"{found.target.blobs_complete} of {found.target.blobs_declared} complete",
        }
    people.facts(f"Capsule {found.capsule_id}", facts | {"next": found.next})
