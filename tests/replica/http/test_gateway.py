"""HTTP Gateway Protocol: what a browser gets of a canister's response."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from icmigrate.protocol.principal import Principal
from tests.replica.http.canisters import KEEPER, fixed_http, literal, wasm
from tests.replica.http.certified_response import NO_CERTIFICATION, RESPONSE_ONLY
from tests.replica.http.client import Answer, Client
from tests.replica.http.http_canisters import certified_canister, first_version_canister, response


async def get(client: Client, canister_id: Principal, path: str = "/", *, raw: bool = False, **options: Any) -> Answer:
    host = f"{canister_id.to_str()}.{'raw.' if raw else ''}localhost:{client.running.port}"
    return await client.get(path, host=host, **options)


# ------------------------------------------------------------------------------------------- verification


@pytest.mark.parametrize("expression", [RESPONSE_ONLY, NO_CERTIFICATION])
async def test_a_certified_page_is_served(client: Client, expression: str) -> None:
    canister = await client.install(certified_canister(b"<h1>certified</h1>", expression=expression))
    answer = await get(client, canister, "/any/path?with=query")
    assert (answer.status, answer.body) == (200, b"<h1>certified</h1>")
    assert answer.headers["Cache-Control"] == "no-store"
    for name in ("IC-Certificate", "IC-CertificateExpression"):
        assert name in answer.headers
    head = await get(client, canister, "/", method="HEAD")
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", "18")


async def test_only_certified_headers_are_passed_on_unless_nothing_is_certified(client: Client) -> None:
    chosen = await client.install(certified_canister(b"chosen", expression=RESPONSE_ONLY))
    skipped = await client.install(certified_canister(b"skipped", expression=NO_CERTIFICATION))
    assert "X-Not-Certified" not in (await get(client, chosen)).headers
    assert "X-Not-Certified" in (await get(client, chosen, raw=True)).headers
    assert "X-Not-Certified" in (await get(client, skipped)).headers


async def test_a_page_that_is_not_the_certified_one_is_not_served_unless_raw(client: Client) -> None:
    canister = await client.install(certified_canister(b"certified", forged=b"forged"))
    answer = await get(client, canister)
    assert (answer.status, json.loads(answer.body)["error_type"]) == (503, "backend_response_verification")
    assert (await get(client, canister, raw=True)).body == b"forged"


async def test_the_first_version_certifies_no_caching_and_no_redirects(client: Client) -> None:
    canister = await client.install(first_version_canister(b"by version 1"))
    answer = await get(client, canister)
    assert (answer.status, answer.body) == (200, b"by version 1")
    assert "Cache-Control" not in answer.headers and "Location" in answer.headers
    assert "Cache-Control" in (await get(client, canister, raw=True)).headers
    redirecting = await client.install(first_version_canister(b"", 302))
    assert (await get(client, redirecting)).status == 500
    assert (await get(client, redirecting, raw=True)).status == 302


async def test_a_composite_query_answers_as_well(client: Client) -> None:
    page = response(b"composed")
    module = wasm(
        "msg_reply", "msg_reply_data_append",
        body=f"""
        (func (export "canister_composite_query http_request")
          (call $msg_reply_data_append (i32.const 0) (i32.const {len(page)})) (call $msg_reply))
        (data (i32.const 0) {literal(page)})
        """,
    )  # fmt: skip
    canister = await client.install(module)
    assert (await get(client, canister, raw=True)).body == b"composed"


async def test_what_an_update_answers_needs_no_certificate(client: Client) -> None:
    done = response(b"done", 302, headers=[("Location", "/"), ("X-Any", "1")])
    canister = await client.install(fixed_http(response(upgrade=[True]), done))
    answer = await get(client, canister, method="POST", data=b"form")
    assert (answer.status, answer.body, answer.headers["X-Any"]) == (302, b"done", "1")


async def test_a_large_certified_body_arrives_whole(client: Client) -> None:
    body = hashlib.shake_256(b"large").digest(1000) * 10
    canister = await client.install(certified_canister(body))
    assert (await get(client, canister)).body == body


# ------------------------------------------------------------------------------------------- status and headers


@pytest.mark.parametrize("status", [200, 201, 204, 301, 304, 404, 418, 500, 599, 600, 999])
async def test_the_status_is_the_canisters(client: Client, status: int) -> None:
    canister = await client.install(fixed_http(response(b"", status)))
    assert (await get(client, canister, raw=True)).status == status


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (response(headers=[("A", "b\r\nSet-Cookie: c")]), 503),
        (response(headers=[("A\nB", "b")]), 503),
        (response(headers=[("A B", "b")]), 503),
        (response(headers=[("", "b")]), 503),
        (response(headers=[("A", "b\x01")]), 503),
        (response(status=0), 503),
        (response(status=99), 503),
        (response(status=1000), 503),
        (response(status=100), 500),
        (response(status=101), 500),
    ],
)
async def test_what_http_does_not_have_does_not_reach_the_browser(client: Client, bad: bytes, status: int) -> None:
    canister = await client.install(fixed_http(bad))
    assert (await get(client, canister, raw=True)).status == status


async def test_headers_come_as_often_and_in_the_order_that_the_canister_gives(client: Client) -> None:
    headers = [("Set-Cookie", "a=1"), ("X-One", "1"), ("set-cookie", "b=2; Path=/"), ("X-Text", "caf\u00e9")]
    hop_by_hop = [("Connection", "close"), ("Transfer-Encoding", "chunked"), ("Content-Length", "1000")]
    canister = await client.install(fixed_http(response(b"body", headers=[*headers, *hop_by_hop])))
    url = f"{client.running.url}/?canisterId={canister.to_str()}"
    host = f"{canister.to_str()}.raw.localhost"
    async with client.session.get(url, headers={"Host": host}) as answer:
        assert await answer.read() == b"body"
        assert answer.headers.getall("Set-Cookie") == ["a=1", "b=2; Path=/"]
        assert [value for name, value in answer.raw_headers if name == b"X-Text"] == ["caf\u00e9".encode()]
        assert answer.headers["Content-Length"] == "4" and "Transfer-Encoding" not in answer.headers


@pytest.mark.parametrize(
    ("named", "length"), [("5000000", "5000000"), ("+5", "0"), ("\u0665", "0"), ("9" * 5_000, "0"), ("", "0")]
)
async def test_a_head_has_the_length_that_the_canister_names(client: Client, named: str, length: str) -> None:
    canister = await client.install(fixed_http(response(headers=[("Content-Length", named)])))
    answer = await get(client, canister, raw=True, method="HEAD")
    assert (answer.status, answer.headers["Content-Length"]) == (200, length)


async def test_no_content_type_is_named_that_the_canister_did_not_name(client: Client) -> None:
    canister = await client.install(certified_canister(b"<h1>untyped</h1>"))
    for raw in (False, True):
        assert "Content-Type" not in (await get(client, canister, raw=raw)).headers


# ------------------------------------------------------------------------------------------- other origins


PAGE = {"Origin": "http://localhost:5173"}


async def test_pages_of_this_machine_may_read_everything(client: Client) -> None:
    canister = await client.install(certified_canister(b"it"))
    for answer in (await get(client, canister, headers=PAGE), await client.get("/?canisterId=x", headers=PAGE)):
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE["Origin"]
        assert "content-range" in answer.headers["Access-Control-Expose-Headers"]
        assert len(answer.headers["X-Request-Id"]) == 36


async def test_what_the_canister_says_of_origins_stands(client: Client) -> None:
    own = [("Access-Control-Allow-Origin", "https://example.org"), ("Vary", "Accept")]
    canister = await client.install(fixed_http(response(b"it", headers=own)))
    answer = await get(client, canister, raw=True)
    assert [answer.headers[name] for name, _ in own] == [value for _, value in own]
    assert "Access-Control-Expose-Headers" in answer.headers


@pytest.mark.parametrize("module", [KEEPER, fixed_http(response(b"it")), fixed_http(response(b"", 404))])
async def test_the_gateway_answers_a_preflight_that_the_canister_does_not(client: Client, module: bytes) -> None:
    canister = await client.install(module)
    for raw in (False, True):
        answer = await get(client, canister, method="OPTIONS", raw=raw, headers=PAGE)
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["Access-Control-Allow-Methods"] == "HEAD, GET, POST, PUT, DELETE, PATCH"
        assert "content-type" in answer.headers["Access-Control-Allow-Headers"]
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE["Origin"]


async def test_a_canister_may_answer_a_preflight_itself(client: Client) -> None:
    own = response(b"", 204, headers=[("Access-Control-Allow-Headers", "Authorization")])
    canister = await client.install(fixed_http(own))
    answer = await get(client, canister, method="OPTIONS", raw=True, headers=PAGE)
    assert (answer.status, answer.headers["Access-Control-Allow-Headers"]) == (204, "Authorization")
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE["Origin"]
