"""Which chunks the personal canister lacks: what it holds is the progress, whatever brought it there."""

from __future__ import annotations

from collections.abc import AsyncIterator

from icmigrate.contract.blobs import Blob
from icmigrate.contract.client import all_pages
from icmigrate.hub.client import HubClient
from icmigrate.personal.client import PersonalClient

DECLARE_BYTES = 1_000_000
"""Blob entries declared in one call, in bytes: well below an ingress message."""


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
