"""The threads in which canister code runs, so that the event loop goes on answering meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from icmigrate.replica.engine.wasmtime_c_api import THREAD_STACK
from icmigrate.replica.state.limits import Limits

T = TypeVar("T")


class Threads:
    """Two pools: queries have their own, which long updates must not keep waiting."""

    def __init__(self, limits: Limits) -> None:
        threading.stack_size(THREAD_STACK)
        self._updates = ThreadPoolExecutor(limits.worker_threads, thread_name_prefix="canister")
        self._queries = ThreadPoolExecutor(limits.query_threads, thread_name_prefix="query")

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """Calls `function` in a thread for what changes the state."""
        return await asyncio.get_running_loop().run_in_executor(self._updates, partial(function, *arguments))

    async def run_query(self, function: Callable[..., T], *arguments: object) -> T:
        """Calls `function` in a thread for queries."""
        return await asyncio.get_running_loop().run_in_executor(self._queries, partial(function, *arguments))

    def close(self) -> None:
        """Waits until all threads have ended."""
        self._updates.shutdown(wait=True)
        self._queries.shutdown(wait=True)
