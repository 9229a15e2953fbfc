"""Counts the reports of one phase after the other; how they are shown is left to the displays."""

from __future__ import annotations

import time

from icmigrate.console.amounts import size
from icmigrate.progress import Progress


class Counts:
    """Totals and counts of one phase."""

    def __init__(self, phase: str) -> None:
        self.phase = phase
        self.started = time.monotonic()
        self.ended: float | None = None
        self.bytes = self.total_bytes = 0
        self.chunks = self.total_chunks = 0
        self.records = self.total_records = 0
        self.skipped = 0

    @property
    def seconds(self) -> float:
        return (self.ended or time.monotonic()) - self.started

    def numbers(self) -> dict[str, int]:
        """The counts that there is anything of."""
        names = ("bytes", "total_bytes", "chunks", "total_chunks", "records", "total_records", "skipped")
        return {name: value for name in names if (value := getattr(self, name))}

    def in_words(self) -> str:
        """The counts that there is anything of, with units and rate."""
        parts = []
        if self.bytes or self.total_bytes:
            total = f" of {size(self.total_bytes)}" if self.total_bytes else ""
            parts.append(f"{size(self.bytes)}{total}, {size(self.bytes / max(self.seconds, 0.001))}/s")
        for done, total_count, name in (
            (self.records, self.total_records, "records"),
            (self.chunks, self.total_chunks, "chunks"),
            (self.skipped, 0, "skipped"),
        ):
            if done or total_count:
                parts.append(f"{done} of {total_count} {name}" if total_count else f"{done} {name}")
        return ", ".join(parts)


class CountingProgress(Progress):
    """Counts, and leaves it to its kinds what to show when a phase begins, goes on and ends."""

    counts: Counts | None = None

    def begun(self, counts: Counts) -> None:
        """A phase has begun."""

    def changed(self, counts: Counts) -> None:
        """A count or total has changed."""

    def over(self, counts: Counts, *, finished: bool) -> None:
        """A phase is over: done, or stopped in between."""

    def phase(self, name: str) -> None:
        self.end_phase(finished=True)
        self.counts = Counts(name)
        self.begun(self.counts)

    def total(self, *, bytes: int = 0, chunks: int = 0, records: int = 0) -> None:
        if self.counts:
            self.counts.total_bytes += bytes
            self.counts.total_chunks += chunks
            self.counts.total_records += records
            self.changed(self.counts)

    def advance(self, *, bytes: int = 0, chunks: int = 0, records: int = 0, skipped: int = 0) -> None:
        if self.counts:
            self.counts.bytes += bytes
            self.counts.chunks += chunks
            self.counts.records += records
            self.counts.skipped += skipped
            self.changed(self.counts)

    def end_phase(self, *, finished: bool) -> None:
        """Ends the phase that is going on, if any."""
        if self.counts:
            self.counts.ended = time.monotonic()
            self.over(self.counts, finished=finished)
            self.counts = None

    def close(self, *, finished: bool) -> None:
        """Ends the phase that is going on, and the display."""
        self.end_phase(finished=finished)
