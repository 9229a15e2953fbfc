"""Migrations as the hub records and quotes them, and imports as a personal canister tells of them."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal

from icmigrate.contract.record import Case, Record
from icmigrate.contract.records import Home
from icmigrate.errors import PreflightRefused


class MigrationPhase(StrEnum):
    """How far the hub says a migration has come."""

    RESERVED = "Reserved"
    CREATING = "Creating"
    CREATED = "Created"
    INSTALLED = "Installed"
    FROZEN = "Frozen"
    CUT_OVER = "CutOver"
    HANDED_OFF = "HandedOff"
    ABORTED = "Aborted"


class MigrationStep(StrEnum):
    """What is asked of the hub's factory."""

    RESERVE = "Reserve"
    CREATE = "Create"
    INSTALL = "Install"
    FREEZE = "Freeze"
    THAW = "Thaw"
    BUILD_MANIFEST = "BuildManifest"
    CUT_OVER = "CutOver"
    ABORT = "Abort"
    HANDOFF = "Handoff"


class CreationFee(Case):
    """What the system took for a new canister."""

    label: ClassVar[str] = "CreationFee"


class Endowment(Case):
    """What the personal canister was created with."""

    label: ClassVar[str] = "Endowment"


class LostCreation(Case):
    """Fee and endowment of a canister of which nothing is known."""

    label: ClassVar[str] = "LostCreation"


class Calls(Case):
    """The calls that a step made."""

    label: ClassVar[str] = "Calls"
    payload: ClassVar[str] = "step"

    step: MigrationStep


Expense = CreationFee | Endowment | LostCreation | Calls


class CycleEntry(Record):
    at: int
    operation: Expense
    amount: int
    balance_after: int


class Migration(Record):
    """The hub's record of one migration."""

    id: int
    capsule_id: str
    phase: MigrationPhase
    is_active: bool
    """The capsule is taken: there is no other migration of it, and it is not deleted."""
    can_abort: bool
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
    def is_cut_over(self) -> bool:
        return self.cut_over_at is not None

    @property
    def spent(self) -> int:
        """Cycles that the hub spent on it, less what came back."""
        return sum(entry.amount for entry in self.ledger) - self.returned


class MigrationWork(Record):
    """What a migration, or the rest of one, has to do, and the cycles that it uses up; `bytes` of the chunks."""

    chunks: int
    bytes: int
    calls: int
    cycles: int


class MigrationQuote(Record):
    """`whole` is from the start, `rest` from where the migration stands."""

    feasible: bool
    problems: list[str]
    budget: int
    creation_fee: int
    endowment: int
    call_reserve: int
    available: int
    wasm_sha256: bytes | None
    active: Migration | None
    whole: MigrationWork
    rest: MigrationWork


class HandoffConsent(Record):
    """An owner's leave to hand a personal canister off to these controllers, void without any of `owners`."""

    controllers: list[str]
    owners: list[str]
    given_by: str
    given_at: int
    expires_at: int


class CertifiedHome(Record):
    """Where a capsule lives, with the certificate and witness that prove it; unchecked as it stands."""

    home: Home
    certificate: bytes
    witness: bytes


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
