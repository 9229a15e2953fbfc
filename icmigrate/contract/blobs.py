"""Blobs, the chunks they consist of, and which of these are there."""

from __future__ import annotations

from icmigrate.contract.record import Record

CHUNK_BYTES = 1_900_000
"""Bytes of every chunk of a blob but the last: one fits an ingress message (2 MiB)."""


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


class OpenUpload(Record):
    """An upload that no memory refers to yet; `received` counts chunks, times are nanoseconds."""

    sha256: bytes
    length: int
    received: int
    is_finished: bool
    touched_at: int
    expires_at: int


class MissingChunks(Record):
    """The chunks that the target lacks of one blob, as a bitmap: bit i of byte i/8 is chunk i."""

    sha256: bytes
    missing: bytes

    def indices(self) -> list[int]:
        return bits_set(self.missing)


def bits_set(bitmap: bytes) -> list[int]:
    """Positions of the set bits: bit i is bit i%8 of byte i/8."""
    return [8 * at + bit for at, byte in enumerate(bitmap) if byte for bit in range(8) if byte >> bit & 1]
