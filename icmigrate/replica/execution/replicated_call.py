"""Interface Specification, "Abstract behavior": executing an update call, or a query method in replicated mode."""

from __future__ import annotations

from dataclasses import dataclass

from icmigrate.replica.errors import system_rejects
from icmigrate.replica.errors.canister_errors import CanisterError
from icmigrate.replica.execution.admission import entry_point, not_running, out_of_cycles
from icmigrate.replica.execution.charging import charge_resources, spend
from icmigrate.replica.execution.commit_or_rollback import Executor
from icmigrate.replica.execution.effects import log, settle
from icmigrate.replica.execution.result import CallAnswer, Result, bump, close_context
from icmigrate.replica.state.calls import (
    CallContext,
    CanisterOrigin,
    Origin,
)
from icmigrate.replica.state.canister import Canister, CycleUse
from icmigrate.replica.state.responses import Reject
from icmigrate.replica.system_api.execution_modes import ExecutionMode


@dataclass(frozen=True, slots=True)
class ReplicatedCall:
    """A replicated call to a canister method, from outside or from a canister."""

    origin: Origin
    method_name: str
    arg: bytes
    cycles: int = 0
    induction_fee: int = 0

    @property
    def deadline(self) -> int:
        """Nanoseconds since 1970; 0 for calls that wait for ever."""
        return (self.origin.deadline or 0) if isinstance(self.origin, CanisterOrigin) else 0


def execute_call(executor: Executor, canister: Canister, call: ReplicatedCall, now: int) -> Result:
    """An update call, or a query method called in replicated mode."""
    canister = charge_resources(executor.fees, canister, now)

    def rejected(reject: Reject, unchanged: Canister) -> Result:
        return Result(unchanged, [], [CallAnswer(call.origin, reject, call.cycles)])

    reject = not_running(canister)
    if reject is not None:
        return rejected(reject, canister)
    if call.induction_fee:
        reject = out_of_cycles(executor.fees, canister, call.induction_fee, call.origin.caller)
        if reject is not None:
            return rejected(reject, canister)
        canister = spend(canister, call.induction_fee, use=CycleUse.INGRESS_INDUCTION)
    minimum = canister.settings.minimum_incoming_canister_call_cycles
    if isinstance(call.origin, CanisterOrigin) and call.origin.caller != canister.id and call.cycles < minimum:
        return rejected(system_rejects.too_few_cycles_in_call(canister.id, call.cycles, minimum), canister)
    try:
        export, mode = entry_point(canister, call.method_name)
    except CanisterError as error:
        return rejected(error.reject(canister.id), canister)
    if mode is ExecutionMode.COMPOSITE_QUERY:
        return rejected(system_rejects.composite_in_replicated_mode(), canister)
    limit = executor.limits.update_instructions
    prepaid = executor.fees.execution(limit)
    reject = out_of_cycles(executor.fees, canister, prepaid, call.origin.caller)
    if reject is not None:
        return rejected(reject, canister)

    api = executor.api(mode, canister, call.origin.caller, now, limit)
    api.balance = canister.cycles - prepaid
    api.arg = call.arg
    api.method_name = call.method_name
    api.sender_info = call.origin.sender_info
    api.cycles_available = call.cycles
    api.deadline = call.deadline if mode is ExecutionMode.UPDATE else 0
    api.must_respond = True
    outcome = executor.execute(canister, api, export, keep=mode is ExecutionMode.UPDATE)
    used = executor.fees.execution(outcome.instructions)
    if outcome.error is not None:
        failed = spend(log(canister, outcome), used)
        return rejected(outcome.error.reject(canister.id), failed)

    call_context = CallContext(
        id=canister.next_id,
        origin=call.origin,
        cycles_available=api.cycles_available,
        responded=api.response is not None,
        instructions=outcome.instructions,
    )
    canister = canister.with_(next_id=canister.next_id + 1)
    after, sent = settle(canister, outcome, call_context)
    after = spend(bump(log(after, outcome)), used, refund=prepaid)
    result = Result(after, sent)
    return close_context(result, call_context, api.response, api.cycles_refunded_to_caller)
