"""Interface Specification, "Call contexts" and "Request: Call": calls from outside and between canisters, under way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from icmigrate.protocol.principal import MANAGEMENT_CANISTER, Principal
from icmigrate.replica.state.responses import Response


@dataclass(frozen=True, slots=True)
class SenderInfo:
    """What the canister that signs for a user says about that user, authenticated (section "Request: Call")."""

    info: bytes
    signer: Principal


@dataclass(frozen=True, slots=True)
class Ingress:
    """An authenticated call from outside (section "Request: Call"); a query of a query method has the same content."""

    request_id: bytes
    sender: Principal
    canister_id: Principal
    method_name: str
    arg: bytes
    ingress_expiry: int
    effective_canister_id: Principal
    sender_info: SenderInfo | None = None

    @property
    def origin(self) -> Origin:
        """Whom the answer goes to."""
        return IngressOrigin(self.request_id, self.sender, self.sender_info)


class IngressState(StrEnum):
    """Section "Request status": the text that the state tree shows."""

    RECEIVED = "received"
    PROCESSING = "processing"
    REPLIED = "replied"
    REJECTED = "rejected"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class IngressStatus:
    """What became of a request id. `response` is set when the state is REPLIED or REJECTED.

    DONE stands for a request whose response was forgotten (retention passed) but which must not run again.
    """

    state: IngressState
    sender: Principal
    effective_canister_id: Principal
    ingress_expiry: int
    response: Response | None = None
    answered_at: int = 0
    canister_id: Principal = MANAGEMENT_CANISTER
    """What was called."""

    @property
    def is_terminal(self) -> bool:
        """Whether the answer is there, or was."""
        return self.state in (IngressState.REPLIED, IngressState.REJECTED, IngressState.DONE)


@dataclass(frozen=True, slots=True)
class IngressOrigin:
    """A call that came from outside."""

    request_id: bytes
    caller: Principal
    sender_info: SenderInfo | None = None


@dataclass(frozen=True, slots=True)
class CanisterOrigin:
    """A call that came from a canister; its response goes to the caller's callback `callback_id`.

    `deadline` is None for guaranteed-response calls, else the time after which a best-effort call expires.
    """

    caller: Principal
    callback_id: int
    deadline: int | None = None

    @property
    def sender_info(self) -> None:
        """Only users have one."""


@dataclass(frozen=True, slots=True)
class SystemOrigin:
    """A heartbeat, timer or hook: nobody waits for a response."""

    @property
    def caller(self) -> Principal:
        """Whom the System API names as the caller."""
        return MANAGEMENT_CANISTER

    @property
    def sender_info(self) -> None:
        """Only users have one."""


Origin = IngressOrigin | CanisterOrigin | SystemOrigin


@dataclass(frozen=True, slots=True)
class CallContext:
    """Section "Call contexts". Deleted when answered (or a system task) and no callback is outstanding."""

    id: int
    origin: Origin
    cycles_available: int = 0
    responded: bool = False
    instructions: int = 0
    deleted: bool = False
    """Its code was uninstalled: responses that still come are dropped."""


@dataclass(frozen=True, slots=True)
class Closure:
    """A function of the canister's table with its environment word."""

    fun: int
    env: int


@dataclass(frozen=True, slots=True)
class Callback:
    """An outgoing call that waits for its response.

    `cycles_sent` is what the call carried; `prepaid` is what the caller set aside for the response's
    transmission and execution and gets back as far as it is not used.
    """

    id: int
    context_id: int
    callee: Principal
    on_reply: Closure
    on_reject: Closure
    on_cleanup: Closure | None
    cycles_sent: int
    prepaid: int
    deadline: int | None = None


@dataclass(frozen=True, slots=True)
class CanisterRequest:
    """A call under way from `sender` to `receiver`."""

    id: int
    sender: Principal
    receiver: Principal
    method_name: str
    arg: bytes
    cycles: int
    callback_id: int
    deadline: int | None = None

    @property
    def origin(self) -> Origin:
        """Whom the answer goes to."""
        return CanisterOrigin(self.sender, self.callback_id, self.deadline)


@dataclass(frozen=True, slots=True)
class CanisterResponse:
    """A response under way to the caller `receiver`; `refund` are the cycles not accepted."""

    id: int
    receiver: Principal
    callback_id: int
    response: Response
    refund: int
    deadline: int | None = None


Message = CanisterRequest | CanisterResponse


@dataclass(frozen=True, slots=True)
class StopCall:
    """A stop_canister call that waits for the open call contexts; answered when the canister is stopped."""

    origin: Origin
    cycles: int
    requested_at: int
