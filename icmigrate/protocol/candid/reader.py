"""Candid specification, "Deserialisation" and "Coercion": bytes to Python values of the expected types.

Messages come from anybody. Whatever is wrong with one ends in `CandidError`; no message costs much more memory or time
than its own size, whatever lengths it claims. What the types of a message say is compiled once and kept for the next
message with the same beginning, since all answers of one method have it in common.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeAlias

from icmigrate.errors import CandidError
from icmigrate.protocol.candid import types as t
from icmigrate.protocol.candid.source import MAX_EMPTY_VALUES, Header, Source
from icmigrate.protocol.candid.types import Node, Subtyping, Type
from icmigrate.protocol.principal import MAX_LENGTH, Principal

MAX_CACHED_HEADER = 16_384
MAX_CACHED_HEADERS = 8

Reader: TypeAlias = Callable[[Source], object]
Skipper: TypeAlias = Callable[[Source], None]

_FIXED = {
    t.NAT8: "B",
    t.NAT16: "H",
    t.NAT32: "I",
    t.NAT64: "Q",
    t.INT8: "b",
    t.INT16: "h",
    t.INT32: "i",
    t.INT64: "q",
    t.FLOAT32: "f",
    t.FLOAT64: "d",
}


class _Mismatch(CandidError):
    """A value that is well-formed but not of the expected type; read as null where the expected type is opt."""


def decode(data: bytes | bytearray | memoryview, types: Sequence[Type] | None = None) -> list[object]:
    """The values of a message, coerced to `types`. Raises `CandidError` for anything that is not such a message.

    Values are as for `encode`; tuples are lists, principals are `Principal`s, funcs [Principal, method]. Without
    `types` the message's own count, with fields under the key `_<id>`.
    """
    source = Source(data if isinstance(data, bytes) else memoryview(data).cast("B"))
    try:
        values = [read(source) for read in _readers(source, None if types is None else tuple(types))]
    except RecursionError:
        raise CandidError("the message is nested too deep") from None
    if source.at != source.end:
        raise CandidError("trailing bytes")
    return values if types is None else values[: len(types)]


def _readers(source: Source, types: tuple[Type, ...] | None) -> list[Reader]:
    known = _known_headers(types)
    for header, readers in known:
        if source.data[: len(header)] == header:
            source.at = len(header)
            return readers
    arguments = Header(source).arguments
    readers = Compiler().sequence(arguments, None if types is None else t.from_ic_py(types))
    if source.at <= MAX_CACHED_HEADER:
        known.insert(0, (bytes(source.data[: source.at]), readers))
        del known[MAX_CACHED_HEADERS:]
    return readers


@lru_cache(maxsize=512)
def _known_headers(types: tuple[Type, ...] | None) -> list[tuple[bytes, list[Reader]]]:
    return []


# -- readers ---------------------------------------------------------------------------------------------


class Compiler:
    """Makes readers for types of a message, given the types that are expected."""

    def __init__(self) -> None:
        self._subtyping = Subtyping()
        self._known: dict[tuple[int, int], Reader] = {}
        self._skippers: dict[int, Skipper] = {}
        self._weights: dict[int, int | None] = {}

    def sequence(self, actual: Sequence[Node], expected: Sequence[Node] | None) -> list[Reader]:
        """One reader for each expected value, then one that skips each argument beyond."""
        if expected is None:
            expected = actual
        readers = [self.reader(a, e) for a, e in zip(actual, expected, strict=False)]
        for missing in expected[len(actual) :]:
            if not t.has_default(missing):
                raise CandidError(f"{len(expected)} values expected, {len(actual)} are there")
            readers.append(_default(missing))
        readers += (_read_skipped(self.skipper(extra)) for extra in actual[len(expected) :])
        return readers

    def reader(self, actual: Node, expected: Node) -> Reader:
        """A function that reads one value of type `actual` as one of type `expected`."""
        key = (id(actual), id(expected))
        if key not in self._known:
            # Found again while it is being made: goes through the table once that is done.
            self._known[key] = lambda source: self._known[key](source)
            self._known[key] = self._reader(actual, expected)
        return self._known[key]

    def _reader(self, actual: Node, expected: Node) -> Reader:
        a, e = actual.opcode, expected.opcode
        if e == t.RESERVED or (a <= t.FUTURE and actual is expected):
            return _read_skipped(self.skipper(actual))
        if a == t.EMPTY:
            return _read_empty
        if e == t.OPT:
            return self._opt(actual, expected)
        if a == t.NAT and e == t.INT:
            return Source.unsigned
        if a == t.SERVICE and e == t.PRINCIPAL:
            return _read_principal
        if a != e or a <= t.FUTURE:
            return _mismatch(f"a value of type {expected.opcode} expected, not {actual.opcode}")
        match a:
            case t.VEC:
                return self._vec(actual, expected)
            case t.RECORD:
                return self._record(actual, expected)
            case t.VARIANT:
                return self._variant(actual, expected)
            case t.FUNC | t.SERVICE:
                if not self._subtyping.holds(actual, expected):
                    return _mismatch("a reference to something of another type")
                return _read_func if a == t.FUNC else _read_principal
        return _fixed(_FIXED[a]) if a in _FIXED else _PRIMITIVE_READERS[a]

    def _opt(self, actual: Node, expected: Node) -> Reader:
        if actual.opcode in (t.NULL, t.RESERVED):
            return _default(expected)
        is_opt = actual.opcode == t.OPT
        content = actual.inner() if is_opt else actual
        read_content, skip = self.reader(content, expected.inner()), self.skipper(content)

        def read(source: Source) -> object:
            if is_opt and not _flag(source):
                return []
            at = source.at
            try:
                return [read_content(source)]
            except _Mismatch:
                source.at = at
                skip(source)
                return []

        return read

    def _vec(self, actual: Node, expected: Node) -> Reader:
        inner, expected_inner = actual.inner(), expected.inner()
        if inner.opcode == expected_inner.opcode and inner.opcode in _FIXED:
            return _read_blob if inner.opcode == t.NAT8 else _fixed_vec(_FIXED[inner.opcode])
        read_length, read_item = self._vec_length(inner), self.reader(inner, expected_inner)

        def read(source: Source) -> object:
            return [read_item(source) for _ in range(read_length(source))]

        if expected_inner.opcode == t.NAT8:  # nothing but an empty vec can be read
            return lambda source: b"" if read(source) == [] else None
        return read

    def _vec_length(self, inner: Node) -> Callable[[Source], int]:
        weight = self._weight(inner)
        if weight is None:
            return Source.length

        def read(source: Source) -> int:
            length = source.unsigned()
            source.charge(length * weight)
            return length

        return read

    def _record(self, actual: Node, expected: Node) -> Reader:
        wanted = {field.id: field for field in expected.fields}
        given = {field.id for field in actual.fields}
        absent = [field for field in expected.fields if field.id not in given]
        for field in absent:
            if not t.has_default(field.type):
                return _mismatch(f"the record lacks field {field.label}")
        defaults = [(field.label, _default(field.type)) for field in absent]
        steps: list[tuple[str | None, Reader]] = [
            (wanted[field.id].label, self.reader(field.type, wanted[field.id].type))
            if field.id in wanted
            else (None, _read_skipped(self.skipper(field.type)))
            for field in actual.fields
        ]
        weight = self._empty_fields(actual)

        def read(source: Source) -> dict[str, object]:
            if weight:
                source.charge(weight)
            record: dict[str, object] = {}
            for label, read_field in steps:
                value = read_field(source)
                if label is not None:
                    record[label] = value
            for label, default in defaults:
                record[label] = default(source)
            return record

        if not expected.is_tuple:
            return read
        labels = [field.label for field in expected.fields]

        def read_tuple(source: Source) -> list[object]:
            record = read(source)
            return [record[label] for label in labels]

        return read_tuple

    def _variant(self, actual: Node, expected: Node) -> Reader:
        wanted = {field.id: field for field in expected.fields}
        cases = [
            (wanted[field.id].label, self.reader(field.type, wanted[field.id].type))
            if field.id in wanted
            else ("", _mismatch(f"the variant has an unexpected case {field.label}"))
            for field in actual.fields
        ]

        def read(source: Source) -> object:
            label, read_content = cases[_case(source, len(cases))]
            return {label: read_content(source)}

        return read

    # -- skipping: as strict as reading, but it keeps nothing

    def skipper(self, actual: Node) -> Skipper:
        """A function that goes past one value of type `actual`."""
        key = id(actual)
        if key not in self._skippers:
            self._skippers[key] = lambda source: self._skippers[key](source)
            self._skippers[key] = self._skipper(actual)
        return self._skippers[key]

    def _skipper(self, actual: Node) -> Skipper:
        match actual.opcode:
            case t.NULL | t.RESERVED:
                return lambda source: None
            case opcode if opcode in _FIXED:
                return _skip_fixed(struct.calcsize(_FIXED[opcode]))
            case t.OPT:
                return self._skip_opt(actual)
            case t.VEC:
                return self._skip_vec(actual)
            case t.RECORD:
                return self._skip_record(actual)
            case t.VARIANT:
                return self._skip_variant(actual)
            case opcode if opcode <= t.FUTURE:
                return _skip_future
        return _skip_read(_read_principal if actual.opcode == t.SERVICE else _PRIMITIVE_READERS[actual.opcode])

    def _skip_opt(self, actual: Node) -> Skipper:
        skip_content = self.skipper(actual.inner())

        def skip(source: Source) -> None:
            if _flag(source):
                skip_content(source)

        return skip

    def _skip_vec(self, actual: Node) -> Skipper:
        inner = actual.inner()
        if inner.opcode in _FIXED:
            size = struct.calcsize(_FIXED[inner.opcode])
            return lambda source: _skip_vec_of_fixed(source, size)
        read_length, skip_item = self._vec_length(inner), self.skipper(inner)

        def skip(source: Source) -> None:
            for _ in range(read_length(source)):
                skip_item(source)

        return skip

    def _skip_record(self, actual: Node) -> Skipper:
        skippers = [self.skipper(field.type) for field in actual.fields]
        weight = self._empty_fields(actual)

        def skip(source: Source) -> None:
            if weight:
                source.charge(weight)
            for skip_field in skippers:
                skip_field(source)

        return skip

    def _skip_variant(self, actual: Node) -> Skipper:
        skippers = [self.skipper(field.type) for field in actual.fields]

        def skip(source: Source) -> None:
            skippers[_case(source, len(skippers))](source)

        return skip

    # -- values without bytes, of which a few bytes can claim any number

    def _empty_fields(self, record: Node) -> int:
        return min(sum(self._weight(field.type) or 0 for field in record.fields), MAX_EMPTY_VALUES + 1)

    def _weight(self, node: Node) -> int | None:
        """How many values without content one value of this type is; None if it takes any bytes."""
        if node.opcode in (t.NULL, t.RESERVED, t.EMPTY):
            return 1
        if node.opcode != t.RECORD:
            return None
        if id(node) not in self._weights:
            # A record that contains itself has no values: more than is allowed.
            self._weights[id(node)] = MAX_EMPTY_VALUES + 1
            weights = [self._weight(field.type) for field in node.fields]
            total = sum(weight for weight in weights if weight is not None)
            self._weights[id(node)] = None if None in weights else min(total + 1, MAX_EMPTY_VALUES + 1)
        return self._weights[id(node)]


def _default(expected: Node) -> Reader:
    return (lambda source: []) if expected.opcode == t.OPT else (lambda source: None)


def _mismatch(reason: str) -> Reader:
    def read(source: Source) -> object:
        raise _Mismatch(reason)

    return read


def _flag(source: Source) -> bool:
    flag = source.byte()
    if flag > 1:
        raise CandidError("a flag is neither 0 nor 1")
    return flag == 1


def _case(source: Source, count: int) -> int:
    index = source.unsigned()
    if index >= count:
        raise CandidError("the case of a variant does not exist")
    return index


def _fixed(code: str) -> Reader:
    format = struct.Struct("<" + code)
    size, unpack_from = format.size, format.unpack_from

    def read(source: Source) -> object:
        return unpack_from(source.data, source.take(size))[0]

    return read


def _fixed_vec(code: str) -> Reader:
    size = struct.calcsize(code)

    def read(source: Source) -> object:
        length = source.length()
        return list(struct.unpack_from(f"<{length}{code}", source.data, source.take(length * size)))

    return read


def _read_blob(source: Source) -> bytes:
    length = source.unsigned()
    at = source.take(length)
    return bytes(source.data[at : at + length])


def _read_empty(source: Source) -> object:
    raise CandidError("a value of type empty")


def _read_principal(source: Source) -> Principal:
    if source.byte() != 1:
        raise CandidError("an opaque reference")
    length = source.unsigned()
    if length > MAX_LENGTH:
        raise CandidError(f"a principal of {length} bytes")
    at = source.take(length)
    return Principal(bytes(source.data[at : at + length]))


def _read_func(source: Source) -> list[object]:
    if source.byte() != 1:
        raise CandidError("an opaque reference")
    return [_read_principal(source), source.text()]


def _read_skipped(skip: Skipper) -> Reader:
    return skip


def _skip_read(read: Reader) -> Skipper:
    def skip(source: Source) -> None:
        read(source)

    return skip


def _skip_fixed(size: int) -> Skipper:
    def skip(source: Source) -> None:
        source.take(size)

    return skip


def _skip_vec_of_fixed(source: Source, size: int) -> None:
    source.take(source.unsigned() * size)


def _skip_future(source: Source) -> None:
    length, references = source.unsigned(), source.unsigned()
    source.take(length)
    if references:
        raise CandidError("references in a value of an unknown type")


_PRIMITIVE_READERS: dict[int, Reader] = {
    t.NULL: lambda source: None,
    t.BOOL: _flag,
    t.NAT: Source.unsigned,
    t.INT: Source.signed,
    t.TEXT: Source.text,
    t.EMPTY: _read_empty,
    t.PRINCIPAL: _read_principal,
    t.FUNC: _read_func,
}
