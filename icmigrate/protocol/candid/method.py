"""Candid specification, "Functions": a canister method by its name, and its arguments and reply in plain Python form.

Plain form: `opt` is `None` or the value, a variant without payload is its label, one with payload is
`{label: payload}`, `blob` is `bytes`, a principal is its text. Everything but bytes is JSON as it stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from icmigrate.protocol.candid.reader import decode
from icmigrate.protocol.candid.types import Type
from icmigrate.protocol.candid.writer import encode
from icmigrate.protocol.principal import Principal


@dataclass(frozen=True)
class Method:
    """One method of a canister. `argument_names` are those of its description, "" where it gives none."""

    name: str
    arguments: tuple[Type, ...]
    results: tuple[Type, ...]
    is_query: bool
    argument_names: tuple[str, ...] = ()

    def encode(self, *values: object) -> bytes:
        """Arguments in plain form to a Candid message."""
        return encode(self.arguments, [to_candid(t, v) for t, v in zip(self.arguments, values, strict=True)])

    def decode(self, reply: bytes) -> Any:
        """The one result of a reply, in plain form."""
        (value,) = decode(reply, self.results)
        return to_plain(self.results[0], value)


def to_plain(kind: Type, value: Any) -> Any:
    """A decoded Candid value in plain form."""
    match type(kind).__name__:
        case "OptClass":
            return to_plain(kind._type, value[0]) if value else None
        case "VecClass":
            if isinstance(value, bytes):
                return value
            return [to_plain(kind._type, item) for item in value]
        case "RecordClass":
            return {name: to_plain(field, value[name]) for name, field in kind._fields.items()}
        case "VariantClass":
            ((label, payload),) = value.items()
            inner = kind._fields[label]
            return label if type(inner).__name__ == "NullClass" else {label: to_plain(inner, payload)}
        case "PrincipalClass":
            return value.to_str()
        case _:
            return value


def to_candid(kind: Type, value: Any) -> Any:
    """A plain value in the form that the Candid encoder takes."""
    match type(kind).__name__:
        case "OptClass":
            return [] if value is None else [to_candid(kind._type, value)]
        case "VecClass":
            if isinstance(value, bytes | bytearray | memoryview):
                return value
            return [to_candid(kind._type, item) for item in value]
        case "RecordClass":
            return {name: to_candid(field, value[name]) for name, field in kind._fields.items()}
        case "VariantClass":
            if isinstance(value, str):
                return {value: None}
            ((label, payload),) = value.items()
            return {label: to_candid(kind._fields[label], payload)}
        case "PrincipalClass":
            return Principal.from_str(value) if isinstance(value, str) else value
        case _:
            return value
