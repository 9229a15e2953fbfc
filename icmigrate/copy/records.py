"""Copies a capsule's records from the hub to the personal canister, as the bytes that they are stored as."""

from __future__ import annotations

from collections.abc import AsyncIterator

from icmigrate.contract.client import all_pages
from icmigrate.contract.manifests import RecordBytes
from icmigrate.hub.client import HubClient
from icmigrate.personal.client import PersonalClient
from icmigrate.progress import Progress

RECORD_BATCH_BYTES = 1_500_000
"""Records sent in one call, in bytes: they and their envelope fit an ingress message (2 MiB)."""
ENTRY_BYTES = 16
"""What a record takes in a message besides its bytes and its id."""


async def copy_records(
    hub: HubClient, personal: PersonalClient, capsule_id: str, generation: int, progress: Progress
) -> AsyncIterator[RecordBytes]:
    """Copies all records of the frozen capsule and yields each as it was read; all are sent when it ends."""
    batch: list[RecordBytes] = []
    batch_bytes = 0
    async for record in all_pages(lambda after: hub.export_records(capsule_id, after, RECORD_BATCH_BYTES)):
        size = len(record.bytes) + len(record.id) + ENTRY_BYTES
        if batch and batch_bytes + size > RECORD_BATCH_BYTES:
            await _send(personal, generation, batch, progress)
            batch, batch_bytes = [], 0
        batch.append(record)
        batch_bytes += size
        yield record
    if batch:
        await _send(personal, generation, batch, progress)


async def _send(personal: PersonalClient, generation: int, batch: list[RecordBytes], progress: Progress) -> None:
    await personal.import_put_records(generation, batch)
    progress.advance(records=len(batch))
