"""What a canister's certified data proves: where a capsule lives, and the root of its manifest.

Each comes by a query with a certificate and a witness, so that asking is free, and no single node can answer falsely.
"""

from __future__ import annotations

import time

from icmigrate.contract.client import CapsuleClient
from icmigrate.contract.manifests import ManifestSummary
from icmigrate.contract.records import BeingMigrated, Home, InHub, MovedTo
from icmigrate.errors import CertificateError
from icmigrate.hub.client import HubClient
from icmigrate.protocol import cbor, certificate, hash_tree
from icmigrate.protocol.principal import Principal


async def certified_home(hub: HubClient, capsule_id: str) -> Home:
    """Where a capsule lives, as the hub certifies it. Raises `CertificateError`."""
    told = await hub.registry_home_certified(capsule_id)
    path = [b"registry", capsule_id.encode()]
    require_certified(hub, told.certificate, told.witness, path, _as_certified(told.home), now_ns=time.time_ns())
    return told.home


async def certified_summary(canister: CapsuleClient, capsule_id: str) -> ManifestSummary:
    """A manifest's summary, its root as the canister certifies it. Raises `CertificateError`."""
    told = await canister.manifest_root(capsule_id)
    path = [b"manifest", capsule_id.encode()]
    require_certified(canister, told.certificate, told.witness, path, told.summary.root, now_ns=time.time_ns())
    return told.summary


def require_certified(
    canister: CapsuleClient, certified: bytes, witness: bytes, path: list[bytes], value: bytes, *, now_ns: int
) -> None:
    """Raises `CertificateError` unless the canister's certified data proves this value at this path of its tree."""
    principal = Principal.from_str(canister.canister_id)
    proven = certificate.verify(certified, canister.agent.root_key, effective_canister_id=principal, now_ns=now_ns)
    tree = hash_tree.from_cbor_value(cbor.loads(witness))
    if proven.lookup(b"canister", principal.bytes, b"certified_data") != hash_tree.digest(tree):
        raise CertificateError(f"canister {canister.canister_id}: a witness is not of what it certified")
    found = hash_tree.lookup(tree, path)
    if not isinstance(found, hash_tree.Found) or found.value != value:
        where = "/".join(label.decode() for label in path)
        raise CertificateError(f"canister {canister.canister_id}: what it says of {where} is not certified")


def _as_certified(home: Home) -> bytes:
    """A home as it stands in the tree."""
    match home:
        case InHub():
            return b"hub"
        case BeingMigrated():
            return b"migrating"
        case MovedTo(canister_id=canister_id):
            return canister_id.encode()
