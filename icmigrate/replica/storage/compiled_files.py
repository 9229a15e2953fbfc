"""Modules as native code, in files that all replicas of a user share.

Compiling takes seconds, reading a file milliseconds. The files are native code, so they are taken only from a
folder that nobody else can write to. Whatever is missing is made again.
"""

from __future__ import annotations

import os
import stat
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

KEPT_FILES = 256
"""Files kept when a replica starts: those used last."""
DRAFT_SECONDS = 3600.0
ENGINE = f"wasmtime-{version('wasmtime')}"


def shared_folder(fallback: Path) -> Path:
    """The user's folder for compiled modules, or `fallback` where there can be none."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        folder = Path(base).expanduser() / "icmigrate" / "compiled" / ENGINE
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = folder.stat()
        if status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            prune(folder)
            return folder
    except (OSError, RuntimeError):  # no home, or none that can be written to
        pass
    fallback.mkdir(parents=True, exist_ok=True)
    return fallback


def prune(folder: Path, kept: int = KEPT_FILES) -> None:
    """Removes all but the files used last, and drafts that nobody finished."""
    long_ago = time.time() - DRAFT_SECONDS
    for draft in folder.glob("*.compiled.*"):
        if _last_use(draft) < long_ago:
            draft.unlink(missing_ok=True)
    by_use = sorted(folder.glob("*.compiled"), key=_last_use, reverse=True)
    for file in by_use[kept:]:
        file.unlink(missing_ok=True)


def _last_use(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # removed by another replica
        return 0.0


def used(file: Path) -> None:
    """Notes that a file was used now."""
    file.touch(exist_ok=True)


def write(file: Path, data: bytes | bytearray) -> None:
    """Writes a file whole or not at all, whoever else writes it at the same time."""
    handle, draft = tempfile.mkstemp(dir=file.parent, prefix=f"{file.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        Path(draft).replace(file)
    except OSError:
        Path(draft).unlink()
        raise
