"""Phase 6: copies the blobs added since and all records, and seals the personal canister.

The manifest of everything that was read is worked out here as well, and must be the one that the hub certifies:
an answer that was not the hub's is found before anything is sealed.
"""

from __future__ import annotations

from collections.abc import Sequence

from icmigrate.contract.manifests import ManifestLeaf, ManifestSummary
from icmigrate.contract.migrations import Migration
from icmigrate.contract.record import Record
from icmigrate.copy.count import CopyCount
from icmigrate.copy.missing import blob_batches
from icmigrate.copy.records import copy_records
from icmigrate.copy.relay import copy_blobs
from icmigrate.errors import VerificationDifference
from icmigrate.hub.client import HubClient
from icmigrate.migration.toolkit import Toolkit
from icmigrate.personal.client import PersonalClient
from icmigrate.progress import Progress
from icmigrate.proof.certified_data import certified_summary
from icmigrate.proof.manifest import blob_leaf, record_leaf
from icmigrate.proof.manifest import root as manifest_root


class CatchUp(Record):
    """What was copied while the capsule was frozen."""

    copied: CopyCount
    records: int
    record_bytes: int
    root: bytes


async def catch_up(toolkit: Toolkit, capsule_id: str, frozen: Migration) -> CatchUp:
    """Brings the personal canister to the frozen state, proves that it was the hub's, and seals it."""
    toolkit.progress.phase("catch-up")
    hub, personal = toolkit.hub, toolkit.personal(frozen.created_canister())
    certified = await build_manifest(hub, capsule_id, toolkit.progress)
    if await is_sealed_with(personal, frozen.generation, certified.root):
        return _caught_up(CopyCount(), certified)
    copied = await copy_blobs(hub, personal, capsule_id, toolkit.window, toolkit.progress)
    records = [
        record_leaf(record)
        async for record in copy_records(hub, personal, capsule_id, frozen.generation, toolkit.progress)
    ]
    blobs = [blob_leaf(blob) async for batch in blob_batches(hub, capsule_id) for blob in batch]
    require_hubs_own([*records, *blobs], certified.root)
    await seal(personal, frozen.generation, toolkit.progress)
    return _caught_up(copied, certified)


async def build_manifest(hub: HubClient, capsule_id: str, progress: Progress) -> ManifestSummary:
    """The hub works its manifest out in bounded steps; its root is read certified."""
    while not (summary := await hub.migration_build_manifest(capsule_id)).complete:
        progress.note("manifest", records=summary.records, blobs=summary.blobs)
    return await certified_summary(hub, capsule_id)


async def is_sealed_with(personal: PersonalClient, generation: int, root: bytes) -> bool:
    """Whether the personal canister is sealed with just this state; one that is sealed with another is reopened."""
    status = await personal.import_status()
    if status.state != "Sealed":
        return False
    if status.generation == generation and status.root == root:
        return True
    await personal.import_reopen()
    return False


def require_hubs_own(read: Sequence[ManifestLeaf], certified_root: bytes) -> None:
    """Raises `VerificationDifference` unless what was read has the manifest root that the hub certifies."""
    root = manifest_root(read)
    if root != certified_root:
        raise VerificationDifference(
            f"what was read from the hub has manifest root {root.hex()}, the hub certifies "
            f"{certified_root.hex()}: an answer on the way was not the hub's"
        )


async def seal(personal: PersonalClient, generation: int, progress: Progress) -> None:
    """The personal canister works its manifest out in bounded steps and certifies it."""
    while not (summary := await personal.import_seal(generation)).complete:
        progress.note("seal", records=summary.records, blobs=summary.blobs)


def _caught_up(copied: CopyCount, certified: ManifestSummary) -> CatchUp:
    return CatchUp(copied=copied, records=certified.records, record_bytes=certified.record_bytes, root=certified.root)
