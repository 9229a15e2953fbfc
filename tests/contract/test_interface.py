"""The `.did` files are the contract: what Python knows of it is read from them, and its records fit them."""

from __future__ import annotations

import types
from enum import StrEnum
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import TypeAdapter, ValidationError

from icmigrate.contract import access, blobs, interface, manifests, migrations, policy, records
from icmigrate.contract.record import Case, Record
from icmigrate.errors import CandidError
from icmigrate.protocol.candid import decode, encode
from icmigrate.protocol.candid.description import Description
from icmigrate.protocol.candid.method import Method
from tests.canisters.methods import Shape, shape

CANISTERS = ("hub", "personal")
VARIANTS = {
    "PersonRef": records.Person,
    "Home": records.Home,
    "AssetDetail": records.AssetDetail,
    "AssetLocation": records.AssetLocation,
    "AssetVariant": records.AssetVariant,
    "Resource": access.Resource,
    "AccessCondition": access.AccessCondition,
}
RECORDS = [
    kind
    for module in (access, blobs, manifests, migrations, policy, records)
    for kind in vars(module).values()
    if isinstance(kind, type) and kind.__module__ == module.__name__ and issubclass(kind, Record | StrEnum)
    if not issubclass(kind, Case)
]


def described(name: str) -> Shape:
    """The named type of either description."""
    for canister in CANISTERS:
        if name in interface(canister).types:
            return shape(interface(canister).types[name])
    raise KeyError(name)


def fits(kind: Any, wanted: Shape) -> bool:
    """Whether values of a Python type are, in plain form, those of a Candid type and no others."""
    if kind is type(None):
        return bool(wanted == "null")
    if get_origin(kind) is list:
        return bool(wanted[0] == "vec") and fits(get_args(kind)[0], wanted[1])
    if get_origin(kind) in (Union, types.UnionType) and type(None) in get_args(kind):
        inner = [part for part in get_args(kind) if part is not type(None)]
        return bool(wanted[0] == "opt") and fits(Union[tuple(inner)], wanted[1])  # noqa: UP007 - of parts in a list
    if wanted[0] == "variant":
        labels = dict(wanted[1:])
        return labels_of(kind) == labels.keys() and all(fits_case(case, labels[case.label]) for case in cases_of(kind))
    if isinstance(kind, type) and issubclass(kind, Record):
        return fits_fields(kind, wanted)
    numbers = ("nat", "nat8", "nat16", "nat32", "nat64")
    return wanted in {str: ("text", "principal"), int: numbers, bool: ("bool",), bytes: (("vec", "nat8"),)}[kind]


def cases_of(kind: Any) -> list[type[Case]]:
    """The cases of a variant that are classes; `kind` may be one case alone."""
    return [part for part in get_args(kind) or [kind] if isinstance(part, type) and issubclass(part, Case)]


def labels_of(kind: Any) -> set[str]:
    """The labels of a variant: of an enumeration, of literals, of a union with cases."""
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return {str(member.value) for member in kind}
    if get_origin(kind) is Literal:
        return set(get_args(kind))
    literals = [labels_of(part) for part in get_args(kind) if get_origin(part) is Literal]
    return {case.label for case in cases_of(kind)}.union(*literals)


def fits_case(case: type[Case], wanted: Shape) -> bool:
    if case.payload is not None:
        return fits(case.model_fields[case.payload].annotation, wanted)
    return bool(wanted == "null") if not case.model_fields else fits_fields(case, wanted)


def fits_fields(kind: type[Record], wanted: Shape) -> bool:
    fields = dict(wanted[1:]) if wanted[0] == "record" else {}
    return kind.model_fields.keys() == fields.keys() and all(
        fits(field.annotation, fields[name]) for name, field in kind.model_fields.items()
    )


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_a_record_has_the_fields_that_the_description_gives_it(kind: type[Any]) -> None:
    assert fits(kind, described(kind.__name__))


@pytest.mark.parametrize(("name", "kind"), VARIANTS.items(), ids=VARIANTS)
def test_a_variant_has_the_cases_that_the_description_gives_it(name: str, kind: Any) -> None:
    assert fits(kind, described(name))


@pytest.mark.parametrize("field", ["id", "phase", "root"])
def test_a_record_without_one_of_its_fields_does_not_fit(field: str) -> None:
    name, *fields = described("Migration")
    assert not fits(migrations.Migration, (name, *(part for part in fields if part[0] != field)))


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("PersonRef", {"Opaque": "grandmother"}),
        ("Home", "Hub"),
        ("Home", {"Moved": "rrkah-fqaaa-aaaaa-aaaaq-cai"}),
        ("Blob", {"sha256": b"\x00" * 32, "length": 7, "chunk_digests": b"\x01" * 32}),
        ("GalleryItem", {"memory_id": "m", "caption": None, "is_featured": True, "metadata": "ü"}),
    ],
)
def test_plain_values_come_back_as_they_went(name: str, plain: Any) -> None:
    kind = interface("hub").types[name]
    method = Method("echo", (kind,), (kind,), True)
    assert method.decode(method.encode(plain)) == plain


def test_cases_are_told_apart_and_come_back_as_they_went() -> None:
    home: TypeAdapter[records.Home] = TypeAdapter(records.Home)
    for plain in ("Hub", "Migrating", {"Moved": "aaaaa-aa"}):
        assert home.dump_python(home.validate_python(plain)) == plain
    with pytest.raises(ValidationError):
        home.validate_python({"Moved": "aaaaa-aa", "Hub": None})
    with pytest.raises(ValidationError):
        home.validate_python("Elsewhere")


def test_types_may_name_each_other_and_themselves() -> None:
    tree = Description("type List = opt record { head : nat; tail : List }; service : { sum : (List) -> (nat) query }")
    values = [{"head": 1, "tail": [{"head": 2, "tail": []}]}]
    assert decode(encode(tree.methods["sum"].arguments, [values]), tree.methods["sum"].arguments) == [values]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "service : {",
        "type A = B; service : {}",
        "type A = record { a : nat ",
        "service : { f : (nat) }",
        "service : { f ; }",
        "?",
    ],
)
def test_what_is_no_description_is_refused(text: str) -> None:
    with pytest.raises(CandidError):
        Description(text)
