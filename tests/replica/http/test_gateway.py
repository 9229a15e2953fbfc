"""HTTP Gateway Protocol: what a browser gets from a canister."""

from __future__ import annotations

import hashlib
from typing import Any

import aiohttp
import pytest

from icmigrate.protocol import candid
from icmigrate.protocol.principal import Principal
from icmigrate.replica.gateway import HTTP_REQUEST, HTTP_UPDATE_REQUEST
from tests.replica.http.canisters import KEEPER, fixed_http, literal, wasm
from tests.replica.http.certified_response import NO_CERTIFICATION, RESPONSE_ONLY
from tests.replica.http.client import Answer, Client
from tests.replica.http.http_canisters import certified_canister, response, streaming_canister


async def get(client: Client, canister_id: Principal, path: str = "/", *, raw: bool = False, **options: Any) -> Answer:
    host = f"{canister_id.to_str()}.{'raw.' if raw else ''}localhost:{client.running.port}"
    return await client.get(path, host=host, **options)


# --------------------------------------------------------------------------------------- which canister


@pytest.mark.parametrize("form", ["{id}.raw.localhost", "{id}.raw.localhost:{port}", "{ID}.RAW.LOCALHOST:{port}"])
async def test_the_host_names_the_canister(client: Client, form: str) -> None:
    canister = await client.install(fixed_http(response(b"hello", headers=[("X-One", "1"), ("x-one", "2")])))
    text = canister.to_str()
    host = form.format(id=text, ID=text.upper(), port=client.running.port)
    async with client.session.get(client.running.url + "/", headers={"Host": host}) as answer:
        assert (answer.status, await answer.read()) == (200, b"hello")
        assert answer.headers.getall("X-One") == ["1", "2"]


async def test_a_query_parameter_names_the_canister(client: Client) -> None:
    canister = await client.install(certified_canister(b"by parameter"))
    for host in (None, "localhost"):
        answer = await client.get(f"/page?canisterId={canister.to_str()}", host=host)
        assert (answer.status, answer.body) == (200, b"by parameter")


async def test_requests_that_name_no_canister_or_none_that_answers_are_refused(client: Client) -> None:
    empty, keeper = await client.create(), await client.install(KEEPER)
    absent = Principal((1 << 50).to_bytes(8, "big") + b"\x01\x01")
    broken = await client.install(fixed_http(b"DIDL\x00\x01\x7d\x05"))
    refusals = {
        "/": 400,
        "/?canisterId=nonsense": 400,
        f"/?canisterId={absent.to_str()}": 404,
        f"/?canisterId={empty.to_str()}": 502,
        f"/?canisterId={keeper.to_str()}": 502,
        f"/?canisterId={broken.to_str()}": 502,
    }
    for path, status in refusals.items():
        answer = await client.get(path)
        assert answer.status == status and answer.headers["Content-Type"].startswith("text/plain"), path
    answer = await client.get("/", host="not-a-canister.localhost")
    assert answer.status == 400


# ------------------------------------------------------------------------------------------- requests


ECHO = wasm(
    "msg_reply", "msg_reply_data_append", "msg_arg_data_size", "msg_arg_data_copy",
    body="""
    (global $size (mut i32) (i32.const 0))
    (func $keep
      (global.set $size (call $msg_arg_data_size))
      (call $msg_arg_data_copy (i32.const 4096) (i32.const 0) (global.get $size)))
    (func (export "canister_query http_request")
      (call $msg_reply_data_append (i32.const 0) (i32.const UPGRADE_SIZE)) (call $msg_reply))
    (func (export "canister_update http_request_update")
      (call $keep)
      (call $msg_reply_data_append (i32.const 1024) (i32.const DONE_SIZE)) (call $msg_reply))
    (func (export "canister_query seen")
      (call $msg_reply_data_append (i32.const 4096) (global.get $size)) (call $msg_reply))
    (data (i32.const 0) UPGRADE)
    (data (i32.const 1024) DONE)
    """.replace("UPGRADE_SIZE", str(len(response(upgrade=[True]))))
    .replace("DONE_SIZE", str(len(response(b"done", 201))))
    .replace("UPGRADE", literal(response(upgrade=[True])))
    .replace("DONE", literal(response(b"done", 201))),
)  # fmt: skip


async def test_a_request_that_asks_for_an_update_gets_one_and_sees_everything(client: Client) -> None:
    canister = await client.install(ECHO)
    answer = await get(
        client,
        canister,
        "/a%20b?x=%2F&y",
        method="POST",
        data=b"\x00\xffbody",
        headers={"X-Mine": "v", "Cookie": "a=b"},
    )
    assert (answer.status, answer.body) == (201, b"done")
    (seen,) = candid.decode(await client.query(canister, "seen"), [HTTP_UPDATE_REQUEST])
    assert isinstance(seen, dict)
    assert (seen["method"], seen["url"], seen["body"]) == ("POST", "/a%20b?x=%2F&y", b"\x00\xffbody")
    headers = {name: value for name, value in seen["headers"]}
    assert headers["x-mine"] == "v" and headers["cookie"] == "a=b"


