"""Output for people: lines, tables, names with values, errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

import rich.console
from rich.table import Table
from rich.text import Text

from icmigrate.console.amounts import Amount

PIPE_WIDTH = 160
"""Columns of output that goes to no terminal: ids stay whole."""


class People:
    """A stream that people read."""

    def __init__(self, stream: TextIO) -> None:
        width = None if stream.isatty() else PIPE_WIDTH
        self.rich = rich.console.Console(file=stream, width=width, highlight=False, markup=False, emoji=False)
        self.is_terminal = self.rich.is_terminal

    def say(self, text: str) -> None:
        """One line."""
        self.rich.print(_clean(text), soft_wrap=True)

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table; numbers stand right."""
        table = Table(title=_clean(title), title_justify="left", box=None, pad_edge=False)
        listed = [list(row) for row in rows]
        for at, column in enumerate(columns):
            numbers = bool(listed) and all(isinstance(row[at], int | Amount) for row in listed)
            table.add_column(column, justify="right" if numbers else "left", overflow="fold")
        for row in listed:
            table.add_row(*(_clean(str(value)) for value in row))
        self.rich.print(table)

    def facts(self, title: str, facts: Mapping[str, object]) -> None:
        """Names and values."""
        table = Table(title=_clean(title), title_justify="left", box=None, pad_edge=False, show_header=False)
        table.add_column(style="dim")
        table.add_column(overflow="fold")
        for name, value in facts.items():
            table.add_row(name, _clean(str(value)))
        self.rich.print(table)

    def error(self, message: str, state: str, hint: str) -> None:
        """What happened, what state things are in, what to do next."""
        self.rich.print(Text("error: ", style="bold red") + _clean(message), soft_wrap=True)
        for line in (state, hint):
            if line:
                self.rich.print(_clean(line), soft_wrap=True)


def _clean(text: str) -> Text:
    """Text without control characters: names come from outside and must not steer the terminal."""
    return Text("".join(character if character.isprintable() or character == "\n" else "�" for character in text))
