"""What a command says when it does not come to its end, and with which code it exits then."""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from typing import TYPE_CHECKING

from icmigrate.errors import IcmigrateError, Interrupted

if TYPE_CHECKING:
    from icmigrate.console.console import Console

BUG = 1
DEBUG_VARIABLE = "ICMIGRATE_DEBUG"


def report_failure(console: Console, error: BaseException, state: str) -> int:
    """Says what happened, how things stand and what to do next; answers the exit code."""
    cause = first_cause(error)
    if is_interrupt(cause):
        message, hint, code = "interrupted", Interrupted.hint, Interrupted.exit_code
    elif isinstance(cause, IcmigrateError):
        message, hint, code = str(cause), cause.hint, cause.exit_code
    elif isinstance(cause, BrokenPipeError):
        # Nobody reads any more; what is still in the buffer must not fail at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Interrupted.exit_code
    else:
        message, hint, code = bug(cause), f"Set {DEBUG_VARIABLE}=1 to see where, and report it.", BUG
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exception(cause, file=sys.stderr)
    console.error(message, state, hint)
    kind = "Interrupted" if code == Interrupted.exit_code else type(cause).__name__
    console.result(ok=False, exit_code=code, error=kind, message=message, state=state, hint=hint)
    return code


def is_interrupt(error: BaseException) -> bool:
    """Whether somebody wanted the command to end."""
    return isinstance(error, KeyboardInterrupt | asyncio.CancelledError)


def bug(error: BaseException) -> str:
    """What to say of an error that nobody foresaw."""
    return f"this is a bug in icmigrate: {type(error).__name__}: {error}"


def first_cause(error: BaseException) -> BaseException:
    """The error to report of a group of errors: one that is not a bug, if there is any."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    causes = [first_cause(inner) for inner in error.exceptions]
    return next((cause for cause in causes if isinstance(cause, IcmigrateError)), causes[0])
