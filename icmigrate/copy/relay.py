"""Copies blobs from the hub to the personal canister by relay: only the chunks that the target lacks.

What the target holds is the progress. A chunk read by query counts only when its digest is the one of the
blob's list, and that list is bound by the certified manifest root before anything is cut over.
"""

from __future__ import annotations

import asyncio
import hashlib

from icmigrate.contract.blobs import Blob
from icmigrate.copy.count import CopyCount
from icmigrate.copy.missing import blob_batches, missing_chunks
from icmigrate.errors import VerificationDifference
from icmigrate.hub.client import HubClient
from icmigrate.personal.client import PersonalClient
from icmigrate.progress import Progress


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
