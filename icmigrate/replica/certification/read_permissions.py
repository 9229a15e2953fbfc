"""Interface Specification, "Request: Read state": who may read which paths of the state tree."""

from __future__ import annotations

from collections.abc import Sequence

from icmigrate.protocol.principal import MANAGEMENT_CANISTER, Principal
from icmigrate.replica.certification.witness import Path
from icmigrate.replica.state.canister import Canister
from icmigrate.replica.state.subnet_state import SubnetState


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
