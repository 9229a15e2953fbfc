"""Candid specification, "Types" and "Subtyping": types as a graph, whether they come from ic-py or from a message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

from icmigrate.errors import CandidError
from icmigrate.protocol import ic_py

# ic-py's type objects, as `Types` makes them; it has no type annotations.
Type: TypeAlias = Any
Types = ic_py.candid.Types

NULL, BOOL, NAT, INT = -1, -2, -3, -4
NAT8, NAT16, NAT32, NAT64, INT8, INT16, INT32, INT64 = range(-5, -13, -1)
FLOAT32, FLOAT64, TEXT, RESERVED, EMPTY = range(-13, -18, -1)
OPT, VEC, RECORD, VARIANT, FUNC, SERVICE, PRINCIPAL = range(-18, -25, -1)
FUTURE = -25  # this opcode and all below: types that are yet to be invented

PRIMITIVES = frozenset((*range(NULL, EMPTY - 1, -1), PRINCIPAL))
ANNOTATIONS = {"query": 1, "oneway": 2, "composite_query": 3}


@dataclass(eq=False, slots=True)
class Node:
    """One type. Recursive types are cycles of nodes."""

    opcode: int
    # The content of opt and vec.
    content: Node | None = None
    # The fields of record and variant, by increasing id.
    fields: list[Field] = field(default_factory=list)
    # A record that Python sees as a list: its fields are 0, 1, 2, ...
    is_tuple: bool = False
    arguments: list[Node] = field(default_factory=list)
    results: list[Node] = field(default_factory=list)
    annotations: list[int] = field(default_factory=list)
    # The methods of a service, by increasing name.
    methods: list[tuple[str, Node]] = field(default_factory=list)
    # Stands for ic-py's `Rec`, where cycles begin.
    is_recursive: bool = False

    def inner(self) -> Node:
        """The content of an opt or vec."""
        assert self.content is not None
        return self.content

    def children(self) -> Iterator[Node]:
        """The types this one is made of, in the order of its encoding."""
        if self.content is not None:
            yield self.content
        yield from (item.type for item in self.fields)
        yield from self.arguments
        yield from self.results
        yield from (method for _, method in self.methods)


@dataclass(slots=True)
class Field:
    """A field: its id, the key that a Python dict has it under, and its type."""

    id: int
    label: str
    type: Node


def field_hash(name: str) -> int:
    """The id (32 bits) of the field called `name`; `_<number>` is the field of that id."""
    return int(ic_py.candid.labelHash(name))


@lru_cache(maxsize=1024)
def from_ic_py(types: tuple[Type, ...]) -> tuple[Node, ...]:
    """The graph of ic-py's type objects. They must not be changed afterwards."""
    known: dict[int, Node] = {}
    return tuple(_convert(type_, known) for type_ in types)


def _convert(type_: Type, known: dict[int, Node]) -> Node:
    if id(type_) in known:
        return known[id(type_)]
    inner, is_recursive = type_, False
    while isinstance(inner, ic_py.candid.RecClass):
        inner, is_recursive = inner.getType(), True
    if isinstance(inner, ic_py.candid.PrimitiveType):
        return Node(inner.id)
    node = known[id(type_)] = Node(0, is_recursive=is_recursive)
    match inner:
        case ic_py.candid.OptClass():
            node.opcode, node.content = OPT, _convert(inner._type, known)
        case ic_py.candid.VecClass():
            node.opcode, node.content = VEC, _convert(inner._type, known)
        case ic_py.candid.RecordClass() | ic_py.candid.VariantClass():
            node.opcode = RECORD if isinstance(inner, ic_py.candid.RecordClass) else VARIANT
            node.is_tuple = isinstance(inner, ic_py.candid.TupleClass)
            for label, type_of_field in inner._fields.items():
                node.fields.append(Field(field_hash(label), label, _convert(type_of_field, known)))
            node.fields.sort(key=lambda item: item.id)
        case ic_py.candid.FuncClass():
            node.opcode = FUNC
            node.arguments = [_convert(argument, known) for argument in inner.argTypes]
            node.results = [_convert(result, known) for result in inner.retTypes]
            node.annotations = [ANNOTATIONS[annotation] for annotation in inner.annotations]
        case ic_py.candid.ServiceClass():
            node.opcode = SERVICE
            methods = sorted(inner._fields.items(), key=lambda item: item[0].encode())
            node.methods = [(name, _convert(method, known)) for name, method in methods]
        case _:
            raise CandidError(f"not a Candid type: {inner!r}")
    return node


def has_default(node: Node) -> bool:
    """Whether a value of this type may be missing: null is a subtype of it."""
    return node.opcode in (NULL, OPT, RESERVED)


class Subtyping:
    """Decides `<:`. Recursive types are compared under the assumption that they match, until shown otherwise."""

    def __init__(self) -> None:
        self._assumed: set[tuple[int, int]] = set()
        self._trail: list[tuple[int, int]] = []

    def holds(self, actual: Node, expected: Node) -> bool:
        """Whether every value of type `actual` is accepted where `expected` is."""
        a, e = actual.opcode, expected.opcode
        if e in (RESERVED, OPT) or a == EMPTY:  # whatever does not fit an opt is read as null
            return True
        if a != e or a <= FUTURE:
            return (a, e) in ((NAT, INT), (SERVICE, PRINCIPAL))
        if a in PRIMITIVES:
            return True
        pair = (id(actual), id(expected))
        if pair in self._assumed:
            return True
        mark = len(self._trail)
        self._assumed.add(pair)
        self._trail.append(pair)
        if self._constructed(actual, expected):
            return True
        while len(self._trail) > mark:
            self._assumed.discard(self._trail.pop())
        return False

    def _constructed(self, actual: Node, expected: Node) -> bool:
        match actual.opcode:
            case opcode if opcode == VEC:
                return self.holds(actual.inner(), expected.inner())
            case opcode if opcode == RECORD:
                given = {item.id: item.type for item in actual.fields}
                return all(
                    self.holds(given[item.id], item.type) if item.id in given else has_default(item.type)
                    for item in expected.fields
                )
            case opcode if opcode == VARIANT:
                accepted = {item.id: item.type for item in expected.fields}
                return all(item.id in accepted and self.holds(item.type, accepted[item.id]) for item in actual.fields)
            case opcode if opcode == FUNC:
                return (
                    sorted(actual.annotations) == sorted(expected.annotations)
                    and self._sequence(expected.arguments, actual.arguments)
                    and self._sequence(actual.results, expected.results)
                )
        methods = dict(actual.methods)
        return all(name in methods and self.holds(methods[name], method) for name, method in expected.methods)

    def _sequence(self, actual: Sequence[Node], expected: Sequence[Node]) -> bool:
        """Whether a message of these arguments is accepted as one of those: more are ignored, fewer if optional."""
        matched = all(self.holds(a, e) for a, e in zip(actual, expected, strict=False))
        return matched and all(has_default(node) for node in expected[len(actual) :])
