"""A manifest root as the canister's certified data proves it."""

from __future__ import annotations

import time

from icmigrate.contract.client import CapsuleClient
from icmigrate.contract.manifests import CertifiedRoot, ManifestSummary
from icmigrate.errors import CertificateError
from icmigrate.protocol import cbor, certificate, hash_tree
from icmigrate.protocol.principal import Principal


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
