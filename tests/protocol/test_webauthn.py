"""Interface Specification, "Web Authentication": which assertions are signatures, and which keys are keys."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from icmigrate.protocol import cbor, public_key_info
from icmigrate.protocol.principal import Principal
from icmigrate.protocol.signature import canister_signature_der, canister_signature_key, verify_signature
from tests.protocol.passkeys import EdDsaPasskey, Es256Passkey, Passkey, Rs256Passkey, client_data

PAYLOAD = b"\x0aic-request" + bytes(range(32))
PASSKEYS: dict[str, Callable[[], Passkey]] = {"ES256": Es256Passkey, "RS256": Rs256Passkey, "EdDSA": EdDsaPasskey}
EXAMPLE = bytes.fromhex(
    "305E300C060A2B0601040183B8430101034E00A50102032620012158207FFD83632072FD1BFEAF3FBAA43146E0EF95C3F55E39"
    "94A41BBF2B5174D771DA22582032497EED0A7F6F000928765B8318162CFD80A94E525A6A368C2363063D04E6ED"
)
"""The key in the specification."""


@pytest.mark.parametrize("kind", PASSKEYS)
def test_an_assertion_is_a_signature_of_its_challenge_alone(kind: str) -> None:
    passkey = PASSKEYS[kind]()
    key, signature = passkey.public_key_der(), passkey.sign(PAYLOAD)
    assert verify_signature(key, signature, PAYLOAD)
    assert not verify_signature(key, signature, PAYLOAD + b"x")
    assert not verify_signature(PASSKEYS[kind]().public_key_der(), signature, PAYLOAD)


def changed(assertion: bytes, **parts: object) -> bytes:
    """The assertion with parts replaced; None takes one away."""
    fields = cbor.loads(assertion)
    assert isinstance(fields, dict)
    return cbor.dumps({name: part for name, part in {**fields, **parts}.items() if part is not None})


@pytest.mark.parametrize("kind", PASSKEYS)
def test_whatever_is_changed_in_an_assertion_makes_it_worthless(kind: str) -> None:
    passkey = PASSKEYS[kind]()
    good = passkey.sign(PAYLOAD)
    padded = client_data(PAYLOAD).replace('", "origin', '=", "origin')
    for signature in (
        b"",
        good[:-1],
        b"\x80",
        changed(good, signature=bytes(64)),
        changed(good, signature=b""),
        changed(good, signature=None),
        changed(good, authenticator_data=b""),
        changed(good, authenticator_data=None),
        changed(good, client_data_json=client_data(PAYLOAD).replace("org", "com")),
        changed(good, client_data_json=None),
        passkey.assertion(padded),
        passkey.assertion("{}"),
        passkey.assertion("no JSON"),
        passkey.assertion('["challenge"]'),
        passkey.assertion("[" * 100_000),
    ):
        assert not verify_signature(passkey.public_key_der(), signature, PAYLOAD)


def test_client_data_may_be_given_as_bytes() -> None:
    passkey = Es256Passkey()
    signature = changed(passkey.sign(PAYLOAD), client_data_json=client_data(PAYLOAD).encode())
    assert verify_signature(passkey.public_key_der(), signature, PAYLOAD)


@pytest.mark.parametrize("passkey", [Es256Passkey(), EdDsaPasskey(), Rs256Passkey()], ids=list(PASSKEYS))
def test_other_keys_in_cose_are_none(passkey: Passkey) -> None:
    signature = passkey.sign(PAYLOAD)

    def accepted(fields: object) -> bool:
        key = public_key_info.wrap(public_key_info.COSE_KEY, cbor.dumps(fields))
        return verify_signature(key, signature, PAYLOAD)

    fields = passkey.cose()
    assert accepted(fields) and accepted({**fields, 4: "verify"})
    assert not accepted({**fields, 4: "sign"})
    assert not accepted([])
    for label, value in fields.items():
        assert not accepted({name: field for name, field in fields.items() if name != label})
        assert not accepted({**fields, label: value + 1 if isinstance(value, int) else b"\0" + bytes(31)})


def test_a_small_rsa_key_is_refused() -> None:
    passkey = Rs256Passkey(1024)
    assert not verify_signature(passkey.public_key_der(), passkey.sign(PAYLOAD), PAYLOAD)


def test_the_wrapping_of_a_key_has_one_form() -> None:
    inner = public_key_info.unwrap(public_key_info.COSE_KEY, EXAMPLE)
    assert inner is not None and public_key_info.wrap(public_key_info.COSE_KEY, inner) == EXAMPLE
    long_length = b"\x30\x81\x5e" + EXAMPLE[2:]
    for der in (EXAMPLE[:-1], EXAMPLE + b"\0", long_length, b"", EXAMPLE[2:]):
        assert public_key_info.unwrap(public_key_info.COSE_KEY, der) is None
    assert public_key_info.unwrap(public_key_info.CANISTER_SIGNATURE, EXAMPLE) is None


@pytest.mark.parametrize("length", [0, 32, 90, 110, 250, 300, 60_000])
def test_the_seed_of_a_canister_signature_may_be_long(length: int) -> None:
    owner = Principal(b"\0\0\0\0\0\0\0\1\1\1"), bytes(length)
    assert canister_signature_key(canister_signature_der(*owner)) == owner
