"""Output for programs: one JSON object a line on stdout, the last one `{"event": "result", ...}`."""

from __future__ import annotations

import json
import sys
import time

from icmigrate.console.counting import CountingProgress, Counts

REPORT_SECONDS = 0.5
"""Shortest time between two `progress` lines."""


def write_line(event: str, **fields: object) -> None:
    """Writes one line and sends it off at once."""
    line = json.dumps({"event": event, **fields}, default=str, ensure_ascii=False)
    sys.stdout.write(line.encode(errors="replace").decode() + "\n")
    sys.stdout.flush()


class JsonProgress(CountingProgress):
    """Progress as lines: `phase`, `progress` (not more often than needed), `phase_end` and `note`."""

    _reported = 0.0

    def begun(self, counts: Counts) -> None:
        write_line("phase", phase=counts.phase)

    def changed(self, counts: Counts) -> None:
        if time.monotonic() - self._reported >= REPORT_SECONDS:
            self._reported = time.monotonic()
            write_line("progress", phase=counts.phase, **counts.numbers(), seconds=round(counts.seconds, 3))

    def over(self, counts: Counts, *, finished: bool) -> None:
        numbers = counts.numbers()
        write_line("phase_end", phase=counts.phase, finished=finished, **numbers, seconds=round(counts.seconds, 3))

    def note(self, event: str, **fields: object) -> None:
        write_line("note", message=event, **fields)
