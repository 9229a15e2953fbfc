"""Candid specification, "Core Grammar": every method of a `.did` file, callable, with arguments that hit something."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from icmigrate.protocol.candid.description import Description
from icmigrate.protocol.candid.method import Method
from icmigrate.protocol.candid.types import Type

ROOT = Path(__file__).parents[2]
Shape = Any
"""A type as nested tuples: ("record", (name, type), ...), ("vec", type), ..., or the name of a primitive type."""


@cache
def methods(canister: str) -> dict[str, Method]:
    """Every method of a canister by its name, as the sources describe it."""
    return Description((ROOT / "canisters" / canister / f"{canister}.did").read_text()).methods


def shape(kind: Type) -> Shape:
    """A type that can be taken apart by matching."""
    match type(kind).__name__.removesuffix("Class"):
        case "Record" | "Tuple":
            return ("record", *sorted((name, shape(field)) for name, field in kind._fields.items()))
        case "Variant":
            return ("variant", *sorted((name, shape(field)) for name, field in kind._fields.items()))
        case "Vec":
            return ("vec", shape(kind._type))
        case "Opt":
            return ("opt", shape(kind._type))
        case "Rec":
            return shape(kind.getType())
        case "FixedNat":
            return f"nat{kind._bits}"
        case name:
            return name.lower()


@dataclass(frozen=True)
class Target:
    """What the arguments are about: a capsule with a private memory, and who wants something of it.

    `record_ids` has, for each kind of record as it begins the methods' names, the id of an existing one.
    """

    capsule_id: str
    caller: str
    owner: str
    record_ids: Mapping[str, str]
    sha256: bytes
    chunk: bytes
    root: bytes

    def arguments(self, canister: str, method: str) -> list[Any]:
        """Arguments of a method in plain form: of its types, within its bounds, and about things that are there."""
        described = methods(canister)[method]
        texts = iter((self.capsule_id, self.record_ids.get(method.split("_")[0], "")))
        values = []
        for kind, name in zip(map(shape, described.arguments), described.argument_names, strict=True):
            if kind == "text" and not name:
                values.append(next(texts))
            else:
                values.append(self._value(kind, f"{method}.{name}", name))
        return values

    def _value(self, kind: Shape, place: str, name: str) -> Any:
        if kind[0] == "opt" and name in ("id", "after", "cursor", "token", "parent_folder_id", "source_id"):
            return None
        known = self._named()
        is_text = kind in ("text", ("opt", "text"))
        if name in known and not (name in ("variant_", "location") and is_text):
            return known[name]
        match kind:
            case ("opt", inner):
                return self._value(inner, place, name)
            case ("vec", "nat8"):
                return b"by nobody"
            case ("vec", inner):
                return [self._value(inner, place, name)]
            case ("record", ("_0", _), ("_1", _)):
                return ("x-test", "1")
            case ("record", *fields):
                return {field: self._value(inner, place, field) for field, inner in fields}
            case ("variant", *alternatives):
                return self._alternative(dict(alternatives), place)
            case "principal":
                return self.caller
            case "text":
                return {"variant_": "original", "method": "GET"}.get(name, "by nobody")
            case "bool":
                return False
            case _:
                return 1

    def _alternative(self, alternatives: dict[str, Shape], place: str) -> Any:
        if "Principal" in alternatives:
            of_others = place in ("capsules_create.", "access_effective.")
            return {"Principal": self.owner if of_others else self.caller}
        if "Gallery" in alternatives:
            return {"Memory": self.record_ids["memories"]}
        label, kind = next(iter(alternatives.items()))
        return label if kind == "null" else {label: self._value(kind, place, label)}

    def _named(self) -> dict[str, object]:
        memory = self.record_ids["memories"]
        return {
            "id": memory,
            "memory_id": memory,
            "cover_memory_id": memory,
            "variant_": "Original",
            "location": {"Inline": b"by nobody"},
            "role": "Guest",
            "source": "User",
            "condition": "Immediate",
            "kind": "Memory",
            "limit": 10,
            "at": time.time_ns(),
            "sha256": self.sha256,
            "bytes": self.chunk,
            "index": 0,
            "prefix": b"",
            "root": self.root,
            "chunk_digests": self.sha256,
            "generation": 1_000,
            "max_bytes": 1_000_000,
            "valid_seconds": 600,
            "mime_type": "image/png",
            "create": "Operators",
            "migrate": "Operators",
            "migrations_at_once": 1_000,
            "quotas": dict.fromkeys(("records", "record_bytes", "blob_bytes", "open_upload_bytes"), 1 << 40)
            | {"open_uploads": 256},
            "url": f"/asset/{memory}/original",
        }
