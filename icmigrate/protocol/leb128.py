"""Candid specification, "Memory": unsigned and signed LEB128 numbers."""

from __future__ import annotations


def encode_unsigned(value: int) -> bytes:
    """The shortest unsigned LEB128 encoding of a natural number."""
    if value < 0x80:
        if value < 0:
            raise ValueError("not a natural number")
        return bytes((value,))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_signed(value: int) -> bytes:
    """The shortest signed LEB128 encoding of an integer."""
    out = bytearray()
    while not -0x40 <= value < 0x40:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value & 0x7F)
    return bytes(out)


def decode_unsigned(data: bytes) -> int:
    """The natural number that is encoded by all of `data`. Raises `ValueError` when it is anything else."""
    if not data or data[-1] & 0x80 or any(byte < 0x80 for byte in data[:-1]):
        raise ValueError("not one LEB128 number")
    value = 0
    for byte in reversed(data):
        value = value << 7 | byte & 0x7F
    return value
