"""Copies blobs from the hub to the personal canister by relay: only the chunks that the target lacks.

What the target holds is the progress. A chunk read by query counts only when its digest is the one of the
blob's list, and that list is bound by the certified manifest root before anything is cut over.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

from icmigrate.contract.blobs import Blob
from icmigrate.contract.client import all_pages
from icmigrate.contract.record import Record
from icmigrate.errors import VerificationDifference
from icmigrate.hub.client import HubClient
from icmigrate.personal.client import PersonalClient
from icmigrate.progress import Progress

DECLARE_BYTES = 1_000_000
"""Blob entries declared in one call, in bytes: well below an ingress message."""


class CopyCount(Record):
    """What one copy did: chunks and bytes sent, and those that the target had already."""

    blobs: int = 0
    chunks_sent: int = 0
    chunks_skipped: int = 0
    bytes_sent: int = 0
    bytes_skipped: int = 0

    def __add__(self, other: CopyCount) -> CopyCount:
        """The count of two copies of different blobs."""
        return CopyCount(**{name: getattr(self, name) + getattr(other, name) for name in CopyCount.model_fields})

    def followed_by(self, again: CopyCount) -> CopyCount:
        """The count of a copy and a second one of the same blobs and those added since.

        What the second found in place is what the first sent or found: it counts once.
        """
        return self.model_copy(
            update={
                "blobs": max(self.blobs, again.blobs),
                "chunks_sent": self.chunks_sent + again.chunks_sent,
                "bytes_sent": self.bytes_sent + again.bytes_sent,
            }
        )


async def copy_blobs(
    hub: HubClient, personal: PersonalClient, capsule_id: str, window: int, progress: Progress
) -> CopyCount:
    """Copies every chunk that the personal canister lacks, at most `window` at a time on their way."""
    total = CopyCount()
    behind = None
    async for batch in blob_batches(hub, capsule_id):
        await personal.import_declare_blobs(batch)
        lacking = await missing_chunks(personal, batch, behind)
        total += await _relay_chunks(hub, personal, capsule_id, batch, lacking, window, progress)
        behind = batch[-1].sha256
    return total


async def blob_batches(hub: HubClient, capsule_id: str) -> AsyncIterator[list[Blob]]:
    """The capsule's blobs in order of their SHA-256, in lists of about `DECLARE_BYTES` of entries."""
    batch: list[Blob] = []
    size = 0
    async for blob in all_pages(lambda after: hub.blobs_list(capsule_id, after)):
        entry = 64 + len(blob.chunk_digests)
        if batch and size + entry > DECLARE_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(blob)
        size += entry
    if batch:
        yield batch


async def missing_chunks(personal: PersonalClient, batch: list[Blob], behind: bytes | None) -> list[tuple[Blob, int]]:
    """The chunks of these blobs that the target lacks; both lists are in order of their SHA-256."""
    declared = {blob.sha256: blob for blob in batch}
    lacking: list[tuple[Blob, int]] = []
    async for entry in all_pages(personal.import_missing_chunks, behind):
        if entry.sha256 > batch[-1].sha256:
            break
        blob = declared.get(entry.sha256)
        if blob is not None:  # another one may be left of a run before, and no longer be in the capsule
            lacking += [(blob, index) for index in entry.indices()]
    return lacking


async def _relay_chunks(
    hub: HubClient,
    personal: PersonalClient,
    capsule_id: str,
    batch: list[Blob],
    lacking: list[tuple[Blob, int]],
    window: int,
    progress: Progress,
) -> CopyCount:
    chunks = sum(blob.chunks for blob in batch)
    size = sum(blob.length for blob in batch)
    bytes_to_send = sum(blob.chunk_length(index) for blob, index in lacking)
    progress.advance(bytes=size - bytes_to_send, skipped=chunks - len(lacking))
    free = asyncio.Semaphore(window)

    async def relay(blob: Blob, index: int) -> None:
        try:
            await relay_chunk(hub, personal, capsule_id, blob, index)
        finally:
            free.release()
        progress.advance(bytes=blob.chunk_length(index), chunks=1)

    try:
        async with asyncio.TaskGroup() as tasks:
            for blob, index in lacking:
                await free.acquire()
                tasks.create_task(relay(blob, index))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    return CopyCount(
        blobs=len(batch),
        chunks_sent=len(lacking),
        chunks_skipped=chunks - len(lacking),
        bytes_sent=bytes_to_send,
        bytes_skipped=size - bytes_to_send,
    )


async def relay_chunk(hub: HubClient, personal: PersonalClient, capsule_id: str, blob: Blob, index: int) -> None:
    """Reads one chunk from the hub, checks its digest, and writes it to the personal canister."""
    chunk = await hub.blobs_read_chunk(capsule_id, blob.sha256, index)
    if hashlib.sha256(chunk).digest() != blob.chunk_digest(index):
        raise VerificationDifference(
            f"chunk {index} of blob {blob.sha256.hex()} is not what the hub's list says: "
            f"{len(chunk)} bytes with another digest came back"
        )
    await personal.import_put_chunk(blob.sha256, index, chunk)
