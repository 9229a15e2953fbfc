"""Signed requests and who sent them."""

from __future__ import annotations

import contextlib
import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from hypothesis import given
from hypothesis import strategies as st

from icmigrate.errors import EnvelopeError
from icmigrate.protocol import bls, cbor, certificate, envelope, hash_tree, leb128
from icmigrate.protocol.delegation import Delegation, SignedDelegation
from icmigrate.protocol.hash_of_map import hash_of_map
from icmigrate.protocol.identity import (
    AnonymousIdentity,
    DelegatedIdentity,
    Ed25519Identity,
    Identity,
    Prime256v1Identity,
    Secp256k1Identity,
)
from icmigrate.protocol.principal import Principal
from icmigrate.protocol.signature import canister_signature_der, verify_signature

NOW = 1_700_000_000 * 10**9
MINUTE = 60 * 10**9
CANISTER = bytes.fromhex("00000000000000010101")
OTHER = bytes.fromhex("00000000000000020101")
ROOT = bls.SecretKey.from_bytes(bytes(31) + b"\x07")


def content(**changes: object) -> dict[str, object]:
    fields: dict[str, object] = {
        "request_type": "call",
        "canister_id": CANISTER,
        "method_name": "put",
        "arg": b"DIDL\0\0",
        "nonce": bytes(16),
        "ingress_expiry": NOW + 4 * MINUTE,
    }
    return {**fields, **changes}


def accept(data: bytes, *, canister_id: bytes | None = CANISTER, root_key: bytes | None = None) -> envelope.Envelope:
    request = envelope.parse(data)
    envelope.authenticate(request, now_ns=NOW, canister_id=canister_id, root_key_der=root_key)
    return request


def refused(data: bytes, reason: str, *, canister_id: bytes | None = CANISTER) -> None:
    with pytest.raises(EnvelopeError, match=reason):
        accept(data, canister_id=canister_id)


def changed(identity: Identity, **changes: object) -> bytes:
    """A signed envelope with some of its outer fields replaced, or left out (None)."""
    outer: Any = cbor.loads(envelope.sign(content(), identity))
    outer.update(changes)
    return cbor.dumps({name: value for name, value in outer.items() if value is not None})


# -- hashes -------------------------------------------------------------------------------------------------------


def test_the_request_id_is_the_one_of_the_specification_s_example() -> None:
    example = {
        "request_type": "call",
        "sender": b"\x04",
        "ingress_expiry": 1685570400000000000,
        "canister_id": bytes.fromhex("00000000000004D2"),
        "method_name": "hello",
        "arg": b"DIDL\x00\xfd*",
    }
    expected = "1d1091364d6bb8a6c16b203ee75467d59ead468f523eb058880ae8ec80e2b101"
    assert envelope.request_id(example).hex() == expected
    assert envelope.request_id(dict(reversed(example.items()))).hex() == expected


def test_nested_maps_arrays_and_integers_are_hashed_as_specified() -> None:
    def sha256(data: bytes) -> bytes:
        return hashlib.sha256(data).digest()

    reply = sha256(b"arg") + sha256(b"DIDL\0\0")
    assert hash_of_map({"reply": {"arg": b"DIDL\0\0"}}) == sha256(sha256(b"reply") + sha256(reply))
    paths = sha256(sha256(sha256(b"a") + sha256(b"b")))
    assert hash_of_map({"paths": [[b"a", b"b"]]}) == sha256(sha256(b"paths") + paths)
    assert hash_of_map({"n": 624485}) == sha256(sha256(b"n") + sha256(b"\xe5\x8e\x26"))
    assert hash_of_map({"n": -123456}) == sha256(sha256(b"n") + sha256(b"\xc0\xbb\x78"))


@pytest.mark.parametrize("value", [None, True, 1.5, {1, 2}])
def test_what_has_no_hash_is_not_hashed(value: object) -> None:
    with pytest.raises(TypeError):
        hash_of_map({"field": value})


# -- signatures ---------------------------------------------------------------------------------------------------

KEYS: list[Identity] = [Ed25519Identity.generate(), Secp256k1Identity.generate(), Prime256v1Identity.generate()]
KEY_NAMES = ["ed25519", "secp256k1", "p256"]
ALICE, BOB, CAROL = KEYS


@pytest.mark.parametrize("identity", KEYS, ids=KEY_NAMES)
def test_a_signed_request_is_accepted_as_from_its_sender(identity: Identity) -> None:
    prepared = envelope.prepare(content(), identity)
    request = accept(prepared.envelope)
    assert request.sender == identity.sender()
    assert request.request_id == prepared.request_id
    assert request.content["method_name"] == "put"


def test_an_anonymous_request_needs_no_signature() -> None:
    assert accept(envelope.sign(content(), AnonymousIdentity())).sender == Principal(b"\x04")


