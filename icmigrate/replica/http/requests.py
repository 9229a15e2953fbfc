"""Interface Specification, "HTTPS Interface": what a request says, and to whom its URL is addressed.

A request that cannot be understood raises BadRequest, which becomes an HTTP status with a line of text.
"""

from __future__ import annotations

from dataclasses import dataclass

from icmigrate.protocol.envelope import Envelope
from icmigrate.protocol.principal import MANAGEMENT_CANISTER, Principal
from icmigrate.replica.state.calls import Ingress, SenderInfo
from icmigrate.replica.state.canister_ids import in_canister_ranges


class BadRequest(Exception):
    """The request is answered with this HTTP status and a line of plain text."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class EffectiveId:
    """What the URL names: an effective canister id, or an effective subnet id."""

    id: Principal
    is_subnet: bool = False


def parse_target(text: str, *, is_subnet: bool, subnet_id: Principal) -> EffectiveId:
    """The principal in a URL. Raises BadRequest when it is none, or not one of this subnet."""
    try:
        principal = Principal.from_str(text)
    except ValueError as error:
        raise BadRequest(400, f"Invalid principal in URL: {error}") from None
    if is_subnet and principal != subnet_id:
        raise BadRequest(400, f"Subnet {text} is not hosted by this replica.")
    return EffectiveId(principal, is_subnet)


def parse_call(parsed: Envelope, target: EffectiveId) -> Ingress:
    """The call that a call or query request to a URL asks for. Raises BadRequest."""
    match parsed.content:
        case {"canister_id": bytes(canister_id), "method_name": str(method_name), "arg": bytes(arg)}:
            if len(canister_id) > 29:
                raise BadRequest(400, "Malformed request: canister_id is not a principal")
            return Ingress(
                request_id=parsed.request_id,
                sender=parsed.sender,
                canister_id=Principal(canister_id),
                method_name=method_name,
                arg=arg,
                ingress_expiry=parsed.ingress_expiry,
                effective_canister_id=target.id,
                sender_info=_sender_info(parsed),
            )
    raise BadRequest(400, "Malformed request: canister_id, method_name and arg are required")


def _sender_info(authenticated: Envelope) -> SenderInfo | None:
    match authenticated.content.get("sender_info"):
        case {"info": bytes(info), "signer": bytes(signer)}:
            return SenderInfo(info, Principal(signer))
    return None


def require_hosted(target: EffectiveId) -> None:
    """Raises BadRequest unless an effective canister id is one of this subnet's or the management canister's."""
    if not target.is_subnet and target.id != MANAGEMENT_CANISTER and not in_canister_ranges(target.id):
        raise BadRequest(400, f"canister_not_found: {target.id.to_str()} is not hosted by this replica.")
