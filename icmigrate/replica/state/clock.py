"""Interface Specification, "Time": a subnet's time never goes back; tests and developers may advance it."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Real time that never goes back; `advance` moves it forward at once (tests, local development)."""

    def __init__(self) -> None:
        self._last = 0
        self._ahead = 0
        self._listeners: list[Callable[[], None]] = []

    def time_ns(self) -> int:
        """Nanoseconds since 1970; each answer is later than the one before."""
        self._last = max(self._last + 1, time.time_ns() + self._ahead)
        return self._last

    def advance(self, seconds: float) -> None:
        """Moves time forward at once."""
        self._ahead += int(seconds * 1_000_000_000)
        for listener in self._listeners:
            listener()

    def on_advance(self, listener: Callable[[], None]) -> None:
        """Calls `listener` whenever time jumps."""
        self._listeners.append(listener)

    def not_before(self, earliest_ns: int) -> None:
        """Continues after `earliest_ns`, the time of the last commit before a restart."""
        self._last = max(self._last, earliest_ns)
