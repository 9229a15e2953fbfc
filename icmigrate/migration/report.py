"""The closing report of a migration: from what the canisters say at its end and what the run counted."""

from __future__ import annotations

import time

from icmigrate.contract.migrations import Migration
from icmigrate.contract.record import Record
from icmigrate.copy.count import CopyCount
from icmigrate.errors import PreflightRefused
from icmigrate.migration.plan import Plan, spent
from icmigrate.migration.toolkit import Toolkit
from icmigrate.proof.http import HttpReport
from icmigrate.proof.verify import VerifyReport


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
    cycles_quoted: int | None
    cycles_spent: int
    persons_and_resources: int
    http_requests: int
    already_migrated: bool


async def report(
    toolkit: Toolkit,
    capsule_id: str,
    planned: Plan | None,
    copied: CopyCount,
    http: HttpReport | None,
    verified: VerifyReport | None,
    started_at: float,
) -> MigrationReport:
    """The report of a capsule that has moved; `planned` is None where it had moved before this run."""
    toolkit.progress.phase("report")
    migration = await toolkit.hub.migration_get(capsule_id, certified=True)
    if migration is None or migration.root is None:
        raise PreflightRefused(f"capsule {capsule_id} has not been migrated")
    personal = toolkit.personal(migration.created_canister())
    summary = await personal.capsules_summary(capsule_id)
    cycles = await personal.cycles()
    frozen = migration.frozen_at and migration.cut_over_at and migration.cut_over_at - migration.frozen_at
    counted = copied.chunks_sent + copied.chunks_skipped
    return MigrationReport(
        capsule=capsule_id,
        canister_id=personal.canister_id,
        root=migration.root,
        records=summary.records,
        blobs=summary.blobs,
        bytes=summary.blob_bytes,
        chunks_sent=copied.chunks_sent,
        chunks_skipped=copied.chunks_skipped if counted else summary.chunks,
        seconds=round(time.time() - started_at, 3),
        frozen_seconds=round((frozen or 0) / 1e9, 3),
        cycles_quoted=await _quoted(toolkit, migration, summary.chunks),
        cycles_spent=spent(migration, cycles.balance),
        persons_and_resources=verified.persons_and_resources if verified else 0,
        http_requests=http.requests if http else 0,
        already_migrated=planned is None,
    )


async def _quoted(toolkit: Toolkit, migration: Migration, chunks: int) -> int | None:
    """What the whole is quoted at; nobody reads the hub's copy, which a quote is made from, after the handoff."""
    if migration.handed_off_at is not None:
        return None
    return (await toolkit.hub.migration_quote(migration.capsule_id, chunks)).whole.cycles
