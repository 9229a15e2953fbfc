"""Plumbing: one process at a time works on a capsule; a lock file of the state folder holds that."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from icmigrate.errors import HeldByAnother


@contextmanager
def held(state_dir: Path, hub_id: str, capsule_id: str) -> Iterator[None]:
    """Holds the capsule for this process. Raises `HeldByAnother`."""
    folder = state_dir / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(f"{hub_id}/{capsule_id}".encode()).hexdigest()[:16]
    with (folder / name).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HeldByAnother(f"another run works on capsule {capsule_id}") from None
        yield
