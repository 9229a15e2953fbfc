"""Wakes canisters that the passing of time alone gives something to do: timers, heartbeats, deadlines, charges."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from icmigrate.protocol.principal import Principal
from icmigrate.replica.errors import system_rejects
from icmigrate.replica.state.calls import Callback, CanisterResponse
from icmigrate.replica.state.canister import Canister
from icmigrate.replica.state.clock import Clock
from icmigrate.replica.subnet.commits import Commits
from icmigrate.replica.subnet.inbox import Inbox
from icmigrate.replica.subnet.system_tasks import NEVER, SystemTasks
from icmigrate.replica.subnet.upkeep import Upkeep

LOOK_NS = 60 * 1_000_000_000
"""How often to look at least, whatever is due."""
RETRY_SECONDS = 1.0
"""How long to wait after something went wrong that may not go wrong again."""


class Ticker:
    """Belongs to the event loop's thread."""

    def __init__(
        self,
        commits: Commits,
        clock: Clock,
        inbox: Inbox,
        tasks: SystemTasks,
        upkeep: Upkeep,
        wake: Callable[[Principal], None],
    ) -> None:
        self._commits = commits
        self._clock = clock
        self._inbox = inbox
        self._tasks = tasks
        self._upkeep = upkeep
        self._wake = wake
        self._alarm = asyncio.Event()
        self._next_look = 0
        """When to look what is due, unless the alarm is set before."""
        self._ended = False

    def alarm(self) -> None:
        """Time has moved: look again what is due."""
        self._alarm.set()

    def changed(self, canister: Canister) -> None:
        """Something of this canister may be due earlier than it was."""
        if self._due_at(canister) < self._next_look:
            self._alarm.set()

    def end(self) -> None:
        """Wakes nobody any more."""
        self._ended = True

    async def run(self, after_look: Callable[[], Awaitable[None]], failed: Callable[[Exception], object]) -> None:
        """Until `end`. What `after_look` does besides is done as often; `failed` is told what went wrong."""
        while not self._ended:
            self._alarm.clear()
            now = self._clock.time_ns()
            try:
                self._next_look = self._look(now)
                seconds = (self._next_look - now) / 1e9
                await after_look()
            except Exception as error:  # noqa: BLE001 - `failed` judges it
                failed(error)
                seconds = RETRY_SECONDS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._alarm.wait(), max(0.0, seconds))

    def _look(self, now: int) -> int:
        """Wakes whoever is due and returns when to look again."""
        soonest = now + LOOK_NS
        expired: list[tuple[Principal, int]] = []
        for canister in self._commits.state.canisters.values():
            due = self._due_at(canister)
            if due > now:
                soonest = min(soonest, due)
            else:
                self._wake(canister.id)
                late = (call.id for call in canister.callbacks.values() if _expires_at(call) <= now)
                expired.extend((canister.id, callback_id) for callback_id in late)
            if self._upkeep.find_counted_queries(canister, now):
                self._wake(canister.id)
        self._expire(expired)
        return soonest

    def _due_at(self, canister: Canister) -> int:
        """When the passing of time alone gives this canister something to do: the earliest such time."""
        due = min(self._upkeep.due_at(canister), self._tasks.due_at(canister))
        return min(due, min(map(_expires_at, canister.callbacks.values()), default=due))

    def _expire(self, expired: list[tuple[Principal, int]]) -> None:
        """Best-effort calls whose deadline has passed get their answer from the system."""
        changes = self._commits.changes()
        for caller, callback_id in expired:
            if not self._inbox.is_answered(caller, callback_id):
                changes.send(CanisterResponse(0, caller, callback_id, system_rejects.call_timed_out(), 0))
        if expired:
            self._commits.commit(changes)


def _expires_at(callback: Callback) -> int:
    """When the system answers a best-effort call that nobody has answered."""
    return NEVER if callback.deadline is None else callback.deadline + 1
