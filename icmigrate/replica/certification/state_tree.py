"""Interface Specification, "The system state tree" and "Request: Read state".

The tree is never built as a whole. `SystemTree` describes it lazily and `witness` builds the part that was
asked for, so that an answer costs the same with one canister and with thousands. What was not asked for stands
there as a pruned node with a random digest: a reader can conclude nothing from it, neither presence nor
absence. Absence of what was asked is proven by its neighbours, as everywhere on the IC.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from icmigrate.protocol import cbor, hash_tree, leb128
from icmigrate.protocol.hash_tree import HashTree
from icmigrate.protocol.principal import MANAGEMENT_CANISTER, Principal
from icmigrate.replica.state.calls import IngressStatus
from icmigrate.replica.state.canister import Canister
from icmigrate.replica.state.canister_ids import FIRST_CANISTER, LAST_CANISTER
from icmigrate.replica.state.fees import MAX_CYCLES
from icmigrate.replica.state.responses import Reject, Reply
from icmigrate.replica.state.subnet_state import CERTIFIED_DATA, SubnetState

Path = Sequence[bytes]


# ------------------------------------------------------------------------------------------ a lazy tree


class Level(Protocol):
    """The children of one inner node."""

    def child(self, label: bytes) -> Node | None: ...

    def neighbours(self, label: bytes) -> tuple[bytes | None, bytes | None]:
        """The nearest labels present before and behind an absent one."""

    def labels(self) -> Iterable[bytes]:
        """All labels; asked only where a whole subtree is revealed."""


@dataclass(frozen=True)
class Wide:
    """A level with many children that are looked up one by one."""

    keys: Callable[[], Iterable[bytes]]
    find: Callable[[bytes], Node | None]

    def child(self, label: bytes) -> Node | None:
        return self.find(label)

    def neighbours(self, label: bytes) -> tuple[bytes | None, bytes | None]:
        before = max((key for key in self.keys() if key < label), default=None)
        behind = min((key for key in self.keys() if key > label), default=None)
        return before, behind

    def labels(self) -> Iterable[bytes]:
        return self.keys()


def children(of: Mapping[bytes, Node]) -> Wide:
    """A level with few children, given as a mapping."""
    return Wide(lambda: of.keys(), of.get)


Node = bytes | Level | Callable[[], bytes]
"""A leaf, an inner node, or a leaf that is computed when it is revealed."""


def witness(root: Level, paths: Iterable[Path]) -> HashTree:
    """The part of the tree below `root` that answers `paths`: each is found with all below it, or proven absent."""
    asked: _Asked = {}
    for path in paths:
        _ask(asked, path)
    return _reveal_level(root, asked)


_Asked = dict[bytes, "_Asked | None"]
"""The asked paths as a trie; None stands for everything below."""


def _ask(trie: _Asked, path: Path) -> None:
    *inner, last = path
    for label in inner:
        below = trie.setdefault(label, {})
        if below is None:
            return
        trie = below
    trie[last] = None


def _reveal(node: Node, asked: _Asked | None) -> HashTree:
    if callable(node):
        node = node()
    if isinstance(node, bytes):
        return hash_tree.Leaf(node)
    if asked is None:
        everything: list[HashTree] = [
            hash_tree.Labeled(label, _reveal(child, None))
            for label in sorted(node.labels())
            if (child := node.child(label)) is not None
        ]
        return _fork(everything)
    return _reveal_level(node, asked)


def _reveal_level(level: Level, asked: _Asked) -> HashTree:
    shown: dict[bytes, HashTree] = {}
    closed: set[tuple[bytes | None, bytes | None]] = set()  # pairs with nothing between them
    for label, below in asked.items():
        child = level.child(label)
        if child is not None:
            shown[label] = _reveal(child, below)
        else:
            closed.add(level.neighbours(label))
    for neighbour in {label for pair in closed for label in pair if label is not None}:
        shown.setdefault(neighbour, _unknown())
    labels: list[bytes | None] = [None, *sorted(shown), None]
    parts: list[HashTree] = []
    for before, behind in pairwise(labels):
        if (before, behind) not in closed:
            parts.append(_unknown())
        if behind is not None:
            parts.append(hash_tree.Labeled(behind, shown[behind]))
    return _fork(parts)


def _unknown() -> HashTree:
    return hash_tree.Pruned(os.urandom(32))


def _fork(parts: list[HashTree]) -> HashTree:
    if not parts:
        return hash_tree.Empty()
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return hash_tree.Fork(_fork(parts[:middle]), _fork(parts[middle:]))


# ------------------------------------------------------------------------------------------ what it holds


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


# ------------------------------------------------------------------------------------------ who may read


class PathRefused(Exception):
    """A requested path that this sender may not read; `status` is the HTTP status to answer with."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