@pytest.mark.parametrize("identity", KEYS, ids=KEY_NAMES)
@pytest.mark.parametrize("field", ["canister_id", "method_name", "arg", "nonce", "ingress_expiry"])
def test_a_changed_field_breaks_the_signature(identity: Identity, field: str) -> None:
    outer: Any = cbor.loads(envelope.sign(content(), identity))
    value = outer["content"][field]
    outer["content"][field] = value + 1 if isinstance(value, int) else value[:-1] + type(value)()
    refused(cbor.dumps(outer), "signature")


def test_a_field_that_nobody_knows_is_signed_too() -> None:
    outer: Any = cbor.loads(envelope.sign(content(), ALICE))
    outer["content"]["extra"] = b"unsigned"
    refused(cbor.dumps(outer), "signature")
    accept(envelope.sign(content(extra=b"signed"), ALICE))


def test_an_optional_field_that_is_null_is_as_good_as_absent() -> None:
    outer: Any = cbor.loads(envelope.sign(content(), ALICE))
    outer["content"]["sender_info"] = None
    accept(cbor.dumps(outer))


def test_nobody_signs_for_somebody_else() -> None:
    refused(envelope.sign(content(sender=BOB.sender().bytes), ALICE), "does not match")
    refused(envelope.sign(content(sender=b"\x04"), ALICE), "Anonymous")
    refused(envelope.sign(content(sender=ALICE.sender().bytes), AnonymousIdentity()), "Missing signature")


@pytest.mark.parametrize("left_out", ["sender_sig", "sender_pubkey"])
def test_key_and_signature_are_both_needed(left_out: str) -> None:
    refused(changed(ALICE, **{left_out: None}), "Missing signature")


def test_a_signature_of_another_key_or_form_is_refused() -> None:
    for signature in (b"", bytes(64), bytes(63), BOB.sign(b"\x0aic-request" + envelope.request_id(content()))):
        refused(changed(ALICE, sender_sig=signature), "signature")


@pytest.mark.parametrize("identity", [BOB, CAROL], ids=KEY_NAMES[1:])
def test_a_key_in_another_encoding_is_another_key(identity: Identity) -> None:
    key = load_der_public_key(identity.public_key_der() or b"")
    compressed = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    algorithm = (identity.public_key_der() or b"")[2:-68]
    bit_string = b"\x03\x22\x00" + compressed
    der = bytes((0x30, len(algorithm + bit_string))) + algorithm + bit_string
    assert load_der_public_key(der) == key
    signature = identity.sign(b"message")
    assert verify_signature(identity.public_key_der() or b"", signature, b"message")
    assert not verify_signature(der, signature, b"message")


def test_a_key_of_another_kind_verifies_nothing() -> None:
    rsa_key = rsa.generate_private_key(65537, 2048).public_key()
    der = rsa_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert not verify_signature(der, bytes(64), b"message")
    assert not verify_signature(b"", bytes(64), b"message")


# -- expiry -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "accepted"), [(-1, False), (0, True), (5 * MINUTE, True), (6 * MINUTE, True), (6 * MINUTE + 1, False)]
)
def test_a_request_is_valid_for_some_minutes(ahead: int, accepted: bool) -> None:
    request = envelope.parse(envelope.sign(content(ingress_expiry=NOW + ahead), ALICE))
    if accepted:
        envelope.check_expiry(request, now_ns=NOW)
    else:
        # agent-js looks for these words to set its clock.
        with pytest.raises(EnvelopeError, match=r"Invalid request expiry: .*Minimum allowed expiry: 17\d+"):
            envelope.check_expiry(request, now_ns=NOW)


# -- delegations --------------------------------------------------------------------------------------------------


def delegate(holder: Identity, to: Identity, **options: Any) -> DelegatedIdentity:
    return DelegatedIdentity.delegate(holder, to, **{"expiration_ns": NOW + MINUTE, **options})


def test_a_delegated_key_signs_for_its_holder() -> None:
    chain = delegate(delegate(ALICE, BOB), CAROL)
    assert accept(envelope.sign(content(), chain)).sender == ALICE.sender()


def test_a_delegation_holds_for_its_targets_only() -> None:
    signed = envelope.sign(content(), delegate(ALICE, BOB, targets=[Principal(CANISTER)]))
    accept(signed)
    refused(signed, "not one of the delegation targets", canister_id=OTHER)
    accept(signed, canister_id=None)


def test_every_delegation_of_a_chain_has_to_name_the_target() -> None:
    chain = delegate(delegate(ALICE, BOB, targets=[Principal(OTHER)]), CAROL, targets=[Principal(CANISTER)])
    refused(envelope.sign(content(), chain), "targets")


