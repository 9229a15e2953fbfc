"""Interface Specification, "Abstract behavior", messages: what waits for each canister, in order of arrival.

Requests and ingress messages are one queue a canister, responses another: they are executed by different steps. The
messages themselves are part of the state (`SubnetState.messages`, `ingress`), so nothing here has to be stored.
"""

from __future__ import annotations

from collections import deque

from icmigrate.protocol.principal import Principal
from icmigrate.replica.state.calls import CanisterRequest, CanisterResponse, Ingress


class Inbox:
    """The queues of all canisters. Belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._calls: dict[Principal, deque[Ingress | CanisterRequest]] = {}
        self._responses: dict[Principal, deque[CanisterResponse]] = {}

    def put_call(self, receiver: Principal, call: Ingress | CanisterRequest) -> None:
        """Adds an ingress message or a request behind the others."""
        self._calls.setdefault(receiver, deque()).append(call)

    def put_response(self, response: CanisterResponse) -> None:
        """Adds a response behind the others."""
        self._responses.setdefault(response.receiver, deque()).append(response)

    def next_call(self, receiver: Principal) -> Ingress | CanisterRequest | None:
        """The call that is executed next; it stays until `call_done`."""
        queue = self._calls.get(receiver)
        return queue[0] if queue else None

    def next_response(self, receiver: Principal) -> CanisterResponse | None:
        """The response that is executed next; it stays until `response_done`."""
        queue = self._responses.get(receiver)
        return queue[0] if queue else None

    def call_done(self, receiver: Principal) -> None:
        """Removes what `next_call` gave."""
        self._calls[receiver].popleft()

    def response_done(self, receiver: Principal) -> None:
        """Removes what `next_response` gave."""
        self._responses[receiver].popleft()

    def is_answered(self, caller: Principal, callback_id: int) -> bool:
        """Whether a response to this call of `caller` waits already."""
        return any(response.callback_id == callback_id for response in self._responses.get(caller, ()))

    def calls(self, receiver: Principal) -> tuple[Ingress | CanisterRequest, ...]:
        """All calls that wait for a canister."""
        return tuple(self._calls.get(receiver, ()))

    def responses(self, receiver: Principal) -> tuple[CanisterResponse, ...]:
        """All responses that wait for a canister."""
        return tuple(self._responses.get(receiver, ()))

    def drop(self, receiver: Principal) -> None:
        """Forgets the queues of a canister that is not there."""
        self._calls.pop(receiver, None)
        self._responses.pop(receiver, None)
