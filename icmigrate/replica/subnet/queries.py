"""Interface Specification, "Query call" and "Composite query": executions that leave no trace.

A plain query runs on the canister's warm instance and is rolled back. While a long message is executed there it
runs on an instance of its own, with the state before that message. So does a composite query, in order to hold no
canister while it waits for the queries it calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache, partial

from icmigrate.protocol.principal import Principal
from icmigrate.replica.errors import system_rejects
from icmigrate.replica.errors.canister_errors import MethodNotFound
from icmigrate.replica.execution.admission import no_module, no_queries
from icmigrate.replica.execution.commit_or_rollback import Executor
from icmigrate.replica.execution.non_replicated import execute_inspect, execute_query
from icmigrate.replica.execution.overlay import Overlay
from icmigrate.replica.execution.warm_instances import discard
from icmigrate.replica.state.calls import Ingress, SenderInfo
from icmigrate.replica.state.clock import Clock
from icmigrate.replica.state.responses import Reject, Response
from icmigrate.replica.state.subnet_state import SubnetState
from icmigrate.replica.subnet.composite_queries import CompositeQueries, Evaluation, LimitReached, QueryGraph
from icmigrate.replica.subnet.query_instances import QueryInstances, again_if_superseded
from icmigrate.replica.subnet.scheduler import Scheduler
from icmigrate.replica.subnet.threads import Threads

INSPECT = "canister_inspect_message"
PATIENCE_SECONDS = 0.2
"""How long a query waits for the canister's messages before it takes an instance of its own."""


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
        self._instances = QueryInstances(state, executor, threads)
        self._composite = CompositeQueries(executor, threads, clock, self._instances, self._ask)

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
            graph = QueryGraph(canister_id, self._lazy_certificate(canister_id), limit)
            return self._query(caller, canister_id, method_name, arg, graph, 0, sender_info)

        try:
            return await again_if_superseded(attempt)
        except LimitReached as reached:
            return reached.reject

    async def _ask(
        self, caller: Principal, canister_id: Principal, method_name: str, arg: bytes, graph: QueryGraph, depth: int
    ) -> Response:
        """A query called by a composite query."""
        native = self._scheduler.natives.get(canister_id)
        if native is not None:
            return await native.query(caller, method_name, arg)
        response = await self._query(caller, canister_id, method_name, arg, graph, depth)
        graph.instructions_left -= self._executor.limits.query_call_instructions
        return response

    async def inspect(self, ingress: Ingress) -> Reject | None:
        """canister_inspect_message; None when the message is accepted."""
        canister = self._state.canisters.get(ingress.canister_id)
        if canister is not None and canister.module is not None and INSPECT not in canister.module.exports:
            return None
        return await again_if_superseded(lambda: self._inspect(ingress))

    async def _inspect(self, ingress: Ingress) -> Reject | None:
        async with self._turn(ingress.canister_id) as is_alone:
            canister = self._state.canisters.get(ingress.canister_id)
            if canister is None:
                return system_rejects.not_found(ingress.canister_id)
            if canister.module is None:
                return no_module(canister)
            if INSPECT not in canister.module.exports:
                return None
            instance = None if is_alone else await self._instances.beside(canister)
            return await self._threads.run_query(
                execute_inspect, self._executor, canister, ingress, self._clock.time_ns(), instance
            )

    async def _query(
        self,
        caller: Principal,
        canister_id: Principal,
        method_name: str,
        arg: bytes,
        graph: QueryGraph,
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
                instance = None if is_alone else await self._instances.beside(canister)
                response, instructions = await self._threads.run_query(
                    execute_query,
                    self._executor,
                    canister,
                    caller,
                    method_name,
                    arg,
                    certificate,
                    self._clock.time_ns(),
                    graph.instructions(self._executor.limits),
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
            folds = self._instances.folds(canister_id)
            instance = await self._instances.beside(canister)
        overlay = Overlay(canister, instance)
        evaluation = Evaluation(canister, caller, sender_info, graph, depth, overlay, folds)
        try:
            response = await self._composite.evaluate(evaluation, method_name, arg, certificate)
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

    def _count(self, canister_id: Principal, instructions: int, arg: bytes, response: Response) -> None:
        now = self._clock.time_ns()
        self._scheduler.upkeep.query_statistics.count(canister_id, now, instructions, arg, response)

    def _lazy_certificate(self, canister_id: Principal) -> Callable[[], bytes] | None:
        """Makes the certificate once, when it is needed: signing costs as much as a small query."""
        return cache(partial(self._data_certificate, canister_id)) if self._data_certificate else None
