"""Interface Specification, "Abstract behavior": the state of one subnet as plain records.

These records are what is true after the last committed message. Only the event loop's thread changes them,
and only by replacing a record at a commit (see `storage/changes.py`); readers on that thread may look at them at any
time and never see half a message. Times are nanoseconds since 1970, amounts are cycles, sizes are bytes.
Large bytes (heap, stable memory, modules, chunks, snapshot contents) are not here but in the store, by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import IntEnum, StrEnum
from operator import attrgetter

from icmigrate.protocol.principal import MANAGEMENT_CANISTER, Principal

WASM_PAGE = 65_536
"""Bytes of a page in which WebAssembly memories and stable memory grow."""


# ---------------------------------------------------------------------------------------------- responses


class RejectCode(IntEnum):
    """Section "Reject codes"."""

    SYS_FATAL = 1
    SYS_TRANSIENT = 2
    DESTINATION_INVALID = 3
    CANISTER_REJECT = 4
    CANISTER_ERROR = 5
    SYS_UNKNOWN = 6


@dataclass(frozen=True, slots=True)
class Reply:
    """A call that was answered with `ic0.msg_reply`."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Reject:
    """A call that was rejected; `error_code` is the replica's own code, for example "IC0503"."""

    code: RejectCode
    message: str
    error_code: str


Response = Reply | Reject


class Refused(Exception):
    """Raised by an operation that cannot be done; whoever began the transaction undoes it and rejects.

    `charged` is the canister's record as it becomes nevertheless (the fee of a failed installation, its log).
    """

    def __init__(self, reject: Reject, charged: Canister | None = None) -> None:
        super().__init__(f"{reject.error_code}: {reject.message}")
        self.reject = reject
        self.charged = charged


# ---------------------------------------------------------------------------------------------- ingress


@dataclass(frozen=True, slots=True)
class SenderInfo:
    """What the canister that signs for a user says about that user, authenticated (section "Request: Call")."""

    info: bytes
    signer: Principal


@dataclass(frozen=True, slots=True)
class Ingress:
    """An authenticated update call from outside (section "Request: Call")."""

    request_id: bytes
    sender: Principal
    canister_id: Principal
    method_name: str
    arg: bytes
    ingress_expiry: int
    effective_canister_id: Principal
    sender_info: SenderInfo | None = None


class IngressState(StrEnum):
    """Section "Request status": the text that the state tree shows."""

    RECEIVED = "received"
    PROCESSING = "processing"
    REPLIED = "replied"
    REJECTED = "rejected"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class IngressStatus:
    """What became of a request id. `response` is set when the state is REPLIED or REJECTED.

    DONE stands for a request whose response was forgotten (retention passed) but which must not run again.
    """

    state: IngressState
    sender: Principal
    effective_canister_id: Principal
    ingress_expiry: int
    response: Response | None = None
    answered_at: int = 0
    canister_id: Principal = MANAGEMENT_CANISTER
    """What was called."""

    @property
    def is_terminal(self) -> bool:
        return self.state in (IngressState.REPLIED, IngressState.REJECTED, IngressState.DONE)


# ---------------------------------------------------------------------------------------------- calls


@dataclass(frozen=True, slots=True)
class IngressOrigin:
    """A call that came from outside."""

    request_id: bytes
    sender: Principal
    sender_info: SenderInfo | None = None


@dataclass(frozen=True, slots=True)
class CanisterOrigin:
    """A call that came from a canister; its response goes to the caller's callback `callback_id`.

    `deadline` is None for guaranteed-response calls, else the time after which a best-effort call expires.
    """

    caller: Principal
    callback_id: int
    deadline: int | None = None


@dataclass(frozen=True, slots=True)
class SystemOrigin:
    """A heartbeat, timer or hook: nobody waits for a response."""


Origin = IngressOrigin | CanisterOrigin | SystemOrigin


@dataclass(frozen=True, slots=True)
class CallContext:
    """Section "Call contexts". Deleted when answered (or a system task) and no callback is outstanding."""

    id: int
    origin: Origin
    cycles_available: int = 0
    responded: bool = False
    instructions: int = 0
    deleted: bool = False
    """Its code was uninstalled: responses that still come are dropped."""


@dataclass(frozen=True, slots=True)
class Closure:
    """A function of the canister's table with its environment word."""

    fun: int
    env: int


@dataclass(frozen=True, slots=True)
class Callback:
    """An outgoing call that waits for its response.

    `cycles_sent` is what the call carried; `prepaid` is what the caller set aside for the response's
    transmission and execution and gets back as far as it is not used.
    """

    id: int
    context_id: int
    callee: Principal
    on_reply: Closure
    on_reject: Closure
    on_cleanup: Closure | None
    cycles_sent: int
    prepaid: int
    deadline: int | None = None


@dataclass(frozen=True, slots=True)
class CanisterRequest:
    """A call under way from `sender` to `receiver`."""

    id: int
    sender: Principal
    receiver: Principal
    method_name: str
    arg: bytes
    cycles: int
    callback_id: int
    deadline: int | None = None


@dataclass(frozen=True, slots=True)
class CanisterResponse:
    """A response under way to the caller `receiver`; `refund` are the cycles not accepted."""

    id: int
    receiver: Principal
    callback_id: int
    response: Response
    refund: int
    deadline: int | None = None


Message = CanisterRequest | CanisterResponse


# ---------------------------------------------------------------------------------------------- canisters


class CanisterStatus(StrEnum):
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


class LogVisibility(StrEnum):
    """Who may read; with ALLOWED_VIEWERS also the principals listed beside it."""

    CONTROLLERS = "controllers"
    PUBLIC = "public"
    ALLOWED_VIEWERS = "allowed_viewers"


