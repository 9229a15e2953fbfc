"""Candid specification, "Serialisation": Python values to bytes, the same bytes as ic-py's."""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence, Sized
from functools import lru_cache
from typing import TypeAlias, cast

from icmigrate.errors import CandidError
from icmigrate.protocol.candid import types as t
from icmigrate.protocol.candid.types import Node, Type
from icmigrate.protocol.leb128 import encode_signed, encode_unsigned
from icmigrate.protocol.principal import Principal

MAGIC = b"DIDL"

Bytes: TypeAlias = bytes | bytearray | memoryview
Put: TypeAlias = Callable[[Bytes], None]
Writer: TypeAlias = Callable[[object, Put], None]

_FIXED = {
    t.NAT8: "<B",
    t.NAT16: "<H",
    t.NAT32: "<I",
    t.NAT64: "<Q",
    t.INT8: "<b",
    t.INT16: "<h",
    t.INT32: "<i",
    t.INT64: "<q",
}


def encode(types: Sequence[Type], values: Sequence[object]) -> bytes:
    """The message with one value for each type. Raises `CandidError` for a value that is not of its type.

    Opt is [] or [value], a variant {name: value}, a record a dict, a tuple a tuple or list, a principal a `Principal`
    or its text, a func [principal, method], a service a principal, `vec nat8` bytes-like (or a list of numbers).
    """
    if len(types) != len(values):
        raise CandidError(f"{len(types)} arguments expected, {len(values)} given")
    header, writers = _compile(tuple(types))
    parts: list[Bytes] = [header]
    try:
        for write, value in zip(writers, values, strict=True):
            write(value, parts.append)
    except RecursionError:
        raise CandidError("the value is nested too deep") from None
    return b"".join(parts)


@lru_cache(maxsize=512)
def _compile(types: tuple[Type, ...]) -> tuple[bytes, list[Writer]]:
    try:
        nodes = t.from_ic_py(types)
        table = _TypeTable()
        references = [table.reference(node) for node in nodes]
        header = b"".join((MAGIC, table.encode(), encode_unsigned(len(nodes)), *references))
        known: dict[int, Writer] = {}
        return header, [_writer(node, known) for node in nodes]
    except RecursionError:
        raise CandidError("the type is nested too deep") from None


class _TypeTable:
    """The type table in ic-py's order: a type behind what it is made of, a recursive one before."""

    def __init__(self) -> None:
        self._entries: list[bytes] = []
        self._index: dict[Hashable, int] = {}

    def encode(self) -> bytes:
        return encode_unsigned(len(self._entries)) + b"".join(self._entries)

    def reference(self, node: Node) -> bytes:
        if node.opcode in t.PRIMITIVES:
            return encode_signed(node.opcode)
        key = _key(node)
        if key not in self._index and node.is_recursive:
            index = self._index[key] = len(self._entries)
            self._entries.append(b"")
            self._entries[index] = self._definition(node)
        elif key not in self._index:
            definition = self._definition(node)
            self._index[key] = len(self._entries)
            self._entries.append(definition)
        return encode_signed(self._index[key])

    def _definition(self, node: Node) -> bytes:
        parts = [encode_signed(node.opcode)]
        match node.opcode:
            case t.OPT | t.VEC:
                parts.append(self.reference(node.inner()))
            case t.RECORD | t.VARIANT:
                parts.append(encode_unsigned(len(node.fields)))
                for field in node.fields:
                    parts += encode_unsigned(field.id), self.reference(field.type)
            case t.FUNC:
                for group in (node.arguments, node.results):
                    parts += encode_unsigned(len(group)), *map(self.reference, group)
                parts += encode_unsigned(len(node.annotations)), bytes(node.annotations)
            case t.SERVICE:
                parts.append(encode_unsigned(len(node.methods)))
                for name, method in node.methods:
                    parts += encode_unsigned(len(name.encode())), name.encode(), self.reference(method)
        return b"".join(parts)


def _key(node: Node) -> Hashable:
    """Equal for types of the same structure, so that they share one entry."""
    if node.is_recursive:
        return id(node)
    names = (
        *(field.label for field in node.fields),
        *(name for name, _ in node.methods),
        len(node.arguments),
        *node.annotations,
    )
    return node.opcode, names, *map(_key, node.children())


# -- values ---------------------------------------------------------------------------------------------


def _writer(node: Node, known: dict[int, Writer]) -> Writer:
    """A function that appends the encoding of one value of this type."""
    if id(node) in known:
        return known[id(node)]
    if node.is_recursive:
        # Found again while its content is being compiled: goes through the table once that is done.
        known[id(node)] = lambda value, put: known_now(value, put)
        known_now = _construct(node, known)
        known[id(node)] = known_now
        return known_now
    return known.setdefault(id(node), _construct(node, known))


def _construct(node: Node, known: dict[int, Writer]) -> Writer:
    match node.opcode:
        case t.OPT:
            return _opt(_writer(node.inner(), known))
        case t.VEC if node.inner().opcode == t.NAT8:
            return _write_blob
        case t.VEC:
            return _vec(_writer(node.inner(), known))
        case t.RECORD if node.is_tuple:
            return _tuple([_writer(field.type, known) for field in node.fields])
        case t.RECORD:
            return _record([(field.label, _writer(field.type, known)) for field in node.fields])
        case t.VARIANT:
            return _variant(
                {
                    field.label: (encode_unsigned(index), _writer(field.type, known))
                    for index, field in enumerate(node.fields)
                }
            )
        case opcode if opcode in _FIXED:
            return _fixed(struct.Struct(_FIXED[opcode]))
        case t.FLOAT32 | t.FLOAT64:
            return _float(struct.Struct("<f" if node.opcode == t.FLOAT32 else "<d"))
    return _PRIMITIVE_WRITERS[node.opcode]


