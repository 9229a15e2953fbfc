"""Protocol Buffers, "Encoding": messages described by a table, as far as the ICP ledger's blocks need it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from icmigrate.protocol import leb128

VARINT, LENGTH_DELIMITED = 0, 2
"""Wire types. A number is a varint, which is unsigned LEB128; bytes and messages are length-delimited."""

Schema = Mapping[str, Mapping[int, tuple[str, str]]]
"""By message name: by field number, the field's name and its type: `uint64`, `bytes` or a message."""

Message = dict[str, Any]
"""A decoded message; a field that is not there is left out."""


def encode(schema: Schema, name: str, message: Mapping[str, Any]) -> bytes:
    """The message with fields by increasing number. Numbers of 0 and empty bytes are left out, empty messages not."""
    parts = []
    for number, (field, kind) in sorted(schema[name].items()):
        value = message.get(field)
        if value is None or value in (0, b""):
            continue
        if kind == "uint64":
            parts.append(leb128.encode_unsigned(number << 3 | VARINT) + leb128.encode_unsigned(value))
        else:
            content = value if kind == "bytes" else encode(schema, kind, value)
            key = leb128.encode_unsigned(number << 3 | LENGTH_DELIMITED)
            parts.append(key + leb128.encode_unsigned(len(content)) + content)
    return b"".join(parts)


def decode(schema: Schema, name: str, data: bytes) -> Message:
    """The message that `encode` made these bytes of. Raises ValueError for others."""
    message: Message = {}
    for field, kind in schema[name].values():
        if kind in DEFAULTS:
            message[field] = DEFAULTS[kind]
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        value, at = _varint(data, at)
        field, kind = schema[name][key >> 3]
        if key & 7 == LENGTH_DELIMITED:
            content, at = data[at : at + value], at + value
            message[field] = content if kind == "bytes" else decode(schema, kind, content)
        else:
            message[field] = value
    return message


DEFAULTS: Mapping[str, object] = {"uint64": 0, "bytes": b""}


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at a place, and the place behind it."""
    end = at
    while end < len(data) and data[end] & 0x80:
        end += 1
    return leb128.decode_unsigned(data[at : end + 1]), end + 1
