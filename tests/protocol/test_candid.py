"""The Candid codec, against ic-py's and against the Candid specification."""

from __future__ import annotations

import contextlib
import math
import sys
from types import FrameType
from typing import Any

import ic.candid
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icmigrate.errors import CandidError
from icmigrate.protocol.candid import Type, Types, decode, encode, field_hash
from icmigrate.protocol.candid.extract import extract
from icmigrate.protocol.leb128 import encode_unsigned
from icmigrate.protocol.principal import Principal

T = Types


def list_type() -> Type:
    node = T.Rec()
    node.fill(T.Opt(T.Record({"head": T.Int, "tail": node})))
    return node


# -- values of random types ---------------------------------------------------------------------------------------

FIXED = {
    "Nat8": (0, 2**8 - 1),
    "Nat16": (0, 2**16 - 1),
    "Nat32": (0, 2**32 - 1),
    "Nat64": (0, 2**64 - 1),
    "Int8": (-(2**7), 2**7 - 1),
    "Int16": (-(2**15), 2**15 - 1),
    "Int32": (-(2**31), 2**31 - 1),
    "Int64": (-(2**63), 2**63 - 1),
}
TEXTS = st.text(max_size=8)
PRINCIPALS = st.binary(max_size=29).map(Principal)
LABELS = st.text("abcdefgh", min_size=1, max_size=4)

# A type, and a strategy for values of it as they come back from `decode`.
Typed = tuple[Type, st.SearchStrategy[Any]]

PRIMITIVE: st.SearchStrategy[Typed] = st.sampled_from(
    [
        (T.Null, st.none()),
        (T.Bool, st.booleans()),
        (T.Nat, st.integers(0, 2**100)),
        (T.Int, st.integers(-(2**100), 2**100)),
        (T.Float32, st.floats(width=32, allow_nan=False)),
        (T.Float64, st.floats(allow_nan=False)),
        (T.Text, TEXTS),
        (T.Principal, PRINCIPALS),
        (T.Vec(T.Nat8), st.binary(max_size=40)),
        (T.Func([T.Nat], [T.Text], ["query"]), st.tuples(PRINCIPALS, TEXTS).map(list)),
        (T.Service({"go": T.Func([], [], [])}), PRINCIPALS),
        *((getattr(T, name), st.integers(*bounds)) for name, bounds in FIXED.items()),
    ]
)