def test_a_delegation_ends_when_it_expires() -> None:
    accept(envelope.sign(content(), delegate(ALICE, BOB, expiration_ns=NOW)))
    refused(envelope.sign(content(), delegate(ALICE, BOB, expiration_ns=NOW - 1)), "expiry")


def test_a_delegation_for_queries_does_not_make_calls_even_when_passed_on() -> None:
    chain = delegate(delegate(ALICE, BOB, permissions="queries"), CAROL, permissions="all")
    refused(envelope.sign(content(), chain), "queries only")
    accept(envelope.sign(content(request_type="query"), chain))
    accept(envelope.sign(content(), delegate(ALICE, BOB, permissions="all")))
    refused(envelope.sign(content(), delegate(ALICE, BOB, permissions="some")), "permissions")


def test_a_chain_must_not_come_back_to_a_key() -> None:
    refused(envelope.sign(content(), delegate(ALICE, ALICE)), "cycle")
    refused(envelope.sign(content(), delegate(delegate(ALICE, BOB), ALICE)), "cycle")


@pytest.mark.parametrize(("length", "accepted"), [(20, True), (21, False)])
def test_a_chain_has_twenty_delegations_at_most(length: int, accepted: bool) -> None:
    identity: Identity = ALICE
    for _ in range(length):
        identity = delegate(identity, Ed25519Identity.generate())
    if accepted:
        accept(envelope.sign(content(), identity))
    else:
        refused(envelope.sign(content(), identity), "too long")


@pytest.mark.parametrize(("count", "accepted"), [(1000, True), (1001, False)])
def test_a_delegation_has_a_thousand_targets_at_most(count: int, accepted: bool) -> None:
    identity = delegate(ALICE, BOB, targets=[Principal(CANISTER)] * count)
    if accepted:
        accept(envelope.sign(content(), identity))
    else:
        refused(envelope.sign(content(), identity), "Too many")


def test_a_delegation_that_its_holder_did_not_sign_is_refused() -> None:
    bob_key, alice_key = BOB.public_key_der(), ALICE.public_key_der()
    assert bob_key is not None
    assert alice_key is not None
    forged = Delegation(bob_key, NOW + MINUTE)
    signed = SignedDelegation(forged, BOB.sign(forged.signed_bytes()))
    refused(envelope.sign(content(), DelegatedIdentity(BOB, alice_key, [signed])), "Invalid delegation")


def test_a_delegation_that_was_widened_is_refused() -> None:
    narrow = delegate(ALICE, BOB, targets=[Principal(OTHER)])
    outer: Any = cbor.loads(envelope.sign(content(), narrow))
    del outer["sender_delegation"][0]["delegation"]["targets"]
    refused(cbor.dumps(outer), "Invalid delegation")


# -- canister signatures ------------------------------------------------------------------------------------------


class CanisterIdentity(Identity):
    """Signs as a canister does: with its certified data."""

    def __init__(
        self,
        canister_id: Principal,
        seed: bytes,
        signer: bls.SecretKey = ROOT,
        delegation: certificate.Delegation | None = None,
    ) -> None:
        self.canister_id, self.seed, self.signer, self.delegation = canister_id, seed, signer, delegation

    def public_key_der(self) -> bytes:
        return canister_signature_der(self.canister_id, self.seed)

    def sign(self, message: bytes) -> bytes:
        path = hashlib.sha256(self.seed).digest(), hashlib.sha256(message).digest()
        tree = hash_tree.build({b"sig": {path[0]: {path[1]: b""}}})
        certified = {self.canister_id.bytes: {b"certified_data": hash_tree.digest(tree)}}
        state = hash_tree.build({b"canister": certified, b"time": leb128.encode_unsigned(NOW)})
        return cbor.dumps(
            {
                "certificate": certificate.create(state, self.signer, self.delegation),
                "tree": hash_tree.to_cbor_value(tree),
            }
        )


def test_a_canister_s_signature_is_accepted_under_the_root_key() -> None:
    identity = CanisterIdentity(Principal(OTHER), b"seed")
    signed = envelope.sign(content(), identity)
    assert accept(signed, root_key=ROOT.public_key_der()).sender == identity.sender()
    refused(signed, "signature")
    with pytest.raises(EnvelopeError, match="signature"):
        accept(signed, root_key=bls.SecretKey.generate().public_key_der())


def test_a_canister_delegates_to_a_key_as_an_identity_service_does() -> None:
    chain = delegate(CanisterIdentity(Principal(OTHER), b"user"), BOB)
    accept(envelope.sign(content(), chain), root_key=ROOT.public_key_der())


def test_a_canister_does_not_sign_with_another_seed_or_for_another_canister() -> None:
    identity = CanisterIdentity(Principal(OTHER), b"seed")
    signature = identity.sign(b"message")
    root_key = ROOT.public_key_der()
    for canister_id, seed, expected in ((OTHER, b"seed", True), (OTHER, b"other", False), (CANISTER, b"seed", False)):
        key = canister_signature_der(Principal(canister_id), seed)
        assert verify_signature(key, signature, b"message", root_key_der=root_key) is expected
    assert not verify_signature(identity.public_key_der(), signature, b"changed", root_key_der=root_key)


