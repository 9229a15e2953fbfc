"""Phase 4: copies the blobs while the capsule stays writable."""

from __future__ import annotations

from icmigrate.copy.count import CopyCount
from icmigrate.copy.relay import copy_blobs
from icmigrate.migration.context import Wiring
from icmigrate.migration.plan import Plan


async def pre_copy(wiring: Wiring, capsule_id: str, planned: Plan, canister_id: str) -> CopyCount:
    """Copies every chunk that the personal canister lacks; a sealed one lacks none."""
    wiring.progress.phase("pre-copy")
    wiring.progress.total(bytes=planned.bytes, chunks=planned.chunks)
    personal = wiring.personal(canister_id)
    if (await personal.import_status()).state == "Sealed":
        return CopyCount(blobs=planned.blobs, chunks_skipped=planned.chunks, bytes_skipped=planned.bytes)
    return await copy_blobs(wiring.hub, personal, capsule_id, wiring.window, wiring.progress)
