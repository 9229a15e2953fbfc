"""Interface Specification, "Query call" and "Composite query": executions that leave no trace.

A plain query runs on the canister's warm instance and is rolled back. While a long message is executed there it
runs on an instance of its own, with the state before that message. So does a composite query, in order to hold no
canister while it waits for the queries it calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TypeVar

from icmigrate.protocol.principal import Principal
from icmigrate.replica.engine.dirty_pages import PAGE
from icmigrate.replica.engine.wasmtime_c_api import Memory
from icmigrate.replica.errors import system_rejects
from icmigrate.replica.errors.canister_errors import CleanupFailed, MethodNotFound
from icmigrate.replica.execution.admission import no_module, no_queries
from icmigrate.replica.execution.commit_or_rollback import Executor, Outcome
from icmigrate.replica.execution.instance import Instance
from icmigrate.replica.execution.non_replicated import execute_inspect, execute_query
from icmigrate.replica.execution.warm_instances import discard
from icmigrate.replica.state.calls import Closure, Ingress, SenderInfo
from icmigrate.replica.state.canister import Canister
from icmigrate.replica.state.clock import Clock
from icmigrate.replica.state.responses import Reject, RejectCode, Reply, Response
from icmigrate.replica.state.subnet_state import SubnetState
from icmigrate.replica.storage.errors import StateDamaged
from icmigrate.replica.subnet.scheduler import Scheduler
from icmigrate.replica.subnet.threads import Threads
from icmigrate.replica.system_api.execution_modes import ExecutionMode
from icmigrate.replica.system_api.execution_state import OutgoingCall
from icmigrate.replica.system_api.system_api import SystemApi

T = TypeVar("T")
MAX_DEPTH = 6
INSPECT = "canister_inspect_message"
PATIENCE_SECONDS = 0.2
"""How long a query waits for the canister's messages before it takes an instance of its own."""


class _Superseded(Exception):
    """A newer state was committed while the one before was being read."""


class _LimitReached(Exception):
    """A composite query and what it calls pass a limit: the query from outside is refused as a whole."""

    def __init__(self, error_code: str, text: str) -> None:
        super().__init__(text)
        self.reject = Reject(RejectCode.CANISTER_ERROR, text, error_code)


async def _again_if_superseded(attempt: Callable[[], Awaitable[T]]) -> T:
    while True:
        with suppress(_Superseded):
            return await attempt()


class _Overlay:
    """What the successful executions of an evaluation wrote, so that a trap undoes only its own writes."""

    def __init__(self, canister: Canister, instance: Instance) -> None:
        self._image = canister.memory
        self.instance = instance
        self._pages: tuple[dict[int, bytes], dict[int, bytes]] = ({}, {})
        self._globals = canister.memory.globals
        self._heap_pages = canister.memory.heap_pages
        self._stable_pages = canister.memory.stable_pages

    def keep(self) -> None:
        """The last execution succeeded."""
        instance = self.instance
        for memory, ranges, pages in zip(self._memories(), instance.take_dirty(), self._pages, strict=True):
            for first, count in ranges:
                for page in range(first, first + count):
                    pages[page] = memory.read(page * PAGE, PAGE)
        self._globals = instance.globals()
        self._heap_pages = instance.heap.pages
        self._stable_pages = instance.stable.pages

    def undo(self, fresh: Callable[[], Instance]) -> None:
        """The last execution trapped. A heap that it grew cannot shrink: then the instance is built anew."""
        if self.instance.heap.pages != self._heap_pages:
            larger, self.instance = self.instance, fresh()
            discard(larger)
            self.instance.heap.grow(self._heap_pages - self.instance.heap.pages)
        else:
            self.instance.restore(self._image, *self.instance.take_dirty())
        self.instance.stable.pages = self._stable_pages
        for memory, pages in zip(self._memories(), self._pages, strict=True):
            for page, content in pages.items():
                memory.write(page * PAGE, content)
        self.instance.take_dirty()
        self.instance.set_globals(self._globals)

    def _memories(self) -> tuple[Memory, Memory]:
        return self.instance.heap, self.instance.stable.memory


@dataclass(slots=True)
class _Graph:
    """All executions that a query from outside leads to."""

    root: Principal
    certificate: Callable[[], bytes] | None
    """Of the root's data; the other canisters see none."""
    instructions_left: int

    def check(self, depth: int) -> None:
        """Before a composite query goes on that was called over so many others. Raises _LimitReached."""
        if depth >= MAX_DEPTH:
            raise _LimitReached("IC0525", "Composite query calls exceeded the maximum call depth.")
        if self.instructions_left <= 0:
            raise _LimitReached("IC0526", "Composite query calls exceeded the instruction limit.")


@dataclass(slots=True)
class _Evaluation:
    """One composite query being answered: its memory and what it has done so far."""

    canister: Canister
    caller: Principal
    sender_info: SenderInfo | None
    graph: _Graph
    depth: int
    overlay: _Overlay
    folds: int
    """How often the page log had been folded when the overlay's instance was made."""
    instructions: int = 0
    response: Response | None = None
    calls: list[OutgoingCall] = field(default_factory=list)


