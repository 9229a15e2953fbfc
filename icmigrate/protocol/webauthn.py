"""Interface Specification, "Web Authentication": signatures of passkeys and security keys.

The key is a COSE key (RFC 8152); what it has signed is an assertion whose challenge is the payload.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256

from icmigrate.errors import CborError
from icmigrate.protocol import cbor

RSA_BITS = range(2048, 8193)
_KEY_OPERATIONS = 4

Key = EllipticCurvePublicKey | RSAPublicKey | Ed25519PublicKey


def verify(cose_key: bytes, signature: bytes, payload: bytes) -> bool:
    """Whether `signature` (CBOR) is one of `payload` under this key; false for a malformed key or signature."""
    try:
        key = _key(cose_key)
        match cbor.loads(signature):
            case {
                "authenticator_data": bytes(authenticator_data),
                "client_data_json": str() | bytes() as client_data,
                "signature": bytes(assertion),
            }:
                client_data = client_data.encode() if isinstance(client_data, str) else client_data
                if _challenge(client_data) != base64.urlsafe_b64encode(payload).rstrip(b"=").decode():
                    return False
                _verify(key, assertion, authenticator_data + hashlib.sha256(client_data).digest())
                return True
    except (ValueError, CborError, InvalidSignature):
        pass
    return False


def _challenge(client_data: bytes) -> object:
    try:
        parsed = json.loads(client_data)
    except RecursionError:
        raise ValueError("client data is nested too deep") from None
    return parsed.get("challenge") if isinstance(parsed, dict) else None


def _verify(key: Key, signature: bytes, message: bytes) -> None:
    match key:
        case EllipticCurvePublicKey():
            key.verify(signature, message, ECDSA(SHA256()))
        case RSAPublicKey():
            key.verify(signature, message, PKCS1v15(), SHA256())
        case Ed25519PublicKey():
            key.verify(signature, message)


@lru_cache(maxsize=1024)
def _key(cose_key: bytes) -> Key:
    """Raises ValueError or CborError for what is no key of the three supported kinds."""
    fields = cbor.loads(cose_key)
    if isinstance(fields, dict) and fields.get(_KEY_OPERATIONS, "verify") == "verify":
        match fields:
            case {1: 2, 3: -7, -1: 1, -2: bytes(x), -3: bytes(y)} if len(x) == len(y) == 32:  # ES256
                numbers = int.from_bytes(x, "big"), int.from_bytes(y, "big")
                return EllipticCurvePublicNumbers(*numbers, SECP256R1()).public_key()
            case {1: 3, 3: -257, -1: bytes(n), -2: bytes(e)}:  # RS256
                modulus = int.from_bytes(n, "big")
                if modulus.bit_length() in RSA_BITS:
                    return RSAPublicNumbers(int.from_bytes(e, "big"), modulus).public_key()
            case {1: 1, 3: -8, -1: 6, -2: bytes(x)}:  # EdDSA on Ed25519
                return Ed25519PublicKey.from_public_bytes(x)
    raise ValueError("unsupported COSE key")
