"""Interface Specification, "Authentication": delegations of one key to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from icmigrate.errors import EnvelopeError
from icmigrate.protocol.hash_of_map import hash_of_map

DOMAIN = b"\x1aic-request-auth-delegation"
MAX_CHAIN = 20
MAX_TARGETS = 1000
QUERIES, ALL = "queries", "all"


@dataclass(frozen=True)
class Delegation:
    """Lets `public_key_der` sign for the delegating key.

    Until `expiration` (nanoseconds since 1970); for requests to `targets` (canister ids) only, if given;
    for queries and read_state only, if `permissions` is "queries".
    """

    public_key_der: bytes
    expiration: int
    targets: tuple[bytes, ...] | None = None
    permissions: str | None = None

    def to_map(self) -> dict[str, object]:
        """The map that is hashed, signed and sent."""
        content: dict[str, object] = {"pubkey": self.public_key_der, "expiration": self.expiration}
        if self.targets is not None:
            content["targets"] = list(self.targets)
        if self.permissions is not None:
            content["permissions"] = self.permissions
        return content

    def signed_bytes(self) -> bytes:
        """What the delegating key signs."""
        return DOMAIN + hash_of_map(self.to_map())


@dataclass(frozen=True)
class SignedDelegation:
    """A delegation and the signature of the key before it in the chain."""

    delegation: Delegation
    signature: bytes

    def to_map(self) -> dict[str, object]:
        return {"delegation": self.delegation.to_map(), "signature": self.signature}

    @staticmethod
    def from_map(value: object) -> SignedDelegation:
        """The delegation of a decoded envelope. Raises `EnvelopeError`."""
        match value:
            case {"delegation": dict(content), "signature": bytes(signature)}:
                return SignedDelegation(_parse(content), signature)
        raise EnvelopeError("Malformed delegation")


def _parse(content: Mapping[str, object]) -> Delegation:
    match {name: value for name, value in content.items() if value is not None}:
        case {"pubkey": bytes(public_key), "expiration": int(expiration), **rest} if expiration >= 0:
            targets, permissions = rest.pop("targets", None), rest.pop("permissions", None)
            if rest or not isinstance(permissions, str | None):
                raise EnvelopeError("Malformed delegation")
            if permissions not in (None, QUERIES, ALL):
                raise EnvelopeError(f"Invalid delegation permissions: {permissions}")
            return Delegation(public_key, expiration, _parse_targets(targets), permissions)
    raise EnvelopeError("Malformed delegation")


def _parse_targets(targets: object) -> tuple[bytes, ...] | None:
    if targets is None:
        return None
    if not isinstance(targets, list) or not all(isinstance(target, bytes) for target in targets):
        raise EnvelopeError("Malformed delegation targets")
    if len(targets) > MAX_TARGETS:
        raise EnvelopeError(f"Too many delegation targets: {len(targets)}, at most {MAX_TARGETS}")
    return tuple(targets)
