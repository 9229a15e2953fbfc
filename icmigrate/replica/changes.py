"""Plumbing: one transaction on the subnet's state.

A `Changes` is an overlay over `SubnetState`: reads see its own writes, the state itself is untouched until
the commit writes everything in one database transaction and then into the state. Dropping it undoes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from icmigrate.protocol.principal import Principal

from icmigrate.replica.state import (
    Canister,
    CanisterRequest,
    CanisterResponse,
    IngressStatus,
    Message,
    Refused,
    Reject,
    RejectCode,
    SubnetState,
)


@dataclass(slots=True)
class Changes:
    """What one message changes. Values of None stand for deletion."""

    base: SubnetState
    time_ns: int
    canisters: dict[Principal, Canister | None] = field(default_factory=dict)
    ingress: dict[bytes, IngressStatus | None] = field(default_factory=dict)
    messages: dict[int, Message | None] = field(default_factory=dict)
    sent: list[Message] = field(default_factory=list)
    native: dict[tuple[str, bytes], bytes | None] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    """Content-addressed files that this transaction relies on (already written, durable)."""

    def canister(self, canister_id: Principal) -> Canister | None:
        if canister_id in self.canisters:
            return self.canisters[canister_id]
        return self.base.canisters.get(canister_id)

    def existing(self, canister_id: Principal) -> Canister:
        """The canister, or Refused with IC0301."""
        canister = self.canister(canister_id)
        if canister is None:
            message = f"Canister {canister_id.to_str()} not found"
            raise Refused(Reject(RejectCode.DESTINATION_INVALID, message, "IC0301"))
        return canister

    def put(self, canister: Canister) -> None:
        self.canisters[canister.id] = canister

    def delete(self, canister_id: Principal) -> None:
        self.canisters[canister_id] = None

    def set_ingress(self, request_id: bytes, status: IngressStatus | None) -> None:
        self.ingress[request_id] = status

    def send(self, message: CanisterRequest | CanisterResponse) -> None:
        """Queues a message; its id is given at the commit, in the order of sending."""
        self.sent.append(message)

    def take(self, message_id: int) -> None:
        """The message is dealt with by this transaction."""
        self.messages[message_id] = None

    def native_get(self, namespace: str, key: bytes) -> bytes | None:
        if (namespace, key) in self.native:
            return self.native[(namespace, key)]
        return self.base.native.get((namespace, key))

    def native_put(self, namespace: str, key: bytes, value: bytes | None) -> None:
        self.native[(namespace, key)] = value
