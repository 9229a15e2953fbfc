"""What two manifests do not have alike: their digest tries are walked together, and equal subtrees not read."""

from __future__ import annotations

from collections.abc import AsyncIterator

from icmigrate.contract.client import CapsuleClient
from icmigrate.contract.manifests import ManifestLeaf, RecordKind
from icmigrate.contract.record import Record
from icmigrate.errors import VerificationDifference
from icmigrate.proof.manifest import EMPTY, key_hash, nibble


class ManifestDifference(Record):
    """One record or blob that the two manifests do not have alike."""

    kind: RecordKind
    id: str
    difference: str
    """"missing in the personal canister", "only in the personal canister" or "differs"."""

    def __str__(self) -> str:
        return f"{self.kind.value} {self.id}: {self.difference}"


async def differing_leaves(
    hub: CapsuleClient, personal: CapsuleClient, capsule_id: str, prefix: bytes = b""
) -> AsyncIterator[ManifestDifference]:
    """Walks two digest tries together and yields what they do not have alike; equal subtrees are not read."""
    here = await hub.manifest_node(capsule_id, prefix)
    there = await personal.manifest_node(capsule_id, prefix)
    if _is_inner(here) and _is_inner(there):
        for child in range(16):
            if here[child] != there[child]:
                async for difference in differing_leaves(hub, personal, capsule_id, prefix + bytes([child])):
                    yield difference
        return
    left = {key: leaf async for key, leaf in _leaves(hub, capsule_id, prefix, here)}
    right = {key: leaf async for key, leaf in _leaves(personal, capsule_id, prefix, there)}
    for key in sorted(left.keys() | right.keys()):
        if key not in right:
            yield _difference(left[key], "missing in the personal canister")
        elif key not in left:
            yield _difference(right[key], "only in the personal canister")
        elif left[key] != right[key]:
            yield _difference(left[key], "differs")


Node = list[ManifestLeaf] | list[bytes]


def _is_inner(node: Node) -> bool:
    return bool(node) and isinstance(node[0], bytes)


async def _leaves(
    canister: CapsuleClient, capsule_id: str, prefix: bytes, node: Node
) -> AsyncIterator[tuple[bytes, ManifestLeaf]]:
    """Every leaf below a node, with its key hash."""
    for child, entry in enumerate(node):
        if isinstance(entry, ManifestLeaf):
            key = key_hash(entry.kind, entry.id)
            if any(nibble(key, depth) != step for depth, step in enumerate(prefix)):
                raise VerificationDifference(
                    f"canister {canister.canister_id} answered a manifest leaf that does not belong there"
                )
            yield key, entry
        elif entry != EMPTY:
            below = prefix + bytes([child])
            inner = await canister.manifest_node(capsule_id, below)
            async for found in _leaves(canister, capsule_id, below, inner):
                yield found


def _difference(leaf: ManifestLeaf, what: str) -> ManifestDifference:
    return ManifestDifference(kind=leaf.kind, id=leaf.id, difference=what)
