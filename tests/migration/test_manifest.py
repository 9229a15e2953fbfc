"""The digest trie: the same set has the same root, any change has another."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from icmigrate.contract.blobs import Blob
from icmigrate.contract.manifests import ManifestLeaf, RecordBytes, RecordKind
from icmigrate.proof.manifest import EMPTY, blob_leaf, inner_digest, key_hash, nibble, record_leaf, root

leaf_sets = st.dictionaries(
    st.tuples(st.sampled_from(list(RecordKind)), st.text(min_size=1, max_size=8)),
    st.binary(min_size=32, max_size=32),
    max_size=80,
).map(lambda items: [ManifestLeaf(kind=kind, id=name, digest=digest) for (kind, name), digest in items.items()])


@given(leaf_sets, st.randoms(use_true_random=False))
def test_the_root_does_not_depend_on_the_order(leaves: list[ManifestLeaf], random: object) -> None:
    shuffled = list(leaves)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert root(shuffled) == root(leaves)


@given(leaf_sets.filter(bool), st.data())
def test_any_change_changes_the_root(leaves: list[ManifestLeaf], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(leaves) - 1))
    flipped = bytes([leaves[at].digest[0] ^ 1]) + leaves[at].digest[1:]
    changed = [*leaves[:at], leaves[at].model_copy(update={"digest": flipped}), *leaves[at + 1 :]]
    removed = leaves[:at] + leaves[at + 1 :]
    assert len({root(leaves), root(changed), root(removed)}) == 3


def test_a_large_node_is_hashed_over_its_children_by_nibble() -> None:
    leaves = [ManifestLeaf(kind=RecordKind.MEMORY, id=f"m{n}", digest=bytes([n]) * 32) for n in range(40)]
    entries = sorted((key_hash(leaf.kind, leaf.id), leaf.digest) for leaf in leaves)
    children = []
    for child in range(16):
        below = [entry for entry in entries if nibble(entry[0], 0) == child]
        joined = b"icmigrate:leaf" + b"".join(key + digest for key, digest in below)
        children.append(hashlib.sha256(joined).digest() if below else EMPTY)
    counts = (40).to_bytes(8, "big") + (0).to_bytes(8, "big")
    assert root(leaves) == hashlib.sha256(b"icmigrate:root" + counts + inner_digest(children)).digest()


def test_nibbles_are_read_from_the_high_bits_down() -> None:
    assert [nibble(bytes([0xA5, 0x3C]), depth) for depth in range(4)] == [0xA, 0x5, 0x3, 0xC]


def test_a_record_and_a_blob_of_the_same_name_are_two_leaves() -> None:
    blob = Blob(sha256=bytes(32), length=5, chunk_digests=bytes(range(32)))
    record = RecordBytes(kind=RecordKind.MEMORY, id=bytes(32).hex(), bytes=b"x")
    assert root([blob_leaf(blob)]) != root([record_leaf(record)])
    assert root([blob_leaf(blob), record_leaf(record)]) == root([record_leaf(record), blob_leaf(blob)])


def test_a_blob_leaf_binds_length_and_every_chunk_digest() -> None:
    blob = Blob(sha256=bytes(32), length=5, chunk_digests=bytes(64))
    longer = blob.model_copy(update={"length": 6})
    other = blob.model_copy(update={"chunk_digests": bytes(63) + b"\x01"})
    assert len({blob_leaf(blob).digest, blob_leaf(longer).digest, blob_leaf(other).digest}) == 3
