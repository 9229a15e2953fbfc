"""HTTP, and what can go wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from icmigrate.errors import AnswerLost, CborError, HttpStatusError, TransportError, Unreachable, Usage
from icmigrate.protocol.agent import Agent
from icmigrate.protocol.identity import AnonymousIdentity
from icmigrate.protocol.transport import Answer, HttpTransport, RetryingTransport

LIMIT = 60
"""Seconds after which nothing more is waited for."""
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(handle: Handler) -> AsyncIterator[str]:
    """A server on this machine that does with every connection what `handle` does."""

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(LIMIT):
            await handle(reader, writer)
        writer.close()

    listening = await asyncio.start_server(closing, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


def answering(data: bytes) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()

    return handle


async def test_nothing_that_listens_is_unreachable_at_once() -> None:
    async with server(answering(b"")) as url:
        pass
    with pytest.raises(Unreachable) as caught:
        async with asyncio.timeout(LIMIT), Agent(url, AnonymousIdentity(), fetch_root_key=True):
            pass
    assert caught.value.exit_code == 5
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("story", "data"),
    [
        ("nothing", b""),
        ("not HTTP", b"hello\r\n\r\n"),
        ("half an answer", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"),
        ("more than anybody sends", b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n"),
        ("without end", b"HTTP/1.1 200 OK\r\n\r\n" + bytes(9 * 1024 * 1024)),
    ],
)
async def test_an_answer_that_is_not_whole_is_lost(story: str, data: bytes) -> None:
    async with server(answering(data)) as url, HttpTransport(url) as transport:
        with pytest.raises(AnswerLost):
            await transport.post("/api/v3/canister/aaaaa-aa/query", b"request")


async def test_a_status_that_is_no_success_comes_with_its_text() -> None:
    data = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 7\r\n\r\ntoo bad"
    async with server(answering(data)) as url, HttpTransport(url) as transport:
        with pytest.raises(HttpStatusError, match="HTTP status 400: too bad") as caught:
            await transport.get("/api/v2/status")
    assert not caught.value.retryable


async def test_a_redirect_is_not_followed() -> None:
    data = b"HTTP/1.1 307 Elsewhere\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
    async with server(answering(data)) as url, HttpTransport(url) as transport:
        with pytest.raises(HttpStatusError, match="307"):
            await transport.get("/api/v2/status")


async def test_a_web_page_is_not_taken_for_a_replica() -> None:
    data = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>"
    async with server(answering(data)) as url:
        with pytest.raises(CborError):
            async with Agent(url, AnonymousIdentity(), fetch_root_key=True):
                pass


@pytest.mark.parametrize("url", ["", "example", "ftp://example", "http://", "http://[", "127.0.0.1:8000"])
def test_what_is_no_url_is_a_mistake_of_usage(url: str) -> None:
    with pytest.raises(Usage):
        HttpTransport(url)


async def test_a_connection_serves_many_requests_and_bodies_arrive_whole() -> None:
    connections = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while head := (await reader.readuntil(b"\r\n\r\n")).lower() if not reader.at_eof() else b"":
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % length + body)
            await writer.drain()
            if length == 0:
                return

    body = bytes(range(256)) * 7421
    async with server(handle) as url, HttpTransport(url) as transport:
        for _ in range(3):
            assert (await transport.post("/echo", body)).body == body
        assert (await transport.post("/echo", b"")).body == b""
    assert len(connections) == 1


# -- repeating ----------------------------------------------------------------------------------------------------


class Scripted:
    """A transport whose requests end as written down."""

    def __init__(self, *ends: TransportError | Answer) -> None:
        self.ends = list(ends)

    async def get(self, path: str) -> Answer:
        end = self.ends.pop(0)
        if isinstance(end, TransportError):
            raise end
        return end

    async def post(self, path: str, body: bytes, *, may_repeat: bool = True) -> Answer:
        return await self.get(path)

    async def close(self) -> None:
        pass


OK = Answer(200, b"")


def status(code: int) -> HttpStatusError:
    return HttpStatusError(code, "")


@pytest.mark.parametrize(
    ("end", "repeated", "repeated_although_it_may_not_be"),
    [
        (Unreachable(""), True, True),
        (AnswerLost(""), True, False),
        (status(429), True, True),
        (status(503), True, True),
        (status(502), True, False),
        (status(504), True, False),
        (status(500), False, False),
        (status(400), False, False),
        (status(403), False, False),
        (status(404), False, False),
    ],
    ids=str,
)
async def test_only_what_passes_is_repeated(
    end: TransportError, repeated: bool, repeated_although_it_may_not_be: bool
) -> None:
    for may_repeat, expected in ((True, repeated), (False, repeated_although_it_may_not_be)):
        inner = Scripted(end, OK)
        transport = RetryingTransport(inner, attempts=2, first_pause=0)
        if expected:
            assert await transport.post("/", b"", may_repeat=may_repeat) == OK
        else:
            with pytest.raises(type(end)):
                await transport.post("/", b"", may_repeat=may_repeat)
            assert inner.ends == [OK]


async def test_after_the_last_attempt_the_reason_comes_out() -> None:
    inner = Scripted(*[Unreachable("") for _ in range(3)], status(503), OK)
    with pytest.raises(HttpStatusError):
        await RetryingTransport(inner, attempts=4, first_pause=0).get("/")
    assert inner.ends == [OK]
