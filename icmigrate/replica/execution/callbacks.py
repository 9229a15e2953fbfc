"""Interface Specification, "Abstract behavior", "Response delivery": reply, reject and cleanup callbacks."""

from __future__ import annotations

from dataclasses import replace

from icmigrate.replica.errors.canister_errors import CanisterError, CleanupFailed
from icmigrate.replica.execution.charging import charge_resources, spend
from icmigrate.replica.execution.commit_or_rollback import Executor, Outcome
from icmigrate.replica.execution.effects import log, settle
from icmigrate.replica.execution.result import Result, bump, close_context
from icmigrate.replica.state.calls import (
    CallContext,
    CanisterOrigin,
    CanisterResponse,
    Closure,
)
from icmigrate.replica.state.canister import Canister, CycleUse
from icmigrate.replica.state.responses import Reject, Reply, Response
from icmigrate.replica.system_api.execution_modes import ExecutionMode


def execute_response(executor: Executor, canister: Canister, message: CanisterResponse, now: int) -> Result:
    """The response to a call that the canister made: its reply or reject callback."""
    response, refund = message.response, message.refund
    canister = charge_resources(executor.fees, canister, now)
    callbacks = dict(canister.callbacks)
    callback = callbacks.pop(message.callback_id, None)
    if callback is None:  # The call timed out before.
        return Result(canister.with_(cycles=canister.cycles + refund))
    size = len(response.data) if isinstance(response, Reply) else len(response.message.encode())
    transmission = min(callback.prepaid, executor.fees.response_transmission(size))
    prepaid = callback.prepaid - transmission
    canister = canister.with_(callbacks=callbacks, cycles=canister.cycles + refund)
    canister = spend(canister, transmission, refund=transmission, use=CycleUse.TRANSMISSION)
    context = canister.contexts[callback.context_id]
    if context.deleted:
        return close_context(Result(canister.with_(cycles=canister.cycles + prepaid)), context, None, 0)

    failed = isinstance(response, Reject)
    caller = context.origin.caller
    api = executor.api(
        ExecutionMode.REJECT if failed else ExecutionMode.REPLY,
        canister,
        caller,
        now,
        executor.limits.update_instructions,
    )
    if isinstance(response, Reply):
        api.arg = response.data
    else:
        api.reject = response
    api.sender_info = context.origin.sender_info
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
        after, sent = settle(canister, outcome, context)
        after = bump(log(after, outcome))
        response_now, back = api.response, api.cycles_refunded_to_caller
    else:
        after = log(canister, outcome)
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
    after = spend(after, min(prepaid, executor.fees.execution(used)), refund=prepaid)
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
    api = executor.api(ExecutionMode.CLEANUP, canister, context.origin.caller, now, executor.limits.update_instructions)
    api.sender_info = context.origin.sender_info
    api.reject = response if isinstance(response, Reject) else None
    api.instructions_before = context.instructions
    outcome = executor.execute(canister, api, closure, keep=True)
    if outcome.error is None:
        after, _ = settle(canister, outcome, None)
        return bump(log(after, outcome)), outcome
    return log(canister, outcome), outcome
