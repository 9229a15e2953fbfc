"""Pydantic records that cross the borders of the toolkit: what canisters answer, and what a run reports.

Canister records mirror `hub.did` and `personal.did` in the plain form of `contract.py`: a variant with
payload is `{label: payload}`, times are nanoseconds since 1970, cycles are integers, principals are text.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

CHUNK_BYTES = 1_900_000
"""Bytes of every chunk of a blob but the last: one fits an ingress message (2 MiB)."""

Person = dict[Literal["Principal", "Opaque"], str]
"""`PersonRef`: a principal, or a name of somebody who has none."""

Home = Literal["Hub", "Migrating"] | dict[Literal["Moved"], str]
Resource = Literal["Capsule"] | dict[Literal["Memory", "Folder", "Gallery"], str]
AssetVariant = Literal["Original", "Display", "Thumbnail", "Placeholder", "Metadata"] | dict[Literal["Other"], str]
MemoryType = Literal["Image", "Video", "Audio", "Document", "Note"]


class Record(BaseModel):
    """An immutable value; unknown fields are refused, so that a changed contract is noticed."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="hex", val_json_bytes="hex")


class RecordKind(StrEnum):
    """What an item of the manifest is."""

    CAPSULE = "Capsule"
    MEMORY = "Memory"
    FOLDER = "Folder"
    GALLERY = "Gallery"
    ACCESS_ENTRY = "AccessEntry"
    CONNECTION = "Connection"
    GROUP = "Group"
    BLOB = "Blob"


Item = TypeVar("Item")
Cursor = TypeVar("Cursor")


class Page(Record, Generic[Item, Cursor]):
    """One page of a list; `next` is the cursor of the following one, `None` on the last."""

    items: list[Item]
    next: Cursor | None


# ---- data ------------------------------------------------------------------------------------------


class HostingPreferences(Record):
    frontend: str
    backend: str
    database: str
    blobs: str


class CapsuleSettings(Record):
    hosting: HostingPreferences
    has_advanced_settings: bool
    triggered_events: list[str]


class OwnerState(Record):
    person: Person
    since: int
    last_activity_at: int


class ControllerState(Record):
    person: Person
    granted_at: int
    granted_by: Person


class Capsule(Record):
    id: str
    subject: Person
    owners: list[OwnerState]
    controllers: list[ControllerState]
    settings: CapsuleSettings
    created_at: int
    updated_at: int


class CapsuleSummary(Record):
    """Sizes of one capsule, without its content."""

    id: str
    subject: Person
    memories: int
    folders: int
    galleries: int
    access_entries: int
    connections: int
    groups: int
    blobs: int
    blob_bytes: int
    record_bytes: int
    home: Home

    @property
    def records(self) -> int:
        """Number of records, the capsule's own included."""
        return 1 + self.memories + self.folders + self.galleries + self.access_entries + self.connections + self.groups


class ImageDetail(Record):
    width: int | None = None
    height: int | None = None
    color_space: str | None = None
    exif: str | None = None
    dpi: int | None = None
    orientation: int | None = None


class VideoDetail(Record):
    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    frame_rate_milli: int | None = None
    codec: str | None = None
    bitrate: int | None = None


class AudioDetail(Record):
    duration_ms: int | None = None
    sample_rate: int | None = None
    channels: int | None = None
    codec: str | None = None
    bitrate: int | None = None


class DocumentDetail(Record):
    page_count: int | None = None
    language: str | None = None
    word_count: int | None = None


class NoteDetail(Record):
    format: str | None = None
    language: str | None = None
    word_count: int | None = None


AssetDetail = (
    dict[Literal["Image"], ImageDetail]
    | dict[Literal["Video"], VideoDetail]
    | dict[Literal["Audio"], AudioDetail]
    | dict[Literal["Document"], DocumentDetail]
    | dict[Literal["Note"], NoteDetail]
)


class InternalLocation(Record):
    """A blob of the same canister."""

    sha256: bytes
    length: int


class ExternalLocation(Record):
    """Bytes at a URL elsewhere."""

    url: str
    sha256: bytes | None = None
    length: int | None = None


AssetLocation = (
    dict[Literal["Inline"], bytes]
    | dict[Literal["Internal"], InternalLocation]
    | dict[Literal["External"], ExternalLocation]
)


class Asset(Record):
    variant_: AssetVariant
    name: str
    description: str | None = None
    mime_type: str
    tags: list[str] = Field(default_factory=list)
    detail: AssetDetail
    location: AssetLocation
    created_at: int = 0
    updated_at: int = 0


class MemoryMetadata(Record):
    memory_type: MemoryType
    title: str | None
    description: str | None
    content_type: str
    tags: list[str]
    people: list[str]
    location: str | None
    notes: str | None
    parent_folder_id: str | None
    created_by: Person | None
    created_at: int
    updated_at: int
    uploaded_at: int
    file_created_at: int | None
    date_of_memory: int | None


class Memory(Record):
    id: str
    capsule_id: str
    metadata: MemoryMetadata
    assets: list[Asset]


