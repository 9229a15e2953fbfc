"""Interface Specification, "The IC management canister": executing calls to native canisters."""

from __future__ import annotations

from icmigrate.replica.errors import system_rejects
from icmigrate.replica.errors.rejected import Rejected
from icmigrate.replica.execution.result import CallAnswer
from icmigrate.replica.state.calls import CanisterRequest, Ingress
from icmigrate.replica.state.responses import Reject, Response
from icmigrate.replica.subnet.commits import Commits
from icmigrate.replica.subnet.native_canister import Deferred, NativeCall, NativeCanister


async def execute_native(commits: Commits, native: NativeCanister, message: Ingress | CanisterRequest) -> None:
    """Executes one message in one transaction; the lock of the canister it works on is held meanwhile."""
    attached = 0 if isinstance(message, Ingress) else message.cycles
    call = NativeCall(message.origin, message.sender, message.method_name, message.arg, attached)
    changes = commits.changes()
    response: Response | Deferred
    if isinstance(message, Ingress) and message.ingress_expiry < changes.time_ns:
        response = system_rejects.ingress_timed_out()
    else:
        try:
            response = await native.execute(call, changes)
            charged = None
        except Rejected as rejected:
            response, charged = rejected.reject, rejected.charged
        if isinstance(response, Reject):
            changes = commits.changes()
            call.cycles = attached
            if charged is not None:
                changes.put(charged)
    if isinstance(message, Ingress):
        changes.executed.add(message.request_id)
    else:
        changes.take(message.id)
    if not isinstance(response, Deferred):
        commits.answer(changes, CallAnswer(message.origin, response, call.cycles))
    elif isinstance(message, Ingress):
        commits.processing(changes, message)
    commits.commit(changes)
