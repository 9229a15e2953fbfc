"""Proves that hub and personal canister hold the same capsule, or names every difference.

Certified manifest roots of both sides are checked against the network's root key and compared; equal roots
mean equal records, blobs and chunk digests. Where they differ, the digest tries are walked together, so that
only what differs is read. Then the access matrices are compared.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from icmigrate.contract.client import CapsuleClient
from icmigrate.contract.manifests import CertifiedRoot, ManifestLeaf, ManifestSummary, RecordKind
from icmigrate.contract.record import Record
from icmigrate.errors import CertificateError, VerificationDifference
from icmigrate.hub.client import HubClient
from icmigrate.personal.client import PersonalClient
from icmigrate.proof.access import MatrixDifference, compare_matrices, read_matrix
from icmigrate.proof.manifest import EMPTY, key_hash, nibble
from icmigrate.protocol import cbor, certificate, hash_tree
from icmigrate.protocol.principal import Principal


class ManifestDifference(Record):
    """One record or blob that the two manifests do not have alike."""

    kind: RecordKind
    id: str
    difference: str
    """"missing in the personal canister", "only in the personal canister" or "differs"."""

    def __str__(self) -> str:
        return f"{self.kind.value} {self.id}: {self.difference}"


class VerifyReport(Record):
    """The outcome of one verification; equal when both lists are empty."""

    capsule_id: str
    canister_id: str
    hub_root: bytes
    personal_root: bytes
    records: int
    blobs: int
    bytes: int
    persons_and_resources: int
    manifest_differences: list[ManifestDifference]
    access_differences: list[MatrixDifference]

    @property
    def equal(self) -> bool:
        return self.hub_root == self.personal_root and not self.manifest_differences and not self.access_differences

    def require_equal(self) -> None:
        """Raises `VerificationDifference` with every difference named."""
        if self.equal:
            return
        found = [str(difference) for difference in (*self.manifest_differences, *self.access_differences)]
        if not found:
            found = [f"manifest roots: {self.hub_root.hex()} and {self.personal_root.hex()}"]
        raise VerificationDifference(
            f"hub and personal canister {self.canister_id} differ in {len(found)} place(s):\n  " + "\n  ".join(found)
        )


async def verify(hub: HubClient, personal: PersonalClient, capsule_id: str) -> VerifyReport:
    """Compares the capsule in the hub with the one in the personal canister; both must have a manifest."""
    here = await certified_summary(hub, capsule_id)
    there = await certified_summary(personal, capsule_id)
    differences: list[ManifestDifference] = []
    if here.root != there.root:
        walk = differing_leaves(hub, personal, capsule_id)
        differences = [difference async for difference in walk]
    at = time.time_ns()
    hub_matrix = await read_matrix(hub, capsule_id, at)
    personal_matrix = await read_matrix(personal, capsule_id, at)
    return VerifyReport(
        capsule_id=capsule_id,
        canister_id=personal.canister_id,
        hub_root=here.root,
        personal_root=there.root,
        records=here.records,
        blobs=here.blobs,
        bytes=here.blob_bytes,
        persons_and_resources=len(hub_matrix),
        manifest_differences=differences,
        access_differences=compare_matrices(hub_matrix, personal_matrix),
    )


async def certified_summary(canister: CapsuleClient, capsule_id: str) -> ManifestSummary:
    """The manifest's summary, its root proven by the canister's certified data."""
    certified = await canister.manifest_root(capsule_id)
    require_certified(certified, capsule_id, canister.canister_id, canister.agent.root_key, now_ns=time.time_ns())
    return certified.summary


def require_certified(
    certified: CertifiedRoot, capsule_id: str, canister_id: str, root_key: bytes, *, now_ns: int
) -> None:
    """Raises `CertificateError` unless the canister's certified data proves this root for this capsule."""
    principal = Principal.from_str(canister_id)
    proven = certificate.verify(certified.certificate, root_key, effective_canister_id=principal, now_ns=now_ns)
    witness = hash_tree.from_cbor_value(cbor.loads(certified.witness))
    if proven.lookup(b"canister", principal.bytes, b"certified_data") != hash_tree.digest(witness):
        raise CertificateError(f"canister {canister_id}: the manifest's witness is not what it certified")
    found = hash_tree.lookup(witness, [b"manifest", capsule_id.encode()])
    if not isinstance(found, hash_tree.Found) or found.value != certified.summary.root:
        raise CertificateError(f"canister {canister_id}: the manifest root of capsule {capsule_id} is not certified")


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
