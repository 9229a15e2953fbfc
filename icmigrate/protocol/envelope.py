"""Interface Specification, "Authentication" and "Request ids": requests, signed and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from icmigrate.errors import CborError, EnvelopeError
from icmigrate.protocol import cbor, delegation
from icmigrate.protocol.delegation import SignedDelegation
from icmigrate.protocol.hash_of_map import hash_of_map
from icmigrate.protocol.identity import Identity
from icmigrate.protocol.principal import ANONYMOUS, MAX_LENGTH, Principal
from icmigrate.protocol.signature import canister_signature_key, verify_signature

__all__ = [
    "Envelope",
    "EnvelopeError",
    "SignedRequest",
    "authenticate",
    "check_expiry",
    "parse",
    "prepare",
    "request_id",
    "sign",
]

REQUEST_DOMAIN = b"\x0aic-request"
SENDER_INFO_DOMAIN = b"\x0eic-sender-info"
MAX_NONCE = 32
MAX_ITEMS = 150_000
"""Elements of arrays and maps: more than 1,000 paths of 127 labels."""
MAX_EXPIRY_NS = 5 * 60 * 10**9
# How far the clocks of clients may go ahead.
EXPIRY_SLACK_NS = 60 * 10**9


def request_id(content: Mapping[str, object]) -> bytes:
    """The id (32 bytes) of a request: the representation-independent hash of its content."""
    return hash_of_map(content)


# -- the client's side ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class SignedRequest:
    """A request ready to be sent: its id, and the envelope in CBOR."""

    request_id: bytes
    envelope: bytes


def prepare(content: Mapping[str, object], identity: Identity) -> SignedRequest:
    """Signs a request. `sender` is filled in from the identity unless `content` has it."""
    content = {"sender": identity.sender().bytes, **content}
    id_ = request_id(content)
    envelope: dict[str, object] = {"content": content}
    public_key = identity.public_key_der()
    if public_key is not None:
        envelope["sender_pubkey"] = public_key
        envelope["sender_sig"] = identity.sign(REQUEST_DOMAIN + id_)
        if identity.delegations:
            envelope["sender_delegation"] = [signed.to_map() for signed in identity.delegations]
    return SignedRequest(id_, cbor.dumps(envelope))


def sign(content: Mapping[str, object], identity: Identity) -> bytes:
    """The signed envelope of a request, in CBOR."""
    return prepare(content, identity).envelope


# -- the replica's side ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Envelope:
    """A request as it came in: well-formed, not yet authenticated. Times are nanoseconds since 1970."""

    content: Mapping[str, object]
    sender: Principal
    ingress_expiry: int
    sender_pubkey: bytes | None
    sender_sig: bytes | None
    sender_delegation: Sequence[SignedDelegation]

    @cached_property
    def request_id(self) -> bytes:
        return request_id(self.content)


def parse(data: bytes | memoryview) -> Envelope:
    """The envelope that `data` encodes. Raises `EnvelopeError` unless its form is right."""
    try:
        outer = cbor.loads(data, max_items=MAX_ITEMS)
    except CborError as error:
        raise EnvelopeError(f"Could not parse body as CBOR: {error}") from None
    inner = outer.get("content") if isinstance(outer, dict) else None
    if not isinstance(outer, dict) or not isinstance(inner, dict):
        raise EnvelopeError("The request has no content")
    content = _parse_content(inner)
    chain = outer.get("sender_delegation") or []
    if not isinstance(chain, list):
        raise EnvelopeError("sender_delegation is not an array")
    if len(chain) > delegation.MAX_CHAIN:
        raise EnvelopeError(f"Chain of delegations is too long: {len(chain)}, at most {delegation.MAX_CHAIN}")
    sender, expiry = content.get("sender"), content.get("ingress_expiry")
    if not isinstance(sender, bytes) or len(sender) > MAX_LENGTH:
        raise EnvelopeError("sender is missing or not a principal")
    if not isinstance(expiry, int) or not 0 <= expiry < 1 << 64:
        raise EnvelopeError("ingress_expiry is missing or not a 64-bit number")
    return Envelope(
        content,
        Principal(sender),
        expiry,
        _optional_bytes(outer, "sender_pubkey"),
        _optional_bytes(outer, "sender_sig"),
        [SignedDelegation.from_map(item) for item in chain],
    )


def _parse_content(value: Mapping[object, object]) -> dict[str, object]:
    # Some encoders write an optional field that is not there as null.
    content = {str(name): field for name, field in value.items() if field is not None}
    if not all(isinstance(name, str) for name in value):
        raise EnvelopeError("A field's name is not text")
    nonce, arg = content.get("nonce", b""), content.get("arg", b"")
    if not isinstance(arg, bytes):
        raise EnvelopeError("arg is not a blob")
    if not isinstance(nonce, bytes) or len(nonce) > MAX_NONCE:
        raise EnvelopeError(f"nonce is not a blob of at most {MAX_NONCE} bytes")
    try:
        request_id({name: field for name, field in content.items() if name != "arg"})
    except (TypeError, AttributeError):
        raise EnvelopeError("A field's value is of no kind that requests have") from None
    return content


def _optional_bytes(outer: Mapping[object, object], name: str) -> bytes | None:
    value = outer.get(name)
    if value is not None and not isinstance(value, bytes):
        raise EnvelopeError(f"{name} is not a blob")
    return value


def check_expiry(envelope: Envelope, *, now_ns: int) -> None:
    """Raises `EnvelopeError` unless the request is still valid, and not valid for longer than allowed.

    Clients look for the first words of the message to set their clocks.
    """
    latest = now_ns + MAX_EXPIRY_NS + EXPIRY_SLACK_NS
    if not now_ns <= envelope.ingress_expiry <= latest:
        raise EnvelopeError(
            "Invalid request expiry: Specified ingress_expiry not within expected range: "
            f"Minimum allowed expiry: {now_ns}, Maximum allowed expiry: {latest}, "
            f"Provided expiry: {envelope.ingress_expiry}"
        )


def authenticate(
    envelope: Envelope,
    *,
    now_ns: int,
    canister_id: bytes | None,
    root_key_der: bytes | None = None,
) -> None:
    """Raises `EnvelopeError` unless the sender has really signed the request.

    `canister_id` is the canister that it goes to, for delegations that are restricted to some; None leaves
    that out. Canister signatures are accepted if the network's root key is given. The request's own expiry is
    `check_expiry`'s business.
    """
    chain = envelope.sender_delegation
    if envelope.sender == ANONYMOUS:
        if envelope.sender_pubkey is not None or envelope.sender_sig is not None or chain:
            raise EnvelopeError("Anonymous requests carry neither key, signature nor delegation")
        return
    key, signature = envelope.sender_pubkey, envelope.sender_sig
    if key is None or signature is None:
        raise EnvelopeError("Missing signature: the sender is not anonymous")
    if Principal.self_authenticating(key) != envelope.sender:
        raise EnvelopeError(f"The user id {envelope.sender} does not match the public key {key.hex()}")
    signing_key = _verify_chain(key, envelope, now_ns, canister_id, root_key_der)
    message = REQUEST_DOMAIN + envelope.request_id
    if not verify_signature(signing_key, signature, message, root_key_der=root_key_der):
        raise EnvelopeError("Invalid signature: the request's signature could not be verified")
    _verify_sender_info(envelope, key, root_key_der)


def _verify_chain(
    key: bytes,
    envelope: Envelope,
    now_ns: int,
    canister_id: bytes | None,
    root_key_der: bytes | None,
) -> bytes:
    """The last key of the chain of delegations."""
    seen = {key}
    for signed in envelope.sender_delegation:
        given = signed.delegation
        if not verify_signature(key, signed.signature, given.signed_bytes(), root_key_der=root_key_der):
            raise EnvelopeError("Invalid delegation: its signature could not be verified")
        if given.public_key_der in seen:
            raise EnvelopeError("Invalid delegation: the chain has a cycle")
        if given.expiration < now_ns:
            raise EnvelopeError(f"Invalid delegation expiry: {given.expiration} is before {now_ns}")
        if canister_id is not None and given.targets is not None and canister_id not in given.targets:
            raise EnvelopeError(f"Canister {Principal(canister_id)} is not one of the delegation targets.")
        if given.permissions == delegation.QUERIES and envelope.content.get("request_type") == "call":
            raise EnvelopeError("The delegation permits queries only")
        key = given.public_key_der
        seen.add(key)
    return key


def _verify_sender_info(envelope: Envelope, key: bytes, root_key_der: bytes | None) -> None:
    match envelope.content.get("sender_info"):
        case None:
            return
        case {"info": bytes(info), "signer": bytes(signer), "sig": bytes(signature), **rest} if not rest:
            owner = canister_signature_key(key)
            if owner is None or owner[0].bytes != signer:
                raise EnvelopeError("Invalid sender_info: the signer is not the canister of sender_pubkey")
            message = SENDER_INFO_DOMAIN + info
            if not verify_signature(key, signature, message, root_key_der=root_key_der):
                raise EnvelopeError("Invalid sender_info: its signature could not be verified")
            return
    raise EnvelopeError("Malformed sender_info")
