"""Interface Specification, "Representation-independent hashing of structured data"."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from icmigrate.protocol import leb128


def hash_of_map(value: Mapping[str, object]) -> bytes:
    """The hash (32 bytes) of a map of text to bytes, text, numbers, arrays and maps.

    Raises `TypeError` for any other value; an optional field that is not there has to be left out.
    """
    fields = sorted(_sha256(key.encode()) + _hash_of(field) for key, field in value.items())
    return _sha256(b"".join(fields))


def _hash_of(value: object) -> bytes:
    match value:
        case bytes() | bytearray() | memoryview():
            return _sha256(value)
        case str():
            return _sha256(value.encode())
        case int() if not isinstance(value, bool):
            return _sha256(leb128.encode_unsigned(value) if value >= 0 else leb128.encode_signed(value))
        case list() | tuple():
            return _sha256(b"".join(map(_hash_of, value)))
        case Mapping():
            return hash_of_map(value)
    raise TypeError(f"{type(value).__name__} has no representation-independent hash")


def _sha256(data: bytes | bytearray | memoryview) -> bytes:
    return hashlib.sha256(data).digest()