MAX_PATHS = 1000
MAX_LABELS = 127
BOUNDARY_NODE_LEAVES = (b"domain", b"ipv4_address", b"ipv6_address")
SUBNET_LEAVES = (b"public_key", b"type", b"node")
STATUS_LEAVES: tuple[list[bytes], ...] = (
    [],
    [b"status"],
    [b"reply"],
    [b"reject_code"],
    [b"reject_message"],
    [b"error_code"],
)
CANISTER_LEAVES = (b"module_hash", b"controllers", b"canister_creation_timestamp", b"last_install_timestamp")


def authorize(
    paths: Sequence[Path],
    *,
    state: SubnetState,
    sender: Principal,
    effective: Principal,
    is_subnet_request: bool,
    root_subnet: Principal,
    is_v2: bool = False,
    targets: frozenset[bytes] | None = None,
) -> None:
    """Checks every path of a read_state request against the rules of the specification; raises PathRefused.

    `effective` is the principal in the URL, `targets` the canisters that the sender's delegations are limited to.
    """
    if len(paths) > MAX_PATHS:
        raise PathRefused(400, f"Too many paths: at most {MAX_PATHS} are allowed.")
    requests: set[bytes] = set()
    shards: set[bytes] = set()
    for path in paths:
        if len(path) > MAX_LABELS:
            raise PathRefused(400, "Failed to parse requested paths: path is too long.")
        match [bytes(label) for label in path]:
            case [b"time"] | [b"api_boundary_nodes"] | [b"api_boundary_nodes", _] | [b"subnet"] | [b"subnet", _]:
                pass
            case [b"api_boundary_nodes", _, leaf] if leaf in BOUNDARY_NODE_LEAVES:
                pass
            case [b"subnet", _, leaf] if leaf in SUBNET_LEAVES:
                pass
            case [b"subnet", subnet, b"canister_ranges"] if is_v2 or subnet == root_subnet.bytes:
                pass
            case [b"subnet", _, b"node", _] | [b"subnet", _, b"node", _, b"public_key"]:
                pass
            case [b"subnet", subnet, b"metrics"] if is_subnet_request and subnet == effective.bytes:
                pass
            case [b"canister_ranges", subnet] if is_subnet_request:
                shards.add(subnet)
            case [b"canister", canister, *leaf] if not is_subnet_request:
                _authorize_canister(state, sender, effective, canister, leaf)
            case [b"request_status", request, *leaf] if leaf in STATUS_LEAVES:
                requests.add(request)
                _authorize_request(state, sender, effective, request, targets)
            case _:
                raise PathRefused(404, "Invalid path requested.")
    if len(requests) > 1:
        first, second = sorted(requests)[:2]
        raise PathRefused(
            400,
            "More than one non-unique request ID exists in request_status paths: "
            f"0x{first.hex()} and 0x{second.hex()}.",
        )
    if effective == MANAGEMENT_CANISTER and not any(path[0] in (b"request_status", b"subnet") for path in paths):
        raise PathRefused(400, f"canister_not_found: {effective.to_str()} is not hosted by this replica.")
    if len(shards) > 1:
        raise PathRefused(400, "More than one subnet ID exists in canister_ranges paths.")


def _authorize_canister(
    state: SubnetState, sender: Principal, effective: Principal, label: bytes, leaf: list[bytes]
) -> None:
    if len(label) > 29:
        raise PathRefused(400, f"Could not parse principal ID from 0x{label.hex()}.")
    if label != effective.bytes:
        raise PathRefused(
            400,
            f"Effective principal id in URL {effective.to_str()} does not match requested principal id: "
            f"{Principal(label).to_str()}.",
        )
    match leaf:
        case [name] if name in CANISTER_LEAVES:
            return
        case [b"metadata", name]:
            _authorize_metadata(state.canisters.get(effective), sender, name)
        case _:
            raise PathRefused(404, "Invalid path requested.")


def _authorize_metadata(canister: Canister | None, sender: Principal, label: bytes) -> None:
    try:
        name = label.decode()
    except UnicodeDecodeError as error:
        raise PathRefused(400, f"Could not parse the custom section name: {error}.") from None
    if canister is None or canister.module is None or sender in canister.settings.controllers:
        return
    if any(section.name == name and not section.is_public for section in canister.module.sections):
        raise PathRefused(403, f"Custom section {name[:100]} can only be requested by the controllers of the canister.")


def _authorize_request(
    state: SubnetState,
    sender: Principal,
    effective: Principal,
    request_id: bytes,
    targets: frozenset[bytes] | None,
) -> None:
    if len(request_id) != 32:
        raise PathRefused(400, "Invalid request id in paths. Maybe the request ID is not of 32 bytes in length?!")
    status = state.ingress.get(request_id)
    if status is None:
        return
    if status.sender != sender:
        raise PathRefused(403, "The user tries to access Request ID not signed by the caller.")
    if status.effective_canister_id != effective:
        raise PathRefused(403, "The user tries to access a request ID of another effective canister id or subnet id.")
    if targets is not None and status.canister_id.bytes not in targets:
        raise PathRefused(
            403,
            "The user tries to access request IDs for canisters not belonging to sender delegation targets.",
        )
