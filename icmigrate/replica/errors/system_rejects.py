"""Interface Specification, "Error codes": why the system itself rejects a call.

Codes and texts are those of the IC's own replica, because tools match on them. What canister code does wrong is in
`canister_errors.py`, why the management canister rejects in `management/rejects.py`.
"""

from __future__ import annotations

from icmigrate.protocol.principal import Principal
from icmigrate.replica.state.responses import Reject, RejectCode


def not_found(canister_id: Principal) -> Reject:
    return Reject(RejectCode.DESTINATION_INVALID, f"Canister {canister_id.to_str()} not found", "IC0301")


def did_not_reply(canister_id: Principal) -> Reject:
    text = f"Canister {canister_id.to_str()} did not reply to the call"
    return Reject(RejectCode.CANISTER_ERROR, text, "IC0506")


def did_not_produce_a_response(canister_id: Principal) -> Reject:
    """By a query."""
    text = f"Canister {canister_id.to_str()} did not produce a response"
    return Reject(RejectCode.CANISTER_ERROR, text, "IC0506")


def frozen(canister_id: Principal) -> Reject:
    """No query can be executed."""
    text = (
        f"Canister {canister_id.to_str()} is unable to process query calls because it's frozen. "
        "Please top up the canister with cycles and try again."
    )
    return Reject(RejectCode.SYS_TRANSIENT, text, "IC0207")


def composite_in_replicated_mode() -> Reject:
    text = "Composite query cannot be called in replicated mode"
    return Reject(RejectCode.CANISTER_ERROR, text, "IC0527")


def message_not_accepted(canister_id: Principal) -> Reject:
    text = f"Canister {canister_id.to_str()} rejected the message"
    return Reject(RejectCode.CANISTER_REJECT, text, "IC0406")


def stop_cancelled(canister_id: Principal) -> Reject:
    text = f"Canister {canister_id.to_str()}'s stop request was cancelled."
    return Reject(RejectCode.CANISTER_ERROR, text, "IC0511")


def stop_timed_out() -> Reject:
    return Reject(RejectCode.SYS_TRANSIENT, "Stop canister request timed out", "IC0206")


def ingress_timed_out() -> Reject:
    text = "Ingress message timed out waiting to start executing."
    return Reject(RejectCode.SYS_TRANSIENT, text, "IC0202")


def call_timed_out() -> Reject:
    return Reject(RejectCode.SYS_UNKNOWN, "Call has timed out.", "IC0601")


def out_of_cycles(canister_id: Principal, missing: int | None) -> Reject:
    """`missing` is told to those who may top the canister up."""
    text = f"Canister {canister_id.to_str()} is out of cycles"
    if missing is not None:
        text += f": please top up the canister with at least {missing} additional cycles"
    return Reject(RejectCode.SYS_TRANSIENT, text, "IC0207")


def too_few_cycles_in_call(canister_id: Principal, attached: int, minimum: int) -> Reject:
    text = (
        f"Canister {canister_id.to_str()} requires at least {minimum} transferred cycles, "
        f"but only {attached} cycles were sent with the call"
    )
    return Reject(RejectCode.CANISTER_ERROR, text, "IC0520")


def stopped(canister_id: Principal) -> Reject:
    text = f"Canister {canister_id.to_str()} is stopped"
    return Reject(RejectCode.CANISTER_ERROR, text, "IC0508")


def stopping(canister_id: Principal) -> Reject:
    text = f"Canister {canister_id.to_str()} is not running"
    return Reject(RejectCode.CANISTER_ERROR, text, "IC0509")


def not_empty(canister_id: Principal) -> Reject:
    text = (
        f"Canister {canister_id.to_str()} cannot be installed because the canister is not empty. "
        "Try installing with mode='reinstall' instead."
    )
    return Reject(RejectCode.CANISTER_ERROR, text, "IC0514")


def missing_persistence_option() -> Reject:
    text = (
        "Missing upgrade option: Enhanced orthogonal persistence requires the `wasm_memory_persistence` upgrade option."
    )
    return Reject(RejectCode.CANISTER_ERROR, text, "IC0504")


def invalid_persistence_option() -> Reject:
    text = (
        "Invalid upgrade option: The `wasm_memory_persistence: opt Keep` upgrade option requires that the new canister "
        "module supports enhanced orthogonal persistence."
    )
    return Reject(RejectCode.CANISTER_ERROR, text, "IC0504")
