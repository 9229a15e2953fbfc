"""Interface Specification, "Abstract behavior": which message is executed next.

`Scheduler.steps` is the table of what a canister can do: each row finds something to do and says how; rows take turns.
One thing at a time happens on a canister; different canisters run side by side in worker threads. Every
result is committed in one transaction, and only then does anybody see it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from weakref import WeakValueDictionary

from icmigrate.protocol.principal import Principal
from icmigrate.replica.engine.wasmtime_c_api import THREAD_STACK, Interrupted
from icmigrate.replica.errors import system_rejects
from icmigrate.replica.execution import messages
from icmigrate.replica.execution.executor import Executor
from icmigrate.replica.execution.messages import Answer, Call, Result
from icmigrate.replica.state.calls import (
    Callback,
    CanisterOrigin,
    CanisterRequest,
    CanisterResponse,
    Ingress,
    IngressOrigin,
    Message,
)
from icmigrate.replica.state.canister import Canister, CanisterStatus
from icmigrate.replica.state.clock import Clock
from icmigrate.replica.state.subnet_state import SubnetState
from icmigrate.replica.storage.changes import Changes
from icmigrate.replica.storage.errors import is_shortage
from icmigrate.replica.storage.store import Store
from icmigrate.replica.subnet.commits import Commits
from icmigrate.replica.subnet.native_calls import execute_native
from icmigrate.replica.subnet.native_canister import NativeCanister
from icmigrate.replica.subnet.upkeep import NEVER, Upkeep

T = TypeVar("T")
HEARTBEAT_NS = 1_000_000_000
LOOK_NS = 60 * 1_000_000_000
RETRY_SECONDS = 1.0
CLOSE_GRACE = 1.0
"""Seconds that executions under way have to end by themselves when the replica is closed."""


@dataclass(frozen=True, slots=True)
class Step:
    """One row: `find` gives something to do for a canister (or None), `do` does it."""

    find: Callable[[Canister, int], object]
    do: Callable[[Canister, object], Awaitable[None]]


class Scheduler(Commits):
    """Belongs to the event loop's thread."""

    def __init__(self, state: SubnetState, store: Store, executor: Executor, clock: Clock, heartbeats: bool) -> None:
        super().__init__(state, store, clock)
        self.natives: dict[Principal, NativeCanister] = {}
        self.upkeep = Upkeep(self, executor)
        self._executor = executor
        self._heartbeats = heartbeats
        threading.stack_size(THREAD_STACK)
        self._threads = ThreadPoolExecutor(executor.limits.worker_threads, thread_name_prefix="canister")
        self._query_threads = ThreadPoolExecutor(executor.limits.query_threads, thread_name_prefix="query")
        self._locks: WeakValueDictionary[Principal, asyncio.Lock] = WeakValueDictionary()
        self._inbox: dict[Principal, deque[int | Ingress]] = {}
        """Messages that wait for a canister: ids of canister messages, and ingress messages."""
        self._responses: dict[Principal, deque[int]] = {}
        self._beaten: dict[Principal, int] = {}
        self._active: dict[Principal, asyncio.Task[None]] = {}
        self._native_tasks: set[asyncio.Task[None]] = set()
        self._alarm = asyncio.Event()
        self._next_look = 0
        """When the ticker looks what is due, unless the alarm is set before."""
        self._ticker: asyncio.Task[None] | None = None
        self._closing = False
        self._failed = asyncio.Event()
        self.failure: BaseException | None = None
        """A mistake of the replica's own: nothing more is executed after it."""
        self.steps = (
            Step(self._find_low_memory, partial(self._do_task, "canister_on_low_wasm_memory")),
            Step(self._find_response, self._do_response),
            Step(self._find_timer, partial(self._do_task, "canister_global_timer")),
            Step(self._find_message, self._do_message),
            Step(self._find_heartbeat, partial(self._do_task, "canister_heartbeat")),
            Step(self.upkeep.find_stopped, self.upkeep.stop),
            Step(self.upkeep.find_debtor, self.upkeep.charge),
            Step(self.upkeep.find_counted_queries, self.upkeep.count_queries),
            Step(self._find_long_log, self._do_fold),
        )

    # -------------------------------------------------------------------------------------- life

    def start(self, waiting: dict[bytes, Ingress]) -> None:
        """Takes up what waited when the state was closed."""
        for ingress in waiting.values():
            self.enqueue(ingress)
        for message in list(self.state.messages.values()):
            self._route(message)
        for canister_id in self.state.canisters:
            self.wake(canister_id)
        self._ticker = asyncio.create_task(self._tick())

    def hold(self) -> None:
        """Begins nothing new and keeps nobody waiting: what is not done yet waits for the next start."""
        self._closing = True
        self._waiting.end()

    async def close(self) -> None:
        """Lets short executions under way finish and gives up the others, which begin anew after the next start."""
        self.hold()
        if self._ticker is not None:
            self._ticker.cancel()
        under_way = [*self._active.values(), *self._native_tasks]
        if under_way:
            await asyncio.wait(under_way, timeout=CLOSE_GRACE)
        self._executor.interrupt()
        await asyncio.gather(*under_way, return_exceptions=True)
        self._threads.shutdown(wait=True)
        self._query_threads.shutdown(wait=True)

    async def settle(self) -> None:
        """Returns when nothing can be executed now."""
        while self._active or self._native_tasks:
            await asyncio.wait([*self._active.values(), *self._native_tasks])
        if self.failure is not None:
            raise self.failure

    def lock(self, canister_id: Principal) -> asyncio.Lock:
        """Who holds it works on the canister alone. There is one as long as anybody has it."""
        return self._locks.setdefault(canister_id, asyncio.Lock())

    async def in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        """Runs canister code in a worker thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(function, *arguments))

    async def in_query_thread(self, function: Callable[..., T], *arguments: object) -> T:
        """The same for queries, which long updates must not hold up."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._query_threads, partial(function, *arguments))

    def alarm(self) -> None:
        """Time has moved: look again what is due."""
        self._alarm.set()

    # -------------------------------------------------------------------------------------- queues

    def enqueue(self, ingress: Ingress) -> None:
        """An accepted (and durable) ingress message."""
        if ingress.canister_id in self.natives:
            self._start_native(ingress.canister_id, ingress)
        else:
            self._inbox.setdefault(ingress.canister_id, deque()).append(ingress)
            self.wake(ingress.canister_id)

    def _route(self, message: Message) -> None:
        if isinstance(message, CanisterResponse):
            self._responses.setdefault(message.receiver, deque()).append(message.id)
        elif message.receiver in self.natives:
            self._start_native(message.receiver, message)
            return
        else:
            self._inbox.setdefault(message.receiver, deque()).append(message.id)
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
                    canister = self.state.canisters.get(canister_id)
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
            found = self.steps[row].find(canister, now)
            if found is not None:
                await self.steps[row].do(canister, found)
                return row
        return None

    def _retry_or_fail(self, error: Exception, canister_id: Principal, again: Callable[[], None]) -> None:
        """What did not become true for want of room is executed again when there may be some."""
        if not is_shortage(error):
            self._fail(error)
            return
        self._executor.forget(canister_id)  # it may be ahead of what is true
        asyncio.get_running_loop().call_later(RETRY_SECONDS, again)

    def _fail(self, error: Exception) -> None:
        """Our own mistake: stop executing rather than go on with a doubtful state."""
        if self.failure is not None:
            return
        self.failure = error
        self._waiting.end(error)
        self._failed.set()

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
                if self._due_at(canister) < self._next_look:
                    self._alarm.set()

    def _drop_queues(self, canister_id: Principal) -> None:
        """There is no such canister, or none any more: requests to it are rejected, responses dropped."""
        changes = self.changes()
        for response in self._responses.get(canister_id, ()):
            changes.take(response)
        reject = system_rejects.not_found(canister_id)
        for entry in self._inbox.get(canister_id, ()):
            if isinstance(entry, Ingress):
                changes.executed.add(entry.request_id)
                self.answer(changes, Answer(IngressOrigin(entry.request_id, entry.sender), reject, 0))
            else:
                request = self.state.messages[entry]
                assert isinstance(request, CanisterRequest)
                changes.take(entry)
                origin = CanisterOrigin(request.sender, request.callback_id, request.deadline)
                self.answer(changes, Answer(origin, reject, request.cycles))
        if changes.messages or changes.ingress:
            self.commit(changes)
        self._inbox.pop(canister_id, None)
        self._responses.pop(canister_id, None)

    # -------------------------------------------------------------------------------------- steps

    def _find_response(self, canister: Canister, _now: int) -> object:
        queue = self._responses.get(canister.id)
        return queue[0] if queue else None

    async def _do_response(self, canister: Canister, found: object) -> None:
        assert isinstance(found, int)
        message = self.state.messages[found]
        assert isinstance(message, CanisterResponse)
        result = await self.in_thread(
            messages.execute_response,
            self._executor,
            canister,
            message.callback_id,
            message.response,
            message.refund,
            self._clock.time_ns(),
        )
        changes = self.changes()
        changes.take(found)
        self._finish(changes, result)
        self._responses[canister.id].popleft()

    def _find_low_memory(self, canister: Canister, _now: int) -> object:
        return self._task_due(canister, "canister_on_low_wasm_memory", canister.low_memory_hook == "ready")

    def _find_timer(self, canister: Canister, now: int) -> object:
        return self._task_due(canister, "canister_global_timer", 0 < canister.global_timer <= now)

    def _find_heartbeat(self, canister: Canister, now: int) -> object:
        due = self._heartbeats and now - self._beaten.get(canister.id, 0) >= HEARTBEAT_NS
        return self._task_due(canister, "canister_heartbeat", due)

    @staticmethod
    def _task_due(canister: Canister, export: str, due: bool) -> object:
        runs = canister.status is CanisterStatus.RUNNING and canister.module is not None
        return True if due and runs and canister.module and export in canister.module.exports else None

    async def _do_task(self, export: str, canister: Canister, _found: object) -> None:
        if export == "canister_heartbeat":
            self._beaten[canister.id] = self._clock.time_ns()
        result = await self.in_thread(messages.execute_task, self._executor, canister, export, self._clock.time_ns())
        self._finish(self.changes(), result)

    def _find_message(self, canister: Canister, _now: int) -> object:
        queue = self._inbox.get(canister.id)
        return queue[0] if queue else None

    async def _do_message(self, canister: Canister, found: object) -> None:
        now = self._clock.time_ns()
        call = self._call_of(found)
        if isinstance(found, Ingress) and found.ingress_expiry < now:
            result = Result(canister, [], [Answer(call.origin, system_rejects.ingress_timed_out(), 0)])
        elif isinstance(call.origin, CanisterOrigin) and call.deadline and call.deadline < now:
            result = Result(canister, [], [Answer(call.origin, system_rejects.call_timed_out(), call.cycles)])
        else:
            result = await self.in_thread(messages.execute_call, self._executor, canister, call, now)
        changes = self.changes()
        if isinstance(found, Ingress):
            changes.executed.add(found.request_id)
            if not result.answers:
                self.processing(changes, found)
        else:
            assert isinstance(found, int)
            changes.take(found)
        self._finish(changes, result)
        self._inbox[canister.id].popleft()

    def _call_of(self, found: object) -> Call:
        if isinstance(found, Ingress):
            return Call(
                IngressOrigin(found.request_id, found.sender, found.sender_info),
                found.sender,
                found.method_name,
                found.arg,
                induction_fee=self.induction_fee(found),
            )
        assert isinstance(found, int)
        request = self.state.messages[found]
        assert isinstance(request, CanisterRequest)
        origin = CanisterOrigin(request.sender, request.callback_id, request.deadline)
        return Call(origin, request.sender, request.method_name, request.arg, request.cycles)

    def induction_fee(self, ingress: Ingress) -> int:
        size = len(ingress.arg) + len(ingress.method_name.encode())
        return self._executor.fees.ingress(size)

    def _find_long_log(self, canister: Canister, _now: int) -> object:
        return True if canister.memory.log_length > self._executor.limits.page_log_bytes else None

    async def _do_fold(self, canister: Canister, _found: object) -> None:
        """Folds the page log."""
        memory, files = await self.in_thread(self._executor.fold, canister)
        changes = self.changes()
        changes.put(canister.with_(memory=memory))
        changes.after_commit(lambda: files.remove_stale(memory))
        self.commit(changes)

    def _finish(self, changes: Changes, result: Result) -> None:
        changes.put(result.canister)
        for message in result.sent:
            changes.send(message)
        for answer in result.answers:
            self.answer(changes, answer)
        self.commit(changes)

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
                    await execute_native(self, native, message)
        except Interrupted:
            return
        except Exception as error:  # noqa: BLE001 - kept and raised to everyone who waits
            self._retry_or_fail(error, target, partial(self._start_native, native.id, message))
            return
        self.wake(target)

    # -------------------------------------------------------------------------------------- time

    async def _tick(self) -> None:
        """Wakes canisters whose timers, heartbeats and deadlines are due."""
        while not self._closing and self.failure is None:
            self._alarm.clear()
            now = self._clock.time_ns()
            try:
                self._next_look = self._due(now)
                seconds = (self._next_look - now) / 1e9
                await self.in_thread(self._executor.drop_idle)
            except Exception as error:  # noqa: BLE001 - kept and raised to everyone who waits
                if not is_shortage(error):
                    self._fail(error)
                seconds = RETRY_SECONDS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._alarm.wait(), max(0.0, seconds))

    def _due(self, now: int) -> int:
        """Wakes whoever is due and returns when to look again."""
        soonest = now + LOOK_NS
        expired: list[tuple[Canister, int]] = []
        for canister in self.state.canisters.values():
            due = self._due_at(canister)
            if due > now:
                soonest = min(soonest, due)
            else:
                self.wake(canister.id)
                expired.extend((canister, call.id) for call in canister.callbacks.values() if _expires_at(call) <= now)
            if self.upkeep.find_counted_queries(canister, now):
                self.wake(canister.id)
        self._expire(expired)
        return soonest

    def _due_at(self, canister: Canister) -> int:
        """When the passing of time alone gives this canister something to do: the earliest such time."""
        due = self.upkeep.due_at(canister)
        if canister.status is CanisterStatus.RUNNING and canister.module is not None:
            if canister.global_timer and "canister_global_timer" in canister.module.exports:
                due = min(due, canister.global_timer)
            if self._heartbeats and "canister_heartbeat" in canister.module.exports:
                due = min(due, self._beaten.get(canister.id, 0) + HEARTBEAT_NS)
        return min(due, min(map(_expires_at, canister.callbacks.values()), default=due))

    def _expire(self, expired: list[tuple[Canister, int]]) -> None:
        """Best-effort calls whose deadline has passed get their answer from the system."""
        changes = self.changes()
        for canister, callback_id in expired:
            queued = self._responses.get(canister.id, ())
            if any(self._is_answer(message, callback_id) for message in queued):
                continue
            changes.send(CanisterResponse(0, canister.id, callback_id, system_rejects.call_timed_out(), 0))
        if expired:
            self.commit(changes)

    def _is_answer(self, message_id: int, callback_id: int) -> bool:
        message = self.state.messages.get(message_id)
        return isinstance(message, CanisterResponse) and message.callback_id == callback_id


def _expires_at(callback: Callback) -> int:
    """When the system answers a best-effort call that nobody has answered."""
    return NEVER if callback.deadline is None else callback.deadline + 1
