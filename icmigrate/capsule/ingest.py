"""Brings a folder of files into a capsule: a memory for each file, its folders, a gallery of its pictures.

Ids come from the capsule, the folder's name and the path below it, so a second run creates nothing twice and
sends only the chunks that are missing. What exists stays as its owner left it; only a file whose bytes changed is
replaced. Files are streamed: at most `window` chunks are in memory.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from icmigrate.capsule import media
from icmigrate.contract import records
from icmigrate.contract.blobs import CHUNK_BYTES, bits_set
from icmigrate.contract.client import CapsuleClient, all_pages
from icmigrate.contract.record import Record
from icmigrate.errors import Usage, VerificationDifference
from icmigrate.progress import Progress

INLINE_BYTES = 32 * 1024
"""Longest file that is kept in the record itself."""
GALLERY_ITEMS = 2_000
"""Most pictures in one gallery; more make further galleries."""
TITLE_BYTES = 512
FOLDER_DEPTH = 250
READ_BYTES = 1 << 20


class Problem(Record):
    """A file that was left out, and why."""

    path: str
    reason: str


class IngestReport(Record):
    """What one run did. `files` were found, of which `created` are new, `updated` changed, `existing` as before."""

    capsule_id: str
    files: int
    bytes: int
    created: int
    updated: int
    existing: int
    folders: int
    gallery_ids: list[str]
    chunks_sent: int
    chunks_skipped: int
    problems: list[Problem]
    seconds: float


@dataclass(frozen=True)
class LocalPath:
    """A file or a folder below the one that is brought in; `key` is its path, beginning with that one's name."""

    path: Path
    key: bytes
    parent: bytes | None

    @property
    def name(self) -> str:
        """The name as text of at most `TITLE_BYTES`; bytes that are no UTF-8 are replaced."""
        name = os.fsencode(self.path.name).decode(errors="replace").encode()
        return name[:TITLE_BYTES].decode(errors="ignore")


@dataclass
class Listing:
    """All that lies below a folder, in the order of names."""

    files: list[LocalPath] = field(default_factory=list)
    folders: list[LocalPath] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    bytes: int = 0


def derived_id(kind: str, capsule_id: str, key: bytes) -> str:
    """The id of the record that is made for a path: always the same one, and another in each capsule.

    In URLs of assets a memory's id stands alone, so that two capsules of a hub should not have the same.
    """
    return f"{kind}-{hashlib.sha256(capsule_id.encode() + b'/' + key).hexdigest()[:40]}"


def require_folder(folder: Path) -> None:
    """Raises `Usage` unless `folder` is one."""
    if not folder.is_dir():
        raise Usage(f"{folder} is not a folder")


def walk(folder: Path) -> Listing:
    """Everything below `folder`. Links are not followed; they and special files are problems."""
    require_folder(folder)
    listing = Listing()
    root = folder.resolve()
    _walk_into(listing, root, os.fsencode(root.name), None, 0)
    return listing


def _walk_into(listing: Listing, folder: Path, key: bytes, parent: bytes | None, depth: int) -> None:
    try:
        with os.scandir(folder) as scanned:
            items = sorted(scanned, key=lambda item: os.fsencode(item.name))
    except OSError as error:
        listing.problems.append(Problem(path=_shown(key), reason=error.strerror or "unreadable"))
        return
    for item in items:
        local = LocalPath(folder / item.name, key + b"/" + os.fsencode(item.name), parent)
        if item.is_symlink():
            listing.problems.append(Problem(path=_shown(local.key), reason="a symbolic link: not followed"))
        elif item.is_dir():
            if depth == FOLDER_DEPTH:
                reason = f"nested deeper than {FOLDER_DEPTH} folders"
                listing.problems.append(Problem(path=_shown(local.key), reason=reason))
                continue
            listing.folders.append(local)
            _walk_into(listing, local.path, local.key, local.key, depth + 1)
        elif item.is_file():
            listing.files.append(local)
            listing.bytes += item.stat(follow_symlinks=False).st_size
        else:
            listing.problems.append(Problem(path=_shown(local.key), reason="not a regular file"))


def _shown(key: bytes) -> str:
    return key.decode(errors="replace")