class MemoryInput(Record):
    """A memory to create; a given `id` makes the call repeatable."""

    id: str | None
    memory_type: MemoryType
    title: str | None = None
    description: str | None = None
    content_type: str
    tags: list[str] = Field(default_factory=list)
    people: list[str] = Field(default_factory=list)
    location: str | None = None
    notes: str | None = None
    parent_folder_id: str | None = None
    file_created_at: int | None = None
    date_of_memory: int | None = None
    assets: list[Asset]


class Folder(Record):
    id: str
    capsule_id: str
    title: str
    description: str | None
    parent_folder_id: str | None
    created_at: int
    updated_at: int


class FolderInput(Record):
    id: str | None
    title: str
    description: str | None = None
    parent_folder_id: str | None = None


class GalleryItem(Record):
    memory_id: str
    caption: str | None = None
    is_featured: bool = False
    metadata: str | None = None


class Gallery(Record):
    id: str
    capsule_id: str
    title: str
    description: str | None
    cover_memory_id: str | None
    items: list[GalleryItem]
    created_at: int
    updated_at: int


class GalleryInput(Record):
    id: str | None
    title: str
    description: str | None = None
    cover_memory_id: str | None = None
    items: list[GalleryItem]


AccessCondition = (
    Literal["Immediate"]
    | dict[Literal["Scheduled"], dict[Literal["accessible_after"], int]]
    | dict[Literal["ExpiresAt"], dict[Literal["expires"], int]]
    | dict[Literal["EventTriggered"], dict[Literal["event"], str]]
)


class AccessInput(Record):
    """Permission mask bits: 1 view, 2 download, 4 share, 8 manage, 16 own."""

    id: str | None
    resource: Resource
    person: Person | None
    role: Literal["Owner", "SuperAdmin", "Admin", "Member", "Guest"]
    permissions: int
    source: Literal["User", "Group", "MagicLink", "System"] = "User"
    source_id: str | None = None
    condition: AccessCondition = "Immediate"
    is_public: bool = False


class AccessEntry(AccessInput):
    id: str
    capsule_id: str
    invited_by: Person | None
    created_at: int
    updated_at: int


class ConnectionInput(Record):
    id: str | None
    peer: Person
    status: Literal["Pending", "Accepted", "Blocked", "Revoked"]


class Connection(ConnectionInput):
    id: str
    capsule_id: str
    created_at: int
    updated_at: int


class GroupInput(Record):
    id: str | None
    name: str
    description: str | None = None
    members: list[Person]


class Group(GroupInput):
    id: str
    capsule_id: str
    created_at: int
    updated_at: int


class MatrixRow(Record):
    """The effective permission mask of one person (`None`: everybody) on one resource."""

    person: Person | None
    resource: Resource
    permissions: int


# ---- blobs and manifest ----------------------------------------------------------------------------


class Blob(Record):
    """Immutable bytes by their SHA-256; `chunk_digests` holds 32 bytes a chunk, in order."""

    sha256: bytes
    length: int
    chunk_digests: bytes

    @property
    def chunks(self) -> int:
        return len(self.chunk_digests) // 32

    def chunk_digest(self, index: int) -> bytes:
        return self.chunk_digests[32 * index : 32 * index + 32]

    def chunk_length(self, index: int) -> int:
        return min(CHUNK_BYTES, self.length - index * CHUNK_BYTES)


class UploadStatus(Record):
    """`received` is a bitmap: bit i of byte i/8 is chunk i."""

    sha256: bytes
    length: int
    received: bytes
    complete: bool


class MissingChunks(Record):
    """The chunks that the target lacks of one blob, as a bitmap: bit i of byte i/8 is chunk i."""

    sha256: bytes
    missing: bytes

    def indices(self) -> list[int]:
        return bits_set(self.missing)


def bits_set(bitmap: bytes) -> list[int]:
    """Positions of the set bits: bit i is bit i%8 of byte i/8."""
    return [8 * at + bit for at, byte in enumerate(bitmap) if byte for bit in range(8) if byte >> bit & 1]


class RecordBytes(Record):
    """One record as the canister stores it: its digest is the SHA-256 of `bytes`."""

    kind: RecordKind
    id: str
    bytes: bytes


class ManifestLeaf(Record):
    kind: RecordKind
    id: str
    digest: bytes


class ManifestSummary(Record):
    generation: int
    root: bytes
    records: int
    record_bytes: int
    blobs: int
    blob_bytes: int
    complete: bool


class CertifiedRoot(Record):
    """A manifest root with the certificate and witness that prove it; unchecked as it stands."""

    summary: ManifestSummary
    certificate: bytes
    witness: bytes


# ---- canisters -------------------------------------------------------------------------------------


class Cycles(Record):
    balance: int
    liquid: int
    reserved: int
    low_threshold: int
    is_low: bool
    stable_bytes: int
    heap_bytes: int


class OperationCost(Record):
    operation: str
    calls: int
    cycles: int


class AssetRef(Record):
    memory_id: str
    variant_: AssetVariant


class AssetToken(AssetRef):
    """`path` is the URL path with its query, usable as it stands until `expires_at` (nanoseconds)."""

    path: str
    expires_at: int


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
