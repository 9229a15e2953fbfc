"""HTTP Gateway Protocol, "The Certificate Expression Header": which parts of an exchange are certified.

The header is an expression of CEL, of which only literals of records, lists and strings occur.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


class ExpressionError(ValueError):
    """The header is not a certificate expression."""


@dataclass(frozen=True)
class RequestCertification:
    """What of the request is certified: headers and query parameters, by lower-case name."""

    headers: frozenset[str]
    query_parameters: frozenset[str]


@dataclass(frozen=True)
class Certification:
    """What is certified. `request` is None when the response is certified for every request.

    Of the response's headers either those in `included` are certified, or all but those in `excluded`.
    """

    request: RequestCertification | None
    included: frozenset[str] | None
    excluded: frozenset[str]

    def covers(self, name: str) -> bool:
        """Whether the response header of this lower-case name is certified."""
        return name not in self.excluded if self.included is None else name in self.included


def parse_expression(text: str) -> Certification | None:
    """What the expression says; None for `no_certification`. Raises ExpressionError."""
    parser = _Parser(text)
    arguments = parser.call("default_certification")
    match arguments:
        case _Struct("ValidationArgs", {"no_certification": _Struct("Empty", fields), **rest}) if not (fields or rest):
            return None
        case _Struct("ValidationArgs", {"certification": _Struct("Certification", fields), **rest}) if not rest:
            return _certification(fields)
    raise ExpressionError("not a certificate expression")


def _certification(fields: dict[str, object]) -> Certification:
    request: RequestCertification | None
    match fields:
        case {"no_request_certification": _Struct("Empty", _), "response_certification": response, **rest}:
            request = None
        case {
            "request_certification": _Struct("RequestCertification", covered),
            "response_certification": response,
            **rest,
        }:
            request = RequestCertification(
                _names(covered.get("certified_request_headers", [])),
                _names(covered.get("certified_query_parameters", [])),
            )
        case _:
            raise ExpressionError("a certification of neither request nor response")
    match response:
        case _Struct("ResponseCertification", {"certified_response_headers": headers, **more}) if not (rest or more):
            return Certification(request, _header_list(headers), frozenset())
        case _Struct("ResponseCertification", {"response_header_exclusions": headers, **more}) if not (rest or more):
            return Certification(request, None, _header_list(headers))
    raise ExpressionError("malformed response certification")


def _header_list(value: object) -> frozenset[str]:
    match value:
        case _Struct("ResponseHeaderList", fields) if set(fields) <= {"headers"}:
            return _names(fields.get("headers", []))
    raise ExpressionError("malformed list of response headers")


def _names(value: object) -> frozenset[str]:
    return frozenset(name.lower() for name in _strings(value))


def _strings(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ExpressionError("not a list of strings")
    return value


@dataclass(frozen=True)
class _Struct:
    """`Name{field: value, ...}`"""

    name: str
    fields: dict[str, object]

    __match_args__ = ("name", "fields")


class _Token(NamedTuple):
    kind: str
    text: str


_TOKEN = re.compile(r'\s*(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)|"(?P<string>[^\0\n"]*)"|(?P<mark>[(){}\[\]:,]))')
_MAX_DEPTH = 16


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = self._tokenize(text)
        self._next: _Token | None = next(self._tokens, None)

    @staticmethod
    def _tokenize(text: str) -> Iterator[_Token]:
        at = 0
        text = text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                raise ExpressionError(f"unexpected character at {at}")
            yield _Token(match.lastgroup, match[match.lastgroup])
            at = match.end()

    def call(self, function: str) -> object:
        """`function(value)` and nothing behind it."""
        self._expect("name", function)
        self._expect("mark", "(")
        value = self._value(_MAX_DEPTH)
        self._expect("mark", ")")
        if self._next is not None:
            raise ExpressionError("text behind the expression")
        return value

    def _take(self, kind: str) -> str:
        token = self._next
        if token is None or token.kind != kind:
            raise ExpressionError(f"a {kind} is expected")
        self._next = next(self._tokens, None)
        return token.text

    def _expect(self, kind: str, text: str) -> None:
        if self._take(kind) != text:
            raise ExpressionError(f"{text!r} is expected")

    def _at(self, mark: str) -> bool:
        return self._next == _Token("mark", mark)

    def _value(self, depth: int) -> object:
        if depth == 0:
            raise ExpressionError("nested too deep")
        if self._next is not None and self._next.kind == "string":
            return self._take("string")
        if self._at("["):
            return self._list(depth)
        return self._struct(depth)

    def _list(self, depth: int) -> list[object]:
        self._expect("mark", "[")
        items: list[object] = []
        while not self._at("]"):
            items.append(self._value(depth - 1))
            if not self._at("]"):
                self._expect("mark", ",")
        self._expect("mark", "]")
        return items

    def _struct(self, depth: int) -> _Struct:
        name = self._take("name")
        self._expect("mark", "{")
        fields: dict[str, object] = {}
        while not self._at("}"):
            field = self._take("name")
            self._expect("mark", ":")
            if field in fields:
                raise ExpressionError(f"field {field} twice")
            fields[field] = self._value(depth - 1)
            if not self._at("}"):
                self._expect("mark", ",")
        self._expect("mark", "}")
        return _Struct(name, fields)
