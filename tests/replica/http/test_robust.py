"""Bad input, many clients and slow ones: the right answer, and the process stays up."""

from __future__ import annotations

import asyncio
import gzip
import os

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from icmigrate.protocol import cbor, envelope
from icmigrate.replica.http import connections
from icmigrate.replica.server import RunningReplica, running_replica
from tests.replica.http.canisters import KEEPER, wasm
from tests.replica.http.client import Client

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 64), (1 << 64) - 1) | st.binary(max_size=40) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
FIELDS = st.sampled_from(
    [
        "request_type",
        "sender",
        "ingress_expiry",
        "canister_id",
        "method_name",
        "arg",
        "nonce",
        "paths",
        "sender_info",
        "x",
    ]
)
OUTER = st.sampled_from(["content", "sender_pubkey", "sender_sig", "sender_delegation", "x"])
QUERY = "/api/v3/canister/rwlgt-iiaaa-aaaaa-aaaaa-cai/query"
KINDS = st.sampled_from(["call", "query", "read_state"])


async def send(client: Client, kind: str, body: bytes) -> None:
    answer = await client.post(f"/api/v3/canister/rwlgt-iiaaa-aaaaa-aaaaa-cai/{kind}", body)
    assert answer.status in (200, 400, 403, 404), (answer.status, answer.body)
    assert b"Traceback" not in answer.body


@settings(max_examples=60, deadline=None, suppress_health_check=[*HealthCheck])
@given(KINDS, st.binary(max_size=200))
async def test_any_bytes_are_answered(client: Client, kind: str, body: bytes) -> None:
    await send(client, kind, body)


@settings(max_examples=60, deadline=None, suppress_health_check=[*HealthCheck])
@given(KINDS, st.dictionaries(OUTER, VALUES, max_size=5))
async def test_any_envelope_is_answered(client: Client, kind: str, outer: dict[str, object]) -> None:
    await send(client, kind, cbor.dumps(outer))


@settings(max_examples=100, deadline=None, suppress_health_check=[*HealthCheck])
@given(KINDS, st.dictionaries(FIELDS, VALUES, max_size=4))
async def test_any_content_is_answered(client: Client, kind: str, changes: dict[str, object]) -> None:
    user = client.anonymous()
    fields = {"canister_id": bytes(8) + b"\1\1", "method_name": "m", "arg": b"", "paths": [[b"time"]]}
    content = {**user.content(kind, **fields), **changes}
    await send(client, kind, cbor.dumps({"content": content}))


@settings(max_examples=60, deadline=None, suppress_health_check=[*HealthCheck])
@given(st.lists(st.lists(st.binary(max_size=40) | VALUES, max_size=5), max_size=4))
async def test_any_paths_are_answered(client: Client, paths: list[list[object]]) -> None:
    content = client.anonymous().content("read_state", paths=paths)
    await send(client, "read_state", cbor.dumps({"content": content}))


async def raw(running: RunningReplica, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(data)
    await writer.drain()
    return reader, writer


def head(canister_id: str, length: int) -> bytes:
    lines = f"POST /api/v4/canister/{canister_id}/call HTTP/1.1", "Host: localhost", "Content-Type: application/cbor"
    return "\r\n".join((*lines, f"Content-Length: {length}", "\r\n")).encode()


async def test_what_is_not_http_is_refused(running: RunningReplica) -> None:
    for data in (b"\0\1\2\3\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nHost" + b"x" * 20_000 + b"\r\n\r\n"):
        reader, writer = await raw(running, data)
        assert b" 400 " in await line_of(reader)
        writer.close()


async def line_of(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.readline(), 60)


async def answered(running: RunningReplica, data: bytes) -> bytes:
    """The status line of the answer."""
    reader, writer = await raw(running, data)
    line = await line_of(reader)
    writer.close()
    return line


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "x"])
async def test_bodies_are_not_decompressed(running: RunningReplica, client: Client, encoding: str) -> None:
    body = gzip.compress(bytes(5 << 20))
    for data in (body, client.read_request([b"time"])):
        lines = (
            f"POST {QUERY} HTTP/1.1",
            "Host: localhost",
            "Content-Type: application/cbor",
            f"Content-Encoding: {encoding}",
        )
        line = await answered(running, "\r\n".join((*lines, f"Content-Length: {len(data)}", "\r\n")).encode() + data)
        assert line.startswith(b"HTTP/1.1 400 ")


async def test_a_body_of_a_million_elements_is_refused_at_once(client: Client) -> None:
    arrays = b"\x9a" + (4_000_000).to_bytes(4, "big") + bytes(4_000_000)
    answer = await client.post(QUERY, arrays)
    assert (answer.status, answer.body) == (400, b"Could not parse body as CBOR: too many elements")


async def test_clients_that_send_nothing_or_half_do_not_hold_up_others(running: RunningReplica, client: Client) -> None:
    half = head("aaaaa-aa", 99) + b"\xd9"
    slow = [await raw(running, data) for data in [b"", b"POST", half] * 100]
    keeper = await client.install(KEEPER)
    assert await client.update(keeper, "set", b"quick") == b""
    for _, writer in slow:
        writer.close()
    assert await client.query(keeper, "get") == b"quick"


async def test_1000_connections_at_once_are_all_answered(
    running: RunningReplica, session: aiohttp.ClientSession
) -> None:
    async def status() -> int:
        async with session.get(f"{running.url}/api/v2/status", headers={"Connection": "close"}) as answer:
            return answer.status

    assert await asyncio.gather(*(status() for _ in range(1000))) == [200] * 1000


async def test_a_client_that_leaves_does_not_stop_its_call(running: RunningReplica, client: Client) -> None:
    keeper = await client.install(KEEPER)
    content = client.call_content(keeper, "set", b"left")
    body = envelope.sign(content, client.identity)
    _, writer = await raw(running, head(keeper.to_str(), len(body)) + body)
    request_id = envelope.request_id(content)
    async with asyncio.timeout(60):
        while running.subnet.ingress_status(request_id) is None:
            await client.get("/api/v2/status")
    writer.close()
    await running.subnet.wait(request_id, 10)
    assert await client.query(keeper, "get") == b"left"


async def test_a_busy_canister_does_not_hold_up_others(client: Client) -> None:
    busy = await client.install(
        wasm(
            "msg_reply",
            body="""
            (func (export "canister_query q") (local $n i32)
              (local.set $n (i32.const 300000000))
              (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
              (call $msg_reply))
            """,
        )
    )
    keeper = await client.install(KEEPER)
    query = asyncio.create_task(client.query(busy, "q"))
    await client.update(keeper, "set", os.urandom(8))
    assert not query.done()
    assert await query == b""


async def test_a_connection_too_many_is_told_so_and_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 20)
    async with running_replica() as small:
        idle = [await raw(small, b"") for _ in range(30)]
        assert b" 503 " in await line_of(idle[-1][0])
        for _, writer in idle[1:]:
            writer.close()
        reader, writer = idle[0]
        writer.write(b"GET /api/v2/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in await line_of(reader)
        writer.close()
