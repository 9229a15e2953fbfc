"""Parts that the views of several commands have in common: a person, a capsule's home, a migration's report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from icmigrate.console.amounts import cycles, seconds, size

if TYPE_CHECKING:
    from icmigrate.capsule.assets import AssetUrl
    from icmigrate.console.people import People
    from icmigrate.contract.records import Home, Person
    from icmigrate.migration.report import MigrationReport


def person(who: Person) -> str:
    """A person as text."""
    from icmigrate.contract.records import PrincipalPerson

    return who.principal if isinstance(who, PrincipalPerson) else who.name


def home(where: Home) -> str:
    """Where a capsule lives, in words."""
    from icmigrate.contract.records import BeingMigrated, MovedTo

    match where:
        case MovedTo(canister_id=canister_id):
            return f"personal canister {canister_id}"
        case BeingMigrated():
            return "hub, read-only while it is migrated"
        case _:
            return "hub"


def show_urls(people: People, urls: Sequence[AssetUrl]) -> None:
    """The URL of each original; whoever has one may fetch it."""
    for found in urls:
        people.say(f"{found.name}: {found.url}")
    if urls:
        until = datetime.fromtimestamp(min(found.expires_at for found in urls) / 1e9).astimezone()
        people.say(f"Whoever has one of these URLs may fetch what it names until {until:%Y-%m-%d %H:%M}.")


def show_migration(people: People, report: MigrationReport) -> None:
    """What was moved, how it was proved, what it took, and where it is to be seen now."""
    quoted = "" if report.cycles_quoted is None else f", {cycles(report.cycles_quoted)} quoted"
    people.facts(
        f"Capsule {report.capsule} {'was migrated before' if report.already_migrated else 'is migrated'}",
        {
            "personal canister": report.canister_id,
            "manifest root": report.root.hex(),
            "records": report.records,
            "blobs": f"{report.blobs}, {size(report.bytes)}",
            "chunks": f"{report.chunks_sent} sent, {report.chunks_skipped} there already",
            "access compared": f"{report.persons_and_resources} permissions",
            "HTTP compared": f"{report.http_requests} requests",
            "time": f"{seconds(report.seconds)}, read-only for {seconds(report.frozen_seconds)}",
            "cycles": f"{cycles(report.cycles_spent)} used{quoted}",
        },
    )
