"""A real HTTP proxy in front of a replica that can forge one answer or strike at one request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import web

HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "content-encoding"}


@dataclass
class Proxy:
    """Forwards everything to `target` and counts calls, queries and reads of state.

    `before` runs with the number of each of these before it is forwarded, `after` when its answer is there but
    not yet sent on; `forge` may change any answer's body, being given the number of the newest.
    """

    target: str
    before: Callable[[int], None] = lambda number: None
    after: Callable[[int], None] = lambda number: None
    forge: Callable[[int, str, bytes], bytes] = lambda number, path, body: body
    requests: int = 0
    url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        is_call = request.path.startswith("/api/")
        self.requests += is_call
        number = self.requests
        if is_call:
            self.before(number)
        try:
            async with self._session.request(
                request.method,
                self.target + request.raw_path,
                headers=request.headers,
                data=body or None,
                allow_redirects=False,
            ) as answer:
                content = await answer.read()
                headers = [(name, value) for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP]
        except aiohttp.ClientError:
            return web.Response(status=502)
        if is_call:
            self.after(number)
        if request.method == "HEAD":
            headers += [("content-length", answer.headers.get("content-length", "0"))]
        return web.Response(status=answer.status, headers=headers, body=self.forge(number, request.path, content))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Proxy]:
        application = web.Application(client_max_size=8 << 20)
        application.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(application)
        await runner.setup()
        async with aiohttp.ClientSession(auto_decompress=False) as self._session:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            self.url = f"http://127.0.0.1:{port}"
            try:
                yield self
            finally:
                await runner.cleanup()