def _fail(expected: str, value: object) -> CandidError:
    shown = repr(value)
    return CandidError(f"{expected} expected, not {shown if len(shown) <= 60 else shown[:57] + '...'}")


def _opt(write_content: Writer) -> Writer:
    def write(value: object, put: Put) -> None:
        if not isinstance(value, list | tuple) or len(value) > 1:
            raise _fail("opt ([] or [value])", value)
        if value:
            put(b"\x01")
            write_content(value[0], put)
        else:
            put(b"\x00")

    return write


def _vec(write_item: Writer) -> Writer:
    def write(value: object, put: Put) -> None:
        if not isinstance(value, Iterable) or not isinstance(value, Sized) or isinstance(value, str | Mapping):
            raise _fail("vec", value)
        put(encode_unsigned(len(value)))
        for item in value:
            write_item(item, put)

    return write


def _write_blob(value: object, put: Put) -> None:
    if isinstance(value, memoryview):
        if not value.c_contiguous:
            raise CandidError("a memoryview has to be contiguous")
        value = value.cast("B")
    elif isinstance(value, list | tuple):
        try:
            value = bytes(value)
        except (TypeError, ValueError):
            raise _fail("vec nat8", value) from None
    elif not isinstance(value, bytes | bytearray):
        raise _fail("vec nat8", value)
    put(encode_unsigned(len(value)))
    put(value)


def _record(fields: list[tuple[str, Writer]]) -> Writer:
    def write(value: object, put: Put) -> None:
        if not isinstance(value, Mapping):
            raise _fail("record (a dict)", value)
        for label, write_field in fields:
            try:
                item = value[label]
            except KeyError:
                raise CandidError(f"the record lacks field {label!r}") from None
            write_field(item, put)

    return write


def _tuple(components: list[Writer]) -> Writer:
    def write(value: object, put: Put) -> None:
        if not isinstance(value, list | tuple) or len(value) != len(components):
            raise _fail(f"tuple of {len(components)}", value)
        for write_component, item in zip(components, value, strict=True):
            write_component(item, put)

    return write


def _variant(cases: dict[str, tuple[bytes, Writer]]) -> Writer:
    def write(value: object, put: Put) -> None:
        if not isinstance(value, Mapping) or len(value) != 1:
            raise _fail("variant (a dict of one)", value)
        ((label, content),) = value.items()
        if label not in cases:
            raise _fail(f"one of {', '.join(cases)}", label)
        index, write_content = cases[label]
        put(index)
        write_content(content, put)

    return write


def _fixed(format: struct.Struct) -> Writer:
    def write(value: object, put: Put) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise _fail("a number", value)
        try:
            put(format.pack(value))
        except struct.error:
            raise _fail(f"a number of {8 * format.size} bits", value) from None

    return write


def _float(format: struct.Struct) -> Writer:
    def write(value: object, put: Put) -> None:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise _fail("a float", value)
        try:
            put(format.pack(value))
        except (struct.error, OverflowError):
            raise _fail(f"a float of {8 * format.size} bits", value) from None

    return write


def _write_null(value: object, put: Put) -> None:
    if value is not None:
        raise _fail("null (None)", value)


def _write_bool(value: object, put: Put) -> None:
    if not isinstance(value, bool):
        raise _fail("bool", value)
    put(b"\x01" if value else b"\x00")


def _write_nat(value: object, put: Put) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _fail("nat", value)
    put(encode_unsigned(value))


def _write_int(value: object, put: Put) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _fail("int", value)
    put(encode_signed(value))


def _write_text(value: object, put: Put) -> None:
    if not isinstance(value, str):
        raise _fail("text", value)
    try:
        encoded = value.encode()
    except UnicodeEncodeError:
        raise CandidError("the text has characters that cannot be encoded") from None
    put(encode_unsigned(len(encoded)))
    put(encoded)


def _write_reserved(value: object, put: Put) -> None:
    pass


def _write_empty(value: object, put: Put) -> None:
    raise CandidError("there is no value of type empty")


def _write_principal(value: object, put: Put) -> None:
    try:
        match value:
            case str():
                id_ = Principal.from_str(value).bytes
            case bytes():
                id_ = Principal(value).bytes
            case _:
                id_ = cast(Principal, value).bytes
    except (ValueError, AttributeError):
        raise _fail("principal", value) from None
    put(b"\x01" + bytes((len(id_),)) + id_)


def _write_func(value: object, put: Put) -> None:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise _fail("func ([principal, method])", value)
    put(b"\x01")
    _write_principal(value[0], put)
    _write_text(value[1], put)


_PRIMITIVE_WRITERS: dict[int, Writer] = {
    t.NULL: _write_null,
    t.BOOL: _write_bool,
    t.NAT: _write_nat,
    t.INT: _write_int,
    t.TEXT: _write_text,
    t.RESERVED: _write_reserved,
    t.EMPTY: _write_empty,
    t.PRINCIPAL: _write_principal,
    t.SERVICE: _write_principal,
    t.FUNC: _write_func,
}
