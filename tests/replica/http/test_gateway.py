"""HTTP Gateway Protocol: what a browser gets from a canister."""

from __future__ import annotations

import base64
import functools
import hashlib
from typing import Any

import aiohttp
import pytest

from icmigrate.protocol import candid, cbor, hash_tree
from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import Principal
from icmigrate.replica.gateway import HTTP_REQUEST, HTTP_UPDATE_REQUEST
from tests.replica.http.canisters import KEEPER, fixed_http, literal, wasm
from tests.replica.http.certified_response import NO_CERTIFICATION, RESPONSE_ONLY, hash_of_headers, sha256
from tests.replica.http.client import Answer, Client

BLOB = T.Vec(T.Nat8)
TOKEN = T.Record({"key": T.Text, "index": T.Nat, "digest": T.Opt(BLOB)})
CALLBACK = T.Func([TOKEN], [T.Record({"body": BLOB, "token": T.Opt(TOKEN)})], ["query"])
RESPONSE = T.Record(
    {
        "status_code": T.Nat16,
        "headers": T.Vec(T.Tuple(T.Text, T.Text)),
        "body": BLOB,
        "upgrade": T.Opt(T.Bool),
        "streaming_strategy": T.Opt(T.Variant({"Callback": T.Record({"callback": CALLBACK, "token": TOKEN})})),
    }
)
CALLBACK_RESPONSE = T.Record({"body": BLOB, "token": T.Opt(TOKEN)})


def response(body: bytes = b"", status: int = 200, **fields: Any) -> bytes:
    record = {"status_code": status, "headers": [], "body": body, "upgrade": [], "streaming_strategy": [], **fields}
    return candid.encode([RESPONSE], [record])


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


def streaming_canister(canister_id: Principal, parts: tuple[bytes, ...], headers: list[tuple[str, str]]) -> bytes:
    """Answers with the first part and a callback for each other; a token's index, its last byte, tells which.

    The callback traps unless the rest of the token's value is what was given out.
    """
    tokens = [{"key": "k", "index": index, "digest": [b"d"]} for index in range(1, len(parts))]
    strategy = {"Callback": {"callback": [canister_id, "next"], "token": tokens[0]}}
    first = response(parts[0], headers=headers, streaming_strategy=[strategy])
    answers = [
        candid.encode([CALLBACK_RESPONSE], [{"body": part, "token": tokens[index + 1 : index + 2]}])
        for index, part in enumerate(parts[1:])
    ]
    value = candid.encode([TOKEN], tokens[:1])[-6:-1]
    places = [8192 + sum(map(len, answers[:index])) for index in range(len(answers) + 1)]
    branches = "".join(
        f"(if (i32.eq (i32.load8_u (i32.sub (local.get $end) (i32.const 1))) (i32.const {index + 1})) (then"
        f" (call $msg_reply_data_append (i32.const {places[index]}) (i32.const {len(answer)})) (call $msg_reply) (return)))"
        for index, answer in enumerate(answers)
    )
    same = " ".join(
        f"(if (i32.ne (i32.load8_u (i32.sub (local.get $end) (i32.const {6 - index}))) (i32.const {byte})) (then unreachable))"
        for index, byte in enumerate(value)
    )
    return wasm(
        "msg_reply", "msg_reply_data_append", "msg_arg_data_size", "msg_arg_data_copy",
        body=f"""
        (func (export "canister_query http_request")
          (call $msg_reply_data_append (i32.const {places[-1]}) (i32.const {len(first)})) (call $msg_reply))
        (func (export "canister_query next") (local $end i32)
          (call $msg_arg_data_copy (i32.const 2048) (i32.const 0) (call $msg_arg_data_size))
          (local.set $end (i32.add (i32.const 2048) (call $msg_arg_data_size)))
          {same} {branches} unreachable)
        (data (i32.const 8192) {literal(b"".join(answers) + first)})
        """,
    )  # fmt: skip


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


