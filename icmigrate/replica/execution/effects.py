"""Interface Specification, "Abstract behavior": what a successful execution did becomes the canister's next record."""

from __future__ import annotations

from icmigrate.replica.execution.commit_or_rollback import Outcome
from icmigrate.replica.execution.low_memory import watch_memory
from icmigrate.replica.state.calls import Callback, CallContext, CanisterRequest, Message
from icmigrate.replica.state.canister import Canister, CycleUse, LogRecord

_LOG_OVERHEAD = 24
"""Bytes that each line of the log takes besides its text."""


def settle(canister: Canister, outcome: Outcome, context: CallContext | None) -> tuple[Canister, list[Message]]:
    """The canister after a successful replicated execution, and the requests that it sent.

    The execution's fee is the caller's part; the balance is what the canister had left.
    """
    api = outcome.api
    callbacks = dict(canister.callbacks)
    next_id = canister.next_id
    sent: list[Message] = []
    for call in api.calls:
        assert context is not None
        deadline = None if call.timeout is None else api.time + call.timeout * 1_000_000_000
        callbacks[next_id] = Callback(
            id=next_id,
            context_id=context.id,
            callee=call.callee,
            on_reply=call.on_reply,
            on_reject=call.on_reject,
            on_cleanup=call.on_cleanup,
            cycles_sent=call.cycles,
            prepaid=call.prepaid,
            deadline=deadline,
        )
        sent.append(
            CanisterRequest(
                0, canister.id, call.callee, call.method_name, bytes(call.arg), call.cycles, next_id, deadline
            )
        )
        next_id += 1
    pending = api.under_construction.cycles if api.under_construction else 0
    settled = canister.with_(
        cycles=api.balance + pending,
        memory=outcome.memory,
        callbacks=callbacks,
        next_id=next_id,
        certified_data=canister.certified_data if api.certified_data is None else api.certified_data,
        global_timer=canister.global_timer if api.global_timer is None else api.global_timer,
    )
    for use, amount in ((CycleUse.BURNED, api.cycles_burned), (CycleUse.TRANSMISSION, api.cycles_for_requests)):
        if amount:
            settled = settled.consuming(use, amount)
    return watch_memory(settled), sent


def log(canister: Canister, outcome: Outcome) -> Canister:
    """Adds what was printed, and the trap, to the canister's log; long lines are cut, the oldest make room."""
    lines = list(outcome.api.printed)
    trap = outcome.error.log_line() if outcome.error else None
    if trap is not None:
        lines.append(trap.encode())
    if not lines:
        return canister
    records = list(canister.logs)
    capacity = canister.settings.log_memory_limit
    for number, line in enumerate(lines, canister.next_log):
        records.append(LogRecord(number, outcome.api.time, line[: max(0, capacity - _LOG_OVERHEAD)]))
    size = sum(len(record.content) + _LOG_OVERHEAD for record in records)
    while records and size > capacity:
        size -= len(records.pop(0).content) + _LOG_OVERHEAD
    return canister.with_(logs=tuple(records), next_log=canister.next_log + len(lines))
