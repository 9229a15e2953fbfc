"""Interface Specification, "Authentication": form, expiry and signatures of a request, checked before anything else.

How signatures and delegations are checked is said in `icmigrate/protocol/envelope.py`.
"""

from __future__ import annotations

from icmigrate.protocol import envelope
from icmigrate.protocol.envelope import Envelope, EnvelopeError
from icmigrate.protocol.principal import ANONYMOUS
from icmigrate.replica.http.requests import BadRequest


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
