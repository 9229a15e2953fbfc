"""The toolkit's Candid types are those of the `.did` files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from icmigrate import contract
from tests.canisters.did import Description, Shape

ROOT = Path(__file__).parents[2]


def shape(kind: Any) -> Shape:
    """An ic-py type object in the form that `did.py` reads."""
    match type(kind).__name__.removesuffix("Class"):
        case "Record":
            return ("record", *sorted((name, shape(field)) for name, field in kind._fields.items()))
        case "Variant":
            return ("variant", *sorted((name, shape(field)) for name, field in kind._fields.items()))
        case "Vec":
            return ("vec", shape(kind._type))
        case "Opt":
            return ("opt", shape(kind._type))
        case "FixedNat":
            return f"nat{kind._bits}"
        case name:
            return name.lower()


@pytest.mark.parametrize(
    ("canister", "method"),
    [("hub", m) for m in contract.HUB_METHODS.values()] + [("personal", m) for m in contract.PERSONAL_METHODS.values()],
    ids=lambda value: getattr(value, "name", value),
)
def test_every_method_the_toolkit_calls_is_described_alike(canister: str, method: contract.Method) -> None:
    described = Description((ROOT / "canisters" / canister / f"{canister}.did").read_text())
    assert described.methods[method.name] == (
        "func",
        ("tuple", *map(shape, method.arguments)),
        ("tuple", *map(shape, method.results)),
        "query" if method.is_query else "update",
    )


@pytest.mark.parametrize(
    ("kind", "plain"),
    [
        (contract.PERSON, {"Opaque": "grandmother"}),
        (contract.HOME, "Hub"),
        (contract.HOME, {"Moved": "rrkah-fqaaa-aaaaa-aaaaq-cai"}),
        (contract.BLOB_META, {"sha256": b"\x00" * 32, "length": 7, "chunk_digests": b"\x01" * 32}),
        (contract.GALLERY_ITEM, {"memory_id": "m", "caption": None, "is_featured": True, "metadata": "ü"}),
    ],
)
def test_plain_values_come_back_as_they_went(kind: Any, plain: Any) -> None:
    method = contract.Method("echo", (kind,), (kind,), True)
    assert method.decode(method.encode(plain)) == plain
