"""Records as bytes, the manifest of them and of the blobs, and its certified root."""

from __future__ import annotations

from enum import StrEnum

from icmigrate.contract.record import Record


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