# ---- one file --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Content:
    """An open file, and what reading it once has told of it."""

    stream: BinaryIO
    sha256: bytes
    length: int
    modified_at: int
    media: media.Media

    @property
    def chunks(self) -> int:
        return -(-self.length // CHUNK_BYTES)

    def chunk(self, index: int) -> bytes:
        return os.pread(self.stream.fileno(), CHUNK_BYTES, index * CHUNK_BYTES)

    def whole(self) -> bytes:
        return os.pread(self.stream.fileno(), self.length, 0)


@contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """A regular file to read; a link put in its place meanwhile is refused."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "not a regular file")
        yield stream


def read_content(name: str, stream: BinaryIO) -> Content:
    """Reads a file once from end to end, for its digest and its metadata."""
    about = os.fstat(stream.fileno())
    inspected = media.inspect(name, stream, about.st_size)
    stream.seek(0)
    digest = hashlib.sha256()
    length = 0
    while block := stream.read(READ_BYTES):
        digest.update(block)
        length += len(block)
    return Content(stream, digest.digest(), length, min(max(about.st_mtime_ns, 0), (1 << 64) - 1), inspected)


# ---- the run ---------------------------------------------------------------------------------------


async def ingest(
    client: CapsuleClient, capsule_id: str, folder: Path, progress: Progress, *, window: int = 8
) -> IngestReport:
    """Brings the files of `folder` into the capsule. May be repeated, and continues where it was stopped."""
    return await _Ingest(client, capsule_id, progress, window).run(folder)


class _Ingest:
    def __init__(self, client: CapsuleClient, capsule_id: str, progress: Progress, window: int) -> None:
        self.client = client
        self.capsule_id = capsule_id
        self.progress = progress
        self.window = window
        self.chunks_in_flight = asyncio.Semaphore(window)
        # By digest: of equal files one is sent, the others wait until it is there.
        self.sending: defaultdict[bytes, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.stored_digests: dict[str, bytes] = {}
        self.counts: dict[str, int] = {"created": 0, "updated": 0, "existing": 0}
        self.chunks_sent = 0
        self.chunks_skipped = 0
        self.problems: list[Problem] = []
        self.pictures: dict[bytes, str] = {}

    async def run(self, folder: Path) -> IngestReport:
        started = time.monotonic()
        self.progress.phase("ingest")
        listing = await asyncio.to_thread(walk, folder)
        self.problems += listing.problems
        self.progress.total(bytes=listing.bytes, records=len(listing.files))
        await self.read_stored_digests()
        await self.create_folders(listing.folders)
        await self.create_memories(listing.files)
        galleries = await self.create_galleries(folder.resolve())
        for problem in self.problems:
            self.progress.note("left out", path=problem.path, reason=problem.reason)
        return IngestReport(
            capsule_id=self.capsule_id,
            files=len(listing.files),
            bytes=listing.bytes,
            created=self.counts["created"],
            updated=self.counts["updated"],
            existing=self.counts["existing"],
            folders=len(listing.folders),
            gallery_ids=galleries,
            chunks_sent=self.chunks_sent,
            chunks_skipped=self.chunks_skipped,
            problems=self.problems,
            seconds=round(time.monotonic() - started, 3),
        )

    async def read_stored_digests(self) -> None:
        """The digest of every memory's original that the capsule has already."""
        async for memory in all_pages(lambda after: self.client.memories_list(self.capsule_id, after)):
            for asset in memory.assets:
                if asset.variant_ == "Original":
                    self.stored_digests[memory.id] = _digest_of(asset.location)

    async def create_folders(self, folders: list[LocalPath]) -> None:
        existing = {
            folder.id async for folder in all_pages(lambda after: self.client.folders_list(self.capsule_id, after))
        }
        for local in folders:
            folder_id = self.id_of("f", local.key)
            if folder_id not in existing:
                parent = self.id_of("f", local.parent) if local.parent else None
                given = records.FolderInput(id=folder_id, title=local.name, parent_folder_id=parent)
                await self.client.folders_create(self.capsule_id, given)

    async def create_memories(self, files: list[LocalPath]) -> None:
        waiting = iter(files)

        async def work() -> None:
            for local in waiting:
                await self.create_memory(local)

        async with asyncio.TaskGroup() as workers:
            for _ in range(self.window):
                workers.create_task(work())

    async def create_memory(self, local: LocalPath) -> None:
        """One file. What is wrong with the file itself is a problem of the report, not of the run."""
        try:
            with open_regular(local.path) as stream:
                content = await asyncio.to_thread(read_content, local.name, stream)
                await self.store(local, content)
                if content.media.memory_type == "Image":
                    self.pictures[local.key] = self.id_of("m", local.key)
        except OSError as error:
            self.leave_out(local, error.strerror or str(error))
        except VerificationDifference:
            self.leave_out(local, "changed while it was read; run again")

    def leave_out(self, local: LocalPath, reason: str) -> None:
        self.problems.append(Problem(path=_shown(local.key), reason=reason))

    async def store(self, local: LocalPath, content: Content) -> None:
        memory_id = self.id_of("m", local.key)
        stored = self.stored_digests.get(memory_id)
        if stored == content.sha256:
            self.counts["existing"] += 1
            self.chunks_skipped += content.chunks
            self.progress.advance(bytes=content.length, records=1, skipped=1)
            return
        if content.length > INLINE_BYTES:
            async with self.sending[content.sha256]:
                await self.upload(content)
        asset = _asset(local, content)
        if stored is None:
            await self.client.memories_create(self.capsule_id, self.memory(local, content, asset))
            self.counts["created"] += 1
        else:
            old = await self.client.memories_get(self.capsule_id, memory_id)
            await self.client.memories_update(self.capsule_id, memory_id, _replaced(old, asset))
            self.counts["updated"] += 1
        small = content.length if content.length <= INLINE_BYTES else 0
        self.progress.advance(bytes=small, records=1)

    def id_of(self, kind: str, key: bytes) -> str:
        return derived_id(kind, self.capsule_id, key)

    def memory(self, local: LocalPath, content: Content, asset: records.Asset) -> records.MemoryInput:
        """A new memory of a file."""
        return records.MemoryInput(
            id=self.id_of("m", local.key),
            memory_type=content.media.memory_type,
            title=Path(local.name).stem,
            content_type=content.media.mime_type,
            location=content.media.location,
            parent_folder_id=self.id_of("f", local.parent) if local.parent else None,
            file_created_at=content.modified_at,
            date_of_memory=content.media.taken_at,
            assets=[asset],
        )

    async def upload(self, content: Content) -> None:
        """Sends the chunks that the capsule lacks."""
        status = await self.client.uploads_begin(self.capsule_id, content.sha256, content.length)
        there = range(content.chunks) if status.complete else bits_set(status.received)
        missing = sorted(set(range(content.chunks)) - set(there))
        self.chunks_skipped += content.chunks - len(missing)
        try:
            async with asyncio.TaskGroup() as sends:
                for index in missing:
                    sends.create_task(self.send(content, index))
        except ExceptionGroup as failures:
            # The first failure is reported; it is what cancelled the other calls.
            raise failures.exceptions[0] from None
        while not status.complete:
            status = await self.client.uploads_finish(self.capsule_id, content.sha256)
        skipped = content.length - sum(_length(content, index) for index in missing)
        self.progress.advance(bytes=skipped, skipped=content.chunks - len(missing))

    async def send(self, content: Content, index: int) -> None:
        async with self.chunks_in_flight:
            chunk = await asyncio.to_thread(content.chunk, index)
            if len(chunk) != _length(content, index):
                raise VerificationDifference("the file became shorter")
            await self.client.uploads_put_chunk(self.capsule_id, content.sha256, index, chunk)
        self.chunks_sent += 1
        self.progress.advance(bytes=len(chunk), chunks=1)

    async def create_galleries(self, root: Path) -> list[str]:
        """A gallery of all pictures in the order of their paths; new ones go to the end of an existing one."""
        pictures = [self.pictures[key] for key in sorted(self.pictures)]
        existing = {
            gallery.id: gallery
            async for gallery in all_pages(lambda after: self.client.galleries_list(self.capsule_id, after))
        }
        placed = {item.memory_id for gallery in existing.values() for item in gallery.items}
        remaining = [memory_id for memory_id in pictures if memory_id not in placed]
        title = os.fsencode(root.name).decode(errors="replace")[:200] or "Pictures"
        ids: list[str] = []
        number = 1
        while remaining or (ids == [] and pictures):
            gallery_id = self.id_of("g", os.fsencode(root.name) + (b"/%d" % number if number > 1 else b""))
            gallery = existing.get(gallery_id)
            items = gallery.items if gallery else []
            added, remaining = (
                remaining[: GALLERY_ITEMS - len(items)],
                remaining[GALLERY_ITEMS - len(items) :],
            )
            given = records.GalleryInput(
                id=gallery_id,
                title=gallery.title if gallery else title if number == 1 else f"{title} ({number})",
                description=gallery.description if gallery else None,
                cover_memory_id=gallery.cover_memory_id if gallery else next(iter(added), None),
                items=[*items, *(records.GalleryItem(memory_id=memory_id) for memory_id in added)],
            )
            if gallery is None:
                await self.client.galleries_create(self.capsule_id, given)
            elif added:
                await self.client.galleries_update(self.capsule_id, gallery_id, given)
            ids.append(gallery_id)
            number += 1
        return ids


def _length(content: Content, index: int) -> int:
    return min(CHUNK_BYTES, content.length - index * CHUNK_BYTES)


def _digest_of(location: records.AssetLocation) -> bytes:
    match location:
        case records.InlineLocation(data=data):
            return hashlib.sha256(data).digest()
        case records.InternalLocation(sha256=sha256):
            return sha256
        case _:
            return b""


def _asset(local: LocalPath, content: Content) -> records.Asset:
    location: records.AssetLocation
    if content.length <= INLINE_BYTES:
        inline = content.whole()
        if hashlib.sha256(inline).digest() != content.sha256:
            raise VerificationDifference("the file changed")
        location = records.InlineLocation(data=inline)
    else:
        location = records.InternalLocation(sha256=content.sha256, length=content.length)
    return records.Asset(
        variant_="Original",
        name=local.name,
        mime_type=content.media.mime_type,
        detail=content.media.detail,
        location=location,
        created_at=content.modified_at,
        updated_at=content.modified_at,
    )


def _replaced(old: records.Memory, asset: records.Asset) -> records.MemoryInput:
    """The memory with new bytes: what its owner wrote stays, other variants of the old bytes go."""
    about = old.metadata
    return records.MemoryInput(
        id=old.id,
        memory_type=about.memory_type,
        title=about.title,
        description=about.description,
        content_type=asset.mime_type,
        tags=about.tags,
        people=about.people,
        location=about.location,
        notes=about.notes,
        parent_folder_id=about.parent_folder_id,
        file_created_at=asset.created_at,
        date_of_memory=about.date_of_memory,
        assets=[asset],
    )
