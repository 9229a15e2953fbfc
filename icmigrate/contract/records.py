"""The records of a capsule, and what a canister tells of capsules and of itself."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from icmigrate.contract.record import Case, Record

MemoryType = Literal["Image", "Video", "Audio", "Document", "Note"]


class PrincipalPerson(Case):
    label: ClassVar[str] = "Principal"
    payload: ClassVar[str] = "principal"

    principal: str


class OpaquePerson(Case):
    """Somebody who has no principal."""

    label: ClassVar[str] = "Opaque"
    payload: ClassVar[str] = "name"

    name: str


Person = PrincipalPerson | OpaquePerson


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


class InHub(Case):
    label: ClassVar[str] = "Hub"


class BeingMigrated(Case):
    """In the hub still, and read-only."""

    label: ClassVar[str] = "Migrating"


class MovedTo(Case):
    label: ClassVar[str] = "Moved"
    payload: ClassVar[str] = "canister_id"

    canister_id: str


Home = InHub | BeingMigrated | MovedTo


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
    chunks: int
    record_bytes: int
    home: Home

    @property
    def records(self) -> int:
        """Number of records, the capsule's own included."""
        return 1 + self.memories + self.folders + self.galleries + self.access_entries + self.connections + self.groups


class ImageDetail(Case):
    label: ClassVar[str] = "Image"

    width: int | None = None
    height: int | None = None
    color_space: str | None = None
    exif: str | None = None
    dpi: int | None = None
    orientation: int | None = None


class VideoDetail(Case):
    label: ClassVar[str] = "Video"

    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    frame_rate_milli: int | None = None
    codec: str | None = None
    bitrate: int | None = None


class AudioDetail(Case):
    label: ClassVar[str] = "Audio"

    duration_ms: int | None = None
    sample_rate: int | None = None
    channels: int | None = None
    codec: str | None = None
    bitrate: int | None = None


class DocumentDetail(Case):
    label: ClassVar[str] = "Document"

    page_count: int | None = None
    language: str | None = None
    word_count: int | None = None


class NoteDetail(Case):
    label: ClassVar[str] = "Note"

    format: str | None = None
    language: str | None = None
    word_count: int | None = None


AssetDetail = ImageDetail | VideoDetail | AudioDetail | DocumentDetail | NoteDetail


class InlineLocation(Case):
    """Bytes in the record itself."""

    label: ClassVar[str] = "Inline"
    payload: ClassVar[str] = "data"

    data: bytes


class InternalLocation(Case):
    """A blob of the same canister."""

    label: ClassVar[str] = "Internal"

    sha256: bytes
    length: int


class ExternalLocation(Case):
    """Bytes at a URL elsewhere."""

    label: ClassVar[str] = "External"

    url: str
    sha256: bytes | None = None
    length: int | None = None


AssetLocation = InlineLocation | InternalLocation | ExternalLocation


class OtherVariant(Case):
    """A variant by a name of its own."""

    label: ClassVar[str] = "Other"
    payload: ClassVar[str] = "name"

    name: str


AssetVariant = Literal["Original", "Display", "Thumbnail", "Placeholder", "Metadata"] | OtherVariant


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
