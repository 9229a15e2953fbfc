"""Interface Specification, "Synchronous update call": whoever waits for the answers of requests."""

from __future__ import annotations

import asyncio
import contextlib


class Waiting:
    """Who waits for which request id. Belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._futures: dict[bytes, set[asyncio.Future[None]]] = {}
        self._failure: BaseException | None = None
        self._is_over = False

    async def wait(self, request_id: bytes, timeout: float) -> None:
        """Until the request has its answer, nothing more is answered, or `timeout` seconds are over."""
        if self._failure is not None:
            raise self._failure
        if self._is_over:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._futures.setdefault(request_id, set()).add(future)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(future, timeout)
        finally:
            others = self._futures.get(request_id, set())
            others.discard(future)
            if not others:
                self._futures.pop(request_id, None)

    def answered(self, request_id: bytes) -> None:
        """The request has its answer."""
        for future in self._futures.pop(request_id, ()):
            if not future.done():
                future.set_result(None)

    def end(self, failure: BaseException | None = None) -> None:
        """Nothing more is answered: everybody goes on, with `failure` if that is why."""
        self._is_over, self._failure = True, failure
        for futures in self._futures.values():
            for future in futures:
                if future.done():
                    continue
                if failure is None:
                    future.set_result(None)
                else:
                    future.set_exception(failure)
