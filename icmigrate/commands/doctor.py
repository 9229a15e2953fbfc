"""`icmigrate doctor`: the checks of `doctor_checks.py` in a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icmigrate.commands.command import UNCHANGED, command
from icmigrate.commands.outcome import OK, Outcome
from icmigrate.errors import PreflightRefused

if TYPE_CHECKING:
    from icmigrate.commands.doctor_checks import Check
    from icmigrate.commands.session import Session
    from icmigrate.console.people import People


@command(state=UNCHANGED)
async def doctor(session: Session) -> Outcome:
    """Look for what is wrong, and say what to do."""
    from icmigrate.commands.doctor_checks import examine

    checks = [check async for check in examine(session)]
    well = all(check.well for check in checks)
    return Outcome(
        {"well": well, "checks": [check.model_dump(mode="json") for check in checks]},
        lambda people: view(people, checks),
        OK if well else PreflightRefused.exit_code,
    )


def view(people: People, checks: list[Check]) -> None:
    rows = [("well" if check.well else "NOT WELL", check.name, check.found, check.advice) for check in checks]
    people.table("Doctor", ("", "check", "found", "advice"), rows)
