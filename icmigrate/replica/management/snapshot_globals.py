"""Interface Specification, `read_canister_snapshot_metadata`: the globals that are exported or mutable.

Of a canister only the mutable ones are kept (`MemoryImage.globals`); the others are what the module says. Values
are little endian bit patterns.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from icmigrate.replica.wasm import binary

_KINDS = {binary.I32: "i32", binary.I64: "i64", binary.F32: "f32", binary.F64: "f64", binary.V128: "v128"}
_FORMATS = {"i32": "<i", "i64": "<q", "f32": "<f", "f64": "<d"}
_WIDTHS = {"i32": 4, "i64": 8, "f32": 4, "f64": 8, "v128": 16}
_KIND_OF_WIDTH = {4: "i32", 8: "i64", 16: "v128"}


def all_values(module: binary.Module, kept: Sequence[bytes]) -> list[bytes]:
    """The values of all globals of a snapshot, given the kept ones."""
    mutable = iter(kept)
    return [
        next(mutable) if each.mutable else each.initial.to_bytes(_WIDTHS[_KINDS[each.value_type]], "little")
        for each in _visible(module)
    ]


def kept_values(module: binary.Module, values: Sequence[bytes]) -> tuple[bytes, ...] | None:
    """Those of all values that are kept; None when they are not values of this module's globals."""
    globals_ = _visible(module)
    if [_WIDTHS[_KINDS[each.value_type]] for each in globals_] != [len(value) for value in values]:
        return None
    return tuple(value for each, value in zip(globals_, values, strict=True) if each.mutable)


def to_candid(module: binary.Module | None, values: Sequence[bytes]) -> list[dict[str, int | float]]:
    """As variants by type; while the module is not known, types are told by widths only."""
    known = [_KINDS[each.value_type] for each in _visible(module)] if module else []
    if [_WIDTHS[kind] for kind in known] != [len(value) for value in values]:
        known = [_KIND_OF_WIDTH[len(value)] for value in values]
    return [{kind: _number(kind, value)} for kind, value in zip(known, values, strict=True)]


def from_candid(kind: str, value: int | float) -> bytes:
    return int(value).to_bytes(16, "little") if kind == "v128" else struct.pack(_FORMATS[kind], value)


def _number(kind: str, value: bytes) -> int | float:
    if kind == "v128":
        return int.from_bytes(value, "little")
    number: int | float = struct.unpack(_FORMATS[kind], value)[0]
    return number


def _visible(module: binary.Module) -> list[binary.GlobalType]:
    exported = {export.index for export in module.exports if export.kind == binary.GLOBAL_KIND}
    return [each for index, each in enumerate(module.globals) if each.mutable or index in exported]
