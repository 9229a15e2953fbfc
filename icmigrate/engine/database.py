"""The engine's database, SQLite or PostgreSQL, as its URL names it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path


def prepare(url: str) -> None:
    """Makes a SQLite database that only its user may read; in WAL mode, so that nobody waits for anybody else."""
    file = _sqlite_file(url)
    if file is None:
        return
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # SQLite gives its journals the mode of the database.
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    file.chmod(0o600)
    connection = sqlite3.connect(file)
    try:
        connection.execute("pragma journal_mode=wal")
    finally:
        connection.close()


def exists(url: str) -> bool:
    """Whether there may be runs in it; a database on a server is taken to be there."""
    file = _sqlite_file(url)
    return file is None or file.exists()


def _sqlite_file(url: str) -> Path | None:
    scheme, _, path = url.partition(":///")
    return Path(path) if scheme == "sqlite" else None
