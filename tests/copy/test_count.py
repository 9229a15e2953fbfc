"""What two copies after each other did together."""

from __future__ import annotations

from icmigrate.copy.count import CopyCount


def test_a_second_copy_counts_only_what_it_sent() -> None:
    first = CopyCount(blobs=4, chunks_sent=3, chunks_skipped=5, bytes_sent=30, bytes_skipped=50)
    second = CopyCount(blobs=5, chunks_sent=1, chunks_skipped=8, bytes_sent=10, bytes_skipped=80)
    assert first.followed_by(second) == CopyCount(
        blobs=5, chunks_sent=4, chunks_skipped=5, bytes_sent=40, bytes_skipped=50
    )
