"""The pages of canisters' heaps and stable memories on disk: images and logs.

A canister has an image file for each memory (page n of 4 KiB at offset 4096 n, sparse) and a page log. A
message appends the pages that it wrote to the log, straight from the Wasm memories; the database says how
much of the log is valid, so a killed process leaves no half message. When the log is long it is folded into
the images, which may be repeated at will because the log stays valid until the database names a new one.

    record := "ICPL" u32(entries) u32(CRC-32 of what follows) entry* page*
    entry  := u32(kind: 0 heap, 1 stable) u32(generation) u64(first page) u64(count)

A new generation of a memory begins empty (install, upgrade without keeping the heap, load_snapshot); what
the log holds of older generations does not count. Survives the death of the process. Of the machine's the log may
come out torn, which the checksums tell when it is read; images are synced before the log they came from goes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from icmigrate.replica.engine.dirty_pages import PAGE, Ranges
from icmigrate.replica.state.code import MemoryImage
from icmigrate.replica.storage.errors import StateDamaged

HEAP, STABLE = 0, 1
_KINDS = ("heap", "stable")
_RECORD = struct.Struct("<4sII")
_ENTRY = struct.Struct("<IIQQ")
_MAGIC = b"ICPL"
_VECTORS = 1000


def _view(address: int, size: int) -> memoryview:
    """`size` bytes at `address`, without copying."""
    return memoryview((ctypes.c_char * size).from_address(address)).cast("B")


def _write_all(descriptor: int, parts: list[memoryview | bytes], offset: int) -> None:
    for start in range(0, len(parts), _VECTORS):
        chunk = parts[start : start + _VECTORS]
        while chunk:
            written = os.pwritev(descriptor, chunk, offset)
            offset += written
            while chunk and written >= len(chunk[0]):
                written -= len(chunk[0])
                chunk.pop(0)
            if written:
                chunk[0] = memoryview(chunk[0])[written:]


def _read_all(descriptor: int, address: int, size: int, offset: int) -> None:
    """Reads into memory; what lies beyond the end of the file is zero."""
    while size:
        count = os.preadv(descriptor, [_view(address, min(size, 1 << 30))], offset)
        if count == 0:
            ctypes.memset(address, 0, size)
            return
        address, offset, size = address + count, offset + count, size - count


def _data_ranges(descriptor: int) -> Iterator[tuple[int, int]]:
    """The parts of a sparse file that hold data, as (offset, size)."""
    end = os.fstat(descriptor).st_size
    at = 0
    while at < end:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError:
            return
        at = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, at - start


def _neighbours(pages: list[int], index: dict[int, int]) -> Iterator[tuple[int, int, int]]:
    """Runs of ascending pages that are neighbours in the log too: (first page, offset, count)."""
    at = 0
    while at < len(pages):
        first, offset = pages[at], index[pages[at]]
        count = 1
        while at + count < len(pages):
            page = pages[at + count]
            if page != first + count or index[page] != offset + count * PAGE:
                break
            count += 1
        yield first, offset, count
        at += count


def _checksum(descriptor: int, begin: int, end: int) -> int:
    checksum = 0
    while begin < end:
        part = os.pread(descriptor, min(end - begin, 1 << 20), begin)
        if not part:
            return -1
        checksum = zlib.crc32(part, checksum)
        begin += len(part)
    return checksum


def _copy_range(source: int, target: int, size: int, offset: int, at: int) -> None:
    """Copies `size` bytes between files, inside the kernel where it can."""
    while size:
        try:
            done = os.copy_file_range(source, target, size, offset, at)
        except (AttributeError, OSError):  # not on this system, or not between these files
            done = os.pwrite(target, os.pread(source, min(size, 1 << 20), offset), at)
        if not done:
            raise EOFError("the source is shorter than it was")
        size, offset, at = size - done, offset + done, at + done


def copy_sparse(source: Path, target: Path) -> None:
    """Copies a sparse file as one."""
    with source.open("rb") as reader, target.open("wb") as writer:
        for start, size in _data_ranges(reader.fileno()):
            _copy_range(reader.fileno(), writer.fileno(), size, start, start)
        writer.truncate(os.fstat(reader.fileno()).st_size)


class PageFiles:
    """The files of one canister. Used by one thread at a time."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._descriptors: dict[str, int] = {}
        self._index: tuple[dict[int, int], dict[int, int]] = ({}, {})
        """For heap and stable memory: where in the log the newest version of a page is."""
        self._indexed: tuple[int, int] = (-1, 0)

    # -------------------------------------------------------------------------------------- files

    def path(self, kind: int, generation: int) -> Path:
        return self._folder / f"{self._name}.{_KINDS[kind]}.{generation}"

    def _log_path(self, generation: int) -> Path:
        return self._folder / f"{self._name}.log.{generation}"

    def _open(self, path: Path, create: bool) -> int | None:
        descriptor = self._descriptors.get(path.name)
        if descriptor is None:
            flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
            try:
                descriptor = os.open(path, flags, 0o600)
            except FileNotFoundError:
                return None
            self._descriptors[path.name] = descriptor
        return descriptor

    def _created(self, path: Path) -> int:
        descriptor = self._open(path, create=True)
        assert descriptor is not None
        return descriptor

    def image_path(self, image: MemoryImage, kind: int) -> Path | None:
        """The image file of a memory; None where nothing was folded into it yet. Raises StateDamaged."""
        return None if self._image(image, kind) is None else self.path(kind, image.generation(kind))

    def _image(self, image: MemoryImage, kind: int) -> int | None:
        path, written = self.path(kind, image.generation(kind)), image.file_size(kind)
        descriptor = self._open(path, create=False)
        if descriptor is None:
            if written:
                raise StateDamaged(path, "it is missing")
            return None
        size = os.fstat(descriptor).st_size
        if size < written:
            raise StateDamaged(path, f"it has {size} bytes and had {written}")
        return descriptor

    def close(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()

    def remove_stale(self, image: MemoryImage | None) -> None:
        """Deletes the files that `image` does not need (all for None)."""
        keep = set()
        if image is not None:
            keep = {
                self.path(HEAP, image.heap_generation).name,
                self.path(STABLE, image.stable_generation).name,
                self._log_path(image.log_generation).name,
            }
        for path in self._folder.glob(f"{self._name}.*"):
            if path.name not in keep:
                descriptor = self._descriptors.pop(path.name, None)
                if descriptor is not None:
                    os.close(descriptor)
                path.unlink(missing_ok=True)

    # -------------------------------------------------------------------------------------- the log

    def _entries(self, image: MemoryImage) -> Iterator[tuple[int, int, int, int, int]]:
        """(kind, generation, first page, count, offset of the pages) of the valid log."""
        if not image.log_length:
            return
        log = self._open(self._log_path(image.log_generation), create=False)
        if log is None:
            raise StateDamaged(self._log_path(image.log_generation), "it is missing")
        at = 0
        while at < image.log_length:
            entries, pages_at = self._record(log, image, at)
            at = pages_at
            for kind, generation, first, pages in entries:
                yield kind, generation, first, pages, at
                at += pages * PAGE

    def _record(self, log: int, image: MemoryImage, at: int) -> tuple[list[tuple[int, int, int, int]], int]:
        """The entries of the record at `at`, and where its pages begin. Raises StateDamaged."""
        damaged = StateDamaged(self._log_path(image.log_generation), f"the record at {at} is not what was written")
        head = os.pread(log, _RECORD.size, at)
        if len(head) < _RECORD.size or head[:4] != _MAGIC:
            raise damaged
        _, count, checksum = _RECORD.unpack(head)
        begin = at + _RECORD.size
        pages_at = begin + _ENTRY.size * count
        table = os.pread(log, pages_at - begin, begin) if pages_at <= image.log_length else b""
        if len(table) != pages_at - begin:
            raise damaged
        entries = list(_ENTRY.iter_unpack(table))
        end = pages_at + PAGE * sum(pages for _, _, _, pages in entries)
        if end > image.log_length or _checksum(log, begin, end) != checksum:
            raise damaged
        return entries, pages_at

    def _build_index(self, image: MemoryImage) -> None:
        if self._indexed == (image.log_generation, image.log_length):
            return
        self._index = ({}, {})
        current = (image.heap_generation, image.stable_generation)
        for kind, generation, first, count, at in self._entries(image):
            if generation == current[kind]:
                index = self._index[kind]
                for page in range(count):
                    index[first + page] = at + page * PAGE
        self._indexed = (image.log_generation, image.log_length)

    def append(self, image: MemoryImage, heap: int, heap_pages: Ranges, stable: int, stable_pages: Ranges) -> int:
        """Appends pages of the memories at the two addresses; returns the new length of the log.

        `image` names the generations. Nothing is true of it until the database holds the new length.
        """
        if not heap_pages and not stable_pages:
            return image.log_length
        self._build_index(image)
        entries = [_ENTRY.pack(HEAP, image.heap_generation, *run) for run in heap_pages]
        entries += [_ENTRY.pack(STABLE, image.stable_generation, *run) for run in stable_pages]
        table = b"".join(entries)
        checksum = zlib.crc32(table)
        parts: list[memoryview | bytes] = [b"", table]
        at = image.log_length + _RECORD.size + len(table)
        for index, address, ranges in ((self._index[0], heap, heap_pages), (self._index[1], stable, stable_pages)):
            for first, count in ranges:
                pages = _view(address + first * PAGE, count * PAGE)
                checksum = zlib.crc32(pages, checksum)
                parts.append(pages)
                for page in range(first, first + count):
                    index[page] = at
                    at += PAGE
        parts[0] = _RECORD.pack(_MAGIC, len(entries), checksum)
        _write_all(self._created(self._log_path(image.log_generation)), parts, image.log_length)
        self._indexed = (image.log_generation, at)
        return at

    # -------------------------------------------------------------------------------------- reading

    def load(self, image: MemoryImage, heap: int, stable: int) -> None:
        """Fills two zeroed memories of the image's sizes."""
        for kind, address, size in (
            (HEAP, heap, image.heap_pages << 16),
            (STABLE, stable, image.stable_pages << 16),
        ):
            descriptor = self._image(image, kind)
            if descriptor is not None:
                for start, length in _data_ranges(descriptor):
                    if start < size:
                        _read_all(descriptor, address + start, min(length, size - start), start)
        self._build_index(image)
        self._read_pages(image, HEAP, heap, sorted(self._index[HEAP]), image.heap_pages << 16)
        self._read_pages(image, STABLE, stable, sorted(self._index[STABLE]), image.stable_pages << 16)

    def restore(self, image: MemoryImage, kind: int, address: int, ranges: Ranges) -> None:
        """Puts pages back as they are in `image`; pages beyond its size become zero."""
        self._build_index(image)
        size = (image.heap_pages if kind == HEAP else image.stable_pages) << 16
        pages = [page for first, count in ranges for page in range(first, first + count)]
        index = self._index[kind]
        self._read_pages(image, kind, address, [page for page in pages if page in index], size)
        descriptor = self._image(image, kind)
        for page in pages:
            if page * PAGE >= size or (page not in index and descriptor is None):
                ctypes.memset(address + page * PAGE, 0, PAGE)
            elif page not in index:
                assert descriptor is not None
                _read_all(descriptor, address + page * PAGE, PAGE, page * PAGE)

    def _read_pages(self, image: MemoryImage, kind: int, address: int, pages: list[int], size: int) -> None:
        """Reads pages that are in the log; neighbours there are read at once."""
        if not pages:
            return
        log = self._created(self._log_path(image.log_generation))
        for first, offset, count in _neighbours(pages, self._index[kind]):
            inside = min(count, size // PAGE - first)
            if inside > 0:
                _read_all(log, address + first * PAGE, inside * PAGE, offset)

    # -------------------------------------------------------------------------------------- folding

    def fold(self, image: MemoryImage) -> MemoryImage:
        """Writes the log's pages into the images; the result has an empty log of a new generation."""
        if not image.log_length:
            return image
        self._build_index(image)
        log = self._created(self._log_path(image.log_generation))
        sizes = [image.heap_file, image.stable_file]
        for kind in (HEAP, STABLE):
            index = self._index[kind]
            if not index:
                continue
            self._image(image, kind)  # not to begin anew where one was lost
            target = self._created(self.path(kind, image.generation(kind)))
            for first, offset, count in _neighbours(sorted(index), index):
                _copy_range(log, target, count * PAGE, offset, first * PAGE)
            os.fdatasync(target)
            sizes[kind] = os.fstat(target).st_size
        heap_file, stable_file = sizes
        log_generation = image.log_generation + 1
        return replace(image, log_generation=log_generation, log_length=0, heap_file=heap_file, stable_file=stable_file)

    def adopt(self, kind: int, generation: int, source: Path) -> int:
        """Begins a generation with a copy of `source` (nothing when that does not exist); its size in bytes."""
        target = self.path(kind, generation)
        with contextlib.suppress(FileNotFoundError):
            target.unlink()
        if not source.exists():
            return 0
        copy_sparse(source, target)
        return target.stat().st_size
