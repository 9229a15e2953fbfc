"""Interface Specification, "Abstract behavior", message execution: what one message does to one canister.

Each function takes the canister's record and the message and returns a `Result`: the next record, what is
sent, and the answer to whoever waits. They run in worker threads and touch nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from icmigrate.protocol.principal import MANAGEMENT_CANISTER, Principal
from icmigrate.replica.errors import system_rejects
from icmigrate.replica.errors.canister_errors import CanisterError, CleanupFailed, MethodNotFound, NoModule
from icmigrate.replica.execution.executor import Executor, Outcome, discard
from icmigrate.replica.execution.instance import Instance
from icmigrate.replica.state.calls import (
    CallContext,
    CanisterOrigin,
    CanisterResponse,
    Closure,
    Ingress,
    IngressOrigin,
    Message,
    Origin,
    SenderInfo,
    SystemOrigin,
)
from icmigrate.replica.state.canister import Canister, CanisterStatus, CycleUse
from icmigrate.replica.state.responses import Reject, Reply, Response
from icmigrate.replica.system_api import SystemApi
from icmigrate.replica.system_api.contexts import Context


@dataclass(frozen=True, slots=True)
class Answer:
    """A response to the call that came from `origin`, with the cycles that go back."""

    origin: Origin
    response: Response
    refund: int


@dataclass(slots=True)
class Result:
    canister: Canister
    sent: list[Message] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Call:
    """A replicated call to a canister method, from outside or from a canister."""

    origin: Origin
    caller: Principal
    method_name: str
    arg: bytes
    cycles: int = 0
    induction_fee: int = 0

    @property
    def deadline(self) -> int:
        return (self.origin.deadline or 0) if isinstance(self.origin, CanisterOrigin) else 0


def execute_call(executor: Executor, canister: Canister, call: Call, now: int) -> Result:
    """An update call, or a query method called in replicated mode."""
    canister = executor.fees.resources(canister, now)

    def refuse(reject: Reject, unchanged: Canister) -> Result:
        return Result(unchanged, [], [Answer(call.origin, reject, call.cycles)])

    not_running = refusal_when_not_running(canister)
    if not_running is not None:
        return refuse(not_running, canister)
    if call.induction_fee:
        if canister.cycles < call.induction_fee + executor.fees.freezing_limit(canister):
            return refuse(out_of_cycles(executor, canister, call.induction_fee, call.caller), canister)
        canister = spend(canister, call.induction_fee, use=CycleUse.INGRESS_INDUCTION)
    minimum = canister.settings.minimum_incoming_canister_call_cycles
    if isinstance(call.origin, CanisterOrigin) and call.caller != canister.id and call.cycles < minimum:
        return refuse(system_rejects.too_few_cycles_in_call(canister.id, call.cycles, minimum), canister)
    try:
        export, context = _entry_point(canister, call.method_name)
    except CanisterError as error:
        return refuse(error.reject(canister.id), canister)
    if context is Context.COMPOSITE_QUERY:
        return refuse(system_rejects.composite_in_replicated_mode(), canister)
    limit = executor.limits.update_instructions
    prepaid = executor.fees.execution(limit)
    if available(executor, canister) < prepaid:
        return refuse(out_of_cycles(executor, canister, prepaid, call.caller), canister)

    api = executor.api(context, canister, call.caller, now, limit)
    api.balance = canister.cycles - prepaid
    api.arg = call.arg
    api.method_name = call.method_name
    api.sender_info = sender_info_of(call.origin)
    api.cycles_available = call.cycles
    api.deadline = call.deadline if context is Context.UPDATE else 0
    api.must_respond = True
    outcome = executor.execute(canister, api, export, keep=context is Context.UPDATE)
    used = executor.fees.execution(outcome.instructions)
    if outcome.error is not None:
        failed = spend(executor.log(canister, outcome), used)
        return refuse(outcome.error.reject(canister.id), failed)

    call_context = CallContext(
        id=canister.next_id,
        origin=call.origin,
        cycles_available=api.cycles_available,
        responded=api.response is not None,
        instructions=outcome.instructions,
    )
    canister = canister.with_(next_id=canister.next_id + 1)
    after, sent = executor.settle(canister, outcome, call_context)
    after = spend(bump(executor.log(after, outcome)), used, refund=prepaid)
    result = Result(after, sent)
    return close_context(result, call_context, api.response, api.cycles_refunded_to_caller)


def execute_response(executor: Executor, canister: Canister, message: CanisterResponse, now: int) -> Result:
    """The response to a call that the canister made: its reply or reject callback."""
    response, refund = message.response, message.refund
    canister = executor.fees.resources(canister, now)
    callbacks = dict(canister.callbacks)
    callback = callbacks.pop(message.callback_id, None)
    if callback is None:  # The call timed out before.
        return Result(canister.with_(cycles=canister.cycles + refund))
    size = len(response.data) if isinstance(response, Reply) else len(response.message.encode())
    transmission = min(callback.prepaid, executor.fees.response_transmission(size))
    prepaid = callback.prepaid - transmission
    canister = canister.with_(callbacks=callbacks, cycles=canister.cycles + refund)
    canister = canister.consuming(CycleUse.TRANSMISSION, transmission)
    context = canister.contexts[callback.context_id]
    if context.deleted:
        return close_context(Result(canister.with_(cycles=canister.cycles + prepaid)), context, None, 0)

    failed = isinstance(response, Reject)
    caller = caller_of(context.origin)
    api = executor.api(
        Context.REJECT if failed else Context.REPLY, canister, caller, now, executor.limits.update_instructions
    )
    if isinstance(response, Reply):
        api.arg = response.data
    else:
        api.reject = response
    api.sender_info = sender_info_of(context.origin)
    api.cycles_available = context.cycles_available
    api.cycles_refunded = refund
    api.deadline = (context.origin.deadline or 0) if isinstance(context.origin, CanisterOrigin) else 0
    api.must_respond = not context.responded
    api.instructions_before = context.instructions
    closure = callback.on_reject if failed else callback.on_reply
    outcome = executor.execute(canister, api, closure, keep=True)

    used = outcome.instructions
    if outcome.error is None:
        context = replace(
            context,
            cycles_available=api.cycles_available,
            responded=context.responded or api.response is not None,
            instructions=context.instructions + used,
        )
        after, sent = executor.settle(canister, outcome, context)
        after = bump(executor.log(after, outcome))
        response_now, back = api.response, api.cycles_refunded_to_caller
    else:
        after = executor.log(canister, outcome)
        error = outcome.error
        if callback.on_cleanup is not None:
            after, cleanup = _execute_cleanup(executor, after, context, callback.on_cleanup, response, now)
            used += cleanup.instructions
            if cleanup.error is not None:
                error = CleanupFailed(error, cleanup.error)
        sent, response_now, back = [], None, 0
        if not context.responded:
            response_now, back = _after_failed_callback(after, context, error)
            if response_now is not None:
                context = replace(context, responded=True, cycles_available=0)
        context = replace(context, instructions=context.instructions + used)
    fee = min(prepaid, executor.fees.execution(used))
    after = after.with_(cycles=after.cycles + prepaid - fee).consuming(CycleUse.INSTRUCTIONS, fee)
    return close_context(Result(after, sent), context, response_now, back)


def _after_failed_callback(
    canister: Canister, context: CallContext, error: CanisterError
) -> tuple[Response | None, int]:
    """A failed callback rejects the call only when nothing else can answer it any more."""
    others = any(callback.context_id == context.id for callback in canister.callbacks.values())
    if others:
        return None, 0
    return error.reject(canister.id), context.cycles_available


def _execute_cleanup(
    executor: Executor,
    canister: Canister,
    context: CallContext,
    closure: Closure,
    response: Response,
    now: int,
) -> tuple[Canister, Outcome]:
    api = executor.api(Context.CLEANUP, canister, caller_of(context.origin), now, executor.limits.update_instructions)
    api.sender_info = sender_info_of(context.origin)
    api.reject = response if isinstance(response, Reject) else None
    api.instructions_before = context.instructions
    outcome = executor.execute(canister, api, closure, keep=True)
    if outcome.error is None:
        after, _ = executor.settle(canister, outcome, None)
        return bump(executor.log(after, outcome)), outcome
    return executor.log(canister, outcome), outcome


class SystemTask(StrEnum):
    """What the system calls by itself, as the export that is called."""

    HEARTBEAT = "canister_heartbeat"
    GLOBAL_TIMER = "canister_global_timer"
    ON_LOW_WASM_MEMORY = "canister_on_low_wasm_memory"


def execute_task(executor: Executor, canister: Canister, task: SystemTask, now: int) -> Result:
    """A heartbeat, a global timer or the low-memory hook. Nothing happens while it cannot be paid."""
    canister = executor.fees.resources(canister, now)
    if task is SystemTask.GLOBAL_TIMER:
        canister = canister.with_(global_timer=0)
    if task is SystemTask.ON_LOW_WASM_MEMORY:
        canister = canister.with_(low_memory_hook="executed")
    limit = executor.limits.update_instructions
    prepaid = executor.fees.execution(limit)
    if available(executor, canister) < prepaid:
        return Result(canister)
    api = executor.api(Context.SYSTEM_TASK, canister, MANAGEMENT_CANISTER, now, limit)
    api.balance = canister.cycles - prepaid
    outcome = executor.execute(canister, api, task, keep=True)
    used = executor.fees.execution(outcome.instructions)
    if outcome.error is not None:
        return Result(spend(executor.log(canister, outcome), used))
    context = CallContext(id=canister.next_id, origin=SystemOrigin(), responded=True, instructions=outcome.instructions)
    canister = canister.with_(next_id=canister.next_id + 1)
    after, sent = executor.settle(canister, outcome, context)
    after = spend(bump(executor.log(after, outcome)), used, refund=prepaid)
    return close_context(Result(after, sent), context, None, 0)


def execute_query(
    executor: Executor,
    canister: Canister,
    caller: Principal,
    method_name: str,
    arg: bytes,
    certificate: Callable[[], bytes] | None,
    now: int,
    limit: int,
    sender_info: SenderInfo | None = None,
    instance: Instance | None = None,
) -> tuple[Response, int]:
    """A query call to a query method, which leaves no trace: the response, and the instructions it took.

    It may take `limit` instructions. On `instance`, which is given up then, or on the warm one.
    """
    api = executor.api(Context.NON_REPLICATED_QUERY, canister, caller, now, limit)
    api.arg, api.method_name, api.data_certificate, api.must_respond = arg, method_name, certificate, True
    api.sender_info = sender_info
    outcome = _without_trace(executor, canister, api, f"canister_query {method_name}", instance)
    if outcome.error is not None:
        return outcome.error.reject(canister.id), outcome.instructions
    return api.response or system_rejects.did_not_produce_a_response(canister.id), outcome.instructions


def execute_inspect(
    executor: Executor, canister: Canister, ingress: Ingress, now: int, instance: Instance | None = None
) -> Reject | None:
    """canister_inspect_message; None when it accepted. `instance` as for queries."""
    api = executor.api(Context.INSPECT, canister, ingress.sender, now, executor.limits.inspect_instructions)
    api.arg, api.method_name, api.sender_info = ingress.arg, ingress.method_name, ingress.sender_info
    outcome = _without_trace(executor, canister, api, "canister_inspect_message", instance)
    if outcome.error is not None:
        return outcome.error.reject(canister.id)
    if not api.accepted:
        return system_rejects.message_not_accepted(canister.id)
    return None


# ---------------------------------------------------------------------------------------------- parts


def _without_trace(
    executor: Executor, canister: Canister, api: SystemApi, entry: str, instance: Instance | None
) -> Outcome:
    if instance is None:
        return executor.execute(canister, api, entry, keep=False)
    try:
        return executor.execute_on(instance, canister, api, entry)
    finally:
        discard(instance)


def caller_of(origin: Origin) -> Principal:
    match origin:
        case IngressOrigin(sender=sender):
            return sender
        case CanisterOrigin(caller=caller):
            return caller
        case SystemOrigin():
            return MANAGEMENT_CANISTER


def sender_info_of(origin: Origin) -> SenderInfo | None:
    return origin.sender_info if isinstance(origin, IngressOrigin) else None


def _entry_point(canister: Canister, method_name: str) -> tuple[str, Context]:
    """The export that answers a replicated call, and the context in which it runs. Raises a CanisterError."""
    if canister.module is None:
        raise NoModule
    for prefix, context in (
        ("canister_update ", Context.UPDATE),
        ("canister_query ", Context.REPLICATED_QUERY),
        ("canister_composite_query ", Context.COMPOSITE_QUERY),
    ):
        if prefix + method_name in canister.module.exports:
            return prefix + method_name, context
    raise MethodNotFound("update", method_name)


def refusal_when_not_running(canister: Canister) -> Reject | None:
    match canister.status:
        case CanisterStatus.STOPPED:
            return system_rejects.stopped(canister.id)
        case CanisterStatus.STOPPING:
            return system_rejects.stopping(canister.id)
        case CanisterStatus.RUNNING:
            return None


def refusal_of_query(executor: Executor, canister: Canister) -> Reject | None:
    """Why no query method of this canister can be executed now."""
    reject = refusal_when_not_running(canister)
    if reject is not None:
        return reject
    if canister.module is None:
        return NoModule().reject(canister.id)
    if canister.cycles + canister.reserved_cycles < executor.fees.freezing_limit(canister):
        return system_rejects.frozen(canister.id)
    return None


def available(executor: Executor, canister: Canister) -> int:
    """Cycles that may be spent without freezing the canister."""
    return canister.cycles - max(0, executor.fees.freezing_limit(canister) - canister.reserved_cycles)


def out_of_cycles(executor: Executor, canister: Canister, needed: int, caller: Principal) -> Reject:
    missing = needed - available(executor, canister)
    may_know = caller in canister.settings.controllers
    return system_rejects.out_of_cycles(canister.id, missing if may_know else None)


def spend(canister: Canister, amount: int, refund: int = 0, use: CycleUse = CycleUse.INSTRUCTIONS) -> Canister:
    """Takes a fee from the balance; `refund` was taken before and is given back."""
    amount = min(amount, canister.cycles + refund)
    return canister.with_(cycles=canister.cycles + refund - amount).consuming(use, amount)


def bump(canister: Canister) -> Canister:
    return canister.with_(version=canister.version + 1)


def close_context(result: Result, context: CallContext, response: Response | None, refund: int) -> Result:
    """Sends the response if there is one now, and keeps the call context as long as it is needed."""
    canister = result.canister
    contexts = dict(canister.contexts)
    outstanding = any(callback.context_id == context.id for callback in canister.callbacks.values())
    if response is not None:
        result.answers.append(Answer(context.origin, response, refund))
    elif not context.responded and not outstanding:
        reject = system_rejects.did_not_reply(canister.id)
        result.answers.append(Answer(context.origin, reject, context.cycles_available))
    if outstanding:
        contexts[context.id] = context
    else:
        contexts.pop(context.id, None)
    result.canister = canister.with_(contexts=contexts)
    return result
