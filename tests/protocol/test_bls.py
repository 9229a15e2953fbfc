"""BLS signatures and their keys: which are good, and which only look so."""

from __future__ import annotations

import pytest
from py_arkworks_bls12381 import G1Point

from icmigrate.protocol import bls
from icmigrate.protocol.certificate import MAINNET_ROOT_KEY


def test_hashing_to_the_curve_follows_rfc_9380() -> None:
    # RFC 9380, J.9.1, the empty message.
    point = G1Point.hash_to_curve(b"", b"QUUX-V01-CS02-with-BLS12381G1_XMD:SHA-256_SSWU_RO_")
    assert bytes(point.to_xy_bytes_be())[:48].hex() == (
        "052926add2207b76ca4fa57a8734416c8dc95e24501772c814278700eed6d1e4e8cf62d9c09db0fac349612b759e79a1"
    )


def test_a_signature_is_valid_for_its_key_and_message_only() -> None:
    key, other = bls.SecretKey.generate(), bls.SecretKey.generate()
    signature = key.sign(b"message")
    assert len(signature) == 48
    assert bls.verify(key.public_key_der(), b"message", signature)
    assert not bls.verify(key.public_key_der(), b"another", signature)
    assert not bls.verify(other.public_key_der(), b"message", signature)
    assert not bls.verify(key.public_key_der(), b"message", other.sign(b"message"))


def test_a_key_survives_its_bytes_and_signs_the_same() -> None:
    key = bls.SecretKey.generate()
    again = bls.SecretKey.from_bytes(key.to_bytes())
    assert again.public_key_der() == key.public_key_der()
    assert again.sign(b"message") == key.sign(b"message")


def test_a_key_never_shows_itself() -> None:
    key = bls.SecretKey.generate()
    assert key.to_bytes().hex() not in repr(key)


@pytest.mark.parametrize("data", [bytes(32), b"", b"\xff" * 32, b"\x01" * 31])
def test_bytes_that_are_not_a_key_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        bls.SecretKey.from_bytes(data)


@pytest.mark.parametrize(
    "signature", [b"", bytes(48), b"\xc0" + bytes(47), b"\xff" * 48, b"\x80" + b"\x11" * 47, bytes(96)]
)
def test_malformed_signatures_are_just_not_valid(signature: bytes) -> None:
    assert not bls.verify(bls.SecretKey.generate().public_key_der(), b"message", signature)


def test_malformed_keys_verify_nothing() -> None:
    key = bls.SecretKey.generate()
    signature = key.sign(b"message")
    for der in (b"", key.public_key_der()[:-1], bytes(133), key.public_key_der()[:37] + b"\xc0" + bytes(95)):
        assert not bls.verify(der, b"message", signature)


def test_the_identity_is_no_key_although_it_would_verify_the_identity() -> None:
    identity_key = bls.DER_PREFIX + b"\xc0" + bytes(95)
    assert not bls.verify(identity_key, b"message", b"\xc0" + bytes(47))


def test_keys_have_the_form_of_the_mainnet_s() -> None:
    der = bls.SecretKey.generate().public_key_der()
    assert len(der) == len(MAINNET_ROOT_KEY) == 133
    assert der[:37] == MAINNET_ROOT_KEY[:37]
