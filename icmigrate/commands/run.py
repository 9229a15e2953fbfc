"""Runs the program, and each of its commands, to an exit code; SIGTERM ends a command like Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from icmigrate.commands.failure import BUG, DEBUG_VARIABLE, bug, is_interrupt, report_failure
from icmigrate.commands.outcome import OK, Outcome
from icmigrate.errors import IcmigrateError, Interrupted, Usage

if TYPE_CHECKING:
    from icmigrate.commands.session import Session


def run_program(app: typer.Typer) -> int:
    """Runs the command that the program's arguments name."""
    try:
        return typer.main.get_command(app).main(prog_name="icmigrate", standalone_mode=False) or OK
    except typer.TyperException as error:
        return refuse_arguments(error)
    except KeyboardInterrupt:
        return Interrupted.exit_code
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        print(f"error: {bug(error)}", f"Set {DEBUG_VARIABLE}=1 to see where.", sep="\n", file=sys.stderr)
        return BUG


def refuse_arguments(error: typer.TyperException) -> int:
    """Reports arguments that do not parse; a group without its command shows its help."""
    message = error.format_message()
    if message.startswith("Usage:"):
        print(message)
        return Usage.exit_code
    from icmigrate.console.console import Console

    context = getattr(error, "ctx", None)
    path = context.command_path if context else "icmigrate"
    console = Console(json_lines="--json" in sys.argv[1:])
    return report_failure(console, Usage(message, hint=f"`{path} --help` shows what it takes."), "Nothing was done.")


def run_command(work: Callable[[Session], Awaitable[Outcome] | Outcome], flags: Mapping[str, Any], state: str) -> int:
    """Runs one command from its flags to its exit code; `state` says how things stand when it fails."""
    from icmigrate.console.console import Console
    from icmigrate.settings import config

    try:
        settings = config.load(flags, os.environ, Path.cwd())
    except IcmigrateError as error:
        return report_failure(Console(json_lines=bool(flags.get("json"))), error, "")
    from icmigrate.commands.session import Session

    console = Console(json_lines=settings.json_lines)
    session = Session(settings, console.progress)
    try:
        started = work(session)
        outcome = started if isinstance(started, Outcome) else asyncio.run(until_told_to_end(started))
    except BaseException as error:  # noqa: BLE001 - the one place where everything ends
        console.progress.close(finished=False)
        if is_interrupt(error):
            session.undo_start()
        return report_failure(console, error, state)
    console.progress.close(finished=True)
    outcome.show(console.people)
    console.result(ok=outcome.exit_code == OK, **outcome.result)
    return outcome.exit_code


async def until_told_to_end(work: Awaitable[Outcome]) -> Outcome:
    """The work's outcome; SIGTERM ends it like Ctrl-C."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task