def constructed(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    fields = st.dictionaries(LABELS, inner, max_size=4)
    return (
        inner.map(lambda typed: (T.Opt(typed[0]), st.lists(typed[1], max_size=1)))
        | inner.filter(lambda typed: typed[0] is not T.Nat8).map(
            lambda typed: (T.Vec(typed[0]), st.lists(typed[1], max_size=4))
        )
        | fields.map(
            lambda typed: (
                T.Record({label: type_ for label, (type_, _) in typed.items()}),
                st.fixed_dictionaries({label: values for label, (_, values) in typed.items()}),
            )
        )
        | st.lists(inner, min_size=1, max_size=4).map(
            lambda typed: (
                T.Tuple(*(type_ for type_, _ in typed)),
                st.tuples(*(values for _, values in typed)).map(list),
            )
        )
        | fields.filter(bool).map(
            lambda typed: (
                T.Variant({label: type_ for label, (type_, _) in typed.items()}),
                st.one_of(
                    *(st.builds(lambda value, label=label: {label: value}, v) for label, (_, v) in typed.items())
                ),
            )
        )
    )


TYPED = st.recursive(PRIMITIVE, constructed, max_leaves=8)
MESSAGE: st.SearchStrategy[tuple[list[Type], list[Any]]] = st.lists(TYPED, max_size=3).flatmap(
    lambda typed: st.tuples(st.just([type_ for type_, _ in typed]), st.tuples(*(v for _, v in typed)).map(list))
)


def for_ic_py(type_: Type, value: Any) -> Any:
    """The same value as ic-py wants it: principals as text, tuples as tuples."""
    match type_:
        case ic.candid.PrincipalClass() | ic.candid.ServiceClass():
            return value.to_str()
        case ic.candid.FuncClass():
            return [value[0].to_str(), value[1]]
        case ic.candid.OptClass() | ic.candid.VecClass():
            return [for_ic_py(type_._type, item) for item in value]
        case ic.candid.TupleClass():
            return tuple(for_ic_py(t, item) for t, item in zip(type_._components, value, strict=True))
        case ic.candid.RecordClass():
            return {label: for_ic_py(t, value[label]) for label, t in type_._fields.items()}
        case ic.candid.VariantClass():
            return {label: for_ic_py(type_._fields[label], item) for label, item in value.items()}
    return value


@given(MESSAGE)
@settings(max_examples=300)
def test_values_survive_and_ic_py_writes_the_same_bytes(message: tuple[list[Type], list[Any]]) -> None:
    types, values = message
    encoded = encode(types, values)
    assert decode(encoded, types) == values
    theirs = [{"type": t, "value": for_ic_py(t, value)} for t, value in zip(types, values, strict=True)]
    assert bytes(ic.candid.encode(theirs)) == encoded


@given(MESSAGE)
def test_without_types_the_same_values_come_under_the_ids_of_their_fields(
    message: tuple[list[Type], list[Any]],
) -> None:
    def anonymous(type_: Type, value: Any) -> Any:
        match type_:
            case ic.candid.OptClass():
                return [anonymous(type_._type, item) for item in value]
            case ic.candid.VecClass() if not isinstance(value, bytes):
                return [anonymous(type_._type, item) for item in value]
            case ic.candid.TupleClass():
                return [anonymous(t, item) for t, item in zip(type_._components, value, strict=True)]
            case ic.candid.RecordClass() | ic.candid.VariantClass():
                return {f"_{field_hash(k)}": anonymous(type_._fields[k], item) for k, item in value.items()}
        return value

    types, values = message
    expected = [anonymous(type_, value) for type_, value in zip(types, values, strict=True)]
    assert decode(encode(types, values)) == expected


@given(MESSAGE, st.data())
@settings(max_examples=300)
def test_a_damaged_message_is_read_or_refused_with_a_candid_error(
    message: tuple[list[Type], list[Any]], data: st.DataObject
) -> None:
    types, values = message
    damaged = bytearray(encode(types, values))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(4, len(damaged) - 1))
        if data.draw(st.booleans()):
            damaged[at] = data.draw(st.integers(0, 255))
        else:
            del damaged[at:]
            damaged += data.draw(st.binary(max_size=4))
        if len(damaged) < 5:
            break
    for expected in (types, None):
        with contextlib.suppress(CandidError):
            decode(bytes(damaged), expected)


@given(st.binary(max_size=60).map(lambda data: b"DIDL" + data), TYPED)
@settings(max_examples=300)
def test_any_bytes_are_read_or_refused_with_a_candid_error(data: bytes, typed: Typed) -> None:
    for expected in ([typed[0]], None):
        with contextlib.suppress(CandidError):
            decode(data, expected)


@given(TYPED, st.integers() | st.text() | st.lists(st.integers()) | st.dictionaries(st.text(), st.none()) | st.none())
def test_a_value_of_another_type_is_refused_with_a_candid_error(typed: Typed, value: object) -> None:
    try:
        encoded = encode([typed[0]], [value])
    except CandidError:
        return
    decode(encoded, [typed[0]])


# -- recursive types ----------------------------------------------------------------------------------------------


def test_a_recursive_type_survives_and_ic_py_writes_the_same_bytes() -> None:
    type_ = list_type()
    value: list[Any] = []
    for number in range(50):
        value = [{"head": number - 25, "tail": value}]
    encoded = encode([type_], [value])
    assert decode(encoded, [type_]) == [value]
    assert bytes(ic.candid.encode([{"type": type_, "value": value}])) == encoded


