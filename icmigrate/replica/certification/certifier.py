"""Interface Specification, "Certification" and "Request: Query call": what the replica signs.

Everything is signed at the moment of the answer with the subnet's current time; nothing is cached, because
clients refuse certificates of more than a few minutes' age.
"""

from __future__ import annotations

from collections.abc import Iterable

from icmigrate.protocol import certificate
from icmigrate.protocol.hash_of_map import hash_of_map
from icmigrate.protocol.principal import Principal
from icmigrate.replica.certification.keys import Keys
from icmigrate.replica.certification.state_tree import SystemTree
from icmigrate.replica.certification.witness import Path, witness
from icmigrate.replica.state.responses import Reject, Reply, Response
from icmigrate.replica.subnet.subnet import Subnet

RESPONSE_DOMAIN = b"\x0bic-response"


class Certifier:
    """Signs parts of the state tree with the root key and query responses with the node key."""

    def __init__(self, keys: Keys, subnet: Subnet) -> None:
        self._keys = keys
        self._subnet = subnet
        self._tree = SystemTree(subnet.state, keys.subnet_id, keys.root_key, keys.node_id, keys.node_key)

    def certificate(self, paths: Iterable[Path], *, is_subnet_request: bool = False) -> bytes:
        """A certificate that reveals `/time` and `paths`, or proves them absent."""
        root = self._tree.root(self._subnet.time_ns(), is_subnet_request=is_subnet_request)
        return certificate.create(witness(root, [[b"time"], *paths]), self._keys.root)

    def call_certificate(self, request_id: bytes) -> bytes:
        """The certificate that a synchronous call is answered with."""
        return self.certificate([[b"request_status", request_id]])

    def data_certificate(self, canister_id: Principal) -> bytes:
        """The certificate that a canister sees in a query, of its certified data."""
        return self.certificate([[b"canister", canister_id.bytes, b"certified_data"]])

    def signed_query_response(self, request_id: bytes, response: Response) -> dict[str, object]:
        """The CBOR map of a query's answer, with this node's signature."""
        content: dict[str, object]
        match response:
            case Reply(data):
                content = {"status": "replied", "reply": {"arg": data}}
            case Reject(code, message, error_code):
                content = {
                    "status": "rejected",
                    "reject_code": int(code),
                    "reject_message": message,
                    "error_code": error_code,
                }
        timestamp = self._subnet.time_ns()
        signed = hash_of_map({**content, "timestamp": timestamp, "request_id": request_id})
        signature = {
            "timestamp": timestamp,
            "signature": self._keys.node.sign(RESPONSE_DOMAIN + signed),
            "identity": self._keys.node_id.bytes,
        }
        return {**content, "signatures": [signature]}
