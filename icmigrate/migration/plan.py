"""Phase 0: what a migration would do, as the hub quotes it before anything is spent. Reads only."""

from __future__ import annotations

from icmigrate.contract.migrations import Migration, MigrationPhase, MigrationQuote
from icmigrate.contract.record import Record
from icmigrate.contract.records import Home, MovedTo
from icmigrate.errors import PreflightRefused
from icmigrate.migration.toolkit import Toolkit
from icmigrate.proof.certified_data import certified_home


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


async def make_plan(toolkit: Toolkit, capsule_id: str) -> Plan:
    """Reads both sides and asks the hub what the migration costs from where it stands."""
    home = await certified_home(toolkit.hub, capsule_id)
    if isinstance(home, MovedTo):
        return await _migrated(toolkit, capsule_id, home)
    summary = await toolkit.hub.capsules_summary(capsule_id)
    present = await _chunks_present(toolkit, await toolkit.hub.migration_get(capsule_id))
    quote = await toolkit.hub.migration_quote(capsule_id, present)
    return Plan(
        capsule_id=capsule_id,
        home=home,
        phase=quote.active.phase if quote.active else None,
        canister_id=quote.active.canister_id if quote.active else None,
        records=summary.records,
        record_bytes=summary.record_bytes,
        blobs=summary.blobs,
        bytes=summary.blob_bytes,
        chunks=quote.whole.chunks,
        chunks_present=quote.whole.chunks - quote.rest.chunks,
        chunks_to_send=quote.rest.chunks,
        bytes_to_send=quote.rest.bytes,
        calls=quote.rest.calls,
        cycles_set_aside=quote.budget,
        cycles_available=quote.available,
        cycles_quoted=quote.rest.cycles,
        problems=[*quote.problems, *_module_problems(toolkit, quote)],
    )


def _module_problems(toolkit: Toolkit, quote: MigrationQuote) -> list[str]:
    stored, expected = quote.wasm_sha256, toolkit.personal_module
    if stored is None or stored == expected:
        return []
    return [
        f"the hub would install module {stored.hex()}, expected is {expected.hex()}: "
        "run `icmigrate deploy`, or name the module with --module if you trust it"
    ]


async def _chunks_present(toolkit: Toolkit, newest: Migration | None) -> int:
    """Chunks that the personal canister holds already, if there is an installed one."""
    if newest is None or not newest.is_active or newest.canister_id is None or newest.module_hash is None:
        return 0
    return (await toolkit.personal(newest.canister_id).import_status()).chunks_received


async def _migrated(toolkit: Toolkit, capsule_id: str, home: MovedTo) -> Plan:
    """The plan of a capsule that has moved: nothing to do."""
    personal = toolkit.personal(home.canister_id)
    summary = await personal.capsules_summary(capsule_id)
    migration = await toolkit.hub.migration_get(capsule_id)
    return Plan(
        capsule_id=capsule_id,
        home=home,
        phase=migration.phase if migration else None,
        canister_id=personal.canister_id,
        records=summary.records,
        record_bytes=summary.record_bytes,
        blobs=summary.blobs,
        bytes=summary.blob_bytes,
        chunks=summary.chunks,
        chunks_present=summary.chunks,
        chunks_to_send=0,
        bytes_to_send=0,
        calls=0,
        cycles_set_aside=0,
        cycles_available=(await toolkit.hub.cycles()).liquid,
        cycles_quoted=0,
        problems=[],
    )


def spent(migration: Migration, personal_balance: int) -> int:
    """Cycles used up: what the hub gave less what came back and what the personal canister still holds."""
    return migration.spent - personal_balance
