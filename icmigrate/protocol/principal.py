"""Interface Specification, "Principals": ids of canisters and users, and their textual form."""

from __future__ import annotations

import base64
import hashlib
import zlib
from typing import TYPE_CHECKING

from icmigrate.protocol import ic_py

if TYPE_CHECKING:

    class _IcPyPrincipal:
        def __init__(self, bytes: bytes = b"") -> None: ...
        @property
        def bytes(self) -> bytes: ...
        def to_str(self) -> str: ...

else:
    _IcPyPrincipal = ic_py.principal.Principal

MAX_LENGTH = 29
SELF_AUTHENTICATING = b"\x02"


class Principal(_IcPyPrincipal):
    """ic-py's `Principal`, comparable, hashable and strict: at most 29 bytes.

    `.bytes` is the id, `.to_str()` its textual form.
    """

    def __init__(self, bytes: bytes = b"") -> None:
        if len(bytes) > MAX_LENGTH:
            raise ValueError(f"a principal has at most {MAX_LENGTH} bytes, not {len(bytes)}")
        super().__init__(bytes)

    @staticmethod
    def from_str(text: str) -> Principal:
        """The principal of a textual form. Raises `ValueError` unless format and checksum are exact."""
        letters = text.replace("-", "")
        try:
            decoded = base64.b32decode(letters.upper().encode("ascii") + b"=" * (-len(letters) % 8))
        except ValueError:
            raise ValueError(f"not a principal: {text!r}") from None
        principal = Principal(decoded[4:])
        if len(decoded) < 4 or zlib.crc32(decoded[4:]).to_bytes(4, "big") != decoded[:4]:
            raise ValueError(f"not a principal (checksum differs): {text!r}")
        if principal.to_str() != text:
            raise ValueError(f"not a principal (not in canonical form): {text!r}")
        return principal

    @staticmethod
    def self_authenticating(public_key_der: bytes) -> Principal:
        """The id of the user, subnet or node that holds this public key (DER)."""
        return Principal(hashlib.sha224(public_key_der).digest() + SELF_AUTHENTICATING)

    @staticmethod
    def anonymous() -> Principal:
        return ANONYMOUS

    @staticmethod
    def management_canister() -> Principal:
        return MANAGEMENT_CANISTER

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _IcPyPrincipal) and self.bytes == other.bytes

    def __lt__(self, other: Principal) -> bool:
        """Shorter ones first, as in the sets of the replica and of canisters in Rust."""
        return (len(self.bytes), self.bytes) < (len(other.bytes), other.bytes)

    def __hash__(self) -> int:
        return hash(self.bytes)


ANONYMOUS = Principal(b"\x04")
MANAGEMENT_CANISTER = Principal(b"")
