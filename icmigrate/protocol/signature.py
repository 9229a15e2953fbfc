"""Interface Specification, "Signatures": Ed25519 and ECDSA signatures, web authentication, canister signatures."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256K1,
    SECP256R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from icmigrate.errors import CborError, CertificateError
from icmigrate.protocol import cbor, certificate, hash_tree, public_key_info, webauthn
from icmigrate.protocol.principal import MAX_LENGTH, Principal

ED25519_DER_PREFIX = bytes.fromhex("302a300506032b6570032100")


def verify_signature(
    public_key_der: bytes,
    signature: bytes,
    message: bytes,
    *,
    root_key_der: bytes | None = None,
) -> bool:
    """Whether `signature` is one of `message` under this key; false for a malformed key or signature.

    Signatures by ECDSA are r || s (64 bytes) over the SHA-256 of the message. A canister signature needs the
    network's root key; its certificate may be of any time.
    """
    cose_key = public_key_info.unwrap(public_key_info.COSE_KEY, public_key_der)
    if cose_key is not None:
        return webauthn.verify(cose_key, signature, message)
    signer = canister_signature_key(public_key_der)
    if signer is not None:
        return root_key_der is not None and _verify_canister_signature(*signer, signature, message, root_key_der)
    try:
        key = _public_key(public_key_der)
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, message)
        else:
            key.verify(encode_raw_as_der(signature), message, ECDSA(SHA256()))
    except (ValueError, InvalidSignature):
        return False
    return True


@lru_cache(maxsize=1024)
def _public_key(der: bytes) -> Ed25519PublicKey | EllipticCurvePublicKey:
    try:
        key = load_der_public_key(der)
    except UnsupportedAlgorithm:
        raise ValueError("unsupported public key") from None
    supported = isinstance(key, Ed25519PublicKey) or (
        isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256K1 | SECP256R1)
    )
    # The id of a user is the hash of the key's encoding: there may be only one.
    if not supported or key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != der:
        raise ValueError("unsupported public key")
    assert isinstance(key, Ed25519PublicKey | EllipticCurvePublicKey)
    return key


def encode_raw_as_der(signature: bytes) -> bytes:
    """The DER form of a raw ECDSA signature r || s. Raises `ValueError` unless it has 64 bytes."""
    if len(signature) != 64:
        raise ValueError("an ECDSA signature has 64 bytes")
    return encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))


def encode_der_as_raw(signature: bytes) -> bytes:
    """The raw form r || s (64 bytes) of an ECDSA signature in DER."""
    r, s = decode_dss_signature(signature)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def canister_signature_key(public_key_der: bytes) -> tuple[Principal, bytes] | None:
    """The signing canister and the seed, if this is the public key of a canister signature."""
    body = public_key_info.unwrap(public_key_info.CANISTER_SIGNATURE, public_key_der)
    if not body or body[0] > min(MAX_LENGTH, len(body) - 1):
        return None
    length = body[0]
    return Principal(body[1 : 1 + length]), body[1 + length :]


def canister_signature_der(canister_id: Principal, seed: bytes) -> bytes:
    """The public key (DER) of a canister's signatures with `seed`."""
    body = bytes((len(canister_id.bytes),)) + canister_id.bytes + seed
    return public_key_info.wrap(public_key_info.CANISTER_SIGNATURE, body)


def _verify_canister_signature(
    canister_id: Principal,
    seed: bytes,
    signature: bytes,
    message: bytes,
    root_key_der: bytes,
) -> bool:
    if not signature.startswith(cbor.SELF_DESCRIBE):
        return False
    try:
        match cbor.loads(signature, max_depth=hash_tree.MAX_DEPTH + 3):
            case {"certificate": bytes(encoded), "tree": value}:
                tree = hash_tree.from_cbor_value(value)
                certified = _certified_data(encoded, root_key_der, canister_id)
            case _:
                return False
    except (CborError, CertificateError):
        return False
    path = (b"sig", hashlib.sha256(seed).digest(), hashlib.sha256(message).digest())
    return certified == hash_tree.digest(tree) and hash_tree.lookup(tree, path) == hash_tree.Found(b"")


def _certified_data(encoded: bytes, root_key_der: bytes, canister_id: Principal) -> bytes | None:
    verified = certificate.verify_undated(encoded, root_key_der, effective_canister_id=canister_id)
    if verified.delegation is not None and verified.delegation_tree is not None:
        path = (b"subnet", verified.delegation.subnet_id.bytes, b"type")
        subnet_type = hash_tree.lookup(verified.delegation_tree, path)
        # Subnets of this type are run by one party, which could sign for any user.
        if not isinstance(subnet_type, hash_tree.Found) or subnet_type.value == b"cloud_engine":
            return None
    return verified.lookup("canister", canister_id.bytes, "certified_data")
