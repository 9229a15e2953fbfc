"""Who may do what with what: resources, access entries, rows of the access matrix."""

from __future__ import annotations

from typing import ClassVar, Literal

from icmigrate.contract.record import Case, Record
from icmigrate.contract.records import Person


class WholeCapsule(Case):
    label: ClassVar[str] = "Capsule"


class MemoryResource(Case):
    label: ClassVar[str] = "Memory"
    payload: ClassVar[str] = "id"

    id: str


class FolderResource(Case):
    label: ClassVar[str] = "Folder"
    payload: ClassVar[str] = "id"

    id: str


class GalleryResource(Case):
    label: ClassVar[str] = "Gallery"
    payload: ClassVar[str] = "id"

    id: str


Resource = WholeCapsule | MemoryResource | FolderResource | GalleryResource


class Immediate(Case):
    label: ClassVar[str] = "Immediate"


class Scheduled(Case):
    label: ClassVar[str] = "Scheduled"

    accessible_after: int


class ExpiresAt(Case):
    label: ClassVar[str] = "ExpiresAt"

    expires: int


class EventTriggered(Case):
    label: ClassVar[str] = "EventTriggered"

    event: str


AccessCondition = Immediate | Scheduled | ExpiresAt | EventTriggered


class AccessInput(Record):
    """Permission mask bits: 1 view, 2 download, 4 share, 8 manage, 16 own."""

    id: str | None
    resource: Resource
    person: Person | None
    role: Literal["Owner", "SuperAdmin", "Admin", "Member", "Guest"]
    permissions: int
    source: Literal["User", "Group", "MagicLink", "System"] = "User"
    source_id: str | None = None
    condition: AccessCondition = Immediate()
    is_public: bool = False


class AccessEntry(AccessInput):
    id: str
    capsule_id: str
    invited_by: Person | None
    created_at: int
    updated_at: int
    is_derived: bool


class MatrixRow(Record):
    """The effective permission mask of one person (`None`: everybody) on one resource."""

    person: Person | None
    resource: Resource
    permissions: int
