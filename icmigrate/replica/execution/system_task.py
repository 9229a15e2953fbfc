"""Interface Specification, "Heartbeat", "Global timer", "On Low Wasm Memory": executing one of these."""

from __future__ import annotations

from enum import StrEnum

from icmigrate.protocol.principal import MANAGEMENT_CANISTER
from icmigrate.replica.execution.charging import available, charge_resources, spend
from icmigrate.replica.execution.commit_or_rollback import Executor
from icmigrate.replica.execution.effects import log, settle
from icmigrate.replica.execution.result import Result, bump, close_context
from icmigrate.replica.state.calls import (
    CallContext,
    SystemOrigin,
)
from icmigrate.replica.state.canister import Canister
from icmigrate.replica.system_api.execution_modes import ExecutionMode


class SystemTask(StrEnum):
    """What the system calls by itself, as the export that is called."""

    HEARTBEAT = "canister_heartbeat"
    GLOBAL_TIMER = "canister_global_timer"
    ON_LOW_WASM_MEMORY = "canister_on_low_wasm_memory"


def execute_task(executor: Executor, canister: Canister, task: SystemTask, now: int) -> Result:
    """A heartbeat, a global timer or the low-memory hook. Nothing happens while it cannot be paid."""
    canister = charge_resources(executor.fees, canister, now)
    if task is SystemTask.GLOBAL_TIMER:
        canister = canister.with_(global_timer=0)
    if task is SystemTask.ON_LOW_WASM_MEMORY:
        canister = canister.with_(low_memory_hook="executed")
    limit = executor.limits.update_instructions
    prepaid = executor.fees.execution(limit)
    if available(executor.fees, canister) < prepaid:
        return Result(canister)
    api = executor.api(ExecutionMode.SYSTEM_TASK, canister, MANAGEMENT_CANISTER, now, limit)
    api.balance = canister.cycles - prepaid
    outcome = executor.execute(canister, api, task, keep=True)
    used = executor.fees.execution(outcome.instructions)
    if outcome.error is not None:
        return Result(spend(log(canister, outcome), used))
    context = CallContext(id=canister.next_id, origin=SystemOrigin(), responded=True, instructions=outcome.instructions)
    canister = canister.with_(next_id=canister.next_id + 1)
    after, sent = settle(canister, outcome, context)
    after = spend(bump(log(after, outcome)), used, refund=prepaid)
    return close_context(Result(after, sent), context, None, 0)
