"""Interface Specification, "Abstract behavior": which message is executed next.

`Scheduler.steps` is the ordered table of what a canister can do: each row finds something to do and says how.
One thing at a time happens on a canister; different canisters run side by side in worker threads. Every
result is committed in one transaction, and only then does anybody see it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from icmigrate.protocol.principal import Principal
from icmigrate.replica import faults, messages
from icmigrate.replica.changes import Changes
from icmigrate.replica.clock import Clock
from icmigrate.replica.cycles import owes
from icmigrate.replica.engine import Interrupted
from icmigrate.replica.execution import Executor
from icmigrate.replica.installation import empty
from icmigrate.replica.messages import Answer, Call, Result, caller_of
from icmigrate.replica.native import Deferred, NativeCall, NativeCanister
from icmigrate.replica.query_statistics import QueryStatistics
from icmigrate.replica.state import (
    Canister,
    CanisterOrigin,
    CanisterRequest,
    CanisterResponse,
    CanisterStatus,
    Ingress,
    IngressOrigin,
    IngressState,
    IngressStatus,
    Message,
    Origin,
    Refused,
    Reject,
    RejectCode,
    Reply,
    Response,
    SubnetState,
    SystemOrigin,
)
from icmigrate.replica.store import Store
from icmigrate.replica.waiting import Waiting

T = TypeVar("T")
HEARTBEAT_NS = 1_000_000_000
CLOSE_GRACE = 1.0
"""Seconds that executions under way have to end by themselves when the replica is closed."""
CHARGE_NS = 600 * 1_000_000_000
STOP_TIMEOUT_NS = 300 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Step:
    """One row: `find` gives something to do for a canister (or None), `do` does it."""

    find: Callable[[Canister, int], object]
    do: Callable[[Canister, object], Awaitable[None]]


class Scheduler:
    """Belongs to the event loop's thread."""

    def __init__(self, state: SubnetState, store: Store, executor: Executor, clock: Clock, heartbeats: bool) -> None:
        self.state = state
        self.natives: dict[Principal, NativeCanister] = {}
        self.query_statistics = QueryStatistics()
        self._store = store
        self._executor = executor
        self._clock = clock
        self._heartbeats = heartbeats
        self._threads = ThreadPoolExecutor(executor.limits.worker_threads, thread_name_prefix="canister")
        self._query_threads = ThreadPoolExecutor(executor.limits.query_threads, thread_name_prefix="query")
        self._locks: dict[Principal, asyncio.Lock] = {}
        self._inbox: dict[Principal, deque[int | Ingress]] = {}
        """Messages that wait for a canister: ids of canister messages, and ingress messages."""
        self._responses: dict[Principal, deque[int]] = {}
        self._beaten: dict[Principal, int] = {}
        self._active: dict[Principal, asyncio.Task[None]] = {}
        self._native_tasks: set[asyncio.Task[None]] = set()
        self._waiting = Waiting()
        self._alarm = asyncio.Event()
        self._ticker: asyncio.Task[None] | None = None
        self._closing = False
        self.failure: BaseException | None = None
        """A fault of the replica's own: nothing more is executed after it."""
        self.steps = (
            Step(self._find_overlong_log, self._do_fold),
            Step(self._find_response, self._do_response),
            Step(self._find_low_memory, partial(self._do_task, "canister_on_low_wasm_memory")),
            Step(self._find_timer, partial(self._do_task, "canister_global_timer")),
            Step(self._find_message, self._do_message),
            Step(self._find_heartbeat, partial(self._do_task, "canister_heartbeat")),
            Step(self._find_stopped, self._do_stop),
            Step(self._find_debtor, self._do_charge),
            Step(self._find_counted_queries, self._do_count_queries),
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
        """Who holds it works on the canister alone."""
        return self._locks.setdefault(canister_id, asyncio.Lock())

    async def in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        """Runs canister code in a worker thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(function, *arguments))

    async def in_query_thread(self, function: Callable[..., T], *arguments: object) -> T:
        """The same for queries, which long updates must not hold up."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._query_threads, partial(function, *arguments))

    def changes(self) -> Changes:
        return Changes(self.state, self._clock.time_ns())

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
        elif message.receiver not in self.state.canisters:
            self._answer_absent(message)
            return
        else:
            self._inbox.setdefault(message.receiver, deque()).append(message.id)
        self.wake(message.receiver)

    def _answer_absent(self, request: CanisterRequest) -> None:
        changes = self.changes()
        changes.take(request.id)
        origin = CanisterOrigin(request.sender, request.callback_id, request.deadline)
        self.answer(changes, Answer(origin, faults.not_found(request.receiver), request.cycles))
        self.commit(changes)

    def wake(self, canister_id: Principal) -> None:
        """Something may be to do for this canister."""
        if self._closing or self.failure is not None or canister_id in self._active:
            return
        self._active[canister_id] = asyncio.create_task(self._work(canister_id))

    async def _work(self, canister_id: Principal) -> None:
        """Does what there is to do for one canister until nothing is left."""
        try:
            while not self._closing and self.failure is None:
                async with self.lock(canister_id):
                    canister = self.state.canisters.get(canister_id)
                    if canister is None:
                        self._drop_queues(canister_id)
                        break
                    if not await self._next_step(canister):
                        break
        except Interrupted:
            pass
        except Exception as error:  # noqa: BLE001 - kept and raised to everyone who waits
            self._fail(error)
        finally:
            del self._active[canister_id]

    async def _next_step(self, canister: Canister) -> bool:
        now = self._clock.time_ns()
        for step in self.steps:
            found = step.find(canister, now)
            if found is not None:
                await step.do(canister, found)
                return True
        return False

    def _fail(self, error: Exception) -> None:
        """Our own mistake: stop executing rather than go on with a doubtful state."""
        self.failure = error
        self._waiting.end(error)
        asyncio.get_running_loop().call_exception_handler(
            {"message": "the replica stopped executing", "exception": error}
        )

    def _drop_queues(self, canister_id: Principal) -> None:
        """The canister is gone: requests to it are rejected."""
        self._responses.pop(canister_id, None)
        changes = self.changes()
        reject = faults.not_found(canister_id)
        for entry in self._inbox.pop(canister_id, ()):
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
        self._responses[canister.id].popleft()
        changes = self.changes()
        changes.take(found)
        self._finish(changes, result)

    def _find_low_memory(self, canister: Canister, _now: int) -> object:
        return self._task_due(canister, "canister_on_low_wasm_memory", canister.low_memory_hook == "ready")

    def _find_timer(self, canister: Canister, now: int) -> object:
        return self._task_due(canister, "canister_global_timer", 0 < canister.global_timer <= now)

    def _find_heartbeat(self, canister: Canister, now: int) -> object:
        due = self._heartbeats and now - self._beaten.get(canister.id, 0) >= HEARTBEAT_NS
        return self._task_due(canister, "canister_heartbeat", due)

    @staticmethod
    def _task_due(canister: Canister, export: str, due: bool) -> object:
        running = canister.status is CanisterStatus.RUNNING and canister.module is not None
        return True if due and running and export in canister.module.exports else None  # type: ignore[union-attr]

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
            result = Result(canister, [], [Answer(call.origin, faults.ingress_timed_out(), 0)])
        elif isinstance(call.origin, CanisterOrigin) and call.deadline and call.deadline < now:
            result = Result(canister, [], [Answer(call.origin, faults.call_timed_out(), call.cycles)])
        else:
            result = await self.in_thread(messages.execute_call, self._executor, canister, call, now)
        self._inbox[canister.id].popleft()
        changes = self.changes()
        if isinstance(found, Ingress):
            changes.executed.add(found.request_id)
            status = self.state.ingress[found.request_id]
            if not result.answers:
                changes.set_ingress(
                    found.request_id,
                    IngressStatus(
                        IngressState.PROCESSING, status.sender, status.effective_canister_id, status.ingress_expiry
                    ),
                )
        else:
            assert isinstance(found, int)
            changes.take(found)
        self._finish(changes, result)

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

    def _find_stopped(self, canister: Canister, now: int) -> object:
        if canister.status is not CanisterStatus.STOPPING:
            return None
        if not canister.contexts:
            return "stopped"
        late = any(call.requested_at + STOP_TIMEOUT_NS < now for call in canister.stop_calls)
        return "late" if late else None

    async def _do_stop(self, canister: Canister, found: object) -> None:
        """Answers the stop_canister calls: all when the canister is stopped, or those that waited too long."""
        changes = self.changes()
        if found == "stopped":
            response: Response = Reply(b"DIDL\0\0")
            answered = canister.stop_calls
            changes.put(canister.with_(status=CanisterStatus.STOPPED, stop_calls=(), version=canister.version + 1))
        else:
            response = faults.stop_timed_out()
            limit = changes.time_ns - STOP_TIMEOUT_NS
            answered = tuple(call for call in canister.stop_calls if call.requested_at < limit)
            waiting = tuple(call for call in canister.stop_calls if call.requested_at >= limit)
            changes.put(canister.with_(stop_calls=waiting))
        for call in answered:
            self.answer(changes, Answer(call.origin, response, call.cycles))
        self.commit(changes)

    @staticmethod
    def _find_debtor(canister: Canister, now: int) -> object:
        return True if now - canister.charged_until >= CHARGE_NS or owes(canister) else None

    async def _do_charge(self, canister: Canister, _found: object) -> None:
        """Charges for memory and compute allocation; who cannot pay loses code and memory."""
        changes = self.changes()
        charged = self._executor.fees.resources(canister, changes.time_ns)
        bankrupt = owes(charged)
        charged = charged.with_(burned_remainder=0) if bankrupt else charged
        changes.put(charged)
        if bankrupt and charged.module is not None:
            self.uninstall(changes, charged)
        self.commit(changes)

    def uninstall(self, changes: Changes, canister: Canister) -> Canister:
        """Takes code and memory away; calls not yet answered are rejected, later responses are dropped."""
        for context in canister.contexts.values():
            if not context.responded:
                reject = Reject(RejectCode.CANISTER_REJECT, "Canister has been uninstalled.", "IC0406")
                self.answer(changes, Answer(context.origin, reject, context.cycles_available))
        emptied = empty(canister)
        changes.put(emptied)
        files = self._store.page_files(canister.id)

        def forget() -> None:
            self._executor.forget(canister.id)
            files.remove_stale(emptied.memory)

        changes.after_commit(forget)
        return emptied

    def _find_counted_queries(self, canister: Canister, now: int) -> object:
        return True if self.query_statistics.is_due(canister.id, now) else None

    async def _do_count_queries(self, canister: Canister, _found: object) -> None:
        """Adds the queries of an epoch to the canister's totals."""
        changes = self.changes()
        counted = self.query_statistics.take(canister.id)
        changes.put(canister.with_(query_stats=canister.query_stats.plus(counted)))
        self.commit(changes)

    def _find_long_log(self, canister: Canister, _now: int) -> object:
        return True if canister.memory.log_length > self._executor.limits.page_log_bytes else None

    def _find_overlong_log(self, canister: Canister, _now: int) -> object:
        """A canister that is never idle folds in between."""
        return True if canister.memory.log_length > 4 * self._executor.limits.page_log_bytes else None

    async def _do_fold(self, canister: Canister, _found: object) -> None:
        """Folds the page log when the canister has nothing else to do."""
        memory, files = await self.in_thread(self._executor.fold, canister)
        changes = self.changes()
        changes.put(canister.with_(memory=memory))
        changes.after_commit(lambda: files.remove_stale(memory))
        self.commit(changes)

    # -------------------------------------------------------------------------------------- native calls

    def _start_native(self, native_id: Principal, message: Ingress | CanisterRequest) -> None:
        task = asyncio.create_task(self._run_native(self.natives[native_id], message))
        self._native_tasks.add(task)
        task.add_done_callback(self._native_tasks.discard)

    async def _run_native(self, native: NativeCanister, message: Ingress | CanisterRequest) -> None:
        if self._closing or self.failure is not None:
            return
        try:
            target = native.target(message.method_name, message.arg) or native.id
            async with self.lock(target):
                if not self._closing and self.failure is None:
                    await self._execute_native(native, message)
        except Interrupted:
            return
        except Exception as error:  # noqa: BLE001 - kept and raised to everyone who waits
            self._fail(error)
            return
        self.wake(target)

    async def _execute_native(self, native: NativeCanister, message: Ingress | CanisterRequest) -> None:
        origin: Origin
        if isinstance(message, Ingress):
            origin, attached = IngressOrigin(message.request_id, message.sender), 0
        else:
            origin = CanisterOrigin(message.sender, message.callback_id, message.deadline)
            attached = message.cycles
        call = NativeCall(origin, caller_of(origin), message.method_name, message.arg, attached)
        changes = self.changes()
        response: Response | Deferred
        if isinstance(message, Ingress) and message.ingress_expiry < changes.time_ns:
            response = faults.ingress_timed_out()
        else:
            try:
                response = await native.execute(call, changes)
                charged = None
            except Refused as refused:
                response, charged = refused.reject, refused.charged
            if isinstance(response, Reject):
                changes = self.changes()
                call.cycles = attached
                if charged is not None:
                    changes.put(charged)
        if isinstance(message, Ingress):
            changes.executed.add(message.request_id)
        else:
            changes.take(message.id)
        if not isinstance(response, Deferred):
            self.answer(changes, Answer(origin, response, call.cycles))
        elif isinstance(message, Ingress):
            status = self.state.ingress[message.request_id]
            changes.set_ingress(
                message.request_id,
                IngressStatus(
                    IngressState.PROCESSING, status.sender, status.effective_canister_id, status.ingress_expiry
                ),
            )
        self.commit(changes)

    # -------------------------------------------------------------------------------------- results

    def _finish(self, changes: Changes, result: Result) -> None:
        changes.put(result.canister)
        for message in result.sent:
            changes.send(message)
        for answer in result.answers:
            self.answer(changes, answer)
        self.commit(changes)

    def answer(self, changes: Changes, answer: Answer) -> None:
        """Adds a response to the transaction."""
        match answer.origin:
            case IngressOrigin(request_id=request_id):
                before = changes.ingress.get(request_id) or self.state.ingress.get(request_id)
                if before is None:
                    return
                replied = isinstance(answer.response, Reply)
                changes.set_ingress(
                    request_id,
                    IngressStatus(
                        IngressState.REPLIED if replied else IngressState.REJECTED,
                        before.sender,
                        before.effective_canister_id,
                        before.ingress_expiry,
                        answer.response,
                        changes.time_ns,
                    ),
                )
            case CanisterOrigin(caller=caller, callback_id=callback_id, deadline=deadline):
                response = CanisterResponse(0, caller, callback_id, answer.response, answer.refund, deadline)
                changes.send(response)
            case SystemOrigin():
                pass

    def commit(self, changes: Changes, accepted: Ingress | None = None) -> None:
        """Makes a transaction true: on disk, then in memory, then for those who wait."""
        changes.number_messages()
        self._store.commit(changes, accepted)
        changes.apply()
        for message in list(changes.messages.values()):
            if message is not None:
                self._route(message)
        for request_id, status in changes.ingress.items():
            if status is not None and status.is_terminal:
                self._waiting.answered(request_id)
        for canister_id, canister in changes.canisters.items():
            if canister is not None and (canister.global_timer or canister.status is CanisterStatus.STOPPING):
                self._alarm.set()
            if canister is not None:
                self.wake(canister_id)

    async def wait(self, request_id: bytes, timeout: float) -> None:
        """Until the request has its answer, or the time is over."""
        status = self.state.ingress.get(request_id)
        if status is None or status.is_terminal:
            return
        await self._waiting.wait(request_id, timeout)

    # -------------------------------------------------------------------------------------- time

    async def _tick(self) -> None:
        """Wakes canisters whose timers, heartbeats and deadlines are due."""
        try:
            while not self._closing:
                self._alarm.clear()
                now = self._clock.time_ns()
                due = self._due(now)
                await self.in_thread(self._executor.drop_idle)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._alarm.wait(), max(0.0, (due - now) / 1e9))
        except Exception as error:  # noqa: BLE001 - kept and raised to everyone who waits
            self._fail(error)

    def _due(self, now: int) -> int:
        """Wakes whoever is due and returns when to look again."""
        soonest = now + 60 * 1_000_000_000
        expired: list[tuple[Canister, int]] = []
        for canister in self.state.canisters.values():
            if canister.global_timer:
                if canister.global_timer <= now:
                    if self._find_timer(canister, now):
                        self.wake(canister.id)
                else:
                    soonest = min(soonest, canister.global_timer)
            if self._heartbeats and canister.module and "canister_heartbeat" in canister.module.exports:
                if self._find_heartbeat(canister, now):
                    self.wake(canister.id)
                soonest = min(soonest, now + HEARTBEAT_NS)
            if (
                self._find_debtor(canister, now)
                or self._find_counted_queries(canister, now)
                or (canister.stop_calls and self._find_stopped(canister, now))
            ):
                self.wake(canister.id)
            for callback in canister.callbacks.values():
                if callback.deadline is not None:
                    if callback.deadline < now:
                        expired.append((canister, callback.id))
                    else:
                        soonest = min(soonest, callback.deadline + 1)
        self._expire(expired)
        return soonest

    def _expire(self, expired: list[tuple[Canister, int]]) -> None:
        """Best-effort calls whose deadline has passed get their answer from the system."""
        changes = self.changes()
        for canister, callback_id in expired:
            queued = self._responses.get(canister.id, ())
            if any(self._is_answer(message, callback_id) for message in queued):
                continue
            changes.send(CanisterResponse(0, canister.id, callback_id, faults.call_timed_out(), 0))
        if expired:
            self.commit(changes)

    def _is_answer(self, message_id: int, callback_id: int) -> bool:
        message = self.state.messages.get(message_id)
        return isinstance(message, CanisterResponse) and message.callback_id == callback_id