@functools.cache
def certified_canister(body: bytes, *, forged: bytes | None = None, expression: str = RESPONSE_ONLY) -> bytes:
    """Certifies `body` for every path at its installation, and answers queries with it, or with `forged`.

    The certificate header has the certificate of the query, base64 encoded by the canister.
    """
    covered: list[tuple[str, str | int]] = [("ic-certificateexpression", expression), (":ic-cert-status", 200)]
    if expression == RESPONSE_ONLY:
        covered.append(("cache-control", "no-store"))
    answer_hash = sha256(hash_of_headers(covered) + sha256(body))
    below = {sha256(expression.encode()): {b"": {answer_hash: b""}}}
    tree = hash_tree.build({b"http_expr": {b"<*>": below}})
    encoded_tree = base64.b64encode(cbor.dumps(hash_tree.to_cbor_value(tree))).decode()
    path = base64.b64encode(cbor.dumps(["http_expr", "<*>"])).decode()
    before, after = "certificate=:", f":, tree=:{encoded_tree}:, version=2, expr_path=:{path}:"
    headers = [("IC-CertificateExpression", expression), ("Cache-Control", "no-store")]
    # The message is cut where the header's value stands: head, its length (2 bytes of LEB128) and value, tail.
    marker = "M" * 200
    message = response(forged if forged is not None else body, headers=[*headers, ("IC-Certificate", marker)])
    cut = message.index(marker.encode())
    head, tail = message[: cut - 2], message[cut + len(marker) :]
    places, offset = {}, 0
    for name, data in {
        "digest": hash_tree.digest(tree),
        "head": head,
        "before": before.encode(),
        "after": after.encode(),
        "tail": tail,
        "letters": b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    }.items():
        places[name] = (offset, data)
        offset += len(data)
    assert offset < 16_000
    static = b"".join(data for _, data in places.values())

    def append(name: str) -> str:
        at, data = places[name]
        return f"(call $msg_reply_data_append (i32.const {at}) (i32.const {len(data)}))"

    letters = places["letters"][0]
    return wasm(
        "msg_reply", "msg_reply_data_append", "certified_data_set", "data_certificate_size", "data_certificate_copy",
        body=f"""
        (data (i32.const 0) {literal(static)})
        (func (export "canister_init")
          (call $certified_data_set (i32.const {places["digest"][0]}) (i32.const 32)))
        (func $letter (param $to i32) (param $bits i32)
          (i32.store8 (local.get $to) (i32.load8_u (i32.add (i32.const {letters}) (i32.and (local.get $bits) (i32.const 63))))))
        (func (export "canister_query http_request")
          (local $size i32) (local $from i32) (local $to i32) (local $three i32) (local $length i32)
          (local.set $size (call $data_certificate_size))
          (call $data_certificate_copy (i32.const 16384) (i32.const 0) (local.get $size))
          (local.set $to (i32.const 32768))
          (loop $next
            (local.set $three (i32.or (i32.or
              (i32.shl (i32.load8_u (i32.add (i32.const 16384) (local.get $from))) (i32.const 16))
              (i32.shl (i32.load8_u (i32.add (i32.const 16385) (local.get $from))) (i32.const 8)))
              (i32.load8_u (i32.add (i32.const 16386) (local.get $from)))))
            (call $letter (local.get $to) (i32.shr_u (local.get $three) (i32.const 18)))
            (call $letter (i32.add (local.get $to) (i32.const 1)) (i32.shr_u (local.get $three) (i32.const 12)))
            (call $letter (i32.add (local.get $to) (i32.const 2)) (i32.shr_u (local.get $three) (i32.const 6)))
            (call $letter (i32.add (local.get $to) (i32.const 3)) (local.get $three))
            (local.set $from (i32.add (local.get $from) (i32.const 3)))
            (local.set $to (i32.add (local.get $to) (i32.const 4)))
            (br_if $next (i32.lt_u (local.get $from) (local.get $size))))
          ;; padding
          (if (i32.gt_u (local.get $from) (local.get $size))
            (then (i32.store8 (i32.sub (local.get $to) (i32.const 1)) (i32.const 61))))
          (if (i32.gt_u (local.get $from) (i32.add (local.get $size) (i32.const 1)))
            (then (i32.store8 (i32.sub (local.get $to) (i32.const 2)) (i32.const 61))))
          {append("head")}
          (local.set $length (i32.add (i32.sub (local.get $to) (i32.const 32768)) (i32.const {len(before) + len(after)})))
          (i32.store8 (i32.const 16000) (i32.or (i32.and (local.get $length) (i32.const 127)) (i32.const 128)))
          (i32.store8 (i32.const 16001) (i32.shr_u (local.get $length) (i32.const 7)))
          (call $msg_reply_data_append (i32.const 16000) (i32.const 2))
          {append("before")}
          (call $msg_reply_data_append (i32.const 32768) (i32.sub (local.get $to) (i32.const 32768)))
          {append("after")} {append("tail")}
          (call $msg_reply))
        """,
    )  # fmt: skip


@pytest.mark.parametrize("expression", [RESPONSE_ONLY, NO_CERTIFICATION])
async def test_a_certified_page_is_served(client: Client, expression: str) -> None:
    canister = await client.install(certified_canister(b"<h1>certified</h1>", expression=expression))
    answer = await get(client, canister, "/any/path?with=query")
    assert (answer.status, answer.body) == (200, b"<h1>certified</h1>")
    assert {"IC-Certificate", "IC-CertificateExpression", "Cache-Control"} <= set(answer.headers)
    head = await get(client, canister, "/", method="HEAD")
    assert (head.status, head.body) == (200, b"")


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
