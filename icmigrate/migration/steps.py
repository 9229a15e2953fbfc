"""One function per phase. Each asks the canisters first what is already done; doing it twice changes nothing.

They take and return small records, so that the durable engine can keep the results; bytes, agents and keys
never pass through it.
"""

from __future__ import annotations

import time

from icmigrate.contract.client import all_pages
from icmigrate.contract.manifests import ManifestLeaf, ManifestSummary, RecordBytes
from icmigrate.contract.migrations import Migration
from icmigrate.contract.record import Record
from icmigrate.contract.records import MovedTo
from icmigrate.copy.relay import CopyCount, blob_batches, copy_blobs
from icmigrate.errors import PreflightRefused, VerificationDifference
from icmigrate.migration.context import Wiring
from icmigrate.migration.plan import RECORD_BATCH_BYTES, Plan, chunk_count, make_plan, quoted_from_the_start, spent
from icmigrate.proof.http import HttpReport, asset_urls, check_http
from icmigrate.proof.manifest import blob_leaf, record_leaf
from icmigrate.proof.manifest import root as manifest_root
from icmigrate.proof.verify import VerifyReport, certified_summary, verify
from icmigrate.protocol.principal import Principal


class CatchUp(Record):
    """What was copied while the capsule was frozen."""

    copied: CopyCount
    records: int
    record_bytes: int
    root: bytes


class MigrationReport(Record):
    """What a migration did. Times are seconds; cycles were used up, not merely moved."""

    capsule: str
    canister_id: str
    root: bytes
    records: int
    blobs: int
    bytes: int
    chunks_sent: int
    chunks_skipped: int
    seconds: float
    frozen_seconds: float
    cycles_quoted: int
    cycles_spent: int
    persons_and_resources: int
    http_requests: int
    already_migrated: bool
    urls: list[str]


async def plan(wiring: Wiring, capsule_id: str) -> Plan:
    """Phase 0: sizes, calls and cycles; refuses what is not feasible before anything is spent."""
    wiring.progress.phase("plan")
    planned = await make_plan(wiring, capsule_id)
    planned.require_feasible()
    return planned


async def reserve(wiring: Wiring, capsule_id: str) -> Migration:
    """Phase 1: the hub opens the migration's record and sets its cycles aside."""
    wiring.progress.phase("reserve")
    return await wiring.hub.migration_reserve(capsule_id)


async def create(wiring: Wiring, capsule_id: str) -> Migration:
    """Phase 2: the factory creates the personal canister, or adopts the one it has created."""
    wiring.progress.phase("create")
    return await wiring.hub.migration_create_canister(capsule_id)


async def install(wiring: Wiring, capsule_id: str) -> Migration:
    """Phase 3: the factory installs the personal module; its hash is read back certified."""
    wiring.progress.phase("install")
    migration = await wiring.hub.migration_install(capsule_id)
    canister_id = created(migration)
    stored = await wiring.hub.wasm_info()
    running = await wiring.agent.module_hash(Principal.from_str(canister_id))
    if stored is None or running != stored.sha256:
        raise VerificationDifference(
            f"canister {canister_id} runs module {running.hex() if running else 'none'}, the hub's store "
            f"holds {stored.sha256.hex() if stored else 'none'}"
        )
    return migration


async def pre_copy(wiring: Wiring, capsule_id: str, planned: Plan, canister_id: str) -> CopyCount:
    """Phase 4: copies the blobs while the capsule stays writable."""
    wiring.progress.phase("pre-copy")
    wiring.progress.total(bytes=planned.bytes, chunks=planned.chunks)
    personal = wiring.personal(canister_id)
    if (await personal.import_status()).state == "Sealed":
        return CopyCount(blobs=planned.blobs, chunks_skipped=planned.chunks, bytes_skipped=planned.bytes)
    return await copy_blobs(wiring.hub, personal, capsule_id, wiring.window, wiring.progress)


async def freeze(wiring: Wiring, capsule_id: str) -> Migration:
    """Phase 5: the capsule becomes read-only in the hub; reads and HTTP go on."""
    wiring.progress.phase("freeze")
    return await wiring.hub.migration_freeze(capsule_id)


async def catch_up(wiring: Wiring, capsule_id: str, frozen: Migration) -> CatchUp:
    """Phase 6: copies the blobs added since and all records, and seals the personal canister.

    The manifest of everything that was read is worked out here as well, and must be the one that the hub
    certifies: an answer that was not the hub's is found before it is sealed.
    """
    wiring.progress.phase("catch-up")
    personal = wiring.personal(created(frozen))
    await _build_manifest(wiring, capsule_id)
    hub_manifest = await certified_summary(wiring.hub, capsule_id)
    status = await personal.import_status()
    if status.state == "Sealed":
        if status.generation == frozen.generation and status.root == hub_manifest.root:
            return CatchUp(
                copied=CopyCount(),
                records=hub_manifest.records,
                record_bytes=hub_manifest.record_bytes,
                root=hub_manifest.root,
            )
        await personal.import_reopen()
    copied = await copy_blobs(wiring.hub, personal, capsule_id, wiring.window, wiring.progress)
    leaves, record_bytes = await _copy_records(wiring, capsule_id, frozen)
    records = len(leaves)
    async for batch in blob_batches(wiring.hub, capsule_id):
        leaves += [blob_leaf(blob) for blob in batch]
    read = manifest_root(leaves)
    if read != hub_manifest.root:
        raise VerificationDifference(
            f"what was read from the hub has manifest root {read.hex()}, the hub certifies "
            f"{hub_manifest.root.hex()}: an answer on the way was not the hub's"
        )
    await _seal(wiring, frozen)
    return CatchUp(copied=copied, records=records, record_bytes=record_bytes, root=read)


