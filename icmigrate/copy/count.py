"""What a copy did, in chunks and bytes."""

from __future__ import annotations

from icmigrate.contract.record import Record


class CopyCount(Record):
    """What one copy did: chunks and bytes sent, and those that the target had already."""

    blobs: int = 0
    chunks_sent: int = 0
    chunks_skipped: int = 0
    bytes_sent: int = 0
    bytes_skipped: int = 0

    def __add__(self, other: CopyCount) -> CopyCount:
        """The count of two copies of different blobs."""
        return CopyCount(**{name: getattr(self, name) + getattr(other, name) for name in CopyCount.model_fields})

    def followed_by(self, again: CopyCount) -> CopyCount:
        """The count of a copy and a second one of the same blobs and those added since.

        What the second found in place is what the first sent or found: it counts once.
        """
        return self.model_copy(
            update={
                "blobs": max(self.blobs, again.blobs),
                "chunks_sent": self.chunks_sent + again.chunks_sent,
                "bytes_sent": self.bytes_sent + again.bytes_sent,
            }
        )
