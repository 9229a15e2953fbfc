"""Files and folders that are their user's alone, whatever the umask: a replica keeps keys, and canisters' data."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

OTHERS = 0o077
"""The modes by which a file is more than its owner's."""


def make_folder(path: Path) -> None:
    """Makes the folder, and what is missing above it; one that is there already is closed to others."""
    for parent in reversed(path.parents):
        if not parent.exists():
            parent.mkdir(mode=0o700, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    _close_to_others(path, path.stat())


def tighten(folder: Path) -> None:
    """Closes to others whatever is in the folder.

    Raises PermissionError for what somebody else put there: it is not what the replica wrote.
    """
    for entry in os.scandir(folder):
        path = Path(entry)
        try:
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                _require_own(path, status)
            else:
                _close_to_others(path, status)
            if stat.S_ISDIR(status.st_mode):
                tighten(path)
        except FileNotFoundError:  # a draft that was finished
            continue


def open_to_append(path: Path) -> IO[str]:
    """Opens a file at its end, made if it is missing; no link is followed."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "a")


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    with open_to_append(partial) as file:
        file.write(text)
    partial.replace(path)


@contextmanager
def private_umask() -> Iterator[None]:
    """While the block runs, whatever this process makes is its user's alone."""
    before = os.umask(OTHERS)
    try:
        yield
    finally:
        os.umask(before)


def _close_to_others(path: Path, status: os.stat_result) -> None:
    _require_own(path, status)
    if status.st_mode & OTHERS:
        path.chmod(stat.S_IMODE(status.st_mode) & ~OTHERS)


def _require_own(path: Path, status: os.stat_result) -> None:
    """The superuser may serve a folder that is another user's, but not follow links that are."""
    is_link = stat.S_ISLNK(status.st_mode)
    if status.st_uid != os.geteuid() and (is_link or os.geteuid() != 0):
        raise PermissionError(errno.EPERM, "it is another user's", str(path))