def test_types_that_contain_each_other_are_read_as_each_other() -> None:
    even, odd = T.Rec(), T.Rec()
    even.fill(T.Opt(T.Record({"tail": odd, "head": T.Int})))
    odd.fill(T.Opt(T.Record({"tail": even, "head": T.Int})))
    value = [{"head": 1, "tail": [{"head": 2, "tail": []}]}]
    assert decode(encode([list_type()], [value]), [even]) == [value]
    assert decode(encode([even], [value]), [list_type()]) == [value]


def test_what_is_nested_without_end_is_refused() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [{"head": 0, "tail": value}]
    with pytest.raises(CandidError, match="deep"):
        encode([list_type()], [value])
    header = encode([list_type()], [[]])[:-1]
    with pytest.raises(CandidError, match="deep"):
        decode(header + b"\x01\x00" * 100_000 + b"\x00", [list_type()])
    while value:  # without this its destruction would itself be nested that deep
        value = value[0].pop("tail")


# -- the specification --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("types", "hex_", "values"),
    [
        ([], "0000", []),
        ([], "800000", []),  # a length may be longer than needed
        ([], "00017f", []),  # arguments beyond are ignored
        ([T.Opt(T.Nat)], "0000", [[]]),  # missing ones are null
        ([T.Null, T.Reserved], "0000", [None, None]),
        ([T.Nat], "00017d808098f4e9b5ca6a", [60000000000000000]),
        ([T.Int], "00017cff7f", [-1]),
        ([T.Int], "00017d2a", [42]),  # nat is a kind of int
        ([T.Reserved], "00017d2a", [None]),
        ([T.Opt(T.Int)], "00017d2a", [[42]]),  # a value is an opt of itself
        ([T.Opt(T.Opt(T.Bool))], "00017e01", [[[True]]]),
        ([T.Opt(T.Nat)], "016e7e01000101", [[]]),  # an opt of another type is null
        ([T.Opt(T.Nat)], "000170", [[]]),
        ([T.Opt(T.Empty)], "00017f", [[]]),
        ([T.Vec(T.Nat8)], "016d7b0100020102", [b"\1\2"]),
        ([T.Vec(T.Nat8)], "016d7c010000", [b""]),
        ([T.Vec(T.Int8)], "016d7c010000", [[]]),
        ([T.Record({"_1": T.Opt(T.Int)})], "016c01017c01002a", [{"_1": [42]}]),
        ([T.Record({"_2": T.Opt(T.Int)})], "016c01017c01002a", [{"_2": []}]),
        ([T.Record({})], "016c01017c01002a", [{}]),
        ([T.Record({"foo": T.Int, "bar": T.Bool})], "016c02d3e3aa027e868eb7027c0100012a", [{"foo": 42, "bar": True}]),
        ([T.Tuple(T.Int, T.Bool)], "016c02007c017e01002a01", [[42, True]]),
        ([T.Variant({"_0": T.Null})], "016b02007f017f010000", [{"_0": None}]),
        ([T.Opt(T.Variant({"_0": T.Null}))], "016b02007f017f010001", [[]]),  # an unknown case is null under opt
        ([T.Variant({"Foo": T.Null, "Bar": T.Null})], "016b02b3d3c9017fe6fdd5017f010000", [{"Bar": None}]),
        ([T.Principal], "000168010 3caffee".replace(" ", ""), [Principal(b"\xca\xff\xee")]),
        ([T.Principal], "016900010001 03caffee".replace(" ", ""), [Principal(b"\xca\xff\xee")]),  # services are
        ([T.Service({})], "01690001000103caffee", [Principal(b"\xca\xff\xee")]),
        ([T.Func([], [], [])], "016a0000000100010103caffee0161", [[Principal(b"\xca\xff\xee"), "a"]]),
        ([T.Func([T.Text, T.Opt(T.Text)], [], [])], "016a0171017d000100010103caffee0161",
         [[Principal(b"\xca\xff\xee"), "a"]]),
        ([T.Opt(T.Empty), T.Bool], "016703414243 0200 7e 0500 68656c6c6f 01".replace(" ", ""), [[], True]),
    ],
)  # fmt: skip
def test_coercion_follows_the_specification(types: list[Type], hex_: str, values: list[object]) -> None:
    assert decode(b"DIDL" + bytes.fromhex(hex_), types) == values


