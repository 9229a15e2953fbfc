"""Interface Specification, "CBOR": the subset that requests, responses and certificates use.

Written out here because requests come from anybody: every malformed input ends in `CborError`, no tag runs
code, nothing is decoded deeper than asked, and a blob is copied exactly once. Values are None, bool, int
(64 bits), float, bytes, str, list and dict.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from itertools import count

from icmigrate.errors import CborError

__all__ = ["CborError", "dumps", "loads"]

SELF_DESCRIBE = b"\xd9\xd9\xf7"
SELF_DESCRIBE_TAG = 55799
MAX_DEPTH = 64
MAX_ITEMS = 1_000_000
"""Elements of arrays and maps; each takes about a microsecond."""

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_INDEFINITE = -1
_BREAK = object()


def dumps(value: object) -> bytes:
    """The encoding of `value`, always with the self-describe tag 55799 in front."""
    parts: list[bytes | bytearray | memoryview] = [SELF_DESCRIBE]
    _write(value, parts.append)
    return b"".join(parts)


def _write(value: object, put: Callable[[bytes | bytearray | memoryview], None]) -> None:
    match value:
        case bytes() | bytearray():
            put(_head(_BYTES, len(value)))
            put(value)
        case memoryview():
            put(_head(_BYTES, value.nbytes))
            put(value)
        case str():
            encoded = value.encode()
            put(_head(_TEXT, len(encoded)))
            put(encoded)
        case bool():
            put(b"\xf5" if value else b"\xf4")
        case int():
            put(_head(_UNSIGNED, value) if value >= 0 else _head(_NEGATIVE, -1 - value))
        case list() | tuple():
            put(_head(_ARRAY, len(value)))
            for item in value:
                _write(item, put)
        case None:
            put(b"\xf6")
        case float():
            put(b"\xfb" + struct.pack(">d", value))
        case Mapping():
            put(_head(_MAP, len(value)))
            for key, item in value.items():
                _write(key, put)
                _write(item, put)
        case _:
            raise TypeError(f"no CBOR for {type(value).__name__}")


def _head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes((major << 5 | argument,))
    for additional, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << 8 * size:
            return bytes((major << 5 | additional,)) + argument.to_bytes(size, "big")
    raise CborError("number of more than 64 bits")


def loads(data: bytes | bytearray | memoryview, *, max_depth: int = MAX_DEPTH, max_items: int = MAX_ITEMS) -> object:
    """The value that is encoded by all of `data`; the self-describe tag is dropped wherever it stands.

    Raises `CborError` for anything else: truncated, trailing bytes, unknown tags, duplicate keys, text that
    is not UTF-8, nested deeper than `max_depth`, more than `max_items` elements of arrays and maps.
    """
    reader = _Reader(data, max_items)
    value = reader.value(max_depth)
    if value is _BREAK:
        raise CborError("break outside of an indefinite item")
    if reader.at != len(reader.data):
        raise CborError("trailing bytes")
    return value


class _Reader:
    __slots__ = ("at", "data", "items_left")

    def __init__(self, data: bytes | bytearray | memoryview, max_items: int) -> None:
        self.items_left = max_items
        self.data = memoryview(data).cast("B") if isinstance(data, memoryview) else memoryview(data)
        self.at = 0

    def value(self, depth: int) -> object:
        major, argument = self.head()
        if major == _BYTES:
            return self.string(argument, _BYTES)
        if major == _UNSIGNED:
            return argument
        if major == _TEXT:
            try:
                return self.string(argument, _TEXT).decode()
            except UnicodeDecodeError:
                raise CborError("text is not UTF-8") from None
        if major == _SIMPLE:
            return self.simple(argument)
        if major == _NEGATIVE:
            return -1 - argument
        if depth <= 0:
            raise CborError("nested too deep")
        if major == _ARRAY:
            return self.array(argument, depth - 1)
        if major == _MAP:
            return self.map(argument, depth - 1)
        if argument != SELF_DESCRIBE_TAG:
            raise CborError(f"unexpected tag {argument}")
        return self.value(depth - 1)

    def head(self) -> tuple[int, int]:
        """The major type and the argument of the next item; for a float: its size << 64 | its bits."""
        at = self.at
        if at >= len(self.data):
            raise CborError("truncated")
        initial = self.data[at]
        self.at = at + 1
        major, additional = initial >> 5, initial & 31
        if additional < 24:
            return major, additional
        if additional <= 27:
            return major, self.number(major, 1 << additional - 24)
        if additional == 31 and major in (_BYTES, _TEXT, _ARRAY, _MAP, _SIMPLE):
            return major, _INDEFINITE
        raise CborError("reserved additional information")

    def number(self, major: int, size: int) -> int:
        end = self.at + size
        if end > len(self.data):
            raise CborError("truncated")
        value = int.from_bytes(self.data[self.at : end], "big")
        self.at = end
        if major != _SIMPLE:
            return value
        if size == 1:
            if value < 32:
                raise CborError("malformed simple value")
            return value
        return size << 64 | value

    def string(self, length: int, major: int) -> bytes:
        if length == _INDEFINITE:
            chunks = []
            while (head := self.head()) != (_SIMPLE, _INDEFINITE):
                if head[0] != major or head[1] == _INDEFINITE:
                    raise CborError("malformed indefinite string")
                chunks.append(self.string(head[1], major))
            return b"".join(chunks)
        end = self.at + length
        if end > len(self.data):
            raise CborError("truncated")
        value = bytes(self.data[self.at : end])
        self.at = end
        return value

    def elements(self, length: int) -> Iterator[None]:
        """As many rounds as an array or map has elements; an indefinite one ends with the caller's break."""
        if length > len(self.data) - self.at:
            raise CborError("truncated")
        for _ in range(length) if length != _INDEFINITE else count():
            self.items_left -= 1
            if self.items_left < 0:
                raise CborError("too many elements")
            yield

    def array(self, length: int, depth: int) -> list[object]:
        items: list[object] = []
        for _ in self.elements(length):
            item = self.value(depth)
            if item is _BREAK:
                if length != _INDEFINITE:
                    raise CborError("break outside of an indefinite item")
                break
            items.append(item)
        return items

    def map(self, length: int, depth: int) -> dict[object, object]:
        items: dict[object, object] = {}
        for _ in self.elements(length):
            key = self.value(depth)
            if key is _BREAK:
                if length != _INDEFINITE:
                    raise CborError("break outside of an indefinite item")
                break
            if not isinstance(key, str | bytes | int):
                raise CborError("a key is neither text, bytes nor a number")
            if key in items:
                raise CborError("duplicate key")
            item = self.value(depth)
            if item is _BREAK:
                raise CborError("break in the middle of a map entry")
            items[key] = item
        return items

    def simple(self, argument: int) -> object:
        match argument:
            case 20:
                return False
            case 21:
                return True
            case 22 | 23:  # null and undefined
                return None
            case -1:
                return _BREAK
        size, bits = argument >> 64, argument & 0xFFFF_FFFF_FFFF_FFFF
        if size in (2, 4, 8):
            (number,) = struct.unpack({2: ">e", 4: ">f", 8: ">d"}[size], bits.to_bytes(size, "big"))
            return number
        raise CborError("unexpected simple value")
