"""Interface Specification, "Error codes": why the management canister and the ingress filter reject.

Codes and texts are those of the IC's own replica, because tools match on them; the functions are named after
the replica's errors. What canister code does wrong is in `errors/canister_errors.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from icmigrate.protocol.principal import Principal
from icmigrate.replica.errors.documentation import documented
from icmigrate.replica.state.responses import Reject, RejectCode


def no_route_to_canister(canister_id: Principal) -> Reject:
    return Reject(RejectCode.DESTINATION_INVALID, f"No route to canister {canister_id.to_str()}", "IC0301")


def subnet_memory_oversubscribed(requested: int, available: int) -> Reject:
    help = documented("Try moving to another subnet.", "subnet-memory-capacity-oversubscribed")
    text = (
        f"Canister requested {_readable(requested)} of memory but only {_readable(max(0, available))} are available "
        f"in the subnet.\n{help}"
    )
    return Reject(RejectCode.SYS_FATAL, text, "IC0101")


def _readable(size: int) -> str:
    """A size in the largest fitting unit."""
    unit = max(0, min(size.bit_length() - 1, 69)) // 10
    return f"{size / (1 << 10 * unit):.2f} {('B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB')[unit]}"


def subnet_compute_oversubscribed(requested: int, available: int) -> Reject:
    help = documented("Try moving to another subnet.", "subnet-compute-capacity-oversubscribed")
    text = (
        f"Canister requested a compute allocation of {requested}% which cannot be satisfied because the Subnet's "
        f"remaining compute capacity is {max(0, available)}%.\n{help}"
    )
    return Reject(RejectCode.SYS_FATAL, text, "IC0101")


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


def canister_not_hosted_by_subnet(canister_id: Principal, subnet_id: Principal) -> Reject:
    text = (
        f"Unsuccessful validation of specified ID: Specified CanisterId {canister_id.to_str()} is not hosted by "
        f"subnet {subnet_id.to_str()}."
    )
    return Reject(RejectCode.CANISTER_REJECT, text, "IC0405")


def canister_rejected(text: str) -> Reject:
    return Reject(RejectCode.CANISTER_REJECT, text, "IC0406")


def log_memory_limit(given: int, limit: int, *, too: str) -> Reject:
    bound = "least" if too == "low" else "most"
    return canister_rejected(f"The canister log memory limit {given} is too {too}. It must be at {bound} {limit}.")


def no_metadata_without_module(canister_id: Principal) -> Reject:
    return canister_rejected(
        f"The canister {canister_id.to_str()} has no Wasm module and hence no metadata is available."
    )


def metadata_section_not_found(canister_id: Principal, name: str) -> Reject:
    return canister_rejected(f"The canister {canister_id.to_str()} has no metadata section with the name {name}.")


def not_callable_by_ingress(method_name: str) -> Reject:
    return canister_rejected(f"ic00 method {method_name} can not be called via ingress messages")


def not_allowed_to_read(caller: Principal, what: str) -> Reject:
    return canister_rejected(f"Caller {caller.to_str()} is not allowed to access {what}")


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


def not_a_controller(canister_id: Principal, method_name: str) -> Reject:
    """What the ingress filter says; a call that is executed is told `invalid_controller`."""
    text = f"Only controllers of canister {canister_id.to_str()} can call ic00 method {method_name}"
    return Reject(RejectCode.CANISTER_ERROR, text, "IC0512")


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


def canister_already_exists(canister_id: Principal) -> Reject:
    text = f"Canister {canister_id.to_str()} is already installed."
    return Reject(RejectCode.CANISTER_ERROR, text, "IC0538")


def insufficient_cycles_in_allocation(what: str, allocation: int, missing: int) -> Reject:
    """`what` is compute or memory."""
    help = documented("Top up the canister with more cycles.", f"insufficient-cycles-in-{what}-allocation")
    text = (
        f"Cannot increase {what} allocation to {allocation} due to insufficient cycles. "
        f"At least {missing} additional cycles are required.\n{help}"
    )
    return Reject(RejectCode.CANISTER_ERROR, text, "IC0530" if what == "compute" else "IC0531")


def insufficient_cycles_in_memory_grow(size: int, missing: int) -> Reject:
    help = documented("Top up the canister with more cycles.", "insufficient-cycles-in-memory-grow-1")
    text = (
        f"Canister cannot grow memory by {size} bytes due to insufficient cycles. "
        f"At least {missing} additional cycles are required.\n{help}"
    )
    return Reject(RejectCode.CANISTER_ERROR, text, "IC0532")


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
    return canister_rejected(f"Failed to create snapshot for empty canister {canister_id.to_str()}:")


def snapshot_limit_exceeded(canister_id: Principal, limit: int) -> Reject:
    return canister_rejected(
        f"Canister {canister_id.to_str()} has reached the maximum number of snapshots allowed: {limit}.\n"
        "Consider deleting an unnecessary snapshot of the specified canister before creating a new one. "
        "See documentation: canister-snapshot-limit-exceeded"
    )


def snapshot_invalid_ownership(canister_id: Principal, snapshot_id: bytes) -> Reject:
    help = documented(
        "Use the `list_canister_snapshot` API to see which snapshots are present.",
        "canister-snapshot-invalid-ownership",
    )
    return canister_rejected(
        f"The snapshot {snapshot_id.hex()} does not belong to canister {canister_id.to_str()}.\n{help}"
    )


def snapshot_not_controller(canister_id: Principal, snapshot_id: bytes, sender: Principal) -> Reject:
    return canister_rejected(
        f"Only a controller of the canister that snapshot {snapshot_id.hex()} belongs to can load it on canister "
        f"{canister_id.to_str()}. Sender: {sender.to_str()}.\n"
        "Make sure you are a controller of the canister that the snapshot belongs to. "
        "See documentation: canister-snapshot-not-controller"
    )


def snapshot_inconsistent(text: str) -> Reject:
    return invalid_management_payload(text)


def snapshot_invalid_slice(offset: int, size: int) -> Reject:
    return invalid_management_payload(
        f"Invalid subslice into wasm module / main memory / stable memory: offset: {offset}, size: {size}"
    )
