"""Candid specification, "Core Grammar": every method of a `.did` file, callable, with arguments that hit something."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from icmigrate.contract import Method, Type
from icmigrate.protocol.candid import Types as T
from tests.canisters.did import Description, Shape

ROOT = Path(__file__).parents[2]
PRIMITIVES = {
    name.lower(): getattr(T, name)
    for name in ("Null", "Bool", "Text", "Nat", "Nat8", "Nat16", "Nat32", "Nat64", "Principal")
}


@cache
def description(canister: str) -> Description:
    """The contract of the hub or of a personal canister."""
    return Description((ROOT / "canisters" / canister / f"{canister}.did").read_text())


@cache
def methods(canister: str) -> dict[str, Method]:
    """Every method of a canister by its name."""
    return {name: _method(name, shape) for name, shape in description(canister).methods.items()}


def _method(name: str, shape: Shape) -> Method:
    _, (_, *arguments), (_, *results), mode = shape
    return Method(name, tuple(map(candid_type, arguments)), tuple(map(candid_type, results)), mode == "query")


def candid_type(shape: Shape) -> Type:
    """The type of a shape. Functions are not looked into."""
    match shape:
        case str():
            return PRIMITIVES[shape]
        case ("record", ("_0", first), ("_1", second)):
            return T.Tuple(candid_type(first), candid_type(second))
        case ("record", *fields):
            return T.Record({name: candid_type(kind) for name, kind in fields})
        case ("variant", *fields):
            return T.Variant({name: candid_type(kind) for name, kind in fields})
        case ("vec", item):
            return T.Vec(candid_type(item))
        case ("opt", item):
            return T.Opt(candid_type(item))
        case _:
            return T.Reserved


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
        contract = description(canister)
        _, (_, *shapes), _, _ = contract.methods[method]
        texts = iter((self.capsule_id, self.record_ids.get(method.split("_")[0], "")))
        values = []
        for shape, name in zip(shapes, contract.argument_names[method], strict=True):
            if shape == "text" and not name:
                values.append(next(texts))
            else:
                values.append(self._value(shape, f"{method}.{name}", name))
        return values

    def _value(self, shape: Shape, place: str, name: str) -> Any:
        if shape[0] == "opt" and name in ("id", "after", "cursor", "token", "parent_folder_id", "source_id"):
            return None
        known = self._named()
        is_text = shape in ("text", ("opt", "text"))
        if name in known and not (name in ("variant_", "location") and is_text):
            return known[name]
        match shape:
            case ("opt", inner):
                return self._value(inner, place, name)
            case ("vec", "nat8"):
                return b"by nobody"
            case ("vec", inner):
                return [self._value(inner, place, name)]
            case ("record", ("_0", _), ("_1", _)):
                return ("x-test", "1")
            case ("record", *fields):
                return {field: self._value(kind, place, field) for field, kind in fields}
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
            "url": f"/asset/{memory}/original",
        }
