"""Interface Specification, "Signatures": the IC's own kinds of keys in a SubjectPublicKeyInfo (RFC 5280)."""

from __future__ import annotations

COSE_KEY = bytes.fromhex("300c060a2b0601040183b8430101")
"""AlgorithmIdentifier of OID 1.3.6.1.4.1.56387.1.1, "der-wrapped-cose"."""
CANISTER_SIGNATURE = bytes.fromhex("300c060a2b0601040183b8430102")
"""AlgorithmIdentifier of OID 1.3.6.1.4.1.56387.1.2, "canister-signature"."""

_SEQUENCE, _BIT_STRING = 0x30, 0x03


def wrap(algorithm: bytes, key: bytes) -> bytes:
    """The encoding (DER) of a key of such a kind."""
    return _element(_SEQUENCE, algorithm + _element(_BIT_STRING, b"\0" + key))


def unwrap(algorithm: bytes, public_key_der: bytes) -> bytes | None:
    """The key in it; None when it is of another kind or not encoded as `wrap` does."""
    at = public_key_der.find(algorithm, 0, len(algorithm) + 5)
    if at < 0:
        return None
    # Before the key: the bit string's tag, its length in one to three bytes, and the number of unused bits.
    candidates = (public_key_der[at + len(algorithm) + head :] for head in (3, 4, 5))
    return next((key for key in candidates if wrap(algorithm, key) == public_key_der), None)


def _element(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content
