"""Plumbing: what people and programs see. The only file that knows rich.

For people: tables, a live line a phase, a closing report. With JSON lines, stdout carries one object a line, the
last one `{"event": "result", ...}`, and everything for people goes to stderr.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import rich.console
from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from icmigrate.progress import Progress

PIPE_WIDTH = 160
"""Columns of output that goes to no terminal: ids stay whole."""
REPORT_SECONDS = 0.5
"""Shortest time between two progress lines for programs."""


class Console:
    """One command's output."""

    def __init__(self, *, json_lines: bool) -> None:
        self.json_lines = json_lines
        stream = sys.stderr if json_lines else sys.stdout
        self.people = _people(stream)
        self.errors = self.people if json_lines else _people(sys.stderr)
        self.progress = self._progress()

    def _progress(self) -> CountingProgress:
        if self.json_lines:
            return JsonProgress(self.event)
        return LiveProgress(self.people) if self.people.is_terminal else PlainProgress(self.say)

    def event(self, event: str, **fields: object) -> None:
        """One line for programs; nothing without JSON lines."""
        if self.json_lines:
            line = json.dumps({"event": event, **fields}, default=str, ensure_ascii=False)
            sys.stdout.write(line.encode(errors="replace").decode() + "\n")
            sys.stdout.flush()

    def say(self, text: str) -> None:
        """One line for people."""
        self.people.print(_clean(text), soft_wrap=True)

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table for people; numbers stand right."""
        table = Table(title=_clean(title), title_justify="left", box=None, pad_edge=False)
        listed = [list(row) for row in rows]
        for at, column in enumerate(columns):
            numbers = bool(listed) and all(isinstance(row[at], int | Amount) for row in listed)
            table.add_column(column, justify="right" if numbers else "left", overflow="fold")
        for row in listed:
            table.add_row(*(_clean(str(value)) for value in row))
        self.people.print(table)

    def facts(self, title: str, facts: Mapping[str, object]) -> None:
        """Names and values for people."""
        table = Table(title=_clean(title), title_justify="left", box=None, pad_edge=False, show_header=False)
        table.add_column(style="dim")
        table.add_column(overflow="fold")
        for name, value in facts.items():
            table.add_row(name, _clean(str(value)))
        self.people.print(table)

    def error(self, message: str, state: str, hint: str) -> None:
        """What happened, what state things are in, what to do next."""
        self.errors.print(Text("error: ", style="bold red") + _clean(message), soft_wrap=True)
        for line in (state, hint):
            if line:
                self.errors.print(_clean(line), soft_wrap=True)

    def close(self, *, finished: bool) -> None:
        """Ends the live display; the last phase is over if the command is."""
        self.progress.close(finished=finished)


def _people(stream: Any) -> rich.console.Console:
    width = None if stream.isatty() else PIPE_WIDTH
    return rich.console.Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def _clean(text: str) -> Text:
    """Text without control characters: names come from outside and must not steer the terminal."""
    return Text("".join(character if character.isprintable() or character == "\n" else "�" for character in text))


# ---- numbers ---------------------------------------------------------------------------------------


class Amount(str):
    """A number with its unit."""

    __slots__ = ()


def size(count: float) -> Amount:
    """Bytes in decimal units, as networks count them."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return Amount(f"{count / factor:.1f} {unit}")
    return Amount(f"{count:.0f} B")


def cycles(count: int) -> Amount:
    """Cycles in trillions."""
    return Amount(f"{count / 1e12:.3f} T")


def seconds(count: float) -> Amount:
    """A duration."""
    if count < 60:
        return Amount(f"{count:.1f} s")
    minutes, rest = divmod(round(count), 60)
    hours, minutes = divmod(minutes, 60)
    return Amount(f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02} min")


# ---- progress --------------------------------------------------------------------------------------


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


class JsonProgress(CountingProgress):
    """Lines for programs: `phase`, `progress` (not more often than needed), `phase_end` and `note`."""

    def __init__(self, write: Callable[..., None]) -> None:
        self._write = write
        self._reported = 0.0

    def begun(self, counts: Counts) -> None:
        self._write("phase", phase=counts.phase)

    def changed(self, counts: Counts) -> None:
        if time.monotonic() - self._reported >= REPORT_SECONDS:
            self._reported = time.monotonic()
            self._write("progress", phase=counts.phase, **counts.numbers(), seconds=round(counts.seconds, 3))

    def over(self, counts: Counts, *, finished: bool) -> None:
        numbers = counts.numbers()
        self._write("phase_end", phase=counts.phase, finished=finished, **numbers, seconds=round(counts.seconds, 3))

    def note(self, event: str, **fields: object) -> None:
        self._write("note", message=event, **fields)


class PlainProgress(CountingProgress):
    """A line at the end of each phase: for logs."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def over(self, counts: Counts, *, finished: bool) -> None:
        words = counts.in_words()
        ending = f": {words}" if words else ""
        self._say(f"{counts.phase} {'done' if finished else 'stopped'} in {seconds(counts.seconds)}{ending}")

    def note(self, event: str, **fields: object) -> None:
        self._say(_note(event, fields))


class LiveProgress(CountingProgress):
    """A live table: a line a phase, with rate and time left."""

    def __init__(self, console: rich.console.Console) -> None:
        self._bars = Bars(
            SpinnerColumn(finished_text=Text("✓", style="green")),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16),
            _Elapsed(),
            _TimeLeft(),
            _Words(),
            console=console,
        )
        self._task = TaskID(0)

    def begun(self, counts: Counts) -> None:
        self._task = self._bars.add_task(counts.phase, total=None, counts=counts)
        self._bars.start()

    def changed(self, counts: Counts) -> None:
        if counts.total_bytes:
            self._bars.update(self._task, completed=counts.bytes, total=counts.total_bytes)
        elif counts.total_records:
            self._bars.update(self._task, completed=counts.records, total=counts.total_records)

    def over(self, counts: Counts, *, finished: bool) -> None:
        if finished:
            self._bars.update(self._task, total=1, completed=1)
        self._bars.stop_task(self._task)

    def note(self, event: str, **fields: object) -> None:
        self._bars.console.print(_clean(_note(event, fields)), soft_wrap=True)

    def close(self, *, finished: bool) -> None:
        super().close(finished=finished)
        self._bars.stop()
        for task in self._bars.task_ids:
            self._bars.remove_task(task)


class _Words(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(task.fields["counts"].in_words())


class _Elapsed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(seconds(task.fields["counts"].seconds), style="yellow")


class _TimeLeft(ProgressColumn):
    def render(self, task: Task) -> Text:
        left = task.time_remaining
        return Text("" if task.finished or left is None else f"{seconds(left)} left", style="dim")


def _note(event: str, fields: Mapping[str, object]) -> str:
    return "  ".join([event, *(f"{name}: {value}" for name, value in fields.items())])