async def test_the_query_says_that_version_2_is_understood(client: Client) -> None:
    shows_argument = wasm(
        "msg_reply", "msg_reply_data_append", "msg_arg_data_size", "msg_arg_data_copy", "msg_reject",
        body="""
        (func (export "canister_query http_request")
          (call $msg_arg_data_copy (i32.const 0) (i32.const 0) (call $msg_arg_data_size))
          (call $msg_reply_data_append (i32.const 0) (call $msg_arg_data_size)) (call $msg_reply))
        """,
    )  # fmt: skip
    canister = await client.install(shows_argument)
    arg = candid.encode(
        [HTTP_REQUEST], [{"method": "GET", "url": "/", "headers": [], "body": b"", "certificate_version": [2]}]
    )
    assert (await client.query(canister, "http_request", arg)) == arg
    assert (await get(client, canister)).status == 502  # a request is not a response


async def test_a_body_that_is_too_large_for_a_message_is_refused(client: Client) -> None:
    canister = await client.install(ECHO)
    assert (await get(client, canister, method="POST", data=bytes(5 << 20))).status == 413
    assert (await get(client, canister, method="POST", data=bytes(3 << 20))).status == 413


# --------------------------------------------------------------------------------------------- streaming


async def test_a_streamed_body_is_put_together_with_the_tokens_given_out(client: Client) -> None:
    canister = await client.create()
    parts = (b"first,", b"second,", b"third")
    await client.install(streaming_canister(canister, parts, [("Content-Type", "text/x")]), canister)
    answer = await get(client, canister, raw=True)
    assert (answer.status, answer.body) == (200, b"".join(parts))
    assert answer.headers["Content-Type"] == "text/x"


async def test_a_stream_that_breaks_off_is_seen_to_break_off(client: Client) -> None:
    canister = await client.create()
    module = streaming_canister(canister, (b"a", b"b"), [])
    await client.install(
        module.replace(b"next", b"tnex", 1).replace(b"canister_query next", b"canister_query tnex"), canister
    )
    with pytest.raises(aiohttp.ClientError):
        await get(client, canister, raw=True)
    assert (await client.get("/api/v2/status")).status == 200


async def test_a_callback_of_another_canister_is_refused(client: Client) -> None:
    canister, other = await client.create(), await client.create()
    await client.install(streaming_canister(other, (b"a", b"b", b"c"), []), canister)
    assert (await get(client, canister, raw=True)).status == 502


# ------------------------------------------------------------------------------------------- verification


@pytest.mark.parametrize("expression", [RESPONSE_ONLY, NO_CERTIFICATION])
async def test_a_certified_page_is_served(client: Client, expression: str) -> None:
    canister = await client.install(certified_canister(b"<h1>certified</h1>", expression=expression))
    answer = await get(client, canister, "/any/path?with=query")
    assert (answer.status, answer.body) == (200, b"<h1>certified</h1>")
    assert {"IC-Certificate", "IC-CertificateExpression", "Cache-Control"} <= set(answer.headers)
    head = await get(client, canister, "/", method="HEAD")
    assert (head.status, head.body) == (200, b"")


async def test_no_content_type_is_named_that_the_canister_did_not_name(client: Client) -> None:
    canister = await client.install(certified_canister(b"<h1>untyped</h1>"))
    for raw in (False, True):
        assert "Content-Type" not in (await get(client, canister, raw=raw)).headers


async def test_a_page_that_is_not_the_certified_one_is_not_served_unless_raw(client: Client) -> None:
    canister = await client.install(certified_canister(b"certified", forged=b"forged"))
    answer = await get(client, canister)
    assert answer.status == 503 and b"response_verification_error" in answer.body
    assert (await get(client, canister, raw=True)).body == b"forged"
    uncertified = await client.install(fixed_http(response(b"plain")))
    assert (await get(client, uncertified)).status == 503


async def test_malformed_headers_and_statuses_of_a_canister_do_not_reach_the_browser(client: Client) -> None:
    for bad in (
        response(headers=[("A", "b\r\nSet-Cookie: c")]),
        response(headers=[("A\nB", "b")]),
        response(status=99),
        response(status=600),
    ):
        canister = await client.install(fixed_http(bad))
        assert (await get(client, canister, raw=True)).status == 502


async def test_a_large_certified_body_arrives_whole(client: Client) -> None:
    body = hashlib.shake_256(b"large").digest(1000) * 10
    canister = await client.install(certified_canister(body))
    assert (await get(client, canister)).body == body
