"""Proves that hub and personal canister hold the same capsule, or names every difference.

Certified manifest roots of both sides are checked against the network's root key and compared; equal roots
mean equal records, blobs and chunk digests. Where they differ, the digest tries are walked together, so that
only what differs is read. Then the access matrices are compared.
"""

from __future__ import annotations

import time

from icmigrate.contract.record import Record
from icmigrate.errors import VerificationDifference
from icmigrate.hub.client import HubClient
from icmigrate.personal.client import PersonalClient
from icmigrate.proof.access import MatrixDifference, compare_matrices, read_matrix
from icmigrate.proof.certified_data import certified_summary
from icmigrate.proof.difference import ManifestDifference, differing_leaves
from icmigrate.proof.module import require_module


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


async def verify(hub: HubClient, personal: PersonalClient, capsule_id: str, module_hash: bytes) -> VerifyReport:
    """Compares the capsule in the hub with the one in the personal canister; both must have a manifest."""
    await require_module(personal.agent, personal.canister_id, module_hash)
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