def test_what_a_canister_says_of_its_sender_has_to_be_signed_by_it() -> None:
    identity = CanisterIdentity(Principal(OTHER), b"seed")
    root_key = ROOT.public_key_der()

    def with_info(signer: bytes, signature: bytes) -> bytes:
        info = {"info": b"verified", "signer": signer, "sig": signature}
        return envelope.sign(content(sender_info=info), identity)

    good = identity.sign(b"\x0eic-sender-info" + b"verified")
    accept(with_info(OTHER, good), root_key=root_key)
    for signer, signature in ((CANISTER, good), (OTHER, identity.sign(b"verified"))):
        with pytest.raises(EnvelopeError, match="sender_info"):
            accept(with_info(signer, signature), root_key=root_key)
    info = {"info": b"verified", "signer": OTHER, "sig": good}
    refused(envelope.sign(content(sender_info=info), ALICE), "sender_info")


SUBNET = bls.SecretKey.from_bytes(bytes(31) + b"\x08")
SUBNET_ID = Principal.self_authenticating(SUBNET.public_key_der())


@pytest.mark.parametrize(("subnet_type", "accepted"), [(b"application", True), (b"cloud_engine", False), (None, False)])
def test_a_canister_signs_on_a_subnet_of_the_network_but_not_on_somebody_s_own(
    subnet_type: bytes | None, accepted: bool
) -> None:
    subnet = {b"public_key": SUBNET.public_key_der(), b"canister_ranges": cbor.dumps([[CANISTER, OTHER]])}
    if subnet_type is not None:
        subnet[b"type"] = subnet_type
    state = hash_tree.build({b"subnet": {SUBNET_ID.bytes: subnet}, b"time": leb128.encode_unsigned(NOW)})
    delegation = certificate.Delegation(SUBNET_ID, certificate.create(state, ROOT))
    identity = CanisterIdentity(Principal(OTHER), b"seed", SUBNET, delegation)
    key, signature = identity.public_key_der(), identity.sign(b"message")
    assert verify_signature(key, signature, b"message", root_key_der=ROOT.public_key_der()) is accepted


# -- form ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "outer",
    [
        [],
        {},
        {"content": []},
        {"content": {}},
        {"content": {"sender": b"\x04"}},
        {"content": {"sender": "text", "ingress_expiry": 1}},
        {"content": {"sender": bytes(30), "ingress_expiry": 1}},
        {"content": {"sender": b"\x04", "ingress_expiry": -1}},
        {"content": {"sender": b"\x04", "ingress_expiry": True}},
        {"content": {"sender": b"\x04", "ingress_expiry": 1, "nonce": bytes(33)}},
        {"content": {"sender": b"\x04", "ingress_expiry": 1, "nonce": "text"}},
        {"content": {"sender": b"\x04", "ingress_expiry": 1, "arg": [1]}},
        {"content": {"sender": b"\x04", "ingress_expiry": 1, "x": 1.5}},
        {"content": {"sender": b"\x04", "ingress_expiry": 1, "x": {1: 2}}},
        {"content": {"sender": b"\x04", "ingress_expiry": 1, 5: 2}},
        {"content": {"sender": b"\x04", "ingress_expiry": 1}, "sender_sig": "text"},
        {"content": {"sender": b"\x04", "ingress_expiry": 1}, "sender_delegation": 5},
        {"content": {"sender": b"\x04", "ingress_expiry": 1}, "sender_delegation": [{}]},
        {"content": {"sender": b"\x04", "ingress_expiry": 1}, "sender_delegation": [{"delegation": {}}]},
        {
            "content": {"sender": b"\x04", "ingress_expiry": 1},
            "sender_delegation": [{"delegation": {"pubkey": b"", "expiration": 1, "targets": ["a"]}, "signature": b""}],
        },
    ],
)
def test_an_envelope_of_another_form_is_refused(outer: object) -> None:
    with pytest.raises(EnvelopeError):
        envelope.parse(cbor.dumps(outer))


SIGNED = envelope.sign(content(), delegate(ALICE, BOB, targets=[Principal(CANISTER)]))


@given(st.integers(0, len(SIGNED) - 1), st.integers(1, 255))
def test_an_envelope_with_any_byte_changed_is_refused(at: int, change: int) -> None:
    damaged = bytearray(SIGNED)
    damaged[at] ^= change
    with pytest.raises(EnvelopeError):
        accept(bytes(damaged))


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_with_an_envelope_error(data: bytes) -> None:
    with contextlib.suppress(EnvelopeError):
        accept(data)
