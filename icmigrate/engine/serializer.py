"""How the durable engine keeps records, plain values and errors: as JSON that a person can read."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

from dbos._serialization import Serializer
from pydantic import BaseModel

from icmigrate.errors import IcmigrateError


class RecordSerializer(Serializer):
    """Keeps pydantic records, plain values and errors as JSON that a person can read."""

    def name(self) -> str:
        return "icmigrate_json"

    def serialize(self, data: Any) -> str:
        return json.dumps(data, default=_to_json)

    def deserialize(self, serialized_data: str) -> Any:
        return json.loads(serialized_data, object_hook=_from_json)


def _to_json(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {
            "record": f"{type(value).__module__}:{type(value).__name__}",
            "value": value.model_dump_json(),
        }
    if isinstance(value, BaseException):
        return {
            "error": f"{type(value).__module__}:{type(value).__name__}",
            "message": str(value),
            "hint": getattr(value, "hint", None),
        }
    raise TypeError(f"{type(value).__name__} is not kept in the engine's database")


def _from_json(value: dict[str, Any]) -> Any:
    if value.keys() == {"record", "value"}:
        return _ours(value["record"], BaseModel).model_validate_json(value["value"])
    if value.keys() == {"error", "message", "hint"}:
        try:
            kind = _ours(value["error"], IcmigrateError)
        except TypeError:
            return RuntimeError(value["message"])
        error = IcmigrateError.__new__(kind)  # its own parameters are not kept, only what it said
        IcmigrateError.__init__(error, value["message"], hint=value["hint"])
        return error
    return value


def _ours(name: str, base: type[Any]) -> type[Any]:
    """A class of this package by its `module:name`. Raises `TypeError` for any other."""
    module, _, attribute = name.partition(":")
    kind = getattr(import_module(module), attribute, None) if module.startswith("icmigrate.") else None
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise TypeError(f"{name} is not a {base.__name__} of this package")
    return kind
