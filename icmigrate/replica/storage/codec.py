"""How the records of `state/` are written: as CBOR, derived from their type annotations.

A record is the array of its fields in order (later versions may only append fields with defaults); of a union
the first element tells the member. Amounts may exceed 64 bits.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

import cbor2

from icmigrate.protocol.principal import Principal

Coder = tuple[Callable[[Any], Any], Callable[[Any], Any]]
"""From a value to what CBOR knows, and back."""


def dumps(kind: Any, value: object) -> bytes:
    """The encoding of a value of type `kind`."""
    return cbor2.dumps(_coder(kind)[0](value))


def loads(kind: Any, data: bytes) -> Any:
    """The value of type `kind` that `data` encodes."""
    return _coder(kind)[1](cbor2.loads(data))


def _same(value: Any) -> Any:
    return value


@cache
def _coder(kind: Any) -> Coder:
    if kind in (int, str, bytes, bool, float):
        return _same, _same
    if kind is Principal:
        return (lambda value: value.bytes), Principal
    if isinstance(kind, type) and issubclass(kind, Enum):
        return (lambda value: value.value), kind
    if is_dataclass(kind):
        return _record(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _union(arguments)
    if origin is tuple and arguments[-1] is Ellipsis:
        return _sequence(arguments[0], tuple)
    if origin is frozenset:
        return _sequence(arguments[0], frozenset)
    if origin is tuple:
        return _row(arguments)
    if origin is dict:
        return _mapping(*arguments)
    raise TypeError(f"no encoding for {kind}")


def _record(kind: Any) -> Coder:
    hints = get_type_hints(kind)
    names = [each.name for each in fields(kind)]
    coders = [_coder(hints[name]) for name in names]
    writers = [(name, encode) for name, (encode, _) in zip(names, coders, strict=True)]
    readers = [decode for _, decode in coders]

    def encode(value: Any) -> Any:
        return [write(getattr(value, name)) for name, write in writers]

    def decode(row: Any) -> Any:
        return kind(*[read(item) for read, item in zip(readers, row, strict=False)])

    return encode, decode


def _union(members: tuple[Any, ...]) -> Coder:
    """An optional value is null or the value; any other union is [which, value]."""
    some = [member for member in members if member is not type(None)]
    optional = len(some) < len(members)
    if len(some) == 1:
        encode_one, decode_one = _coder(some[0])
        return (
            lambda value: None if value is None else encode_one(value),
            lambda data: None if data is None else decode_one(data),
        )
    coders = [_coder(member) for member in some]
    which = {member: index for index, member in enumerate(some)}

    def encode(value: Any) -> Any:
        if optional and value is None:
            return None
        index = which[type(value)]
        return [index, coders[index][0](value)]

    def decode(data: Any) -> Any:
        return None if data is None else coders[data[0]][1](data[1])

    return encode, decode


def _sequence(item: Any, kind: Callable[[Any], Any]) -> Coder:
    encode, decode = _coder(item)
    return (lambda value: [encode(each) for each in value]), (lambda data: kind(decode(each) for each in data))


def _row(items: tuple[Any, ...]) -> Coder:
    coders = [_coder(item) for item in items]
    return (
        lambda value: [encode(each) for (encode, _), each in zip(coders, value, strict=True)],
        lambda data: tuple(decode(each) for (_, decode), each in zip(coders, data, strict=True)),
    )


def _mapping(key: Any, item: Any) -> Coder:
    encode_key, decode_key = _coder(key)
    encode, decode = _coder(item)
    return (
        lambda value: [[encode_key(name), encode(each)] for name, each in value.items()],
        lambda data: {decode_key(name): decode(each) for name, each in data},
    )
