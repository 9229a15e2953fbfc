"""Candid specification, "Core Grammar": reads a canister's description (a `.did` file) into types and methods.

Of the grammar it knows what descriptions of canisters use: named types, also recursive ones, constructed and
primitive types, functions, one service with or without arguments of its installation. Imports are not followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from icmigrate.errors import CandidError
from icmigrate.protocol.candid.method import Method
from icmigrate.protocol.candid.types import Type, Types

_TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/|\s+|(?P<mark>->|[{}();:,=])|"(?P<quoted>[^"\\]*)"|(?P<word>[A-Za-z_0-9]+)|(?P<other>.)""",
    re.DOTALL,
)
_PRIMITIVES = {
    name.lower(): getattr(Types, name)
    for name in (
        *("Null", "Bool", "Text", "Nat", "Int", "Nat8", "Nat16", "Nat32", "Nat64", "Int8", "Int16", "Int32", "Int64"),
        *("Float32", "Float64", "Reserved", "Empty", "Principal"),
    )
}
_MODES = ("query", "composite_query", "oneway")


class Description:
    """The named types, the arguments of the installation and the methods of one service.

    Raises `CandidError` where the text is not of the grammar.
    """

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._bodies: dict[str, int] = {}
        """Where the body of each named type begins."""
        self.types: dict[str, Type] = {}
        self.methods: dict[str, Method] = {}
        self.init: tuple[Type, ...] = ()
        self._find_bodies()
        for name in self._bodies:
            self._named(name)
        self._service()

    # ---- definitions

    def _find_bodies(self) -> None:
        """Passes over the type definitions, so that each may name those behind it."""
        while self._take("type"):
            name = self._next()
            self._expect("=")
            self._bodies[name] = self._at
            depth = 0
            while depth or not self._take(";"):
                depth += {"{": 1, "(": 1, "}": -1, ")": -1}.get(self._next(), 0)
        self._service_at = self._at

    def _named(self, name: str) -> Type:
        if name in self.types:
            return self.types[name]
        if name not in self._bodies:
            raise CandidError(f"type {name} is not described")
        placeholder = self.types[name] = Types.Rec()
        behind, self._at = self._at, self._bodies[name]
        found = self._type()
        placeholder.fill(found)
        self._at = behind
        self.types[name] = found
        return found

    def _service(self) -> None:
        self._at = self._service_at
        self._expect("service")
        if self._peek() != ":":
            self._next()
        self._expect(":")
        if self._peek() == "(":
            self.init, _ = self._tuple()
            self._expect("->")
        self._expect("{")
        while not self._take("}"):
            name = self._next()
            self._expect(":")
            self.methods[name] = self._method(name)
            self._take(";")

    def _method(self, name: str) -> Method:
        arguments, names = self._tuple()
        self._expect("->")
        results, _ = self._tuple()
        mode = next((mode for mode in _MODES if self._take(mode)), "update")
        return Method(name, arguments, results, mode in ("query", "composite_query"), names)

    # ---- types

    def _type(self) -> Type:
        match word := self._next():
            case "record":
                return self._record()
            case "variant":
                return Types.Variant(dict(self._fields()))
            case "vec":
                return Types.Vec(self._type())
            case "opt":
                return Types.Opt(self._type())
            case "blob":
                return Types.Vec(Types.Nat8)
            case "func":
                function = self._method("")
                return Types.Func(list(function.arguments), list(function.results), ["query"] * function.is_query)
            case _:
                return _PRIMITIVES[word] if word in _PRIMITIVES else self._named(word)

    def _record(self) -> Type:
        if self._tokens[self._at + 2 : self._at + 3] == [":"] or self._tokens[self._at + 1] == "}":
            return Types.Record(dict(self._fields()))
        self._expect("{")
        positions: list[Type] = []
        while not self._take("}"):
            positions.append(self._type())
            self._take(";")
        return Types.Tuple(*positions)

    def _fields(self) -> Iterator[tuple[str, Type]]:
        self._expect("{")
        while not self._take("}"):
            name = self._next()
            yield name, self._type() if self._take(":") else Types.Null
            self._take(";")

    def _tuple(self) -> tuple[tuple[Type, ...], tuple[str, ...]]:
        self._expect("(")
        types: list[Type] = []
        names: list[str] = []
        while not self._take(")"):
            is_named = self._tokens[self._at + 1] == ":"
            names.append(self._next() if is_named else "")
            if is_named:
                self._expect(":")
            types.append(self._type())
            self._take(",")
        return tuple(types), tuple(names)

    # ---- tokens

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        if not token:
            raise CandidError("the description ends too early")
        self._at += 1
        return token

    def _take(self, token: str) -> bool:
        found = self._peek() == token
        self._at += found
        return found

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise CandidError(f"expected {token!r} at {' '.join(self._tokens[self._at : self._at + 8])!r}")


def _tokens(text: str) -> Iterator[str]:
    for found in _TOKEN.finditer(text):
        if found["other"]:
            raise CandidError(f"a description has no {found['other']!r}")
        token = found["mark"] or found["quoted"] or found["word"]
        if token:
            yield token
