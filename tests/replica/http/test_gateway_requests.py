"""HTTP Gateway Protocol: which canister a request is for, and what that canister sees of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from icmigrate.protocol import candid
from icmigrate.protocol.principal import Principal
from icmigrate.replica.gateway.request import HTTP_REQUEST, HTTP_UPDATE_REQUEST
from tests.replica.http.canisters import KEEPER, fixed_http, literal, wasm
from tests.replica.http.client import Answer, Client, given
from tests.replica.http.http_canisters import certified_canister, response

# --------------------------------------------------------------------------------------- which canister

NAMED = {
    "the host": ("{id}.localhost:{port}", "/", ""),
    "the host, without a port": ("{id}.localhost", "/", ""),
    "the host, in capitals": ("{ID}.LOCALHOST:{port}", "/", ""),
    "the host, fully qualified": ("{id}.localhost.:{port}", "/", ""),
    "the host, behind a name": ("my--site--{id}.localhost:{port}", "/", ""),
    "the host, for what is not verified": ("{id}.raw.localhost:{port}", "/", ""),
    "a parameter": ("localhost:{port}", "/page?a=b&canisterId={id}", ""),
    "a parameter, at an address": ("127.0.0.1:{port}", "/?canisterId={id}", ""),
    "a parameter, at an address of IPv6": ("[::1]:{port}", "/?canisterId={id}", ""),
    "a parameter, since the host names none": ("page.localhost", "/?canisterId={id}", ""),
    "the host of the page": ("localhost", "/style.css", "http://{id}.localhost:{port}/index.html"),
    "the parameter of the page": ("localhost", "/style.css", "http://localhost:{port}/?canisterId={id}"),
}


@pytest.mark.parametrize("named", NAMED)
async def test_a_request_can_name_its_canister_in_each_of_these_ways(client: Client, named: str) -> None:
    canister = await client.install(certified_canister(b"it"))
    words = {"id": canister.to_str(), "ID": canister.to_str().upper(), "port": client.running.port}
    host, path, referer = (text.format(**words) for text in NAMED[named])
    answer = await client.get(path, host=host, headers={"Referer": referer} if referer else {})
    assert (answer.status, answer.body) == (200, b"it")
    assert answer.headers["X-IC-Canister-Id"] == canister.to_str()


async def test_the_host_comes_before_the_parameter_and_the_parameter_before_the_page(client: Client) -> None:
    first, second = [await client.install(certified_canister(body)) for body in (b"first", b"second")]
    by_second = f"/?canisterId={second.to_str()}"
    assert (await client.get(by_second, host=f"{first.to_str()}.localhost")).body == b"first"
    page = {"Referer": f"http://{first.to_str()}.localhost/"}
    assert (await client.get(by_second, headers=page)).body == b"second"


ABSENT = Principal((1 << 50).to_bytes(8, "big") + b"\x01\x01").to_str()
REFUSED = {
    "no canister": ("localhost", "/", 400, "canister_id_not_resolved"),
    "no canister below raw": ("raw.localhost", "/", 400, "canister_id_not_resolved"),
    "a host that is no id": ("not-a-canister.localhost", "/", 400, "canister_id_not_resolved"),
    "a host with a wrong checksum": ("aaaaa-ab.localhost", "/", 400, "canister_id_not_resolved"),
    "a parameter that is no id": ("localhost", "/?canisterId=nonsense", 400, "canister_id_incorrect"),
    "a parameter with a wrong checksum": ("localhost", "/?canisterId=aaaaa-ab", 400, "canister_id_incorrect"),
    "a domain too deep": (f"{ABSENT}.raw.raw.localhost", "/", 400, "client_unknown_domain"),
    "another kind of subdomain": (f"{ABSENT}.cooked.localhost", "/", 400, "client_unknown_domain"),
    "the management canister": ("aaaaa-aa.localhost", "/", 503, "canister_error"),
    "a system canister without pages": ("um5iw-rqaaa-aaaaq-qaaba-cai.localhost", "/", 503, "canister_error"),
    "a canister that is not there": (f"{ABSENT}.localhost", "/", 404, "canister_not_found"),
}


async def sent(client: Client, request: bytes) -> tuple[int, bytes]:
    """Status and body of what comes back for these bytes."""
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", client.running.port)
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = head.lower().splitlines()
        body = await reader.readexactly(next(int(line[16:]) for line in lines if line.startswith("content-length: ")))
    writer.close()
    return int(head.split()[1]), body


@pytest.mark.parametrize("case", REFUSED)
async def test_the_gateway_refuses_each_of_these_with_its_status(client: Client, case: str) -> None:
    host, path, status, error_type = REFUSED[case]
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("latin-1")
    refused, body = await sent(client, request)
    assert (refused, json.loads(body)["error_type"]) == (status, error_type)


TRAPS = wasm("trap", body='(func (export "canister_query http_request") (call $trap (i32.const 0) (i32.const 0)))')
REJECTS = wasm(
    "msg_reject", body='(func (export "canister_query http_request") (call $msg_reject (i32.const 0) (i32.const 0)))'
)
SILENT = wasm(body='(func (export "canister_query http_request"))')
UNFIT = {
    "empty": (None, "canister_error"),
    "without the method": (KEEPER, "canister_error"),
    "trapping": (TRAPS, "canister_error"),
    "rejecting": (REJECTS, "canister_reject"),
    "not answering": (SILENT, "canister_error"),
    "answering what is no response": (fixed_http(b"DIDL\x00\x01\x7d\x05"), "backend_http_gateway"),
    "answering garbage": (fixed_http(b"garbage"), "backend_http_gateway"),
    "not certifying": (fixed_http(response(b"plain")), "backend_response_verification"),
    "asking for an update that it has not": (fixed_http(response(upgrade=[True]), b"garbage"), "backend_http_gateway"),
    "streaming from nowhere": (
        fixed_http(
            response(
                streaming_strategy=[
                    {
                        "Callback": {
                            "callback": [Principal.from_str("aaaaa-aa"), "next"],
                            "token": {"key": "", "index": 0, "digest": []},
                        }
                    }
                ]
            )
        ),
        "backend_http_gateway",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNFIT)
async def test_no_page_comes_of_a_canister(client: Client, kind: str) -> None:
    module, error_type = UNFIT[kind]
    canister = await client.create()
    if module is not None:
        await client.install(module, canister)
    answer = await client.get(f"/?canisterId={canister.to_str()}")
    assert (answer.status, answer.headers["Content-Type"]) == (503, "application/json")
    assert json.loads(answer.body)["error_type"] == error_type


async def test_a_stopped_and_a_frozen_canister_show_no_page(client: Client) -> None:
    stopped, frozen = [await client.install(certified_canister(b"it")) for _ in range(2)]
    await client.manage("stop_canister", {"canister_id": stopped})
    settings = given({"freezing_threshold": 10**14})
    await client.manage("update_settings", {"canister_id": frozen, "settings": settings})
    for canister, error_type in ((stopped, "canister_error"), (frozen, "canister_frozen")):
        answer = await client.get(f"/?canisterId={canister.to_str()}")
        assert (answer.status, json.loads(answer.body)["error_type"]) == (503, error_type)


async def test_people_get_a_page_and_programs_json(client: Client) -> None:
    browser = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64)"}
    page = await client.get("/?canisterId=<script>", headers=browser)
    assert (page.status, page.headers["Content-Type"]) == (400, "text/html; charset=utf-8")
    assert b"<title>Error 400 - Incorrect Canister ID</title>" in page.body and b"<script>" not in page.body
    plain = json.loads((await client.get("/?canisterId=x", headers={"User-Agent": "curl/8"})).body)
    assert set(plain) == {"error_type", "description", "details"}


# ------------------------------------------------------------------------------------------- requests


UPGRADES = wasm(
    "msg_reply", "msg_reply_data_append", "msg_arg_data_size", "msg_arg_data_copy",
    body="""
    (global $size (mut i32) (i32.const 0))
    (func (export "canister_query http_request")
      (call $msg_reply_data_append (i32.const 0) (i32.const UPGRADE_SIZE)) (call $msg_reply))
    (func (export "canister_update http_request_update")
      (global.set $size (call $msg_arg_data_size))
      (call $msg_arg_data_copy (i32.const 4096) (i32.const 0) (global.get $size))
      (call $msg_reply_data_append (i32.const 1024) (i32.const DONE_SIZE)) (call $msg_reply))
    (func (export "canister_query seen")
      (call $msg_reply_data_append (i32.const 4096) (global.get $size)) (call $msg_reply))
    (data (i32.const 0) UPGRADE)
    (data (i32.const 1024) DONE)
    """.replace("UPGRADE_SIZE", str(len(response(upgrade=[True]))))
    .replace("DONE_SIZE", str(len(response(b"done", 201, headers=[("X-Done", "1")]))))
    .replace("UPGRADE", literal(response(upgrade=[True])))
    .replace("DONE", literal(response(b"done", 201, headers=[("X-Done", "1")]))),
)  # fmt: skip


async def seen_by(client: Client, request: bytes) -> dict[str, Any]:
    """The request that a canister sees, in its update."""
    canister = await client.install(UPGRADES)
    status, body = await sent(client, request.replace(b"ID", canister.to_str().encode()))
    assert (status, body) == (201, b"done")
    (seen,) = candid.decode(await client.query(canister, "seen"), [HTTP_UPDATE_REQUEST])
    assert isinstance(seen, dict)
    return seen


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
async def test_a_canister_sees_the_request_as_it_was_sent(client: Client, method: str) -> None:
    seen = await seen_by(
        client,
        f"{method} /a%20b/%E4%b8//c/../d?x=%2F&y&x=1+2 HTTP/1.1\r\nHost: ID.localhost\r\nX-Mine: v\r\n"
        "Cookie: a=b; c=d\r\nx-mine:  w \r\nContent-Length: 6\r\nX-Request-Id: 5\r\n\r\n".encode()
        + b"\x00\xffbody",
    )
    assert (seen["method"], seen["body"]) == (method, b"\x00\xffbody")
    assert seen["url"] == "/a%20b/%E4%b8//c/../d?x=%2F&y&x=1+2"
    headers = [tuple(header) for header in seen["headers"]]
    assert [header for header in headers if header[0] != "host"] == [
        ("x-mine", "v"), ("cookie", "a=b; c=d"), ("x-mine", "w"), ("content-length", "6"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("target", "url"),
    [
        ("http://ID.localhost/a?b=c", "/a?b=c"),
        ("http://ID.localhost/?b", "/?b"),
        ("/" + "long/" * 1000, "/" + "long/" * 1000),
        ("/%C3%A4", "/%C3%A4"),
        ("/a#b", "/a"),
    ],
)
async def test_the_url_is_path_and_query(client: Client, target: str, url: str) -> None:
    request = f"GET {target} HTTP/1.1\r\nHost: ID.localhost\r\n\r\n".encode()
    assert (await seen_by(client, request))["url"] == url


@pytest.mark.parametrize(
    ("sent", "seen"), [("gzip,br", "gzip, br, identity"), ("gzip, Identity", "gzip, Identity"), ("*", "*, identity")]
)
async def test_a_canister_may_always_answer_without_encoding(client: Client, sent: str, seen: str) -> None:
    request = f"GET / HTTP/1.1\r\nHost: ID.localhost\r\nAccept-Encoding: {sent}\r\n\r\n".encode()
    assert ["accept-encoding", seen] in [list(header) for header in (await seen_by(client, request))["headers"]]


async def test_a_url_of_other_bytes_than_utf_8_is_refused(client: Client) -> None:
    for place in (b"/\xff", b"/?\xff"):
        status, _ = await sent(client, b"GET " + place + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert status == 400


async def test_a_header_that_is_not_ascii_does_not_fit_the_request(client: Client) -> None:
    canister = await client.install(certified_canister(b"it"))
    request = f"GET / HTTP/1.1\r\nHost: {canister.to_str()}.localhost\r\nX-A: caf\u00e9\r\n\r\n".encode()
    status, body = await sent(client, request)
    assert (status, json.loads(body)["error_type"]) == (503, "backend_http_gateway")


async def test_the_query_says_that_version_2_is_understood(client: Client) -> None:
    canister = await client.create()
    host = f"{canister.to_str()}.raw.localhost"
    request = {"method": "GET", "url": "/a", "headers": [("host", host)], "body": b"", "certificate_version": [2]}
    arg, page = candid.encode([HTTP_REQUEST], [request]), response(b"as expected")
    expects = wasm(  # traps for every other argument
        "msg_reply", "msg_reply_data_append", "msg_arg_data_size", "msg_arg_data_copy",
        body=f"""
        (func (export "canister_query http_request") (local $at i32)
          (if (i32.ne (call $msg_arg_data_size) (i32.const {len(arg)})) (then unreachable))
          (call $msg_arg_data_copy (i32.const 16384) (i32.const 0) (call $msg_arg_data_size))
          (loop $next
            (if (i32.ne (i32.load8_u (local.get $at)) (i32.load8_u offset=16384 (local.get $at))) (then unreachable))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $at) (i32.const {len(arg)}))))
          (call $msg_reply_data_append (i32.const {len(arg)}) (i32.const {len(page)})) (call $msg_reply))
        (data (i32.const 0) {literal(arg + page)})
        """,
    )  # fmt: skip
    await client.install(expects, canister)
    assert await sent(client, f"GET /a HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()) == (200, b"as expected")


async def test_a_method_that_http_canisters_do_not_know_is_refused(client: Client) -> None:
    canister = await client.install(certified_canister(b"it"))
    answer = await client.get(f"/?canisterId={canister.to_str()}", method="TRACE")
    assert (answer.status, answer.body) == (405, b"")
    assert answer.headers["Allow"] == "HEAD, GET, POST, PUT, DELETE, PATCH, OPTIONS"


async def test_a_body_that_does_not_fit_a_message_is_refused(client: Client) -> None:
    canister = await client.install(fixed_http(response(upgrade=[True]), response(b"done", 201)))

    async def post(size: int) -> Answer:
        return await client.get(f"/?canisterId={canister.to_str()}", method="POST", data=bytes(size))

    assert (await post(2_000_000)).status == 201
    too_large = await post(3 << 20)
    assert (too_large.status, json.loads(too_large.body)["error_type"]) == (413, "client_body_too_large")
    assert (await post(5 << 20)).status == 413
