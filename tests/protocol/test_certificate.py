"""Certificates: for which canisters and for how long they are good, and when they are not believed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icmigrate.errors import CertificateError
from icmigrate.protocol import bls, cbor, certificate, hash_tree, leb128
from icmigrate.protocol.certificate import Delegation
from icmigrate.protocol.principal import Principal

NOW = 1_700_000_000 * 10**9
SECOND = 10**9
DAY = 24 * 3600 * SECOND
ROOT = bls.SecretKey.from_bytes(bytes(31) + b"\x07")
ROOT_KEY = ROOT.public_key_der()
SUBNET = bls.SecretKey.from_bytes(bytes(31) + b"\x08")
SUBNET_ID = Principal.self_authenticating(SUBNET.public_key_der())
CANISTER = Principal(bytes.fromhex("00000000000000050101"))
FOREIGN = Principal(bytes.fromhex("00000000000000990101"))


def tree(time_ns: int = NOW, **more: Any) -> hash_tree.HashTree:
    return hash_tree.build(
        {b"time": leb128.encode_unsigned(time_ns), **{name.encode(): value for name, value in more.items()}}
    )


def ranges(*bounds: tuple[int, int]) -> bytes:
    return cbor.dumps([[low.to_bytes(8, "big") + b"\1\1", high.to_bytes(8, "big") + b"\1\1"] for low, high in bounds])


def delegation(
    *, time_ns: int = NOW, flat: bytes | None = None, shards: dict[bytes, bytes] | None = None, signer: Any = ROOT
) -> Delegation:
    subnet: dict[bytes, bytes] = {b"public_key": SUBNET.public_key_der()}
    if flat is not None:
        subnet[b"canister_ranges"] = flat
    content: dict[str, Any] = {"subnet": {SUBNET_ID.bytes: subnet}}
    if shards is not None:
        content["canister_ranges"] = {SUBNET_ID.bytes: shards}
    return Delegation(SUBNET_ID, certificate.create(tree(time_ns, **content), signer))


def verify(data: bytes, canister_id: Principal | None = CANISTER, now_ns: int = NOW) -> certificate.Certificate:
    return certificate.verify(data, ROOT_KEY, effective_canister_id=canister_id, now_ns=now_ns)


def test_a_certificate_of_the_root_subnet_is_verified_and_read() -> None:
    read = verify(certificate.create(tree(canister={b"x": b"1"}), ROOT))
    assert read.time_ns == NOW
    assert read.lookup("canister", "x") == b"1"
    assert read.lookup("canister", "y") is None
    assert read.subnet_id(ROOT_KEY) == Principal.self_authenticating(ROOT_KEY)


def test_what_was_pruned_is_not_taken_for_absent() -> None:
    witness = hash_tree.prune(tree(canister={b"x": b"1"}), [[b"time"]])
    with pytest.raises(CertificateError, match="does not tell"):
        verify(certificate.create(witness, ROOT)).lookup("canister", "x")


def test_a_certificate_by_another_key_is_refused() -> None:
    with pytest.raises(CertificateError, match="signature"):
        verify(certificate.create(tree(), SUBNET))


def test_a_certificate_whose_tree_was_changed_is_refused() -> None:
    content: Any = cbor.loads(certificate.create(tree(x=b"1"), ROOT))
    content["tree"] = hash_tree.to_cbor_value(tree(x=b"2"))
    with pytest.raises(CertificateError, match="signature"):
        verify(cbor.dumps(content))


@pytest.mark.parametrize(("age", "accepted"), [(299, True), (301, False), (-299, True), (-301, False)])
def test_a_certificate_has_to_be_recent(age: int, accepted: bool) -> None:
    data = certificate.create(tree(NOW - age * SECOND), ROOT)
    if accepted:
        verify(data)
    else:
        with pytest.raises(CertificateError, match="recent"):
            verify(data)
    certificate.verify_undated(data, ROOT_KEY, effective_canister_id=None)


def test_a_certificate_without_time_is_refused() -> None:
    with pytest.raises(CertificateError, match="time"):
        verify(certificate.create(hash_tree.build({b"x": b"1"}), ROOT))


@pytest.mark.parametrize(
    "layout",
    [
        {"flat": ranges((0, 3), (5, 9))},
        {"shards": {CANISTER.bytes[:8] + b"\1\1": ranges((5, 9))}},
        {"shards": {bytes(8) + b"\1\1": ranges((0, 3), (5, 9)), bytes(7) + b"\x20\1\1": ranges((0x20, 0x30))}},
    ],
)
def test_a_delegated_certificate_is_good_for_the_canisters_of_its_subnet(layout: dict[str, Any]) -> None:
    data = certificate.create(tree(), SUBNET, delegation(**layout))
    assert verify(data).subnet_id(ROOT_KEY) == SUBNET_ID
    with pytest.raises(CertificateError, match="subnet"):
        verify(data, FOREIGN)
    verify(data, None)


def test_a_delegation_without_ranges_is_good_for_no_canister() -> None:
    data = certificate.create(tree(), SUBNET, delegation())
    verify(data, None)
    with pytest.raises(CertificateError):
        verify(data)


def test_a_delegation_the_root_did_not_sign_is_refused() -> None:
    forged = delegation(flat=ranges((0, 9)), signer=SUBNET)
    with pytest.raises(CertificateError, match="delegation's signature"):
        verify(certificate.create(tree(), SUBNET, forged))


def test_a_delegation_for_another_subnet_s_key_is_refused() -> None:
    other = Delegation(Principal(b"other"), delegation(flat=ranges((0, 9))).certificate)
    with pytest.raises(CertificateError):
        verify(certificate.create(tree(), SUBNET, other))


def test_a_delegation_of_a_delegation_is_refused() -> None:
    inner = delegation(flat=ranges((0, 9)))
    nested = Delegation(SUBNET_ID, certificate.create(tree(), SUBNET, inner))
    with pytest.raises(CertificateError, match="delegation itself"):
        verify(certificate.create(tree(), SUBNET, nested))


def test_a_delegation_may_be_weeks_old_but_not_months() -> None:
    verify(certificate.create(tree(), SUBNET, delegation(time_ns=NOW - 20 * DAY, flat=ranges((0, 9)))))
    with pytest.raises(CertificateError, match="delegation is not recent"):
        verify(certificate.create(tree(), SUBNET, delegation(time_ns=NOW - 40 * DAY, flat=ranges((0, 9)))))


def test_a_certificate_of_another_subnet_is_not_taken_for_the_asked_one() -> None:
    data = certificate.create(tree(), ROOT)
    with pytest.raises(CertificateError, match="another subnet"):
        certificate.verify(data, ROOT_KEY, effective_canister_id=None, now_ns=NOW, subnet_id=SUBNET_ID)


VALID = certificate.create(tree(x={b"y": b"z"}), SUBNET, delegation(flat=ranges((0, 9))))


@given(st.integers(0, len(VALID) - 1), st.integers(1, 255))
def test_a_certificate_with_any_byte_changed_is_refused(at: int, change: int) -> None:
    changed = bytearray(VALID)
    changed[at] ^= change
    with pytest.raises(CertificateError):
        verify(bytes(changed))


@given(st.binary(max_size=80))
def test_any_bytes_are_refused_with_a_certificate_error(data: bytes) -> None:
    with pytest.raises(CertificateError):
        verify(data)


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        {"tree": [0]},
        {"tree": [0], "signature": "text"},
        {"tree": [9], "signature": bytes(48)},
        {"tree": [0], "signature": bytes(48), "delegation": []},
        {"tree": [0], "signature": bytes(48), "delegation": {"subnet_id": bytes(40), "certificate": b""}},
    ],
)
def test_what_has_not_the_form_of_a_certificate_is_refused(content: object) -> None:
    with pytest.raises(CertificateError):
        verify(cbor.dumps(content))
