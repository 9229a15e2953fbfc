"""Interface Specification, "HTTPS Interface": everything that is checked before a request is executed.

Two kinds of refusal: `BadRequest` becomes an HTTP status with a line of text, `Rejected` becomes a reject that
is not certified (the replica's ingress filter).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from icmigrate.protocol import envelope
from icmigrate.protocol.envelope import Envelope, EnvelopeError
from icmigrate.protocol.principal import ANONYMOUS, MANAGEMENT_CANISTER, Principal
from icmigrate.replica.errors import system_rejects
from icmigrate.replica.errors.rejected import Rejected
from icmigrate.replica.execution.admission import no_module, not_running, out_of_cycles
from icmigrate.replica.management.canister import ManagementCanister
from icmigrate.replica.state.calls import Ingress, SenderInfo
from icmigrate.replica.state.canister import Canister
from icmigrate.replica.state.canister_ids import in_canister_ranges
from icmigrate.replica.subnet.subnet import Subnet

SUBNET_CALLS = ("create_canister", "provisional_create_canister_with_cycles")
SUBNET_QUERIES = ("list_canisters",)
"""What can be called without naming a canister: by the id of the subnet, or by `aaaaa-aa`."""


class BadRequest(Exception):
    """The request is answered with this HTTP status and a line of plain text."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Target:
    """What the URL names: an effective canister id, or an effective subnet id."""

    id: Principal
    is_subnet: bool = False


@dataclass(frozen=True)
class Call:
    """The content of a call or query request."""

    request_id: bytes
    sender: Principal
    ingress_expiry: int
    canister_id: Principal
    method_name: str
    arg: bytes
    sender_info: SenderInfo | None = None


def parse_target(text: str, *, is_subnet: bool, subnet_id: Principal) -> Target:
    """The principal in a URL. Raises BadRequest when it is none, or not one of this subnet."""
    try:
        principal = Principal.from_str(text)
    except ValueError as error:
        raise BadRequest(400, f"Invalid principal in URL: {error}") from None
    if is_subnet and principal != subnet_id:
        raise BadRequest(400, f"Subnet {text} is not hosted by this replica.")
    return Target(principal, is_subnet)


def authenticated(body: bytes, request_type: str, now_ns: int, root_key: bytes) -> Envelope:
    """The envelope in a request's body, with form, expiry and signatures checked. Raises BadRequest."""
    try:
        parsed = envelope.parse(body)
        given = parsed.content.get("request_type")
        if given != request_type:
            raise EnvelopeError(f"Malformed request: expected request_type {request_type!r}, got {given!r}")
        # Reading anonymously reveals nothing to a replayer: such requests may carry any expiry.
        if request_type == "call" or parsed.sender != ANONYMOUS:
            envelope.check_expiry(parsed, now_ns=now_ns)
        canister_id = parsed.content.get("canister_id")
        envelope.authenticate(
            parsed,
            now_ns=now_ns,
            canister_id=canister_id if isinstance(canister_id, bytes) else None,
            root_key_der=root_key,
        )
    except EnvelopeError as error:
        raise BadRequest(400, str(error)) from None
    return parsed


def parse_call(parsed: Envelope) -> Call:
    """The fields of a call or query. Raises BadRequest."""
    match parsed.content:
        case {"canister_id": bytes(canister_id), "method_name": str(method_name), "arg": bytes(arg)}:
            if len(canister_id) > 29:
                raise BadRequest(400, "Malformed request: canister_id is not a principal")
            return Call(
                parsed.request_id,
                parsed.sender,
                parsed.ingress_expiry,
                Principal(canister_id),
                method_name,
                arg,
                _sender_info(parsed),
            )
    raise BadRequest(400, "Malformed request: canister_id, method_name and arg are required")


def _sender_info(authenticated: Envelope) -> SenderInfo | None:
    match authenticated.content.get("sender_info"):
        case {"info": bytes(info), "signer": bytes(signer)}:
            return SenderInfo(info, Principal(signer))
    return None


class IngressFilter:
    """Decides, before anything is executed, whether a request is taken in."""

    def __init__(self, subnet: Subnet, management: ManagementCanister, natives: Iterable[Principal] = ()) -> None:
        """`natives` are the canisters that the replica answers itself, besides the management canister."""
        self._subnet = subnet
        self._management = management
        self._natives = frozenset(natives)

    def check_target(self, call: Call, target: Target, *, is_query: bool) -> None:
        """Section "Effective canister id": raises BadRequest unless the URL names what the request goes to.

        Raises Rejected for a management call that would be rejected whatever the URL names.
        """
        if call.canister_id != MANAGEMENT_CANISTER:
            if target.is_subnet:
                raise BadRequest(400, "The subnet endpoint is for the management canister only.")
            _require_equal(call.canister_id, target.id)
            return
        names_no_canister = target.is_subnet or target.id == MANAGEMENT_CANISTER
        if names_no_canister and call.method_name not in (SUBNET_QUERIES if is_query else SUBNET_CALLS):
            raise BadRequest(400, f"Method {call.method_name} needs a canister in the URL.")
        expected = self._management.effective_canister_id(call.method_name, call.arg, is_query=is_query)
        if expected is not None:
            _require_equal(expected, target.id)

    async def check_call(self, ingress: Ingress) -> None:
        """The replica's ingress filter. Raises Rejected with the reject that the caller is told, uncertified."""
        if ingress.canister_id == MANAGEMENT_CANISTER:
            self._check_management_call(ingress)
        elif ingress.canister_id not in self._natives:
            await self._check_canister_call(ingress)

    def _check_management_call(self, ingress: Ingress) -> None:
        method_name = ingress.method_name
        target = self._management.effective_canister_id(method_name, ingress.arg, is_query=False)
        if target is None:
            return
        canister = self._subnet.state.canisters.get(target)
        if canister is None:
            raise Rejected(system_rejects.not_found(target))
        self._management.filter_ingress(ingress.sender, method_name, canister)
        # A canister without cycles has to be reachable for topping up and for a lower freezing threshold.
        if method_name not in ("provisional_top_up_canister", "update_settings"):
            self._check_cycles(ingress, canister)

    async def _check_canister_call(self, ingress: Ingress) -> None:
        canister = self._subnet.state.canisters.get(ingress.canister_id)
        if canister is None:
            raise Rejected(system_rejects.not_found(ingress.canister_id))
        self._check_cycles(ingress, canister)
        reject = not_running(canister) or no_module(canister) or await self._subnet.inspect_message(ingress)
        if reject is not None:
            raise Rejected(reject)

    def _check_cycles(self, ingress: Ingress, payer: Canister) -> None:
        fees = self._subnet.fees
        reject = out_of_cycles(fees, payer, fees.ingress(ingress.method_name, ingress.arg), ingress.sender)
        if reject is not None:
            raise Rejected(reject)


def _require_equal(expected: Principal, given: Principal) -> None:
    if expected != given:
        raise BadRequest(
            400,
            f"Specified CanisterId {expected.to_str()} does not match effective canister id in URL {given.to_str()}",
        )


def require_hosted(target: Target) -> None:
    """Raises BadRequest unless an effective canister id is one of this subnet's or the management canister's."""
    if not target.is_subnet and target.id != MANAGEMENT_CANISTER and not in_canister_ranges(target.id):
        raise BadRequest(400, f"canister_not_found: {target.id.to_str()} is not hosted by this replica.")
