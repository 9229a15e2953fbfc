"""The manifest's digest trie, computed independently of the canisters (defined in `canisters/capsule/src/manifest.rs`).

Leaves are (kind, id, digest). A leaf's place is its key hash, SHA-256(kind byte || id). A node with at most
16 leaves is hashed over them, a larger one over its 16 children by the next nibble of the key hash; the
root binds the number of records and blobs. Pure: no I/O, no clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from icmigrate.contract.blobs import Blob
from icmigrate.contract.manifests import ManifestLeaf, RecordBytes, RecordKind

LEAF_MAX = 16
EMPTY = bytes(32)
KIND_BYTES = {kind: bytes([number]) for number, kind in enumerate(RecordKind)}


def record_leaf(record: RecordBytes) -> ManifestLeaf:
    """The leaf of a record: the digest of its canonical bytes."""
    return ManifestLeaf(kind=record.kind, id=record.id, digest=hashlib.sha256(record.bytes).digest())


def blob_leaf(blob: Blob) -> ManifestLeaf:
    """The leaf of a blob: binds its length and the digest of every chunk."""
    digest = hashlib.sha256(blob.length.to_bytes(8, "big") + blob.chunk_digests).digest()
    return ManifestLeaf(kind=RecordKind.BLOB, id=blob.sha256.hex(), digest=digest)


def key_hash(kind: RecordKind, record_id: str) -> bytes:
    """Where a leaf stands in the trie."""
    return hashlib.sha256(KIND_BYTES[kind] + record_id.encode()).digest()


def root(leaves: Iterable[ManifestLeaf]) -> bytes:
    """The root digest of a manifest, whatever order its leaves come in."""
    entries: list[tuple[bytes, bytes]] = []
    blobs = 0
    for leaf in leaves:
        entries.append((key_hash(leaf.kind, leaf.id), leaf.digest))
        blobs += leaf.kind is RecordKind.BLOB
    entries.sort()
    counts = (len(entries) - blobs).to_bytes(8, "big") + blobs.to_bytes(8, "big")
    return hashlib.sha256(b"icmigrate:root" + counts + _node(entries, 0)).digest()


def _node(entries: Sequence[tuple[bytes, bytes]], depth: int) -> bytes:
    if not entries:
        return EMPTY
    if len(entries) <= LEAF_MAX:
        return hashlib.sha256(b"icmigrate:leaf" + b"".join(key + digest for key, digest in entries)).digest()
    children: list[list[tuple[bytes, bytes]]] = [[] for _ in range(16)]
    for entry in entries:
        children[nibble(entry[0], depth)].append(entry)
    return inner_digest([_node(child, depth + 1) for child in children])


def nibble(key: bytes, depth: int) -> int:
    """The four bits of a key hash that choose the child at `depth`."""
    byte = key[depth // 2]
    return byte >> 4 if depth % 2 == 0 else byte & 15


def inner_digest(children: Sequence[bytes]) -> bytes:
    """The digest of an inner node."""
    return hashlib.sha256(b"icmigrate:inner" + b"".join(children)).digest()
