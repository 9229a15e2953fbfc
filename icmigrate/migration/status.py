"""How far a migration has come, as the canisters say it. Reads only."""

from __future__ import annotations

from icmigrate.contract.migrations import ImportStatus, Migration
from icmigrate.contract.record import Record
from icmigrate.contract.records import Home
from icmigrate.migration.toolkit import Toolkit
from icmigrate.proof.certified_data import certified_home


class MigrationStatus(Record):
    """Where the capsule lives, the hub's newest migration record of it, and what its target holds."""

    capsule_id: str
    home: Home
    migration: Migration | None
    target: ImportStatus | None
    next: str


async def status(toolkit: Toolkit, capsule_id: str) -> MigrationStatus:
    """Asks the hub, and the personal canister if there is an installed one."""
    home = await certified_home(toolkit.hub, capsule_id)
    migration = await toolkit.hub.migration_get(capsule_id, certified=True)
    target = None
    if migration is not None and migration.module_hash is not None and migration.canister_id is not None:
        target = await toolkit.personal(migration.canister_id).import_status()
    return MigrationStatus(
        capsule_id=capsule_id,
        home=home,
        migration=migration,
        target=target,
        next=_next_step(capsule_id, migration),
    )


def _next_step(capsule_id: str, migration: Migration | None) -> str:
    if migration is None or not (migration.can_abort or migration.is_cut_over):
        return f"icmigrate migrate {capsule_id}"
    if migration.can_abort:
        return f"icmigrate migrate {capsule_id}, or icmigrate abort {capsule_id}"
    if migration.handed_off_at is None:
        return f"icmigrate handoff {capsule_id}"
    return "nothing"
