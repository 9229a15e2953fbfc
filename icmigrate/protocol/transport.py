"""Interface Specification, "HTTPS Interface": requests and answers over pooled HTTP connections.

The only file that knows the HTTP library's errors: what comes out is a `TransportError`.
"""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import aiohttp
from aiohttp.payload import BytesIOPayload
from yarl import URL

from icmigrate.errors import AnswerLost, HttpStatusError, TransportError, Unreachable, Usage
from icmigrate.protocol.retry import Retry

CBOR = "application/cbor"
# Answers have 3 MiB at most, plus the certificate around them.
MAX_ANSWER = 8 * 1024 * 1024
SHOWN_BODY = 500
KEEP_ALIVE_SECONDS = 60
CONNECT_SECONDS = 10
# A synchronous call is answered within about 10 seconds, or with 202.
READ_SECONDS = 60


@dataclass(frozen=True)
class Answer:
    """A successful answer: HTTP status (200 to 299) and whole body."""

    status: int
    body: bytes


class Transport(Protocol):
    """Carries requests to one replica. Raises `TransportError`s only."""

    async def get(self, path: str) -> Answer: ...

    async def post(self, path: str, body: bytes, *, may_repeat: bool = True) -> Answer:
        """`may_repeat` is false where a refusal has to mean that nothing was sent before."""
        ...

    async def close(self) -> None: ...


class HttpTransport:
    """HTTP over pooled connections that are kept alive."""

    def __init__(self, url: str) -> None:
        try:
            self._base = URL(url.rstrip("/"))
        except ValueError:
            raise Usage(f"not a URL: {url}") from None
        if self._base.scheme not in ("http", "https") or not self._base.host:
            raise Usage(f"not an http or https URL: {url}")
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS),
                read_bufsize=1 << 20,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def get(self, path: str) -> Answer:
        return await self._send("GET", path, None)

    async def post(self, path: str, body: bytes, *, may_repeat: bool = True) -> Answer:
        return await self._send("POST", path, body)

    async def _send(self, method: str, path: str, body: bytes | None) -> Answer:
        url = self._base.with_path(path)
        # From memory in pieces: a whole envelope in one write would be copied once more.
        data = None if body is None else BytesIOPayload(io.BytesIO(body), content_type=CBOR)
        try:
            async with self._open().request(method, url, data=data, allow_redirects=False) as response:
                answer = Answer(response.status, await _read(response))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Unreachable(f"{url.origin()}: no connection: {error}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise AnswerLost(f"{method} {url}: no whole answer: {error or type(error).__name__}") from error
        if not 200 <= answer.status < 300:
            raise HttpStatusError(answer.status, _shown(answer.body))
        return answer

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def _read(response: aiohttp.ClientResponse) -> bytes:
    if (response.content_length or 0) <= MAX_ANSWER:
        parts = []
        left = MAX_ANSWER
        async for part in response.content.iter_any():
            parts.append(part)
            left -= len(part)
            if left < 0:
                break
        else:
            return b"".join(parts)
    response.close()
    raise AnswerLost(f"{response.url}: the answer has more than {MAX_ANSWER} bytes")


def _shown(body: bytes) -> str:
    return body[:SHOWN_BODY].decode(errors="replace").strip()


class RetryingTransport:
    """Repeats requests that failed for a reason that passes, with growing, random pauses.

    Every request may be sent twice: queries and reads change nothing, and a call that comes again is
    recognized by its request id. A request that is not `may_repeat` is only repeated when it certainly was
    not accepted: no connection, 429 or 503.
    """

    def __init__(
        self, inner: Transport, *, attempts: int, first_pause: float = 0.1, longest_pause: float = 5.0
    ) -> None:
        self._inner = inner
        self._retry = Retry(attempts, first_pause, longest_pause)

    async def get(self, path: str) -> Answer:
        return await self._repeat(lambda: self._inner.get(path), may_repeat=True)

    async def post(self, path: str, body: bytes, *, may_repeat: bool = True) -> Answer:
        return await self._repeat(lambda: self._inner.post(path, body), may_repeat=may_repeat)

    async def _repeat(self, send: Callable[[], Awaitable[Answer]], *, may_repeat: bool) -> Answer:
        return await self._retry(send, lambda error: error.retryable if may_repeat else _not_accepted(error))

    async def close(self) -> None:
        await self._inner.close()


def _not_accepted(error: TransportError) -> bool:
    return isinstance(error, Unreachable) or (isinstance(error, HttpStatusError) and error.status in (429, 503))
