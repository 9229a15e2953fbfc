"""HTTP requests through a network's gateway, as a browser sends them (HTTP Gateway Protocol Specification)."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from icmigrate.errors import AnswerLost, HttpStatusError, Unreachable
from icmigrate.protocol.retry import Retry

PASSING_STATUSES = (429, 502, 503, 504)


@dataclass(frozen=True)
class HttpAnswer:
    """Status, headers (names in any case) and whole body of an answer; redirects are not followed."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes


class LocalhostResolver(AbstractResolver):
    """`*.localhost` is this machine (RFC 6761), which not every system resolver knows."""

    def __init__(self) -> None:
        self._others = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if host == "localhost" or host.endswith(".localhost"):
            return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]
        return await self._others.resolve(host, port, family)

    async def close(self) -> None:
        await self._others.close()


class Gateway(Protocol):
    """Whatever takes HTTP requests to canisters."""

    async def request(
        self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> HttpAnswer: ...


class GatewayClient:
    """Sends HTTP requests to canisters; `async with` closes its connections."""

    def __init__(self, *, timeout_seconds: float = 60, connections: int = 8) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=self._connections, resolver=LocalhostResolver())
        # Bytes are compared as they were sent: nothing is decompressed on the way.
        self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout, auto_decompress=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def request(self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None) -> HttpAnswer:
        """One request, its whole answer. Raises `Unreachable` or `AnswerLost`."""
        if self._session is None:
            raise RuntimeError("the client is used outside `async with`")
        try:
            async with self._session.request(
                method,
                URL(url, encoded=True),
                headers=CIMultiDict(headers or {}),
                allow_redirects=False,
            ) as answer:
                return HttpAnswer(answer.status, answer.headers, await answer.read())
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(f"{method} {without_query(url)}: no connection: {error}") from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise AnswerLost(f"{method} {without_query(url)}: no whole answer: {error}") from error


class RetryingGateway:
    """Repeats requests whose failure passes: no connection, a lost answer, and statuses of whoever stands between.

    What the canister itself answers has none of these statuses, so none of them is ever taken for its answer.
    """

    def __init__(self, inner: Gateway, retry: Retry) -> None:
        self._inner = inner
        self._retry = retry

    async def request(self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None) -> HttpAnswer:
        """One answer of the canister. Raises `TransportError` when there is none after the last attempt."""

        async def send() -> HttpAnswer:
            answer = await self._inner.request(url, method=method, headers=headers)
            if answer.status in PASSING_STATUSES:
                raise HttpStatusError(answer.status, f"{method} {without_query(url)}")
            return answer

        return await self._retry(send, lambda error: error.retryable)


def without_query(url: str) -> str:
    """A URL fit for messages: tokens stand in its query."""
    return url.partition("?")[0]