@pytest.mark.parametrize(
    ("types", "hex_"),
    [
        ([T.Nat], "0000"),  # missing and not optional
        ([T.Null], "00017e00"),
        ([T.Null], "000170"),
        ([T.Bool], "00017e02"),
        ([T.Nat], "00017d80"),
        ([T.Nat], "00017c01"),
        ([], "000000"),  # trailing
        ([], "00016e"),  # opt without content
        ([], "0100"),
        ([], "017f00"),  # a primitive type in the table
        ([], "016e0100"),  # a type that does not exist
        ([T.Opt(T.Bool)], "016e7e01000102"),
        ([T.Opt(T.Nat)], "016e7e01000102"),  # malformed is not the same as of another type
        ([T.Record({"_2": T.Int})], "016c01017c01002a"),
        ([T.Record({})], "016c02017c007e01002a01"),  # fields out of order
        ([T.Record({})], "016c0180e497d0127c01002a"),  # an id of more than 32 bits
        ([T.Variant({})], "016b000100"),
        ([T.Variant({"_0": T.Null})], "016b02007f017f010001"),  # an unknown case
        ([T.Variant({"_0": T.Null})], "016b01007f010001"),
        ([T.Text], "000171 02c328".replace(" ", "")),
        ([T.Principal], "000168 0003caffee".replace(" ", "")),  # opaque
        ([T.Principal], "000168 011e".replace(" ", "") + "00" * 30),  # too long
        ([T.Service({})], "0001680103caffee"),
        ([T.Func([T.Text], [T.Nat], [])], "016a0000000100010103caffee0161"),
        ([T.Func([], [], ["query"])], "016a0000000100010103caffee0161"),
        ([T.Reserved], "026a0171017d006902 03666f6f00 03666f6f00 01010103caffee".replace(" ", "")),  # twice foo
        ([T.Reserved], "016901 03666f6f 68 010001 03caffee".replace(" ", "")),  # a method that is no func
    ],
)
def test_what_the_specification_refuses_is_refused(types: list[Type], hex_: str) -> None:
    with pytest.raises(CandidError):
        decode(b"DIDL" + bytes.fromhex(hex_), types)


