"""Phase 4: copies the blobs while the capsule stays writable."""

from __future__ import annotations

from icmigrate.copy.count import CopyCount
from icmigrate.copy.relay import copy_blobs
from icmigrate.migration.plan import Plan
from icmigrate.migration.toolkit import Toolkit


async def pre_copy(toolkit: Toolkit, capsule_id: str, planned: Plan, canister_id: str) -> CopyCount:
    """Copies every chunk that the personal canister lacks; a sealed one lacks none."""
    toolkit.progress.phase("pre-copy")
    toolkit.progress.total(bytes=planned.bytes, chunks=planned.chunks)
    personal = toolkit.personal(canister_id)
    if (await personal.import_status()).state == "Sealed":
        return CopyCount(blobs=planned.blobs, chunks_skipped=planned.chunks, bytes_skipped=planned.bytes)
    return await copy_blobs(toolkit.hub, personal, capsule_id, toolkit.window, toolkit.progress)
