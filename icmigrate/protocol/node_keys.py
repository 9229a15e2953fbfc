"""Interface Specification, "Request: Query call": the signatures of nodes on the answers to queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from icmigrate.errors import CertificateError
from icmigrate.protocol.certificate import Certificate, canister_ranges
from icmigrate.protocol.hash_of_map import hash_of_map
from icmigrate.protocol.principal import Principal
from icmigrate.protocol.signature import verify_signature

RESPONSE_DOMAIN = b"\x0bic-response"
MAX_AGE_NS = 300 * 10**9


@dataclass(frozen=True)
class SubnetNodes:
    """The nodes of a subnet, as certified: whose answers to queries to trust, for which canisters."""

    subnet_id: Principal
    ranges: list[tuple[bytes, bytes]]
    public_keys: Mapping[bytes, bytes]
    time_ns: int

    @staticmethod
    def of(certificate: Certificate, root_key_der: bytes) -> SubnetNodes:
        """What a certificate of the path `/subnet` says. Raises `CertificateError`."""
        subnet_id = certificate.subnet_id(root_key_der)
        keys = {}
        for node_id in certificate.labels("subnet", subnet_id.bytes, "node"):
            key = certificate.lookup("subnet", subnet_id.bytes, "node", node_id, "public_key")
            if key is not None:
                keys[node_id] = key
        return SubnetNodes(subnet_id, canister_ranges(certificate, root_key_der), keys, certificate.time_ns)

    def has_canister(self, canister_id: Principal) -> bool:
        return any(low <= canister_id.bytes <= high for low, high in self.ranges)

    def knows_signers(self, response: Mapping[str, object]) -> bool:
        """Whether all who signed are nodes that were there when the certificate was made."""
        return all(identity in self.public_keys for identity, _, _ in _signatures(response))

    def verify(self, request_id: bytes, response: Mapping[str, object], *, now_ns: int) -> None:
        """Raises `CertificateError` unless nodes of this subnet have just signed this answer to the request."""
        signatures = _signatures(response)
        if not signatures:
            raise CertificateError("the answer to the query is not signed")
        for identity, timestamp, signature in signatures:
            if identity not in self.public_keys:
                raise CertificateError("the answer to the query is signed by an unknown node")
            if abs(now_ns - timestamp) > MAX_AGE_NS:
                raise CertificateError("the answer to the query is not recent")
            message = RESPONSE_DOMAIN + hash_of_map(_signed_map(request_id, response, timestamp))
            if not verify_signature(self.public_keys[identity], signature, message):
                raise CertificateError("the signature on the answer to the query is not valid")


def _signed_map(request_id: bytes, response: Mapping[str, object], timestamp: int) -> dict[str, object]:
    if response.get("status") == "replied":
        names = ["status", "reply"]
    else:
        names = ["status", "reject_code", "reject_message", "error_code"]
    signed = {name: response[name] for name in names if response.get(name) is not None}
    return {**signed, "timestamp": timestamp, "request_id": request_id}


def _signatures(response: Mapping[str, object]) -> list[tuple[bytes, int, bytes]]:
    found = []
    items = response.get("signatures", [])
    for item in items if isinstance(items, list) else [None]:
        match item:
            case {"identity": bytes(identity), "timestamp": int(timestamp), "signature": bytes(signature)}:
                found.append((identity, timestamp, signature))
            case _:
                raise CertificateError("malformed signatures on the answer to the query")
    return found
