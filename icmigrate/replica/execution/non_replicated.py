"""Interface Specification, "Request: Query call" and "Ingress message inspection": executions that leave no trace."""

from __future__ import annotations

from collections.abc import Callable

from icmigrate.protocol.principal import Principal
from icmigrate.replica.errors import system_rejects
from icmigrate.replica.execution.commit_or_rollback import Executor, Outcome
from icmigrate.replica.execution.instance import Instance
from icmigrate.replica.execution.warm_instances import discard
from icmigrate.replica.state.calls import (
    Ingress,
    SenderInfo,
)
from icmigrate.replica.state.canister import Canister
from icmigrate.replica.state.responses import Reject, Response
from icmigrate.replica.system_api.execution_modes import ExecutionMode
from icmigrate.replica.system_api.system_api import SystemApi


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
    api = executor.api(ExecutionMode.NON_REPLICATED_QUERY, canister, caller, now, limit)
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
    api = executor.api(ExecutionMode.INSPECT, canister, ingress.sender, now, executor.limits.inspect_instructions)
    api.arg, api.method_name, api.sender_info = ingress.arg, ingress.method_name, ingress.sender_info
    outcome = _without_trace(executor, canister, api, "canister_inspect_message", instance)
    if outcome.error is not None:
        return outcome.error.reject(canister.id)
    if not api.accepted:
        return system_rejects.message_not_accepted(canister.id)
    return None


def _without_trace(
    executor: Executor, canister: Canister, api: SystemApi, entry: str, instance: Instance | None
) -> Outcome:
    if instance is None:
        return executor.execute(canister, api, entry, keep=False)
    try:
        return executor.execute_on(instance, canister, api, entry)
    finally:
        discard(instance)
