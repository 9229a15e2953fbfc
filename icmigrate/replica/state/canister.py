"""Interface Specification, "Abstract behavior": everything that is true of one canister."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from operator import attrgetter

from icmigrate.protocol.principal import Principal
from icmigrate.replica.state.calls import Callback, CallContext, StopCall
from icmigrate.replica.state.code import NO_MEMORY, WASM_PAGE, InstalledModule, MemoryImage
from icmigrate.replica.state.history import HistoryEntry
from icmigrate.replica.state.settings import Settings


class CanisterStatus(StrEnum):
    """Section "Canister status"."""

    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"


class CycleUse(StrEnum):
    """What cycles are consumed for, as canister_metrics tells them apart."""

    MEMORY = "memory"
    COMPUTE_ALLOCATION = "compute_allocation"
    INGRESS_INDUCTION = "ingress_induction"
    INSTRUCTIONS = "instructions"
    TRANSMISSION = "request_and_response_transmission"
    UNINSTALL = "uninstall"
    CANISTER_CREATION = "canister_creation"
    HTTP_OUTCALLS = "http_outcalls"
    BURNED = "burned_cycles"


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One line of `fetch_canister_logs`."""

    idx: int
    timestamp_nanos: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot's facts; heap and stable pages and the chunk store's list belong to it, in the store by id.

    `source` is "taken_from_canister" or "metadata_upload". `globals` as in MemoryImage.
    """

    id: bytes
    taken_at: int
    canister_version: int
    source: str
    module: InstalledModule | None
    heap_pages: int
    stable_pages: int
    globals: tuple[bytes, ...]
    certified_data: bytes
    chunks: tuple[tuple[bytes, int], ...] = ()
    global_timer: int | None = None
    on_low_wasm_memory: str | None = None

    @property
    def size(self) -> int:
        """Bytes that this snapshot occupies, as `total_size` reports it."""
        module = self.module.size if self.module else 0
        memories = (self.heap_pages + self.stable_pages) * WASM_PAGE
        return module + memories + sum(length for _, length in self.chunks) + len(self.certified_data)


@dataclass(frozen=True, slots=True)
class QueryStats:
    """Totals since creation, as canister_status reports them."""

    calls: int = 0
    instructions: int = 0
    request_bytes: int = 0
    response_bytes: int = 0

    def plus(self, more: QueryStats) -> QueryStats:
        """The sums of both."""
        return QueryStats(
            self.calls + more.calls,
            self.instructions + more.instructions,
            self.request_bytes + more.request_bytes,
            self.response_bytes + more.response_bytes,
        )


@dataclass(frozen=True, slots=True)
class Canister:
    """Everything that is true of one canister. Frozen: a transaction replaces it as a whole (`with_`)."""

    id: Principal
    settings: Settings
    created_at: int
    status: CanisterStatus = CanisterStatus.RUNNING
    stop_calls: tuple[StopCall, ...] = ()
    version: int = 0
    cycles: int = 0
    reserved_cycles: int = 0
    consumed: dict[CycleUse, int] = field(default_factory=dict)
    burned_remainder: int = 0
    charged_until: int = 0
    module: InstalledModule | None = None
    installed_at: int = 0
    memory: MemoryImage = NO_MEMORY
    certified_data: bytes = b""
    global_timer: int = 0
    """Time at which canister_global_timer is due; 0 when not set."""
    low_memory_hook: str = "condition_not_satisfied"
    """condition_not_satisfied, ready or executed (section "On Low Wasm Memory")."""
    contexts: dict[int, CallContext] = field(default_factory=dict)
    callbacks: dict[int, Callback] = field(default_factory=dict)
    next_id: int = 0
    """Counter for this canister's call contexts and callbacks."""
    chunks: dict[bytes, int] = field(default_factory=dict)
    """The Wasm chunk store: hash to length."""
    snapshots: dict[bytes, Snapshot] = field(default_factory=dict)
    next_snapshot: int = 0
    logs: tuple[LogRecord, ...] = ()
    next_log: int = 0
    history: tuple[HistoryEntry, ...] = ()
    """The newest entries (at most limits.history_entries)."""
    history_total: int = 0
    query_stats: QueryStats = QueryStats()

    def with_(self, **changes: object) -> Canister:
        """This record with some fields replaced; `dataclasses.replace`, ten times faster."""
        copied = object.__new__(Canister)
        put = object.__setattr__
        for name, value in zip(_CANISTER_FIELDS, _canister_values(self), strict=True):
            put(copied, name, value)
        for name, value in changes.items():
            put(copied, name, value)
        return copied

    def consuming(self, use: CycleUse, amount: int) -> Canister:
        """This record with so many cycles more consumed; the balance is the caller's part."""
        return self.with_(consumed={**self.consumed, use: self.consumed.get(use, 0) + amount})

    @property
    def consumed_cycles(self) -> int:
        return sum(self.consumed.values())

    @property
    def wasm_memory_size(self) -> int:
        return self.memory.heap_pages * WASM_PAGE

    @property
    def stable_memory_size(self) -> int:
        return self.memory.stable_pages * WASM_PAGE

    @property
    def global_memory_size(self) -> int:
        return 8 * len(self.memory.globals)

    @property
    def wasm_binary_size(self) -> int:
        return self.module.size if self.module else 0

    @property
    def custom_sections_size(self) -> int:
        sections = self.module.sections if self.module else ()
        return sum(len(section.name) + len(section.content) for section in sections)

    @property
    def canister_history_size(self) -> int:
        return sum(96 + 29 * len(entry.controllers) for entry in self.history)

    @property
    def wasm_chunk_store_size(self) -> int:
        """Each stored chunk occupies a full chunk of 1 MiB, as on the IC."""
        return (1 << 20) * len(self.chunks)

    @property
    def snapshots_size(self) -> int:
        return sum(snapshot.size for snapshot in self.snapshots.values())

    @property
    def log_memory_store_size(self) -> int:
        return sum(len(record.content) + 24 for record in self.logs)

    @property
    def memory_size(self) -> int:
        """`memory_size` of canister_status: all memory that the canister occupies."""
        return (
            self.wasm_memory_size + self.stable_memory_size + self.global_memory_size + self.wasm_binary_size
            + self.custom_sections_size + self.canister_history_size + self.wasm_chunk_store_size
            + self.snapshots_size + self.log_memory_store_size
        )  # fmt: skip

    @property
    def allocated_memory(self) -> int:
        """What the subnet sets aside for this canister."""
        return max(self.memory_size, self.settings.memory_allocation)


_CANISTER_FIELDS = tuple(each.name for each in fields(Canister))


_canister_values = attrgetter(*_CANISTER_FIELDS)
