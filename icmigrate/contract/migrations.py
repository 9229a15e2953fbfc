"""Migrations as the hub records and quotes them, and imports as a personal canister tells of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from icmigrate.contract.record import Record
from icmigrate.errors import PreflightRefused


class MigrationPhase(StrEnum):
    """How far the hub says a migration has come."""

    RESERVED = "Reserved"
    CREATED = "Created"
    INSTALLED = "Installed"
    FROZEN = "Frozen"
    CUT_OVER = "CutOver"
    HANDED_OFF = "HandedOff"
    ABORTED = "Aborted"


class CycleEntry(Record):
    at: int
    operation: str
    amount: int
    balance_after: int


class Migration(Record):
    """The hub's record of one migration."""

    id: int
    capsule_id: str
    phase: MigrationPhase
    operator: str
    canister_id: str | None
    module_hash: bytes | None
    budget: int
    endowment: int
    ledger: list[CycleEntry]
    returned: int
    generation: int
    root: bytes | None
    reserved_at: int
    frozen_at: int | None
    cut_over_at: int | None
    handed_off_at: int | None

    def created_canister(self) -> str:
        """The id of its personal canister. Raises `PreflightRefused` when none has been created yet."""
        if self.canister_id is None:
            raise PreflightRefused(
                f"migration {self.id} of capsule {self.capsule_id} has no personal canister yet "
                f"(phase {self.phase.value})",
                hint=f"Run `icmigrate migrate {self.capsule_id}`.",
            )
        return self.canister_id

    @property
    def is_active(self) -> bool:
        """Neither finished nor given up."""
        return self.phase not in (MigrationPhase.CUT_OVER, MigrationPhase.HANDED_OFF, MigrationPhase.ABORTED)

    @property
    def is_cut_over(self) -> bool:
        return self.phase in (MigrationPhase.CUT_OVER, MigrationPhase.HANDED_OFF)

    @property
    def spent(self) -> int:
        """Cycles that the hub spent on it, less what came back."""
        return sum(entry.amount for entry in self.ledger) - self.returned


class MigrationQuote(Record):
    feasible: bool
    problems: list[str]
    budget: int
    creation_fee: int
    endowment: int
    call_reserve: int
    available: int
    wasm_sha256: bytes | None
    active: Migration | None


class WasmInfo(Record):
    sha256: bytes
    length: int
    uploaded_at: int


class ImportStatus(Record):
    """What a personal canister says of its import."""

    capsule_id: str
    hub: str
    state: Literal["Importing", "Sealed", "Live"]
    generation: int
    records: int
    blobs_declared: int
    blobs_complete: int
    chunks_received: int
    root: bytes | None
