"""Modules as native code, in files that all replicas of a user share.

Compiling takes seconds, reading a file milliseconds. But whoever writes the files runs what they like as this user:
so they are kept in, and taken from, a folder that is this user's and that nobody else can write to, and so must each
file be; no symbolic link is followed. What is checked is what is read: a file stays open from its check on. Whatever
is missing is made again.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO

KEPT_FILES = 256
"""Files kept when a replica starts: those used last."""
DRAFT_SECONDS = 3600.0
ENGINE = f"wasmtime-{version('wasmtime')}"
SUFFIX = ".compiled"


def shared_folder(fallback: Path) -> Path | None:
    """The user's folder for compiled modules, else `fallback`, else None: what is compiled is not kept."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    places = (cache, ("icmigrate", "compiled", ENGINE)), (fallback.parent, (fallback.name,))
    for base, names in places:
        with contextlib.suppress(OSError, RuntimeError):  # no home, or none that can be written to
            folder = _own_folder(base.expanduser(), names)
            if folder is not None:
                prune(folder)
                return folder
    _warn_once(f"Others can write to {fallback}, or it is a link: compiled modules are neither taken from it nor kept.")
    return None


def _own_folder(base: Path, names: tuple[str, ...]) -> Path | None:
    """The folder below `base`, made if it is missing, unless one of the names is not this user's alone."""
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = base
    for name in names:
        folder = folder / name
        folder.mkdir(exist_ok=True, mode=0o700)
        if not _is_own_folder(folder.lstat()):
            return None
    return folder


def _is_own(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _is_own_folder(status: os.stat_result) -> bool:
    return stat.S_ISDIR(status.st_mode) and _is_own(status)


def _is_own_file(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and _is_own(status)


def discard_unsafe(folder: Path) -> None:
    """Deletes what others could have written, before anybody takes the right to write from them."""
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISDIR(status.st_mode):
        for file in folder.glob(f"*{SUFFIX}*"):
            if not _is_own_folder(status) or not _is_own(file.lstat()):
                file.unlink(missing_ok=True)


def prune(folder: Path, kept: int = KEPT_FILES) -> None:
    """Removes all but the files used last, and drafts that nobody finished."""
    long_ago = time.time() - DRAFT_SECONDS
    for draft in folder.glob(f"*{SUFFIX}.*"):
        if _last_use(draft) < long_ago:
            draft.unlink(missing_ok=True)
    by_use = sorted(folder.glob(f"*{SUFFIX}"), key=_last_use, reverse=True)
    for file in by_use[kept:]:
        file.unlink(missing_ok=True)


def _last_use(file: Path) -> float:
    try:
        return file.lstat().st_mtime
    except FileNotFoundError:  # removed by another replica
        return 0.0


def names(folder: Path | None, prefix: str) -> list[str]:
    """The names of the compiled modules that begin so."""
    try:
        found = [] if folder is None else [file.name for file in folder.iterdir()]
    except FileNotFoundError:
        return []
    return [name for name in found if name.startswith(prefix) and name.endswith(SUFFIX)]


@contextmanager
def opened(folder: Path | None, name: str) -> Iterator[str | None]:
    """The path by which a file can be read while the block runs, and notes that it was used.

    None when file and folder are not this user's alone.
    """
    descriptor = None if folder is None else _open_own(folder, name)
    if descriptor is None:
        yield None
        return
    try:
        os.utime(descriptor)
        yield path_of(descriptor)
    finally:
        os.close(descriptor)


def _open_own(folder: Path, name: str) -> int | None:
    try:
        place = _open_checked(folder, os.O_DIRECTORY, _is_own_folder)
        if place is None:
            _warn_once(f"{folder} is a link, or others can write to it: it is not used.")
            return None
        try:
            file = _open_checked(name, os.O_NONBLOCK, _is_own_file, place)
        finally:
            os.close(place)
    except FileNotFoundError:  # removed by another replica
        return None
    if file is None:
        _warn_once(f"{folder / name} is a link, or others can write to it: it is not used.")
    return file


def _open_checked(
    path: Path | str, flags: int, is_good: Callable[[os.stat_result], bool], place: int | None = None
) -> int | None:
    """A descriptor for reading what is good; None for what is not, and for a link."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, dir_fd=place)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EACCES):
            return None
        raise
    if is_good(os.fstat(descriptor)):
        return descriptor
    os.close(descriptor)
    return None


@functools.cache
def _warn_once(text: str) -> None:
    logging.getLogger(__name__).warning(text)


def path_of(descriptor: int) -> str:
    """The path of what is open, whatever has its name now."""
    return f"/dev/fd/{descriptor}"


@contextmanager
def written(target: Path | None) -> Iterator[IO[bytes]]:
    """A file to write to, which becomes `target` whole or not at all, whoever else writes that at the same time.

    Without a target that nobody else can replace it is gone after the block.
    """
    if target is None or not _is_own_folder(target.parent.lstat()):
        with tempfile.TemporaryFile() as unnamed:
            yield unnamed
        return
    handle, draft = tempfile.mkstemp(dir=target.parent, prefix=f"{target.name}.")
    try:
        with os.fdopen(handle, "w+b") as stream:
            yield stream
        Path(draft).replace(target)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
