"""Repeating what failed for a reason that passes, with growing, random pauses."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from icmigrate.errors import TransportError

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Retry:
    """How often something is tried in all, and the pauses between (seconds)."""

    attempts: int
    first_pause: float = 0.1
    longest_pause: float = 5.0

    async def __call__(self, send: Callable[[], Awaitable[Answer]], passes: Callable[[TransportError], bool]) -> Answer:
        """The first answer; the last error, or the first one that does not pass, comes out."""
        pause = self.first_pause
        for _ in range(self.attempts - 1):
            try:
                return await send()
            except TransportError as error:
                if not passes(error):
                    raise
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(2 * pause, self.longest_pause)
        return await send()
