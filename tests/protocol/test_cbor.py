"""CBOR: every value survives, and what nobody sends is refused."""

from __future__ import annotations

import contextlib

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icmigrate.errors import CborError, NetworkError
from icmigrate.protocol import cbor

KEYS = st.text(max_size=5) | st.binary(max_size=5) | st.integers(-(2**64), 2**64 - 1)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=300)
    | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)


@given(VALUES)
def test_every_value_survives(value: object) -> None:
    assert cbor.loads(cbor.dumps(value)) == value


@given(VALUES)
def test_another_implementation_reads_what_we_write_and_the_other_way_round(value: object) -> None:
    assert cbor2.loads(cbor.dumps(value)[3:]) == value
    assert cbor.loads(cbor2.dumps(value)) == value


@given(st.binary(max_size=60) | st.binary(max_size=40).map(lambda data: cbor.SELF_DESCRIBE + data))
def test_any_bytes_are_a_value_or_a_cbor_error(data: bytes) -> None:
    with contextlib.suppress(CborError):
        cbor.loads(data)


@given(VALUES, st.data())
def test_a_truncated_value_is_refused(value: object, data: st.DataObject) -> None:
    encoded = cbor.dumps(value)
    with pytest.raises(CborError):
        cbor.loads(encoded[: data.draw(st.integers(0, len(encoded) - 1))])


@pytest.mark.parametrize(
    ("hex_", "value"),
    [
        ("d9d9f7a0", {}),
        ("d9d9f7d9d9f700", 0),
        ("81d9d9f743010203", [b"\1\2\3"]),
        ("5f42010243030405ff", b"\1\2\3\4\5"),
        ("7f657374726561646d696e67ff", "streaming"),
        ("9f018202039f0405ffff", [1, [2, 3], [4, 5]]),
        ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}),
        ("1bffffffffffffffff", 2**64 - 1),
        ("3bffffffffffffffff", -(2**64)),
        ("f93c00", 1.0),
        ("f7", None),
    ],
)
def test_what_clients_send_is_understood(hex_: str, value: object) -> None:
    assert cbor.loads(bytes.fromhex(hex_)) == value
    assert cbor.loads(memoryview(bytes.fromhex(hex_))) == value


@pytest.mark.parametrize(
    ("story", "hex_"),
    [
        ("nothing", ""),
        ("trailing bytes", "0000"),
        ("a date", "c074323031332d30332d32315432303a30343a30305a"),
        ("a big number", "c249010000000000000000"),
        ("a shared value", "d81c80"),
        ("a break by itself", "ff"),
        ("a break in an array of fixed length", "82ff00"),
        ("a break for a value", "bf6161ffff"),
        ("a billion items", "9a3b9aca00"),
        ("a billion entries", "ba3b9aca00"),
        ("a billion bytes", "5a3b9aca00"),
        ("a key twice", "a2616101616102"),
        ("an array for a key", "a1800100"),
        ("a float for a key", "a1f93c0000"),
        ("text that is not UTF-8", "61ff"),
        ("a chunk of the other kind", "5f6161ff"),
        ("a chunk without end", "5f5f4100ffff"),
        ("reserved information", "1c"),
        ("a simple value", "e0"),
        ("a simple value written long", "f814"),
        ("65 levels", "81" * 65 + "00"),
    ],
)
def test_what_nobody_needs_is_refused(story: str, hex_: str) -> None:
    with pytest.raises(CborError):
        cbor.loads(bytes.fromhex(hex_))


def test_sixty_four_levels_are_enough_and_allowed() -> None:
    assert cbor.loads(bytes.fromhex("81" * 64 + "00")) is not None


def test_a_cbor_error_is_a_value_error_and_one_of_the_network() -> None:
    assert issubclass(CborError, ValueError)
    assert issubclass(CborError, NetworkError)


def test_a_value_without_cbor_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError):
        cbor.dumps({1, 2})


@pytest.mark.parametrize("body", [b"\x84\0\0\0\0", b"\x9f\0\0\0\0\xff", b"\x82\x81\0\x80", b"\xbf\1\0\2\x82\0\0\xff"])
def test_more_elements_than_asked_for_are_not_decoded(body: bytes) -> None:
    cbor.loads(body, max_items=5)
    with pytest.raises(CborError, match="too many elements"):
        cbor.loads(body, max_items=2)
