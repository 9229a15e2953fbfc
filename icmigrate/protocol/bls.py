"""Interface Specification, "Certificate": BLS signatures, ciphersuite
BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_.

A signature is a point of G1 (48 bytes, compressed), a public key a point of G2 (96 bytes), wrapped in DER
(133 bytes).
"""

from __future__ import annotations

import secrets
from functools import lru_cache

from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

DOMAIN = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"
DER_PREFIX = bytes.fromhex(
    "308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c05030201036100"
)  # OIDs 1.3.6.1.4.1.44668.5.3.1.2.1 (algorithm) and 1.3.6.1.4.1.44668.5.3.2.1 (curve)
PUBLIC_KEY_LENGTH = 96
SIGNATURE_LENGTH = 48

_GENERATOR = G2Point()


class SecretKey:
    """A secret scalar; signs in about 0.4 ms."""

    def __init__(self, scalar: Scalar) -> None:
        if scalar.is_zero():
            raise ValueError("not a BLS secret key")
        self._scalar = scalar

    @staticmethod
    def generate() -> SecretKey:
        """A new random key."""
        # 48 random bytes reduced modulo the 32-byte group order: no measurable bias.
        return SecretKey(Scalar.from_be_bytes_mod_order(secrets.token_bytes(48)))

    @staticmethod
    def from_bytes(data: bytes) -> SecretKey:
        """The key of `to_bytes`. Raises `ValueError` for anything else."""
        return SecretKey(Scalar.from_be_bytes(data))

    def to_bytes(self) -> bytes:
        """The scalar, 32 bytes, big-endian."""
        return bytes(self._scalar.to_be_bytes())

    def public_key_der(self) -> bytes:
        """The public key in DER (133 bytes)."""
        return DER_PREFIX + (_GENERATOR * self._scalar).to_compressed_bytes()

    def sign(self, message: bytes) -> bytes:
        """The signature on `message` (48 bytes)."""
        return (G1Point.hash_to_curve(message, DOMAIN) * self._scalar).to_compressed_bytes()

    def __repr__(self) -> str:
        return "SecretKey(...)"


def verify(public_key_der: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is the one of `message` under this key; false for a malformed key or signature."""
    try:
        public_key = _public_key(public_key_der)
        point = G1Point.from_compressed_bytes(signature)
    except ValueError:
        return False
    # e(signature, g2) = e(H(message), public key), in one multi-pairing.
    return GT.pairing_check([point, -G1Point.hash_to_curve(message, DOMAIN)], [_GENERATOR, public_key])


@lru_cache(maxsize=64)
def _public_key(der: bytes) -> G2Point:
    if len(der) != len(DER_PREFIX) + PUBLIC_KEY_LENGTH or not der.startswith(DER_PREFIX):
        raise ValueError("not a BLS public key in DER")
    point = G2Point.from_compressed_bytes(der[len(DER_PREFIX) :])
    if point == G2Point.identity():
        raise ValueError("the identity is not a public key")
    return point
