"""Progress for people: a table of phases that moves on a terminal, a line a phase in a log."""

from __future__ import annotations

from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

from icmigrate.console.amounts import seconds
from icmigrate.console.counting import CountingProgress, Counts
from icmigrate.console.people import People


class PeopleProgress(CountingProgress):
    """What both displays have in common: a line for each note."""

    def __init__(self, people: People) -> None:
        self.people = people

    def note(self, event: str, **fields: object) -> None:
        self.people.say("  ".join([event, *(f"{name}: {value}" for name, value in fields.items())]))


class PlainProgress(PeopleProgress):
    """A line at the end of each phase: for logs."""

    def over(self, counts: Counts, *, finished: bool) -> None:
        words = counts.in_words()
        ending = f": {words}" if words else ""
        self.people.say(f"{counts.phase} {'done' if finished else 'stopped'} in {seconds(counts.seconds)}{ending}")


class LiveProgress(PeopleProgress):
    """A live table: a line a phase, with rate and time left."""

    def __init__(self, people: People) -> None:
        super().__init__(people)
        self._bars = Bars(
            SpinnerColumn(finished_text=Text("✓", style="green")),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16),
            _Elapsed(),
            _TimeLeft(),
            _Words(),
            console=people.rich,
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
