"""Interface Specification, "Abstract behavior": what the system does to canisters between messages.

Stopping, charging for resources, counting queries. Each has a `find`, which tells whether it is due, and a
method that does it; the scheduler's table has the order.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto
from typing import Literal

from icmigrate.replica.errors import system_rejects
from icmigrate.replica.execution.charging import charge_resources, owes
from icmigrate.replica.execution.commit_or_rollback import Executor
from icmigrate.replica.execution.installation import empty
from icmigrate.replica.execution.result import CallAnswer
from icmigrate.replica.state.canister import Canister, CanisterStatus, QueryStats
from icmigrate.replica.state.responses import Reject, RejectCode, Reply, Response
from icmigrate.replica.storage.changes import Changes
from icmigrate.replica.subnet.commits import Commits
from icmigrate.replica.subnet.query_statistics import QueryStatistics
from icmigrate.replica.subnet.system_tasks import NEVER

CHARGE_NS = 600 * 1_000_000_000
STOP_TIMEOUT_NS = 300 * 1_000_000_000


class Stopping(Enum):
    """What stop_canister calls are answered with."""

    STOPPED = auto()
    TIMED_OUT = auto()


class Upkeep:
    """Belongs to the event loop's thread; the methods that change a canister are called with its lock held."""

    def __init__(self, commits: Commits, executor: Executor) -> None:
        self.query_statistics = QueryStatistics()
        self._commits = commits
        self._executor = executor

    @staticmethod
    def due_at(canister: Canister) -> int:
        """When it is to be charged, or told that stopping takes too long: the earliest such time."""
        late = min((call.requested_at + STOP_TIMEOUT_NS + 1 for call in canister.stop_calls), default=NEVER)
        return min(late, canister.charged_until + CHARGE_NS)

    # -------------------------------------------------------------------------------------- stopping

    def find_stopped(self, canister: Canister, now: int) -> Stopping | None:
        """Whether stop_canister calls are to be answered, and with what."""
        if canister.status is not CanisterStatus.STOPPING:
            return None
        if not canister.contexts:
            return Stopping.STOPPED
        late = any(call.requested_at + STOP_TIMEOUT_NS < now for call in canister.stop_calls)
        return Stopping.TIMED_OUT if late else None

    async def stop(self, canister: Canister, found: Stopping) -> None:
        """Answers the stop_canister calls: all when the canister is stopped, or those that waited too long."""
        changes = self._commits.changes()
        if found is Stopping.STOPPED:
            response: Response = Reply(b"DIDL\0\0")
            answered = canister.stop_calls
            changes.put(canister.with_(status=CanisterStatus.STOPPED, stop_calls=(), version=canister.version + 1))
        else:
            response = system_rejects.stop_timed_out()
            limit = changes.time_ns - STOP_TIMEOUT_NS
            answered = tuple(call for call in canister.stop_calls if call.requested_at < limit)
            waiting = tuple(call for call in canister.stop_calls if call.requested_at >= limit)
            changes.put(canister.with_(stop_calls=waiting))
        for call in answered:
            self._commits.answer(changes, CallAnswer(call.origin, response, call.cycles))
        self._commits.commit(changes)

    # -------------------------------------------------------------------------------------- paying

    @staticmethod
    def find_debtor(canister: Canister, now: int) -> Literal[True] | None:
        """Whether the canister has not paid for ten minutes, or could not."""
        return True if now - canister.charged_until >= CHARGE_NS or owes(canister) else None

    async def charge(self, canister: Canister, _due: Literal[True]) -> None:
        """Charges for memory and compute allocation; who cannot pay loses everything but its settings."""
        changes = self._commits.changes()
        charged = charge_resources(self._executor.fees, canister, changes.time_ns)
        if not owes(charged):
            changes.put(charged)
        else:
            charged = charged.with_(burned_remainder=0)
            has_code = charged.module is not None
            left = self.uninstall(changes, charged) if has_code else charged
            settings = replace(left.settings, compute_allocation=0, memory_allocation=0)
            # The files of its snapshots are collected when the state is opened next.
            changes.put(left.with_(settings=settings, history=(), snapshots={}, chunks={}))
        self._commits.commit(changes)

    def uninstall(self, changes: Changes, canister: Canister) -> Canister:
        """Takes code and memory away; calls not yet answered are rejected, later responses are dropped."""
        for context in canister.contexts.values():
            if not context.responded:
                reject = Reject(RejectCode.CANISTER_REJECT, "Canister has been uninstalled.", "IC0406")
                self._commits.answer(changes, CallAnswer(context.origin, reject, context.cycles_available))
        emptied = empty(canister)
        changes.put(emptied)
        files = self._commits.store.page_files(canister.id)

        def forget() -> None:
            self._executor.instances.forget(canister.id)
            files.remove_stale(emptied.memory)

        changes.after_commit(forget)
        return emptied

    # -------------------------------------------------------------------------------------- counting

    def find_counted_queries(self, canister: Canister, now: int) -> QueryStats | None:
        """The queries of an epoch that is over."""
        return self.query_statistics.due(canister.id, now)

    async def count_queries(self, canister: Canister, counted: QueryStats) -> None:
        """Adds the queries of an epoch to the canister's totals."""
        changes = self._commits.changes()
        changes.put(canister.with_(query_stats=canister.query_stats.plus(counted)))
        changes.after_commit(lambda: self.query_statistics.forget(canister.id))
        self._commits.commit(changes)
