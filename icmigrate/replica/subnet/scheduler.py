"""Interface Specification, "Abstract behavior": which message is executed next.

`Scheduler.steps` is the table of what a canister can do: each row finds something to do and says how; rows take turns.
One thing at a time happens on a canister; different canisters run side by side in worker threads. Every
result is committed in one transaction, and only then does anybody see it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Literal, TypeVar
from weakref import WeakValueDictionary

from icmigrate.protocol.principal import Principal
from icmigrate.replica.engine.wasmtime_c_api import Interrupted
from icmigrate.replica.errors import system_rejects
from icmigrate.replica.execution.callbacks import execute_response
from icmigrate.replica.execution.commit_or_rollback import Executor
from icmigrate.replica.execution.replicated_call import ReplicatedCall, execute_call
from icmigrate.replica.execution.result import CallAnswer, Result
from icmigrate.replica.execution.system_task import SystemTask, execute_task
from icmigrate.replica.state.calls import CanisterRequest, CanisterResponse, Ingress, Message
from icmigrate.replica.state.canister import Canister
from icmigrate.replica.state.clock import Clock
from icmigrate.replica.storage.changes import Changes
from icmigrate.replica.storage.errors import is_shortage
from icmigrate.replica.subnet.commits import Commits
from icmigrate.replica.subnet.inbox import Inbox
from icmigrate.replica.subnet.native_calls import execute_native
from icmigrate.replica.subnet.native_canister import NativeCanister
from icmigrate.replica.subnet.system_tasks import SystemTasks
from icmigrate.replica.subnet.threads import Threads
from icmigrate.replica.subnet.ticker import RETRY_SECONDS, Ticker
from icmigrate.replica.subnet.upkeep import Upkeep

Found = TypeVar("Found")
CLOSE_GRACE = 1.0
"""Seconds that executions under way have to end by themselves when the replica is closed."""


@dataclass(frozen=True, slots=True)
class Step(Generic[Found]):
    """One row: `find` gives something to do for a canister at a time (or None), `do` does it."""

    find: Callable[[Canister, int], Found | None]
    do: Callable[[Canister, Found], Awaitable[None]]

    def due(self, canister: Canister, now: int) -> Awaitable[None] | None:
        """What there is to await; None when there is nothing to do."""
        found = self.find(canister, now)
        return None if found is None else self.do(canister, found)


class Scheduler:
    """Belongs to the event loop's thread."""

    def __init__(self, commits: Commits, executor: Executor, clock: Clock, threads: Threads, heartbeats: bool) -> None:
        self.natives: dict[Principal, NativeCanister] = {}
        self.upkeep = Upkeep(commits, executor)
        self._commits = commits
        self._state = commits.state
        self._executor = executor
        self._clock = clock
        self._threads = threads
        self._tasks = SystemTasks(heartbeats)
        self._inbox = Inbox()
        self._ticker = Ticker(commits, clock, self._inbox, self._tasks, self.upkeep, self.wake)
        self._ticking: asyncio.Task[None] | None = None
        self._locks: WeakValueDictionary[Principal, asyncio.Lock] = WeakValueDictionary()
        self._active: dict[Principal, asyncio.Task[None]] = {}
        self._native_tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._failed = asyncio.Event()
        self.failure: BaseException | None = None
        """A mistake of the replica's own: nothing more is executed after it."""
        commits.on_commit(self._committed)
        clock.on_advance(self._ticker.alarm)
        self.steps: tuple[Step[Any], ...] = (
            Step(self._tasks.find_low_memory, self._do_task),
            Step(self._find_response, self._do_response),
            Step(self._tasks.find_timer, self._do_task),
            Step(self._find_call, self._do_call),
            Step(self._tasks.find_heartbeat, self._do_task),
            Step(self.upkeep.find_stopped, self.upkeep.stop),
            Step(self.upkeep.find_debtor, self.upkeep.charge),
            Step(self.upkeep.find_counted_queries, self.upkeep.count_queries),
            Step(self._find_long_log, self._fold),
        )

    # -------------------------------------------------------------------------------------- life

    def start(self, waiting: dict[bytes, Ingress]) -> None:
        """Takes up what waited when the state was closed."""
        for ingress in waiting.values():
            self.enqueue(ingress)
        for message in list(self._state.messages.values()):
            self._route(message)
        for canister_id in self._state.canisters:
            self.wake(canister_id)
        drop_idle = partial(self._threads.run, self._executor.instances.drop_idle)
        self._ticking = asyncio.create_task(self._ticker.run(drop_idle, self._fail_unless_shortage))

    def suspend(self) -> None:
        """Begins nothing new and keeps nobody waiting: what is not done yet waits for the next start."""
        self._closing = True
        self._ticker.end()
        self._commits.waiting.end()

    async def close(self) -> None:
        """Lets short executions under way finish and gives up the others, which begin anew after the next start."""
        self.suspend()
        if self._ticking is not None:
            self._ticking.cancel()
        under_way = [*self._active.values(), *self._native_tasks]
        if under_way:
            await asyncio.wait(under_way, timeout=CLOSE_GRACE)
        self._executor.interrupt()
        await asyncio.gather(*under_way, return_exceptions=True)
        self._threads.close()

    async def settle(self) -> None:
        """Returns when nothing can be executed now."""
        while self._active or self._native_tasks:
            await asyncio.wait([*self._active.values(), *self._native_tasks])
        if self.failure is not None:
            raise self.failure

    def lock(self, canister_id: Principal) -> asyncio.Lock:
        """Who holds it works on the canister alone. There is one as long as anybody has it."""
        return self._locks.setdefault(canister_id, asyncio.Lock())

    # -------------------------------------------------------------------------------------- queues

    def enqueue(self, ingress: Ingress) -> None:
        """An accepted (and durable) ingress message."""
        if ingress.canister_id in self.natives:
            self._start_native(ingress.canister_id, ingress)
        else:
            self._inbox.put_call(ingress.canister_id, ingress)
            self.wake(ingress.canister_id)

    def _route(self, message: Message) -> None:
        if isinstance(message, CanisterResponse):
            self._inbox.put_response(message)
        elif message.receiver in self.natives:
            self._start_native(message.receiver, message)
            return
        else:
            self._inbox.put_call(message.receiver, message)
        self.wake(message.receiver)

    def wake(self, canister_id: Principal) -> None:
        """Something may be to do for this canister."""
        if self._closing or self.failure is not None or canister_id in self._active:
            return
        self._active[canister_id] = asyncio.create_task(self._work(canister_id))

    async def _work(self, canister_id: Principal) -> None:
        """Does what there is to do for one canister until nothing is left."""
        row: int | None = 0
        try:
            while row is not None and not self._closing and self.failure is None:
                async with self.lock(canister_id):
                    canister = self._state.canisters.get(canister_id)
                    if canister is None:
                        self._drop_queues(canister_id)
                        break
                    row = await self._next_step(canister, row)
        except Interrupted:
            pass
        except Exception as error:  # noqa: BLE001 - kept and raised to everyone who waits
            self._retry_or_fail(error, canister_id, partial(self.wake, canister_id))
        finally:
            del self._active[canister_id]

    async def _next_step(self, canister: Canister, after: int) -> int | None:
        """Does one thing and tells which row it was. Rows take turns, beginning behind row `after`, so that none of
        them keeps another waiting; only the first goes before all."""
        now = self._clock.time_ns()
        rows: list[int] = [0, *range(after + 1, len(self.steps)), *range(1, after + 1)]
        for row in rows:
            work = self.steps[row].due(canister, now)
            if work is not None:
                await work
                return row
        return None

    def _retry_or_fail(self, error: Exception, canister_id: Principal, again: Callable[[], None]) -> None:
        """What did not become true for want of room is executed again when there may be some."""
        if self._fail_unless_shortage(error):
            return
        self._executor.instances.forget(canister_id)  # it may be ahead of what is true
        asyncio.get_running_loop().call_later(RETRY_SECONDS, again)

    def _fail_unless_shortage(self, error: Exception) -> bool:
        """Our own mistake: stop executing rather than go on with a doubtful state. False for want of room."""
        if is_shortage(error):
            return False
        if self.failure is None:
            self.failure = error
            self._ticker.end()
            self._commits.waiting.end(error)
            self._failed.set()
        return True

    async def failed(self) -> None:
        """Returns when nothing is executed any more because of `failure`."""
        await self._failed.wait()

    def _committed(self, changes: Changes) -> None:
        """Routes what was sent and wakes whoever changed."""
        for message in list(changes.messages.values()):
            if message is not None:
                self._route(message)
        for canister_id, canister in changes.canisters.items():
            if canister is not None:
                self.wake(canister_id)
                self._ticker.changed(canister)

    def _drop_queues(self, canister_id: Principal) -> None:
        """There is no such canister, or none any more: requests to it are rejected, responses dropped."""
        changes = self._commits.changes()
        for response in self._inbox.responses(canister_id):
            changes.take(response.id)
        reject = system_rejects.not_found(canister_id)
        for call in self._inbox.calls(canister_id):
            _take(changes, call)
            refund = 0 if isinstance(call, Ingress) else call.cycles
            self._commits.answer(changes, CallAnswer(call.origin, reject, refund))
        if changes.messages or changes.ingress:
            self._commits.commit(changes)
        self._inbox.drop(canister_id)

    # -------------------------------------------------------------------------------------- steps

    async def _do_task(self, canister: Canister, task: SystemTask) -> None:
        now = self._clock.time_ns()
        self._tasks.begins(canister, task, now)
        result = await self._threads.run(execute_task, self._executor, canister, task, now)
        self._finish(self._commits.changes(), result)

    def _find_response(self, canister: Canister, _now: int) -> CanisterResponse | None:
        return self._inbox.next_response(canister.id)

    async def _do_response(self, canister: Canister, response: CanisterResponse) -> None:
        now = self._clock.time_ns()
        result = await self._threads.run(execute_response, self._executor, canister, response, now)
        changes = self._commits.changes()
        changes.take(response.id)
        self._finish(changes, result)
        self._inbox.response_done(canister.id)

    def _find_call(self, canister: Canister, _now: int) -> Ingress | CanisterRequest | None:
        return self._inbox.next_call(canister.id)

    async def _do_call(self, canister: Canister, message: Ingress | CanisterRequest) -> None:
        now = self._clock.time_ns()
        call = self._call_of(message)
        if isinstance(message, Ingress) and message.ingress_expiry < now:
            result = Result(canister, [], [CallAnswer(call.origin, system_rejects.ingress_timed_out(), 0)])
        elif call.deadline and call.deadline < now:
            result = Result(canister, [], [CallAnswer(call.origin, system_rejects.call_timed_out(), call.cycles)])
        else:
            result = await self._threads.run(execute_call, self._executor, canister, call, now)
        changes = self._commits.changes()
        _take(changes, message)
        if isinstance(message, Ingress) and not result.answers:
            self._commits.processing(changes, message)
        self._finish(changes, result)
        self._inbox.call_done(canister.id)

    def _call_of(self, message: Ingress | CanisterRequest) -> ReplicatedCall:
        if isinstance(message, Ingress):
            cycles, fee = 0, self._executor.fees.ingress(message.method_name, message.arg)
        else:
            cycles, fee = message.cycles, 0
        return ReplicatedCall(message.origin, message.method_name, message.arg, cycles, fee)

    def _find_long_log(self, canister: Canister, _now: int) -> Literal[True] | None:
        return True if canister.memory.log_length > self._executor.limits.page_log_bytes else None

    async def _fold(self, canister: Canister, _due: Literal[True]) -> None:
        """Folds the page log."""
        memory, files = await self._threads.run(self._executor.instances.fold, canister)
        changes = self._commits.changes()
        changes.put(canister.with_(memory=memory))
        changes.after_commit(lambda: files.remove_stale(memory))
        self._commits.commit(changes)

    def _finish(self, changes: Changes, result: Result) -> None:
        changes.put(result.canister)
        for message in result.sent:
            changes.send(message)
        for answer in result.answers:
            self._commits.answer(changes, answer)
        self._commits.commit(changes)

    # -------------------------------------------------------------------------------------- native calls

    def _start_native(self, native_id: Principal, message: Ingress | CanisterRequest) -> None:
        task = asyncio.create_task(self._run_native(self.natives[native_id], message))
        self._native_tasks.add(task)
        task.add_done_callback(self._native_tasks.discard)

    async def _run_native(self, native: NativeCanister, message: Ingress | CanisterRequest) -> None:
        if self._closing or self.failure is not None:
            return
        target = native.target(message.method_name, message.arg) or native.id
        try:
            async with self.lock(target):
                if not self._closing and self.failure is None:
                    await execute_native(self._commits, native, message)
        except Interrupted:
            return
        except Exception as error:  # noqa: BLE001 - kept and raised to everyone who waits
            self._retry_or_fail(error, target, partial(self._start_native, native.id, message))
            return
        self.wake(target)


def _take(changes: Changes, message: Ingress | CanisterRequest) -> None:
    """The message is dealt with by this transaction."""
    if isinstance(message, Ingress):
        changes.executed.add(message.request_id)
    else:
        changes.take(message.id)