@pytest.mark.parametrize(
    ("story", "hex_"),
    [
        ("a billion types", "8094ebdc0300"),
        ("a billion arguments", "008094ebdc03"),
        ("a billion letters", "0001718094ebdc034d6f"),
        ("a billion fields", "016c8094ebdc03007f007f"),
        ("a billion booleans", "016d7e01008094ebdc03000000"),
        ("a billion nulls", "016d7f01008094ebdc03"),
        ("a billion reserved", "016d7001008094ebdc03"),
        ("ten million empty records", "026d016c00010080ade204"),
        ("a record that contains itself", "016c01000001 00".replace(" ", "")),
        ("records of records, 2 to the 20th nulls", "156c02007f017f" + "".join(
            f"6c0200{n:02x}01{n:02x}" for n in range(19)) + "6d13" + "0114 8080 04".replace(" ", "")),
        ("a number of a megabyte", "00017d" + "80" * 1_000_000 + "00"),
        ("a future type of a billion bytes", "016701 8094ebdc03".replace(" ", "")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("types", [[], [T.Reserved], [T.Opt(T.Nat)], None])
@pytest.mark.timeout(60)
def test_a_bomb_is_refused_before_it_goes_off(story: str, hex_: str, types: list[Type] | None) -> None:
    with pytest.raises(CandidError):
        decode(b"DIDL" + bytes.fromhex(hex_), types)


def test_field_ids_are_the_specification_s_hash() -> None:
    assert field_hash("foo") == 5097222
    assert field_hash("bar") == 4895187
    assert field_hash("_7") == 7


def test_a_float_that_is_not_a_number_survives() -> None:
    [value] = decode(encode([T.Float64], [math.nan]), [T.Float64])
    assert isinstance(value, float)
    assert math.isnan(value)


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (T.Nat8, 256),
        (T.Int8, -129),
        (T.Nat, -1),
        (T.Nat, True),
        (T.Nat64, 1.0),
        (T.Float32, 1e300),
        (T.Bool, 1),
        (T.Text, b"text"),
        (T.Text, "\ud800"),
        (T.Null, 0),
        (T.Empty, None),
        (T.Opt(T.Nat), 1),
        (T.Opt(T.Nat), [1, 2]),
        (T.Vec(T.Nat), "12"),
        (T.Vec(T.Nat), {"a": 1}),
        (T.Vec(T.Nat8), [256]),
        (T.Vec(T.Nat8), "text"),
        (T.Record({"a": T.Nat}), {}),
        (T.Record({"a": T.Nat}), [1]),
        (T.Tuple(T.Nat, T.Nat), (1,)),
        (T.Variant({"a": T.Nat}), {"b": 1}),
        (T.Variant({"a": T.Nat}), {}),
        (T.Variant({"a": T.Nat, "b": T.Nat}), {"a": 1, "b": 1}),
        (T.Principal, "aaaaa-ab"),
        (T.Principal, 5),
        (T.Func([], [], []), "aaaaa-aa"),
    ],
)
def test_a_wrong_value_is_refused(type_: Type, value: object) -> None:
    with pytest.raises(CandidError):
        encode([type_], [value])


def test_as_many_values_as_types_are_needed() -> None:
    with pytest.raises(CandidError, match="1 arguments expected, 2 given"):
        encode([T.Nat], [1, 2])


def test_a_composite_query_and_a_service_of_many_methods_are_written_in_order() -> None:
    func = T.Func([], [], ["composite_query"])
    service = T.Service({"b": func, "a": func, "ab": func})
    encoded = encode([service], ["aaaaa-aa"])
    assert encoded.hex() == "4449444c02" + "6a00000103" + "6903" + "016100" + "02616200" + "016200" + "0101" + "0100"
    assert decode(encoded, [service]) == [Principal()]


# -- blobs --------------------------------------------------------------------------------------------------------

BLOB = bytes(range(256)) * 7422  # 1.9 MB


@pytest.mark.parametrize("blob", [BLOB, bytearray(BLOB), memoryview(BLOB)], ids=["bytes", "bytearray", "memoryview"])
def test_a_blob_of_a_chunk_is_never_taken_byte_by_byte_however_deep_it_lies(blob: object) -> None:
    types = [T.Vec(T.Record({"put": T.Opt(T.Variant({"chunk": T.Vec(T.Nat8), "none": T.Null}))}))]
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        encoded = encode(types, [[{"put": [{"chunk": blob}]}]])
        values = decode(memoryview(encoded), types)
    finally:
        sys.setprofile(None)
    assert values == [[{"put": [{"chunk": BLOB}]}]]
    assert calls < 10_000


def test_a_part_of_a_message_nested_too_deep_is_refused() -> None:
    fields = b"".join(encode_unsigned(field_hash(name)) + b"\0" for name in ("aa", "token"))
    message = b"DIDL\x02\x6e\x00\x6c\x02" + fields + b"\x01\x01" + (b"\x01" * 100_000 + b"\0") * 2
    with pytest.raises(CandidError, match="too deep"):
        extract(message, ["token"])
