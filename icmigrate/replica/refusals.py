"""Interface Specification, "Error codes": why the management canister and the ingress filter refuse.

Codes and texts are those of the IC's own replica, because tools match on them; the functions are named after
the replica's errors. What canister code does wrong is in `faults.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from icmigrate.protocol.principal import Principal
from icmigrate.replica.faults import documented
from icmigrate.replica.state import Reject, RejectCode


def no_route_to_canister(canister_id: Principal) -> Reject:
    return Reject(RejectCode.DESTINATION_INVALID, f"No route to canister {canister_id.to_str()}", "IC0301")


def snapshot_not_found(canister_id: Principal, snapshot_id: bytes) -> Reject:
    help = documented(
        "Use the `list_canister_snapshot` API to see which snapshots are present.", "canister-snapshot-not-found"
    )
    text = f"Could not find the snapshot ID {snapshot_id.hex()} for canister {canister_id.to_str()}.\n{help}"
    return Reject(RejectCode.DESTINATION_INVALID, text, "IC0305")


def insufficient_cycles_for_create_canister(sent: int, required: int) -> Reject:
    help = documented("Try sending more cycles with the request.", "create-canister-not-enough-cycles")
    text = (
        f"Creating a canister requires a fee of {required} that is deducted from the canister's initial balance "
        f"but only {sent} cycles were received with the create_canister request.\n{help}"
    )
    return Reject(RejectCode.CANISTER_REJECT, text, "IC0403")


def not_callable_by_ingress(method_name: str) -> Reject:
    text = f"ic00 method {method_name} can not be called via ingress messages"
    return Reject(RejectCode.CANISTER_REJECT, text, "IC0406")


def not_allowed_to_read(caller: Principal, what: str) -> Reject:
    text = f"Caller {caller.to_str()} is not allowed to access {what}"
    return Reject(RejectCode.CANISTER_REJECT, text, "IC0406")


def invalid_management_payload(text: str) -> Reject:
    return Reject(RejectCode.CANISTER_REJECT, text, "IC0408")


def contract_violation(text: str) -> Reject:
    return Reject(RejectCode.CANISTER_ERROR, text, "IC0504")


def wasm_chunk_store_error(text: str) -> Reject:
    help = documented(
        "Use the `stored_chunks` API to check which hashes are present or top up the canister if it is low on cycles.",
        "wasm-chunk-store-error",
    )
    return contract_violation(f"Error from Wasm chunk store: {text}.\n{help}")


def invalid_controller(canister_id: Principal, controllers: Iterable[Principal], caller: Principal) -> Reject:
    expected = " ".join(controller.to_str() for controller in sorted(controllers))
    help = documented(
        "Execute this call from a controller of the target canister or add the current caller as a controller.",
        "invalid-controller",
    )
    text = (
        f"Only the controllers of the canister {canister_id.to_str()} can control it.\n"
        f"Canister's controllers: {expected}\n"
        f"Sender's ID: {caller.to_str()}\n{help}"
    )
    return Reject(RejectCode.CANISTER_ERROR, text, "IC0512")


def delete_canister_self(canister_id: Principal) -> Reject:
    help = documented("Delete the canister from one of its other controllers.", "delete-canister-self")
    text = f"Canister {canister_id.to_str()} cannot delete itself.\n{help}"
    return Reject(RejectCode.CANISTER_ERROR, text, "IC0512")


def insufficient_cycles_in_allocation(what: str, allocation: int, missing: int) -> Reject:
    """`what` is compute or memory."""
    help = documented("Top up the canister with more cycles.", f"insufficient-cycles-in-{what}-allocation")
    text = (
        f"Cannot increase {what} allocation to {allocation} due to insufficient cycles. "
        f"At least {missing} additional cycles are required.\n{help}"
    )
    return Reject(RejectCode.CANISTER_ERROR, text, "IC0530" if what == "compute" else "IC0531")


def management_method_not_found(method_name: str) -> Reject:
    text = f"ic00 interface does not expose method {method_name}"
    return Reject(RejectCode.CANISTER_ERROR, text, "IC0536")


def management_query_not_found(method_name: str) -> Reject:
    return Reject(RejectCode.CANISTER_ERROR, f"Query method {method_name} not found.", "IC0536")


def reserved_cycles_limit_is_too_low(reserved: int, limit: int) -> Reject:
    text = f"Cannot set the reserved cycles limit {limit} below the reserved cycles balance of the canister {reserved}."
    return Reject(RejectCode.CANISTER_ERROR, text, "IC0540")


def snapshot_immutable() -> Reject:
    text = "Only canister snapshots created by metadata upload can be mutated."
    return Reject(RejectCode.CANISTER_REJECT, text, "IC0409")


def snapshot_of_empty_canister(canister_id: Principal) -> Reject:
    text = f"Failed to create snapshot for empty canister {canister_id.to_str()}:"
    return Reject(RejectCode.CANISTER_REJECT, text, "IC0406")


def snapshot_limit_exceeded(canister_id: Principal, limit: int) -> Reject:
    text = f"Canister {canister_id.to_str()} has reached the maximum number of snapshots allowed: {limit}."
    return Reject(RejectCode.CANISTER_REJECT, text, "IC0406")
