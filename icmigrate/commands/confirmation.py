"""Asks people before what cannot be undone."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

from icmigrate.errors import Usage

HINT = "Run it on a terminal, or with --yes if that is what you want."


def confirmation(yes: bool) -> Callable[[str], None]:
    """Says what will be done and waits for a yes; raises `Usage` without one, and where nobody can be asked."""

    def confirm(what: str) -> None:
        if yes:
            return
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise Usage(f"not confirmed: {what}", hint=HINT)
        print(what, file=sys.stderr)
        if _answer("Do it? [y/N] ").strip().lower() not in ("y", "yes"):
            raise Usage("not confirmed; nothing was changed", hint=HINT)

    return confirm


def _answer(question: str) -> str:
    # Ctrl-C must end the waiting: the event loop's own handler would only take note of it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        print(question, end="", file=sys.stderr, flush=True)
        return sys.stdin.readline()
    finally:
        signal.signal(signal.SIGINT, before)