async def compare(wiring: Wiring, capsule_id: str, canister_id: str) -> VerifyReport:
    """Phase 7: certified manifests and access matrices of both sides must be equal."""
    wiring.progress.phase("verify")
    report = await verify(wiring.hub, wiring.personal(canister_id), capsule_id)
    report.require_equal()
    return report


async def compare_http(wiring: Wiring, capsule_id: str, canister_id: str) -> HttpReport:
    """Phase 8: both canisters must answer the same asset requests alike."""
    wiring.progress.phase("check HTTP")
    report = await answers_alike(wiring, capsule_id, canister_id)
    report.require_passed()
    return report


async def answers_alike(wiring: Wiring, capsule_id: str, canister_id: str) -> HttpReport:
    """The HTTP answers of both canisters, compared."""
    return await check_http(
        wiring.hub,
        wiring.personal(canister_id),
        capsule_id,
        network=wiring.network,
        gateway=wiring.gateway,
        window=wiring.window,
        progress=wiring.progress,
    )


async def cut_over(wiring: Wiring, capsule_id: str, root: bytes) -> Migration:
    """Phase 9: the personal canister becomes the home of the capsule; the hub redirects."""
    wiring.progress.phase("cut over")
    migration = await wiring.hub.migration_cut_over(capsule_id, root)
    home = await wiring.hub.registry_home(capsule_id)
    if home != MovedTo(canister_id=created(migration)):
        raise VerificationDifference(f"after cut-over the hub names {home} as the home of {capsule_id}")
    return migration


async def report(
    wiring: Wiring,
    capsule_id: str,
    planned: Plan | None,
    copied: CopyCount,
    http: HttpReport | None,
    verified: VerifyReport | None,
    started_at: float,
) -> MigrationReport:
    """The closing report, from what the canisters say now and what this run counted."""
    wiring.progress.phase("report")
    migration = await wiring.hub.migration_get(capsule_id)
    if migration is None or migration.root is None:
        raise PreflightRefused(f"capsule {capsule_id} has not been migrated")
    canister_id = created(migration)
    personal = wiring.personal(canister_id)
    summary = await personal.capsules_summary(capsule_id)
    cycles = await personal.cycles()
    frozen = migration.frozen_at and migration.cut_over_at and migration.cut_over_at - migration.frozen_at
    chunks = await chunk_count(personal, capsule_id)
    counted = copied.chunks_sent + copied.chunks_skipped
    return MigrationReport(
        capsule=capsule_id,
        canister_id=canister_id,
        root=migration.root,
        records=summary.records,
        blobs=summary.blobs,
        bytes=summary.blob_bytes,
        chunks_sent=copied.chunks_sent,
        chunks_skipped=copied.chunks_skipped if counted else chunks,
        seconds=round(time.time() - started_at, 3),
        frozen_seconds=round((frozen or 0) / 1e9, 3),
        cycles_quoted=quoted_from_the_start(summary, chunks, migration),
        cycles_spent=spent(migration, cycles.balance),
        persons_and_resources=verified.persons_and_resources if verified else 0,
        http_requests=http.requests if http else 0,
        already_migrated=planned is None,
        urls=await asset_urls(wiring.network, personal, capsule_id),
    )


def created(migration: Migration) -> str:
    """The id of the personal canister of a migration that has created one."""
    if migration.canister_id is None:
        raise PreflightRefused(
            f"migration {migration.id} of capsule {migration.capsule_id} has no personal canister yet "
            f"(phase {migration.phase.value})",
            hint=f"Run `icmigrate migrate {migration.capsule_id}`.",
        )
    return migration.canister_id


async def _build_manifest(wiring: Wiring, capsule_id: str) -> ManifestSummary:
    """The hub works its manifest out in bounded steps."""
    while not (summary := await wiring.hub.migration_build_manifest(capsule_id)).complete:
        wiring.progress.note("manifest", records=summary.records, blobs=summary.blobs)
    return summary


async def _seal(wiring: Wiring, frozen: Migration) -> ManifestSummary:
    """The personal canister works its manifest out in bounded steps and certifies it."""
    personal = wiring.personal(created(frozen))
    while not (summary := await personal.import_seal(frozen.generation)).complete:
        wiring.progress.note("seal", records=summary.records, blobs=summary.blobs)
    return summary


async def _copy_records(wiring: Wiring, capsule_id: str, frozen: Migration) -> tuple[list[ManifestLeaf], int]:
    """Copies all records as they are stored; answers their leaves and bytes."""
    personal = wiring.personal(created(frozen))
    leaves: list[ManifestLeaf] = []
    batch: list[RecordBytes] = []
    batch_bytes = total_bytes = 0
    pages = all_pages(lambda after: wiring.hub.export_records(capsule_id, after, RECORD_BATCH_BYTES))
    async for record in pages:
        size = len(record.bytes) + len(record.id) + 16
        if batch and batch_bytes + size > RECORD_BATCH_BYTES:
            await personal.import_put_records(frozen.generation, batch)
            wiring.progress.advance(records=len(batch))
            batch, batch_bytes = [], 0
        batch.append(record)
        batch_bytes += size
        total_bytes += len(record.bytes)
        leaves.append(record_leaf(record))
    if batch:
        await personal.import_put_records(frozen.generation, batch)
        wiring.progress.advance(records=len(batch))
    return leaves, total_bytes
