"""The lease of a capsule: one process of a state folder at a time works on it, by the lock of a file there."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from icmigrate.errors import HeldByAnother, Usage

FOLDER = "locks"


@contextmanager
def lease(state_dir: Path, hub_id: str, capsule_id: str) -> Iterator[None]:
    """Has the capsule for this process alone. Raises `HeldByAnother`, and `Usage` where a link stands in its place."""
    file = _open(state_dir / FOLDER, lease_name(hub_id, capsule_id))
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HeldByAnother(f"another run works on capsule {capsule_id}") from None
        yield
    finally:
        os.close(file)


def lease_name(hub_id: str, capsule_id: str) -> str:
    """The name of a capsule's file."""
    return hashlib.sha256(f"{hub_id}/{capsule_id}".encode()).hexdigest()[:16]


def _open(folder: Path, name: str) -> int:
    """A file that is there or made, followed through no link: the state folder may come from somebody else."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            return os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=directory)
        finally:
            os.close(directory)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        raise Usage(f"{folder / name} is a link, or stands behind one", hint=f"Remove {folder}.") from None