@dataclass(frozen=True, slots=True)
class Visibility:
    kind: LogVisibility = LogVisibility.CONTROLLERS
    viewers: tuple[Principal, ...] = ()


CREATED_WASM_MEMORY_LIMIT = 3_221_225_472
"""What the IC's create_canister sets unless told otherwise; provisionally made canisters have no limit."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Section "Canister settings"; defaults are the specification's."""

    controllers: tuple[Principal, ...]
    compute_allocation: int = 0
    memory_allocation: int = 0
    freezing_threshold: int = 2_592_000  # seconds
    reserved_cycles_limit: int = 5_000_000_000_000
    minimum_incoming_canister_call_cycles: int = 0
    log_visibility: Visibility = Visibility()
    log_memory_limit: int = 4_096
    snapshot_visibility: Visibility = Visibility()
    status_visibility: Visibility = Visibility()
    wasm_memory_limit: int = 0
    wasm_memory_threshold: int = 0
    environment_variables: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class CustomSection:
    """A `icp:public <name>` or `icp:private <name>` section of the installed module."""

    name: str
    is_public: bool
    content: bytes


@dataclass(frozen=True, slots=True)
class InstalledModule:
    """What is known of the installed module without looking at its bytes (those are in the store by `hash`).

    `hash` is the SHA-256 of the bytes as uploaded (gzip not unpacked); `exports` are the canister methods,
    for example "canister_update greet".
    """

    hash: bytes
    size: int
    exports: frozenset[str]
    sections: tuple[CustomSection, ...]


@dataclass(frozen=True, slots=True)
class MemoryImage:
    """Where the installed code's mutable memory stands; the pages themselves are in the store.

    Sizes are in Wasm pages of 64 KiB. `globals` are the mutable globals in index order as little endian bit
    patterns. The generations name the files that hold the pages (see `storage/page_files.py`); `log_length` is how
    much of the page log is valid.
    """

    heap_pages: int = 0
    stable_pages: int = 0
    globals: tuple[bytes, ...] = ()
    heap_generation: int = 0
    stable_generation: int = 0
    log_generation: int = 0
    log_length: int = 0
    heap_file: int = 0
    stable_file: int = 0
    """Bytes that the image files have at least; 0 where there is none yet."""

    def generation(self, kind: int) -> int:
        """Of the heap (0) or the stable memory (1)."""
        return self.stable_generation if kind else self.heap_generation

    def file_size(self, kind: int) -> int:
        return self.stable_file if kind else self.heap_file

    @property
    def files(self) -> tuple[int, int, int]:
        """What tells apart the files that hold the pages."""
        return self.heap_generation, self.stable_generation, self.log_generation


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One line of `fetch_canister_logs`."""

    idx: int
    timestamp_nanos: int
    content: bytes


@dataclass(frozen=True, slots=True)
class UserChange:
    """A change that a user made by an ingress message."""

    user_id: Principal


@dataclass(frozen=True, slots=True)
class CanisterChange:
    """A change that a canister made; `canister_version` is the optional sender_canister_version it gave."""

    canister_id: Principal
    canister_version: int | None = None


ChangeOrigin = UserChange | CanisterChange


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One entry of the canister history (section "Canister history").

    `kind` is the Candid tag of change_details (creation, code_uninstall, code_deployment, load_snapshot,
    controllers_change, rename_canister); the fields that belong to it are set, the others are empty.
    """

    timestamp_nanos: int
    canister_version: int
    origin: ChangeOrigin
    kind: str
    controllers: tuple[Principal, ...] = ()
    mode: str = ""
    module_hash: bytes = b""
    snapshot_id: bytes = b""
    snapshot_version: int = 0
    taken_at: int = 0
    environment_variables_hash: bytes | None = None
    snapshot_source: str = "taken_from_canister"
    """As in Snapshot, of the one that was loaded."""
    from_canister_id: Principal | None = None
    """Whose snapshot was loaded, if it was another canister's."""


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
        return QueryStats(
            self.calls + more.calls,
            self.instructions + more.instructions,
            self.request_bytes + more.request_bytes,
            self.response_bytes + more.response_bytes,
        )


@dataclass(frozen=True, slots=True)
class StopCall:
    """A stop_canister call that waits for the open call contexts; answered when the canister is stopped."""

    origin: Origin
    cycles: int
    requested_at: int


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
    memory: MemoryImage = MemoryImage()
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


# ---------------------------------------------------------------------------------------------- subnet

CERTIFIED_DATA = "certified_data"
"""Namespace of what native canisters certify, by canister id."""


@dataclass(slots=True)
class SubnetState:
    """The whole subnet after the last commit. Written by `storage/changes.py` alone."""

    canisters: dict[Principal, Canister] = field(default_factory=dict)
    ingress: dict[bytes, IngressStatus] = field(default_factory=dict)
    messages: dict[int, Message] = field(default_factory=dict)
    """Requests and responses between canisters, by id, in order of sending."""
    next_canister: int = 0
    """The next number for a fresh canister id."""
    next_message: int = 0
    executed: int = 0
    """How many messages were executed, ever."""
    consumed_by_deleted: int = 0
    """Cycles that deleted canisters consumed, with what they had left."""
    native: dict[tuple[str, bytes], bytes] = field(default_factory=dict)
    """Small records of natively implemented canisters: (namespace, key) to value."""

    def native_certified_data(self, canister_id: bytes) -> bytes | None:
        """What a natively implemented canister certifies, if it does."""
        return self.native.get((CERTIFIED_DATA, canister_id))
