"""Interface Specification, "Abstract behavior": whether a canister can execute a call now, and by which method.

The ingress filter and the execution ask the same questions at different times, so both ask them here.
"""

from __future__ import annotations

from icmigrate.protocol.principal import Principal
from icmigrate.replica.errors import system_rejects
from icmigrate.replica.errors.canister_errors import MethodNotFound, NoModule
from icmigrate.replica.execution.charging import available
from icmigrate.replica.state.canister import Canister, CanisterStatus
from icmigrate.replica.state.fees import Fees
from icmigrate.replica.state.responses import Reject
from icmigrate.replica.system_api.execution_modes import ExecutionMode


def entry_point(canister: Canister, method_name: str) -> tuple[str, ExecutionMode]:
    """The export that answers a replicated call, and the mode in which it runs. Raises a CanisterError."""
    if canister.module is None:
        raise NoModule
    for prefix, mode in (
        ("canister_update ", ExecutionMode.UPDATE),
        ("canister_query ", ExecutionMode.REPLICATED_QUERY),
        ("canister_composite_query ", ExecutionMode.COMPOSITE_QUERY),
    ):
        if prefix + method_name in canister.module.exports:
            return prefix + method_name, mode
    raise MethodNotFound("update", method_name)


def not_running(canister: Canister) -> Reject | None:
    """Why a canister that is stopping or stopped executes no call."""
    match canister.status:
        case CanisterStatus.STOPPED:
            return system_rejects.stopped(canister.id)
        case CanisterStatus.STOPPING:
            return system_rejects.stopping(canister.id)
        case CanisterStatus.RUNNING:
            return None


def no_module(canister: Canister) -> Reject | None:
    """Why a canister without code executes no call."""
    return NoModule().reject(canister.id) if canister.module is None else None


def no_queries(fees: Fees, canister: Canister) -> Reject | None:
    """Why no query method of this canister can be executed now."""
    reject = not_running(canister) or no_module(canister)
    if reject is not None:
        return reject
    if available(fees, canister) < 0:
        return system_rejects.frozen(canister.id)
    return None


def out_of_cycles(fees: Fees, canister: Canister, needed: int, caller: Principal) -> Reject | None:
    """The reject of a canister that cannot spend `needed` cycles; how many are missing only its controllers learn."""
    missing = needed - available(fees, canister)
    if missing <= 0:
        return None
    may_know = caller in canister.settings.controllers
    return system_rejects.out_of_cycles(canister.id, missing if may_know else None)
