"""The HTTP server: connections of clients, which may be many, slow or broken.

What is not a proper request is answered here, before anybody asks what it says: 400 for malformed HTTP, 408 for
a body that does not arrive, 413 for one that is too large, 503 when there are too many connections, 403 for whom
the replica does not answer (`callers.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Middleware

from icmigrate.replica.http.callers import Callers

HOSTS = ("127.0.0.1", "::1")
"""Browsers take `<id>.localhost` for either; other machines cannot reach the replica."""
BACKLOG = 1024
MAX_BODY = 4 << 20
"""Bytes of a body that are read at all; what is allowed is less (`Limits.ingress_payload`)."""
BODY_SECONDS = 30.0
"""How long a client may take to send a request's body."""
IDLE_SECONDS = 120.0
"""How long a connection may be open without a whole request head; clients keep idle ones for up to 90 s."""
SHUTDOWN_SECONDS = 2.0
MAX_CONNECTIONS = 10_000
FILES_OF_CANISTERS = 512
"""File descriptors that are left to everything but connections."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class CannotListen(Exception):
    """The port is taken or not allowed."""


def application(callers: Callers) -> web.Application:
    """An application for these callers, whose handlers find the body of a request complete."""
    application = web.Application(client_max_size=MAX_BODY, middlewares=[_only_for(callers), _with_whole_body])

    async def permit(request: web.Request, answer: web.StreamResponse) -> None:
        answer.headers.update(callers.permissions(request.method, request.headers, answer.headers))

    application.on_response_prepare.append(permit)
    return application


@asynccontextmanager
async def served(application: web.Application, port: int) -> AsyncIterator[int]:
    """Serves the application on every host of HOSTS at `port` (0: any free one), which is given.

    Bodies stay as they were sent: nothing is decompressed on a client's word. Raises CannotListen.
    """
    runner = web.AppRunner(
        application,
        access_log=None,
        shutdown_timeout=SHUTDOWN_SECONDS,
        keepalive_timeout=IDLE_SECONDS,
        auto_decompress=False,
        logger=_logger(),
    )
    await runner.setup()
    listeners: list[asyncio.Server] = []
    try:
        assert runner.server is not None
        async for listener in _listeners(_limited(runner.server), port):
            listeners.append(listener)
        yield listeners[0].sockets[0].getsockname()[1]
    finally:
        for listener in listeners:
            listener.close()
        await runner.cleanup()


async def _listeners(connection: Callable[[], asyncio.Protocol], port: int) -> AsyncIterator[asyncio.Server]:
    """Machines without IPv6 are served without."""
    loop = asyncio.get_running_loop()
    first, *others = HOSTS
    try:
        listener = await loop.create_server(connection, first, port, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        raise CannotListen(f"The replica cannot listen on port {port}: {error}") from error
    yield listener
    port = listener.sockets[0].getsockname()[1]
    for host in others:
        with contextlib.suppress(OSError):
            yield await loop.create_server(connection, host, port, backlog=BACKLOG)


def _limited(server: web.Server) -> Callable[[], asyncio.Protocol]:
    """Makes the protocol of a new connection."""
    most = _most_connections()
    return lambda: server() if len(server.connections) < most else _Refusal()


def _most_connections() -> int:
    """As many as file descriptors allow; takes as many of these as the system gives."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        wanted = MAX_CONNECTIONS + FILES_OF_CANISTERS
        soft = max(soft, wanted if hard == resource.RLIM_INFINITY else min(hard, wanted))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(16, min(MAX_CONNECTIONS, soft - FILES_OF_CANISTERS))


class _Refusal(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        text = b"Too many connections.\n"
        transport.write(
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(text), text)
        )
        transport.close()


def _only_for(callers: Callers) -> Middleware:
    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = callers.refusal(request.method, request.headers)
        return await handler(request) if refusal is None else _refused(403, refusal + "\n")

    return answer


@web.middleware
async def _with_whole_body(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            await request.read()
    except web.HTTPRequestEntityTooLarge:
        return _refused(413, f"The request body is larger than {MAX_BODY} bytes.")
    except TimeoutError:
        return _refused(408, f"The request body was not received within {BODY_SECONDS:.0f} s.")
    return await handler(request)


def _refused(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text)


def _logger() -> logging.Logger:
    """Logs mistakes of the replica; those of clients are told to them."""

    def is_ours(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | ConnectionError | web.RequestPayloadError)

    logger = logging.getLogger("icmigrate.replica.http")
    logger.addFilter(is_ours)
    return logger
