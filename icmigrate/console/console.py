"""All output of one command, put together: for people, for programs, and its progress.

Without JSON lines everything is for people: stdout, and stderr for errors. With them stdout is the program's, and
people read stderr.
"""

from __future__ import annotations

import sys

from icmigrate.console.counting import CountingProgress
from icmigrate.console.json_lines import JsonProgress, write_line
from icmigrate.console.people import People
from icmigrate.console.phase_displays import LiveProgress, PlainProgress


class Console:
    """Where one command's output goes."""

    def __init__(self, *, json_lines: bool) -> None:
        self.json_lines = json_lines
        self.people = People(sys.stderr if json_lines else sys.stdout)
        self.progress = self._progress()

    def _progress(self) -> CountingProgress:
        if self.json_lines:
            return JsonProgress()
        return LiveProgress(self.people) if self.people.is_terminal else PlainProgress(self.people)

    def result(self, *, ok: bool, **fields: object) -> None:
        """The last line for programs; nothing without JSON lines."""
        if self.json_lines:
            write_line("result", ok=ok, **fields)

    def error(self, message: str, state: str, hint: str) -> None:
        """What happened, what state things are in, what to do next."""
        (self.people if self.json_lines else People(sys.stderr)).error(message, state, hint)
