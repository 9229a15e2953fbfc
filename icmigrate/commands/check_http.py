"""`icmigrate check-http`: what a browser gets from both canisters, compared byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icmigrate.commands.command import UNCHANGED, CapsuleArgument, command
from icmigrate.commands.outcome import OK, Outcome
from icmigrate.console.amounts import size
from icmigrate.errors import VerificationDifference

if TYPE_CHECKING:
    from icmigrate.commands.session import Session
    from icmigrate.console.people import People
    from icmigrate.proof.http import HttpReport


@command(state=UNCHANGED)
async def check_http(session: Session, capsule: CapsuleArgument = None) -> Outcome:
    """Compare the HTTP answers of both canisters."""
    from icmigrate.capsule.find import personal_canister_id
    from icmigrate.migration.phases.check_http import compare_http

    async with session.capsule(capsule) as (toolkit, capsule_id):
        canister_id = await personal_canister_id(toolkit.hub, capsule_id)
        report = await compare_http(toolkit, capsule_id, canister_id)
    passed = not report.problems
    return Outcome(
        {**report.model_dump(mode="json"), "passed": passed},
        lambda people: view(people, report),
        OK if passed else VerificationDifference.exit_code,
    )


def view(people: People, report: HttpReport) -> None:
    people.facts(
        f"HTTP answers for capsule {report.capsule_id}",
        {
            "personal canister": report.canister_id,
            "assets": report.assets,
            "requests": report.requests,
            "whole bodies": f"{report.whole_bodies}, {size(report.bytes)}",
            "hub redirects": "yes" if report.redirected else "not yet",
            "alike": "no" if report.problems else "yes",
        },
    )
    for problem in report.problems:
        people.say(f"problem: {problem}")
