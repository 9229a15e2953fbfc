"""Interface Specification, "Abstract behavior": the moment at which a state transition becomes true.

Whatever happens is collected in a `Changes`, written to disk in one transaction, and only then seen by anybody.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from icmigrate.replica.execution.result import CallAnswer
from icmigrate.replica.state.calls import (
    CanisterOrigin,
    CanisterResponse,
    Ingress,
    IngressOrigin,
    IngressState,
    SystemOrigin,
)
from icmigrate.replica.state.clock import Clock
from icmigrate.replica.state.responses import Reply
from icmigrate.replica.state.subnet_state import SubnetState
from icmigrate.replica.storage.changes import Changes
from icmigrate.replica.storage.store import Store
from icmigrate.replica.subnet.waiting import Waiting


class Commits:
    """The state and the one way to change it. Belongs to the event loop's thread."""

    def __init__(self, state: SubnetState, store: Store, clock: Clock) -> None:
        self.state = state
        self.store = store
        self._clock = clock
        self._listeners: list[Callable[[Changes], None]] = []
        self.waiting = Waiting()

    def on_commit(self, listener: Callable[[Changes], None]) -> None:
        """Calls `listener` with whatever has just become true."""
        self._listeners.append(listener)

    def changes(self) -> Changes:
        """Begins a transaction."""
        return Changes(self.state, self._clock.time_ns())

    def answer(self, changes: Changes, answer: CallAnswer) -> None:
        """Adds a response to the transaction."""
        match answer.origin:
            case IngressOrigin(request_id=request_id):
                before = changes.ingress.get(request_id) or self.state.ingress.get(request_id)
                if before is None:
                    return
                outcome = IngressState.REPLIED if isinstance(answer.response, Reply) else IngressState.REJECTED
                answered = replace(before, state=outcome, response=answer.response, answered_at=changes.time_ns)
                changes.set_ingress(request_id, answered)
            case CanisterOrigin(caller=caller, callback_id=callback_id, deadline=deadline):
                response = CanisterResponse(0, caller, callback_id, answer.response, answer.refund, deadline)
                changes.send(response)
            case SystemOrigin():
                pass

    def processing(self, changes: Changes, ingress: Ingress) -> None:
        """Adds to the transaction that the request is being executed and its answer is still owed."""
        status = self.state.ingress[ingress.request_id]
        changes.set_ingress(ingress.request_id, replace(status, state=IngressState.PROCESSING))

    def commit(self, changes: Changes, accepted: Ingress | None = None) -> None:
        """Makes a transaction true: on disk, then in memory, then for those who wait."""
        changes.number_messages()
        self.store.commit(changes, accepted)
        changes.apply()
        for request_id, status in changes.ingress.items():
            if status is not None and status.is_terminal:
                self.waiting.answered(request_id)
        for listener in self._listeners:
            listener(changes)

    async def wait(self, request_id: bytes, timeout: float) -> None:
        """Until the request has its answer, or `timeout` seconds are over."""
        status = self.state.ingress.get(request_id)
        if status is None or status.is_terminal:
            return
        await self.waiting.wait(request_id, timeout)
