"""Plumbing: how the outcome of each command looks to people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from icmigrate.console.amounts import cycles, seconds, size
from icmigrate.console.people import People
from icmigrate.contract import records

if TYPE_CHECKING:  # what is shown has been imported by whoever made it
    from icmigrate.capsule.find import CapsuleDetail
    from icmigrate.capsule.ingest import IngestReport
    from icmigrate.commands.checks import Check
    from icmigrate.contract.migrations import Migration
    from icmigrate.hub.deploy import DeployReport
    from icmigrate.migration.handoff import HandoffReport
    from icmigrate.migration.plan import Plan
    from icmigrate.migration.report import MigrationReport
    from icmigrate.migration.status import MigrationStatus
    from icmigrate.proof.http import HttpReport
    from icmigrate.proof.verify import VerifyReport

View = Callable[[People], None]
URLS_SHOWN = 20
"""URLs in a closing report for people; programs get all."""


def person(who: records.Person) -> str:
    """A person as text."""
    return who.principal if isinstance(who, records.PrincipalPerson) else who.name


def home(where: records.Home) -> str:
    """Where a capsule lives, in words."""
    match where:
        case records.MovedTo(canister_id=canister_id):
            return f"personal canister {canister_id}"
        case records.BeingMigrated():
            return "hub, read-only while it is migrated"
        case _:
            return "hub"


def _facts(title: str, facts: Mapping[str, object]) -> View:
    return lambda people: people.facts(title, facts)


def show_deploy(report: DeployReport) -> View:
    return _facts(
        "Hub",
        {
            "canister": report.hub,
            "module": report.module_hash.hex(),
            "personal module": report.personal_module_hash.hex(),
            "done": ", ".join(report.actions) or "nothing to do",
        },
    )


def show_ingest(report: IngestReport) -> View:
    return _facts(
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


def show_capsules(capsules: Sequence[records.CapsuleSummary]) -> View:
    rows = [
        (
            capsule.id,
            person(capsule.subject),
            capsule.memories,
            capsule.records,
            size(capsule.blob_bytes),
            home(capsule.home),
        )
        for capsule in capsules
    ]
    columns = ("capsule", "subject", "memories", "records", "blobs", "home")
    return lambda people: people.table("Capsules", columns, rows)


def show_capsule(detail: CapsuleDetail) -> View:
    summary = detail.summary
    return _facts(
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


def show_plan(plan: Plan) -> View:
    facts: dict[str, object] = {
        "home": home(plan.home),
        "records": f"{plan.records}, {size(plan.record_bytes)}",
        "blobs": f"{plan.blobs}, {size(plan.bytes)}",
        "chunks": f"{plan.chunks_to_send} to send, {plan.chunks_present} there already",
        "to send": size(plan.bytes_to_send),
        "calls": plan.calls,
        "cycles, expected use": cycles(plan.cycles_quoted),
        "cycles set aside": cycles(plan.cycles_set_aside),
        "cycles available": cycles(plan.cycles_available),
        "feasible": "nothing to do" if plan.is_migrated else "yes" if plan.feasible else "no",
    }

    def show(people: People) -> None:
        people.facts(f"Plan for capsule {plan.capsule_id}", facts)
        for problem in plan.problems:
            people.say(f"problem: {problem}")

    return show


def show_migration(report: MigrationReport) -> View:
    facts: dict[str, object] = {
        "personal canister": report.canister_id,
        "manifest root": report.root.hex(),
        "records": report.records,
        "blobs": f"{report.blobs}, {size(report.bytes)}",
        "chunks": f"{report.chunks_sent} sent, {report.chunks_skipped} there already",
        "access compared": f"{report.persons_and_resources} permissions",
        "HTTP compared": f"{report.http_requests} requests",
        "time": f"{seconds(report.seconds)}, read-only for {seconds(report.frozen_seconds)}",
        "cycles": f"{cycles(report.cycles_spent)} used, {cycles(report.cycles_quoted)} quoted",
    }
    title = "was migrated before" if report.already_migrated else "is migrated"

    def show(people: People) -> None:
        people.facts(f"Capsule {report.capsule} {title}", facts)
        for url in report.urls[:URLS_SHOWN]:
            people.say(url)
        if len(report.urls) > URLS_SHOWN:
            people.say(f"and {len(report.urls) - URLS_SHOWN} more; --json lists all")

    return show


def show_demo(report: MigrationReport, stop: str) -> View:
    def show(people: People) -> None:
        show_migration(report)(people)
        people.say(f"The replica stays up so that these URLs open; `{stop}` ends it.")

    return show


def show_status(status: MigrationStatus) -> View:
    facts: dict[str, object] = {"home": home(status.home)}
    if status.migration:
        facts |= {
            "migration": f"{status.migration.id}, {status.migration.phase.value}",
            "personal canister": status.migration.canister_id or "none yet",
            "cycles spent": cycles(status.migration.spent),
        }
    if status.target:
        facts |= {
            "import": status.target.state,
            "records": status.target.records,
            "blobs": f"{status.target.blobs_complete} of {status.target.blobs_declared} complete",
        }
    return _facts(f"Capsule {status.capsule_id}", facts | {"next": status.next})


def show_verification(report: VerifyReport) -> View:
    facts: dict[str, object] = {
        "personal canister": report.canister_id,
        "manifest root, hub": report.hub_root.hex(),
        "manifest root, personal": report.personal_root.hex(),
        "records": report.records,
        "blobs": f"{report.blobs}, {size(report.bytes)}",
        "access compared": f"{report.persons_and_resources} permissions",
        "equal": "yes" if report.equal else "no",
    }

    def show(people: People) -> None:
        people.facts(f"Capsule {report.capsule_id}", facts)
        for difference in (*report.manifest_differences, *report.access_differences):
            people.say(f"difference: {difference}")

    return show


def show_http(report: HttpReport) -> View:
    facts: dict[str, object] = {
        "personal canister": report.canister_id,
        "assets": report.assets,
        "requests": report.requests,
        "whole bodies": f"{report.whole_bodies}, {size(report.bytes)}",
        "hub redirects": "yes" if report.redirected else "not yet",
        "alike": "no" if report.problems else "yes",
    }

    def show(people: People) -> None:
        people.facts(f"HTTP answers for capsule {report.capsule_id}", facts)
        for problem in report.problems:
            people.say(f"problem: {problem}")

    return show


def show_abort(migration: Migration) -> View:
    return _facts(
        f"Migration of capsule {migration.capsule_id} aborted",
        {"cycles returned": cycles(migration.returned), "cycles lost": cycles(migration.spent)},
    )


def show_handoff(report: HandoffReport) -> View:
    return _facts(
        f"Capsule {report.capsule_id} handed off",
        {"personal canister": report.canister_id, "controllers": ", ".join(report.controllers)},
    )


def show_checks(checks: Sequence[Check]) -> View:
    rows = [("well" if check.well else "NOT WELL", check.name, check.found, check.advice) for check in checks]
    return lambda people: people.table("Doctor", ("", "check", "found", "advice"), rows)
