"""What a command has found: for programs, for people, and for the exit code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from icmigrate.console.people import People

OK = 0


@dataclass
class Outcome:
    """The result as programs get it, and how to show it to people."""

    result: Mapping[str, object]
    show: Callable[[People], None]
    exit_code: int = OK
