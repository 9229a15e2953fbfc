"""Candid specification, "Deserialisation": the bytes of a message, its type table and the types of its arguments."""

from __future__ import annotations

from itertools import pairwise

from icmigrate.errors import CandidError
from icmigrate.protocol.candid import types as t
from icmigrate.protocol.candid.types import Field, Node

MAGIC = b"DIDL"

# More than any honest message has, few enough to be read at once.
MAX_TABLE = 10_000
MAX_FIELDS = 50_000
# Values that take no bytes (null, reserved, records of these) in one message.
MAX_EMPTY_VALUES = 1_000_000
# Of one number: reading a LEB128 number takes time in the square of its length.
MAX_NUMBER_BYTES = 1024


class Source:
    """A message and how far it is read."""

    __slots__ = ("at", "data", "empty_values", "end")

    def __init__(self, data: bytes | memoryview) -> None:
        self.data = data
        self.at = 0
        self.end = len(data)
        self.empty_values = MAX_EMPTY_VALUES

    def take(self, length: int) -> int:
        """Goes `length` bytes on and returns where they begin."""
        at = self.at
        if length > self.end - at:
            raise CandidError("the message is too short")
        self.at = at + length
        return at

    def byte(self) -> int:
        at = self.at
        if at >= self.end:
            raise CandidError("the message is too short")
        self.at = at + 1
        return self.data[at]

    def unsigned(self) -> int:
        at = self.at
        if at < self.end and self.data[at] < 0x80:
            self.at = at + 1
            return self.data[at]
        value, _ = self._leb128()
        return value

    def signed(self) -> int:
        value, bits = self._leb128()
        return value - (1 << bits) if value >> bits - 1 else value

    def _leb128(self) -> tuple[int, int]:
        value = bits = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << bits
            bits += 7
            if byte < 0x80:
                return value, bits
            if bits >= 7 * MAX_NUMBER_BYTES:
                raise CandidError(f"a number of more than {MAX_NUMBER_BYTES} bytes")

    def length(self) -> int:
        """A number of things that take a byte each at least."""
        length = self.unsigned()
        if length > self.end - self.at:
            raise CandidError("the message is too short")
        return length

    def text(self) -> str:
        length = self.unsigned()
        at = self.take(length)
        try:
            return str(self.data[at : at + length], "utf-8")
        except UnicodeDecodeError:
            raise CandidError("text is not UTF-8") from None

    def charge(self, empty_values: int) -> None:
        self.empty_values -= empty_values
        if self.empty_values < 0:
            raise CandidError("too many values without content")


class Header:
    """The types that stand at the beginning of a message: `table`, and those of the `arguments`."""

    def __init__(self, source: Source) -> None:
        self._source = source
        if source.data[:4] != MAGIC:
            raise CandidError("not a Candid message: it does not begin with DIDL")
        source.take(4)
        count = source.length()
        if count > MAX_TABLE:
            raise CandidError("too many types")
        self._fields_left = MAX_FIELDS
        self.table = [Node(0) for _ in range(count)]
        for node in self.table:
            self._entry(node)
        for node in self.table:
            if any(method.opcode != t.FUNC for _, method in node.methods):
                raise CandidError("a method of a service is not a func")
        self.arguments = [self._reference() for _ in range(self._count())]

    def _count(self) -> int:
        count = self._source.length()
        self._fields_left -= count
        if self._fields_left < 0:
            raise CandidError("too many fields")
        return count

    def _reference(self) -> Node:
        index = self._source.signed()
        if index in t.PRIMITIVES:
            return _PRIMITIVE_NODES[index]
        if 0 <= index < len(self.table):
            return self.table[index]
        raise CandidError(f"type {index} does not exist")

    def _entry(self, node: Node) -> None:
        source = self._source
        node.opcode = source.signed()
        if node.opcode in (t.OPT, t.VEC):
            node.content = self._reference()
        elif node.opcode in (t.RECORD, t.VARIANT):
            self._read_fields(node)
        elif node.opcode == t.FUNC:
            node.arguments = [self._reference() for _ in range(self._count())]
            node.results = [self._reference() for _ in range(self._count())]
            node.annotations = [source.byte() for _ in range(self._count())]
            if not set(node.annotations) <= set(t.ANNOTATIONS.values()):
                raise CandidError("unknown annotation of a func")
        elif node.opcode == t.SERVICE:
            node.methods = [(source.text(), self._reference()) for _ in range(self._count())]
            names = [name.encode() for name, _ in node.methods]
            if any(name >= following for name, following in pairwise(names)):
                raise CandidError("the methods of a service are not in order")
        elif node.opcode <= t.FUTURE:
            source.take(source.unsigned())
        else:
            raise CandidError(f"opcode {node.opcode} does not construct a type")

    def _read_fields(self, node: Node) -> None:
        last = -1
        for _ in range(self._count()):
            id_ = self._source.unsigned()
            if not last < id_ < 1 << 32:
                raise CandidError("fields are not in order, or a field's id has more than 32 bits")
            node.fields.append(Field(id_, f"_{id_}", self._reference()))
            last = id_
        node.is_tuple = bool(node.fields) and last == len(node.fields) - 1


_PRIMITIVE_NODES = {opcode: Node(opcode) for opcode in t.PRIMITIVES}
