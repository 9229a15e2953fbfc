"""The lease of a capsule: one process of a state folder at a time works on it, by the lock of a file there."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from icmigrate.errors import HeldByAnother


@contextmanager
def lease(state_dir: Path, hub_id: str, capsule_id: str) -> Iterator[None]:
    """Has the capsule for this process alone. Raises `HeldByAnother`."""
    folder = state_dir / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(f"{hub_id}/{capsule_id}".encode()).hexdigest()[:16]
    with (folder / name).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HeldByAnother(f"another run works on capsule {capsule_id}") from None
        yield