class Queries:
    """Answers what does not change the state. Belongs to the event loop's thread."""

    def __init__(
        self,
        scheduler: Scheduler,
        state: SubnetState,
        threads: Threads,
        executor: Executor,
        clock: Clock,
        data_certificate: Callable[[Principal], bytes] | None,
    ) -> None:
        self._scheduler = scheduler
        self._state = state
        self._threads = threads
        self._executor = executor
        self._clock = clock
        self._data_certificate = data_certificate

    async def query(
        self,
        caller: Principal,
        canister_id: Principal,
        method_name: str,
        arg: bytes,
        sender_info: SenderInfo | None = None,
    ) -> Response:
        """A query call from outside."""
        native = self._scheduler.natives.get(canister_id)
        if native is not None:
            return await native.query(caller, method_name, arg)

        def attempt() -> Awaitable[Response]:
            limit = self._executor.limits.query_graph_instructions
            graph = _Graph(canister_id, self._lazy_certificate(canister_id), limit)
            return self._query(caller, canister_id, method_name, arg, graph, 0, sender_info)

        try:
            return await _again_if_superseded(attempt)
        except _LimitReached as reached:
            return reached.reject

    async def inspect(self, ingress: Ingress) -> Reject | None:
        """canister_inspect_message; None when the message is accepted."""
        canister = self._state.canisters.get(ingress.canister_id)
        if canister is not None and canister.module is not None and INSPECT not in canister.module.exports:
            return None
        return await _again_if_superseded(lambda: self._inspect(ingress))

    async def _inspect(self, ingress: Ingress) -> Reject | None:
        async with self._turn(ingress.canister_id) as is_alone:
            canister = self._state.canisters.get(ingress.canister_id)
            if canister is None:
                return system_rejects.not_found(ingress.canister_id)
            if canister.module is None:
                return no_module(canister)
            if INSPECT not in canister.module.exports:
                return None
            instance = None if is_alone else await self._beside(canister)
            return await self._threads.run_query(
                execute_inspect, self._executor, canister, ingress, self._clock.time_ns(), instance
            )

    async def _query(
        self,
        caller: Principal,
        canister_id: Principal,
        method_name: str,
        arg: bytes,
        graph: _Graph,
        depth: int,
        sender_info: SenderInfo | None = None,
    ) -> Response:
        certificate = graph.certificate if canister_id == graph.root else None
        async with self._turn(canister_id) as is_alone:
            canister = self._state.canisters.get(canister_id)
            if canister is None:
                return system_rejects.not_found(canister_id)
            reject = no_queries(self._executor.fees, canister)
            if reject is not None:
                return reject
            assert canister.module is not None
            if f"canister_query {method_name}" in canister.module.exports:
                instance = None if is_alone else await self._beside(canister)
                response, instructions = await self._threads.run_query(
                    execute_query,
                    self._executor,
                    canister,
                    caller,
                    method_name,
                    arg,
                    certificate,
                    self._clock.time_ns(),
                    self._instructions(graph),
                    sender_info,
                    instance,
                )
                graph.instructions_left -= instructions
                self._count(canister_id, instructions, arg, response)
                return response
            if f"canister_composite_query {method_name}" not in canister.module.exports:
                return MethodNotFound("query", method_name).reject(canister_id)
            # It holds no lock later on, when the certified data may be newer than what it sees: made now.
            if certificate is not None:
                certificate()
            folds = self._executor.instances.folds[canister_id]
            instance = await self._beside(canister)
        overlay = _Overlay(canister, instance)
        evaluation = _Evaluation(canister, caller, sender_info, graph, depth, overlay, folds)
        try:
            response = await self._evaluate(evaluation, method_name, arg, certificate)
        finally:
            discard(overlay.instance)
        self._count(canister_id, evaluation.instructions, arg, response)
        return response

    @asynccontextmanager
    async def _turn(self, canister_id: Principal) -> AsyncIterator[bool]:
        """Tells whether the canister is free for the caller alone: a long message is not waited for."""
        lock = self._scheduler.lock(canister_id)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await lock.acquire()
        except TimeoutError:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    async def _beside(self, canister: Canister) -> Instance:
        """An instance of its own with this committed state, which is the newest. Raises _Superseded."""
        instance: Instance | None = None
        try:
            async with self._reading(canister, self._executor.instances.folds[canister.id]):
                instance = await self._threads.run_query(self._executor.instances.fresh, canister)
        except _Superseded:
            if instance is not None:
                discard(instance)
            raise
        assert instance is not None
        return instance

    @asynccontextmanager
    async def _reading(self, canister: Canister, folds: int) -> AsyncIterator[None]:
        """Reads the files of a committed state, since which the log was begun to be folded `folds` times.

        Raises _Superseded when these files do not hold that state any more: they were taken away, or pages that
        are newer were folded into them. What was read is then of no use.
        """
        try:
            yield
        except (FileNotFoundError, StateDamaged):
            if self._has_its_files(canister, folds):
                raise
            raise _Superseded from None
        if not self._has_its_files(canister, folds):
            raise _Superseded

    def _has_its_files(self, canister: Canister, folds: int) -> bool:
        newest = self._state.canisters.get(canister.id)
        same = newest is not None and newest.memory.files == canister.memory.files
        return same and self._executor.instances.folds[canister.id] == folds

    def _instructions(self, graph: _Graph) -> int:
        """How many the next execution may use."""
        return min(self._executor.limits.query_instructions, max(0, graph.instructions_left))

    def _count(self, canister_id: Principal, instructions: int, arg: bytes, response: Response) -> None:
        now = self._clock.time_ns()
        self._scheduler.upkeep.query_statistics.count(canister_id, now, instructions, arg, response)

    def _lazy_certificate(self, canister_id: Principal) -> Callable[[], bytes] | None:
        """Makes the certificate once, when it is needed: signing costs as much as a small query."""
        return cache(partial(self._data_certificate, canister_id)) if self._data_certificate else None

    # -------------------------------------------------------------------------------------- composite

    async def _evaluate(
        self, evaluation: _Evaluation, method_name: str, arg: bytes, certificate: Callable[[], bytes] | None
    ) -> Response:
        """Runs the method, then the calls that it and its callbacks make, one after the other."""
        api = self._api(evaluation, ExecutionMode.COMPOSITE_QUERY)
        api.arg, api.method_name, api.data_certificate = arg, method_name, certificate
        outcome = await self._run(evaluation, api, f"canister_composite_query {method_name}")
        if outcome.error is not None:
            return outcome.error.reject(evaluation.canister.id)
        silent = system_rejects.did_not_produce_a_response(evaluation.canister.id)
        while evaluation.response is None:
            evaluation.graph.check(evaluation.depth)
            if not evaluation.calls:
                break
            call = evaluation.calls.pop(0)
            response = await self._call(evaluation, call)
            error = await self._call_back(evaluation, call, response)
            silent = error or system_rejects.did_not_produce_a_response(evaluation.canister.id)
        return evaluation.response or silent

    def _api(self, evaluation: _Evaluation, mode: ExecutionMode) -> SystemApi:
        limit = self._instructions(evaluation.graph)
        api = self._executor.api(mode, evaluation.canister, evaluation.caller, self._clock.time_ns(), limit)
        api.sender_info = evaluation.sender_info
        api.must_respond = evaluation.response is None
        api.instructions_before = evaluation.instructions
        return api

    async def _run(self, evaluation: _Evaluation, api: SystemApi, entry: str | Closure) -> Outcome:
        """One execution; its effects on memory stay until the evaluation is over, unless it traps."""
        outcome = await self._threads.run_query(
            self._executor.execute_on, evaluation.overlay.instance, evaluation.canister, api, entry
        )
        evaluation.instructions += outcome.instructions
        evaluation.graph.instructions_left -= outcome.instructions
        if outcome.error is None:
            evaluation.calls.extend(api.calls)
            evaluation.response = evaluation.response or api.response
            await self._threads.run_query(evaluation.overlay.keep)
        else:
            fresh = partial(self._executor.instances.fresh, evaluation.canister)
            async with self._reading(evaluation.canister, evaluation.folds):
                await self._threads.run_query(evaluation.overlay.undo, fresh)
        return outcome

    async def _call(self, evaluation: _Evaluation, call: OutgoingCall) -> Response:
        """A query called by a composite query."""
        native = self._scheduler.natives.get(call.callee)
        if native is not None:
            return await native.query(evaluation.canister.id, call.method_name, bytes(call.arg))
        caller, arg = evaluation.canister.id, bytes(call.arg)
        response = await self._query(caller, call.callee, call.method_name, arg, evaluation.graph, evaluation.depth + 1)
        evaluation.graph.instructions_left -= self._executor.limits.query_call_instructions
        return response

    async def _call_back(self, evaluation: _Evaluation, call: OutgoingCall, response: Response) -> Reject | None:
        """The callback for one response; the reject of its error, if it had one."""
        failed = isinstance(response, Reject)
        api = self._api(evaluation, ExecutionMode.COMPOSITE_REJECT if failed else ExecutionMode.COMPOSITE_REPLY)
        if isinstance(response, Reply):
            api.arg = response.data
        else:
            api.reject = response
        outcome = await self._run(evaluation, api, call.on_reject if failed else call.on_reply)
        if outcome.error is None:
            return None
        error = outcome.error
        if call.on_cleanup is not None:
            cleanup = await self._run(
                evaluation, self._api(evaluation, ExecutionMode.COMPOSITE_CLEANUP), call.on_cleanup
            )
            if cleanup.error is not None:
                error = CleanupFailed(error, cleanup.error)
        return error.reject(evaluation.canister.id)
