"""Interface Specification, "Composite query": a query method that calls others, one after the other.

It runs on an instance of its own, in order to hold no canister while it waits for the queries it calls.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from icmigrate.protocol.principal import Principal
from icmigrate.replica.errors import system_rejects
from icmigrate.replica.errors.canister_errors import CleanupFailed
from icmigrate.replica.execution.commit_or_rollback import Executor, Outcome
from icmigrate.replica.execution.overlay import Overlay
from icmigrate.replica.state.calls import Closure, SenderInfo
from icmigrate.replica.state.canister import Canister
from icmigrate.replica.state.clock import Clock
from icmigrate.replica.state.limits import Limits
from icmigrate.replica.state.responses import Reject, RejectCode, Reply, Response
from icmigrate.replica.subnet.query_instances import QueryInstances
from icmigrate.replica.subnet.threads import Threads
from icmigrate.replica.system_api.execution_modes import ExecutionMode
from icmigrate.replica.system_api.execution_state import OutgoingCall
from icmigrate.replica.system_api.system_api import SystemApi

MAX_DEPTH = 6
"""Queries that call each other, at most."""


class LimitReached(Exception):
    """A composite query and what it calls pass a limit: the query from outside is rejected as a whole."""

    def __init__(self, error_code: str, text: str) -> None:
        super().__init__(text)
        self.reject = Reject(RejectCode.CANISTER_ERROR, text, error_code)


@dataclass(slots=True)
class QueryGraph:
    """All executions that a query from outside leads to."""

    root: Principal
    certificate: Callable[[], bytes] | None
    """Of the root's data; the other canisters see none."""
    instructions_left: int

    def instructions(self, limits: Limits) -> int:
        """How many the next execution may use."""
        return min(limits.query_instructions, max(0, self.instructions_left))

    def check(self, depth: int) -> None:
        """Before a composite query goes on that was called over so many others. Raises LimitReached."""
        if depth >= MAX_DEPTH:
            raise LimitReached("IC0525", "Composite query calls exceeded the maximum call depth.")
        if self.instructions_left <= 0:
            raise LimitReached("IC0526", "Composite query calls exceeded the instruction limit.")


@dataclass(slots=True)
class Evaluation:
    """One composite query being answered: its memory and what it has done so far."""

    canister: Canister
    caller: Principal
    sender_info: SenderInfo | None
    graph: QueryGraph
    depth: int
    overlay: Overlay
    folds: int
    """How often the page log had been folded when the overlay's instance was made."""
    instructions: int = 0
    response: Response | None = None
    calls: list[OutgoingCall] = field(default_factory=list)


Ask = Callable[[Principal, Principal, str, bytes, QueryGraph, int], Awaitable[Response]]
"""Answers a query for a caller, canister, method and argument in a graph at a depth."""


class CompositeQueries:
    """Belongs to the event loop's thread."""

    def __init__(self, executor: Executor, threads: Threads, clock: Clock, instances: QueryInstances, ask: Ask) -> None:
        self._executor = executor
        self._threads = threads
        self._clock = clock
        self._instances = instances
        self._ask = ask

    async def evaluate(
        self, evaluation: Evaluation, method_name: str, arg: bytes, certificate: Callable[[], bytes] | None
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

    def _api(self, evaluation: Evaluation, mode: ExecutionMode) -> SystemApi:
        limit = evaluation.graph.instructions(self._executor.limits)
        api = self._executor.api(mode, evaluation.canister, evaluation.caller, self._clock.time_ns(), limit)
        api.sender_info = evaluation.sender_info
        api.must_respond = evaluation.response is None
        api.instructions_before = evaluation.instructions
        return api

    async def _run(self, evaluation: Evaluation, api: SystemApi, entry: str | Closure) -> Outcome:
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
            async with self._instances.reading(evaluation.canister, evaluation.folds):
                await self._threads.run_query(evaluation.overlay.undo, fresh)
        return outcome

    async def _call(self, evaluation: Evaluation, call: OutgoingCall) -> Response:
        """A query called by a composite query."""
        caller, arg, depth = evaluation.canister.id, bytes(call.arg), evaluation.depth + 1
        return await self._ask(caller, call.callee, call.method_name, arg, evaluation.graph, depth)

    async def _call_back(self, evaluation: Evaluation, call: OutgoingCall, response: Response) -> Reject | None:
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
