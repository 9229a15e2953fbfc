"""The engine's database, SQLite or PostgreSQL, as its URL names it."""

from __future__ import annotations

import sqlite3
from pathlib import Path


def prepare(url: str) -> None:
    """Puts a SQLite database into WAL mode, so that readers and the writer do not wait for each other."""
    file = _sqlite_file(url)
    if file is None:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
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
