"""Phase 0: what a migration would do, quoted before anything is spent. Reads only.

Fees are the Internet Computer's published ones for a 13-node subnet; they are a table, so that a changed
schedule is configuration.
"""

from __future__ import annotations

from icmigrate.contract.client import CapsuleClient, all_pages
from icmigrate.contract.migrations import Migration, MigrationPhase, MigrationQuote
from icmigrate.contract.record import Record
from icmigrate.contract.records import CapsuleSummary, Home, MovedTo
from icmigrate.copy.records import RECORD_BATCH_BYTES
from icmigrate.errors import PreflightRefused
from icmigrate.migration.context import Wiring

CONTROL_CALLS = 12
"""Calls that every migration makes, whatever its size."""


class FeeSchedule(Record):
    """Cycles. Storage is left out: it goes on whether one migrates or not."""

    canister_creation: int = 500_000_000_000
    ingress_message: int = 1_200_000
    ingress_byte: int = 2_000
    update_message: int = 5_000_000
    instruction: int = 1
    instructions_per_chunk_byte: int = 24
    instructions_per_record: int = 400_000

    def update(self, calls: int, payload: int, instructions: int) -> int:
        """Cycles for `calls` ingress updates that carry `payload` bytes and execute `instructions` in all."""
        return (
            calls * (self.ingress_message + self.update_message)
            + payload * self.ingress_byte
            + instructions * self.instruction
        )


class Work(Record):
    """The calls that a migration, or the rest of one, makes: all records, and these chunks of these bytes."""

    summary: CapsuleSummary
    chunks: int
    bytes: int

    @property
    def calls(self) -> int:
        record_calls = self.summary.record_bytes // RECORD_BATCH_BYTES
        return self.chunks + record_calls + self.summary.blobs // 1_000 + CONTROL_CALLS

    def cycles(self, fees: FeeSchedule) -> int:
        """What these calls use up."""
        return fees.update(
            self.calls,
            self.bytes + self.summary.record_bytes,
            self.bytes * fees.instructions_per_chunk_byte + self.summary.records * fees.instructions_per_record,
        )


class Plan(Record):
    """Sizes, calls and cycles of one migration, and what stands in its way.

    `cycles_set_aside` leaves the hub's free balance at reserve; `cycles_quoted` is what is expected to be used
    up. What the personal canister still holds at the end is its owner's.
    """

    capsule_id: str
    home: Home
    phase: MigrationPhase | None
    canister_id: str | None
    records: int
    record_bytes: int
    blobs: int
    bytes: int
    chunks: int
    chunks_present: int
    chunks_to_send: int
    bytes_to_send: int
    calls: int
    cycles_set_aside: int
    cycles_available: int
    cycles_quoted: int
    problems: list[str]

    @property
    def feasible(self) -> bool:
        return not self.problems

    @property
    def is_migrated(self) -> bool:
        return isinstance(self.home, MovedTo)

    def require_feasible(self) -> None:
        """Raises `PreflightRefused` with every problem named."""
        if self.problems:
            raise PreflightRefused(
                f"capsule {self.capsule_id} cannot be migrated now; nothing was changed or spent:\n  "
                + "\n  ".join(self.problems)
            )


async def make_plan(wiring: Wiring, capsule_id: str, fees: FeeSchedule | None = None) -> Plan:
    """Reads both sides and quotes the migration from where it stands."""
    home = await wiring.hub.registry_home(capsule_id)
    if isinstance(home, MovedTo):
        return await _migrated(wiring, capsule_id, home)
    fees = fees or FeeSchedule()
    summary = await wiring.hub.capsules_summary(capsule_id)
    quote = await wiring.hub.migration_quote(capsule_id)
    active = quote.active
    canister_id = active.canister_id if active else None
    chunks = await chunk_count(wiring.hub, capsule_id)
    present = await _chunks_present(wiring, active)
    to_send = max(0, chunks - present)
    bytes_to_send = summary.blob_bytes * to_send // chunks if chunks else 0
    work = Work(summary=summary, chunks=to_send, bytes=bytes_to_send)
    return Plan(
        capsule_id=capsule_id,
        home=home,
        phase=active.phase if active else None,
        canister_id=canister_id,
        records=summary.records,
        record_bytes=summary.record_bytes,
        blobs=summary.blobs,
        bytes=summary.blob_bytes,
        chunks=chunks,
        chunks_present=chunks - to_send,
        chunks_to_send=to_send,
        bytes_to_send=bytes_to_send,
        calls=work.calls,
        cycles_set_aside=quote.budget,
        cycles_available=quote.available,
        cycles_quoted=(0 if canister_id else quote.creation_fee) + work.cycles(fees),
        problems=[*quote.problems, *_module_problems(wiring, quote)],
    )


def _module_problems(wiring: Wiring, quote: MigrationQuote) -> list[str]:
    if quote.wasm_sha256 in (None, wiring.personal_module):
        return []
    return [
        f"the hub would install module {(quote.wasm_sha256 or b'').hex()}, expected is {wiring.personal_module.hex()}: "
        "run `icmigrate deploy`, or name the module with --module if you trust it"
    ]


async def chunk_count(canister: CapsuleClient, capsule_id: str) -> int:
    """Number of chunks of all blobs of a capsule."""
    blobs = all_pages(lambda after: canister.blobs_list(capsule_id, after))
    return sum([blob.chunks async for blob in blobs])


async def _chunks_present(wiring: Wiring, active: Migration | None) -> int:
    """Chunks that the personal canister holds already, if there is an installed one."""
    if active is None or active.canister_id is None or active.module_hash is None:
        return 0
    return (await wiring.personal(active.canister_id).import_status()).chunks_received


async def _migrated(wiring: Wiring, capsule_id: str, home: MovedTo) -> Plan:
    """The plan of a capsule that has moved: nothing to do."""
    personal = wiring.personal(home.canister_id)
    summary = await personal.capsules_summary(capsule_id)
    migration = await wiring.hub.migration_get(capsule_id)
    chunks = await chunk_count(personal, capsule_id)
    return Plan(
        capsule_id=capsule_id,
        home=home,
        phase=migration.phase if migration else None,
        canister_id=personal.canister_id,
        records=summary.records,
        record_bytes=summary.record_bytes,
        blobs=summary.blobs,
        bytes=summary.blob_bytes,
        chunks=chunks,
        chunks_present=chunks,
        chunks_to_send=0,
        bytes_to_send=0,
        calls=0,
        cycles_set_aside=0,
        cycles_available=(await wiring.hub.cycles()).liquid,
        cycles_quoted=0,
        problems=[],
    )


def quoted_from_the_start(summary: CapsuleSummary, chunks: int, migration: Migration) -> int:
    """What a whole migration of this capsule was to use up, wherever it was taken up again later."""
    creation = sum(entry.amount for entry in migration.ledger if entry.operation == "create: fee")
    return creation + Work(summary=summary, chunks=chunks, bytes=summary.blob_bytes).cycles(FeeSchedule())


def spent(migration: Migration, personal_balance: int) -> int:
    """Cycles used up: what the hub gave less what came back and what the personal canister still holds."""
    return migration.spent - personal_balance
