"""What can go wrong with the state folder, told apart by who must act.

StateInUse       another process has the folder open
StateUnknown     another version of the replica wrote it
StateDamaged     a file is not as it was written; names the file
is_shortage      for the moment there is no room, or no file descriptor: tried again, nothing is lost
"""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

_SHORTAGES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE})


class StateInUse(Exception):
    """Another process has this state folder open."""


class StateUnknown(Exception):
    """The folder was written by a version that this one does not understand."""


class StateDamaged(Exception):
    """A file of the folder does not hold what was written to it."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path} is damaged: {what}")
        self.path = path


def is_shortage(error: BaseException) -> bool:
    """Whether the same can succeed later, when there is room again."""
    if isinstance(error, sqlite3.OperationalError):
        return error.sqlite_errorcode in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN)
    return isinstance(error, OSError) and error.errno in _SHORTAGES
