"""HTTP Gateway Protocol, "Response Verification": what is accepted, and what is not."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icmigrate.protocol.principal import Principal
from icmigrate.replica.gateway.certificate_expression import ExpressionError, parse_expression
from icmigrate.replica.gateway.response_verification import HttpExchange, VerificationError, verify
from tests.replica.http.certified_response import (
    CANISTER,
    FULL,
    NO_CERTIFICATION,
    NOW,
    RESPONSE_ONLY,
    ROOT_KEY,
    certified_v1,
    certified_v2,
    exchange,
    sha256,
)

EXACT = ["http_expr", "a", "b", "<$>"]


def judge(response: HttpExchange, *, now_ns: int = NOW, minimum_version: int = 1) -> None:
    verify(response, canister_id=CANISTER, root_key=ROOT_KEY, now_ns=now_ns, minimum_version=minimum_version)


@pytest.mark.parametrize("expression", [NO_CERTIFICATION, RESPONSE_ONLY, FULL])
@pytest.mark.parametrize(
    "path", [EXACT, ["http_expr", "a", "<*>"], ["http_expr", "<*>"], ["http_expr", "a", "b", "<*>"]]
)
def test_a_response_certified_in_any_way_is_accepted(expression: str, path: list[str]) -> None:
    judge(certified_v2(exchange(), expression, path))


def with_header(response: HttpExchange, name: str, value: str) -> HttpExchange:
    headers = [(key, value if key == name else kept) for key, kept in response.headers]
    return replace(response, headers=headers)


# fmt: off
FORGERIES: dict[str, Callable[[HttpExchange], HttpExchange]] = {
    "another body": lambda response: replace(response, body=b"forged"),
    "another status": lambda response: replace(response, status_code=404),
    "another certified header": lambda response: with_header(response, "Cache-Control", "public"),
    "another method": lambda response: replace(response, method="POST"),
    "another certified query": lambda response: replace(response, url="/a/b?q=2"),
    "another certified request header": lambda response: replace(response, request_headers=[("accept", "*/*")]),
    "another path": lambda response: replace(response, url="/a/c?q=1"),
    "another expression": lambda response: with_header(response, "IC-CertificateExpression", NO_CERTIFICATION),
    "no certificate": lambda response: replace(response, headers=[]),
    "a broken certificate header": lambda response: with_header(response, "IC-Certificate", "certificate=:####:"),
}
# fmt: on


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_response_is_refused(forgery: str) -> None:
    with pytest.raises(VerificationError):
        judge(FORGERIES[forgery](certified_v2(exchange(), FULL, EXACT)))


def test_headers_that_are_not_certified_are_left_out_of_what_is_passed_on() -> None:
    def names(response: HttpExchange) -> set[str]:
        verified = verify(response, canister_id=CANISTER, root_key=ROOT_KEY, now_ns=NOW)
        return {name.lower() for name, _ in verified.headers}

    own = {"ic-certificate", "ic-certificateexpression"}
    assert names(certified_v2(exchange(), FULL, EXACT)) == {"cache-control", *own}
    assert names(certified_v2(exchange(), NO_CERTIFICATION, EXACT)) == {"cache-control", "date", *own}
    assert names(certified_v1(exchange(b"hello", "/x"), "/x", sha256(b"hello"))) == {"date", "ic-certificate"}


def test_a_path_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(VerificationError):
        judge(replace(certified_v2(exchange(), RESPONSE_ONLY, ["http_expr", "<*>"]), url="/%ff"))


def test_what_is_not_certified_may_differ() -> None:
    response = certified_v2(exchange(), FULL, EXACT)
    judge(with_header(response, "Date", "tomorrow"))
    judge(replace(response, url="/a/b?q=1&other=3"))
    judge(replace(response, request_headers=[("accept", "text/html"), ("user-agent", "y")]))


@pytest.mark.parametrize(
    ("path", "also"),
    [
        (["http_expr", "<*>"], [b"http_expr", b"a", b"b", b"<$>"]),
        (["http_expr", "<*>"], [b"http_expr", b"a", b"<*>"]),
        (["http_expr", "a", "<*>"], [b"http_expr", b"a", b"b", b"<*>"]),
        (["http_expr", "<*>"], [b"http_expr", b"", b"<*>"]),
        (["http_expr", "", "<*>"], [b"http_expr", b"a", b"<*>"]),
        (["http_expr", "", "<*>"], [b"http_expr", b"a", b"", b"<*>"]),
        (["http_expr", "a", "", "<*>"], [b"http_expr", b"a", b"b", b"<*>"]),
        (["http_expr", "a", "<*>"], [b"http_expr", b"a", b"", b"<*>"]),
    ],
)
def test_a_less_specific_path_than_the_tree_has_is_refused(path: list[str], also: list[bytes]) -> None:
    with pytest.raises(VerificationError):
        judge(certified_v2(exchange(), RESPONSE_ONLY, path, also=[also]))


@pytest.mark.parametrize(
    "path", [["http_expr", "c", "<*>"], ["http_expr", "a", "<$>"], ["http_expr", "a", "b"], ["x", "<*>"]]
)
def test_a_path_for_another_url_is_refused(path: list[str]) -> None:
    with pytest.raises(VerificationError):
        judge(certified_v2(exchange(), RESPONSE_ONLY, path))


def test_a_certificate_that_is_old_or_of_another_canister_is_refused() -> None:
    with pytest.raises(VerificationError):
        judge(certified_v2(exchange(), FULL, EXACT), now_ns=NOW + 301 * 10**9)
    with pytest.raises(VerificationError):
        judge(certified_v2(exchange(), FULL, EXACT, canister=Principal(b"\x07")))


def test_version_1_accepts_the_certified_body_packed_or_not() -> None:
    judge(certified_v1(exchange(b"hello", "/x"), "/x", sha256(b"hello")))
    judge(certified_v1(exchange(b"hello", "/not-there"), "/index.html", sha256(b"hello")))
    packed = gzip.compress(b"hello")
    response = exchange(packed, "/x")
    response = replace(response, headers=[("Content-Encoding", "gzip")])
    judge(certified_v1(response, "/x", sha256(b"hello")))
    judge(certified_v1(response, "/x", sha256(packed)))


def test_version_1_refuses_another_body_and_a_canister_that_can_do_better() -> None:
    with pytest.raises(VerificationError):
        judge(certified_v1(exchange(b"hello", "/x"), "/x", sha256(b"other")))
    with pytest.raises(VerificationError):
        judge(certified_v1(exchange(b"hello", "/x"), "/x", sha256(b"hello")), minimum_version=2)


def test_the_expressions_of_the_specification_are_understood() -> None:
    assert parse_expression(NO_CERTIFICATION) is None
    full = parse_expression(FULL)
    assert full is not None and full.request is not None
    assert full.request.headers == {"accept"} and full.request.query_parameters == {"q"}
    assert full.covers("cache-control") and not full.covers("date")
    spaced = parse_expression(RESPONSE_ONLY.replace("{", " {\n ").replace(":", " : "))
    assert spaced == parse_expression(RESPONSE_ONLY)


@given(st.text(alphabet='default_certification(ValidationArgs{}[]:,"Empty no)', max_size=60))
def test_what_the_specification_does_not_write_so_is_no_expression(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse_expression(text)
