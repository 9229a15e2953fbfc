"""Candid specification, "Core Grammar": reads the descriptions of our canisters into a comparable form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Shape = Any
"""A type as nested tuples: ("record", (name, type), ...), ("vec", type), ..., or the name of a primitive type."""

_TOKEN = re.compile(r"//[^\n]*|\s+|(->|[{}();:,=])|([A-Za-z_][A-Za-z0-9_]*)")


class Description:
    """The named types and the service of one `.did` file."""

    def __init__(self, text: str) -> None:
        self._tokens = [m.group(1) or m.group(2) for m in _TOKEN.finditer(text) if m.group(1) or m.group(2)]
        self._at = 0
        self._types: dict[str, Shape] = {}
        self.methods: dict[str, Shape] = {}
        self.argument_names: dict[str, tuple[str, ...]] = {}
        """Of each method, in order; "" where the description gives no name."""
        while self._at < len(self._tokens):
            if self._take("type"):
                name = self._next()
                self._expect("=")
                self._types[name] = self._type()
            else:
                self._expect("service")
                self._expect(":")
                if self._peek() == "(":
                    self.init, _ = self._tuple()
                    self._expect("->")
                self._expect("{")
                self.methods = {name: self._resolve(shape) for name, shape in self._fields(function=True)}
            self._take(";")

    def _resolve(self, shape: Shape) -> Shape:
        if isinstance(shape, str):
            return self._resolve(self._types[shape]) if shape in self._types else shape
        return tuple(
            part if at == 0 and isinstance(part, str) else self._resolve(part) for at, part in enumerate(shape)
        )

    def _type(self) -> Shape:
        match self._next():
            case "record":
                self._expect("{")
                return ("record", *sorted(self._fields()))
            case "variant":
                self._expect("{")
                return ("variant", *sorted(self._fields()))
            case "vec":
                return ("vec", self._type())
            case "opt":
                return ("opt", self._type())
            case "blob":
                return ("vec", "nat8")
            case "func":
                return self._method()[0]
            case name:
                return name

    def _fields(self, *, function: bool = False) -> Iterator[tuple[str, Shape]]:
        position = 0
        while not self._take("}"):
            if self._tokens[self._at + 1] == ":":
                name = self._next()
                self._expect(":")
                if function:
                    shape, self.argument_names[name] = self._method()
                    yield name, shape
                else:
                    yield name, self._type()
            elif self._tokens[self._at + 1] in (";", "}") and self._peek()[0].isupper():
                yield self._next(), "null"
            else:
                yield f"_{position}", self._type()
            position += 1
            self._take(";")

    def _method(self) -> tuple[Shape, tuple[str, ...]]:
        arguments, names = self._tuple()
        self._expect("->")
        results, _ = self._tuple()
        return ("func", arguments, results, "query" if self._take("query") else "update"), names

    def _tuple(self) -> tuple[Shape, tuple[str, ...]]:
        self._expect("(")
        types: list[Shape] = []
        names: list[str] = []
        while not self._take(")"):
            named = self._tokens[self._at + 1] == ":"
            names.append(self._next() if named else "")
            if named:
                self._expect(":")
            types.append(self._type())
            self._take(",")
        return ("tuple", *types), tuple(names)

    def _peek(self) -> str:
        return self._tokens[self._at]

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, token: str) -> bool:
        found = self._at < len(self._tokens) and self._peek() == token
        self._at += found
        return found

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise ValueError(f"expected {token!r} at {' '.join(self._tokens[self._at : self._at + 8])}")
