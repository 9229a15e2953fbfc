"""Interface Specification, "The system state tree": what it holds, described lazily (see `witness.py`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from icmigrate.protocol import cbor, leb128
from icmigrate.protocol.principal import Principal
from icmigrate.replica.certification.witness import Level, Node, Wide, children
from icmigrate.replica.state.calls import IngressStatus
from icmigrate.replica.state.canister import Canister
from icmigrate.replica.state.canister_ids import FIRST_CANISTER, LAST_CANISTER
from icmigrate.replica.state.fees import MAX_CYCLES
from icmigrate.replica.state.responses import Reject, Reply
from icmigrate.replica.state.subnet_state import CERTIFIED_DATA, SubnetState


@dataclass(frozen=True)
class SystemTree:
    """The state tree of a subnet of one node that is its own root subnet."""

    state: SubnetState
    subnet_id: Principal
    root_key: bytes
    node_id: Principal
    node_key: bytes

    def root(self, time_ns: int, *, is_subnet_request: bool = False) -> Level:
        """The tree at a time (nanoseconds). `/subnet/<id>/metrics` is shown to subnet requests only."""
        return children(
            {
                b"api_boundary_nodes": children({}),
                b"canister": Wide(self._canister_labels, self._canister),
                b"canister_ranges": children({self.subnet_id.bytes: children({FIRST_CANISTER.bytes: _ranges()})}),
                b"request_status": Wide(lambda: self.state.ingress, self._request_status),
                b"subnet": children({self.subnet_id.bytes: self._subnet(is_subnet_request)}),
                b"time": leb128.encode_unsigned(time_ns),
            }
        )

    def _subnet(self, with_metrics: bool) -> Level:
        subnet: dict[bytes, Node] = {
            b"canister_ranges": _ranges(),
            b"node": children({self.node_id.bytes: children({b"public_key": self.node_key})}),
            b"public_key": self.root_key,
            b"type": b"application",
        }
        if with_metrics:
            subnet[b"metrics"] = self._metrics
        return children(subnet)

    def _metrics(self) -> bytes:
        canisters = self.state.canisters.values()
        consumed = self.state.consumed_by_deleted + sum(canister.consumed_cycles for canister in canisters)
        consumed = min(consumed, MAX_CYCLES)
        return cbor.dumps(
            {
                "num_canisters": len(canisters),
                "canister_state_bytes": sum(canister.memory_size for canister in canisters),
                "consumed_cycles_total": {"low": consumed & (1 << 64) - 1, "high": consumed >> 64},
                "update_transactions_total": self.state.executed,
            }
        )

    def _canister_labels(self) -> Iterable[bytes]:
        yield from (canister.bytes for canister in self.state.canisters)
        yield from (canister for namespace, canister in self.state.native if namespace == CERTIFIED_DATA)

    def _canister(self, label: bytes) -> Node | None:
        canister = self.state.canisters.get(Principal(label)) if len(label) <= 29 else None
        if canister is not None:
            return _canister_level(canister)
        certified_data = self.state.native_certified_data(label)
        return None if certified_data is None else children({b"certified_data": certified_data})

    def _request_status(self, label: bytes) -> Node | None:
        status = self.state.ingress.get(label)
        return None if status is None else children(request_status(status))


def _canister_level(canister: Canister) -> Level:
    level: dict[bytes, Node] = {
        b"canister_creation_timestamp": leb128.encode_unsigned(canister.created_at),
        b"certified_data": canister.certified_data,
        b"controllers": cbor.dumps([controller.bytes for controller in canister.settings.controllers]),
    }
    if canister.module is not None:
        level[b"last_install_timestamp"] = leb128.encode_unsigned(canister.installed_at)
        level[b"metadata"] = children({section.name.encode(): section.content for section in canister.module.sections})
        level[b"module_hash"] = canister.module.hash
    return children(level)


def request_status(status: IngressStatus) -> dict[bytes, Node]:
    """The leaves below `/request_status/<request_id>`."""
    leaves: dict[bytes, Node] = {b"status": status.state.value.encode()}
    match status.response:
        case Reply(data):
            leaves[b"reply"] = data
        case Reject(code, message, error_code):
            leaves[b"error_code"] = error_code.encode()
            leaves[b"reject_code"] = leb128.encode_unsigned(code)
            leaves[b"reject_message"] = message.encode()
    return leaves


def _ranges() -> bytes:
    return cbor.dumps([[FIRST_CANISTER.bytes, LAST_CANISTER.bytes]])
