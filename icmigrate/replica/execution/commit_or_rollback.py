"""Interface Specification, "Abstract behavior": executing one message, all of it or nothing.

`Executor.execute` is the one place that begins, executes, and commits or rolls back the memory of a canister. It
runs in worker threads on frozen records; nothing is true before the scheduler has committed the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event

from icmigrate.protocol.principal import Principal
from icmigrate.replica.engine.wasmtime_c_api import interrupt
from icmigrate.replica.errors.canister_errors import CanisterError
from icmigrate.replica.execution.instance import Instance
from icmigrate.replica.execution.warm_instances import WarmInstances, discard
from icmigrate.replica.state.calls import Closure
from icmigrate.replica.state.canister import Canister
from icmigrate.replica.state.code import MemoryImage
from icmigrate.replica.state.fees import Fees
from icmigrate.replica.state.limits import Limits
from icmigrate.replica.storage.store import Store
from icmigrate.replica.system_api.execution_modes import ExecutionMode
from icmigrate.replica.system_api.stable_memory import DIRTY_PAGE_INSTRUCTIONS
from icmigrate.replica.system_api.system_api import SystemApi

_IN_64_BIT_HEAPS = 4
"""In heaps of 64 bit modules a written page counts as so many."""
_FORGOTTEN = frozenset(mode for mode in ExecutionMode if not mode.replicated) | {ExecutionMode.REPLICATED_QUERY}
"""The executions whose memory is not kept; the pages of the heap that they write count nothing."""


@dataclass(slots=True)
class Outcome:
    """What became of an execution. `memory` is the next image; on an error it is the one before."""

    api: SystemApi
    error: CanisterError | None
    instructions: int
    memory: MemoryImage


class Executor:
    """Executes messages on canisters. For all threads."""

    def __init__(self, store: Store, fees: Fees, limits: Limits, subnet_id: Principal, root_key: bytes) -> None:
        self.store = store
        self.fees = fees
        self.limits = limits
        self.subnet_id = subnet_id
        self.root_key = root_key
        self.instances = WarmInstances(store, limits)
        self._interrupted = Event()

    def api(self, mode: ExecutionMode, canister: Canister, caller: Principal, time: int, limit: int) -> SystemApi:
        """The System API for an execution, with the canister's whole balance to spend."""
        return SystemApi(
            mode=mode,
            canister=canister,
            caller=caller,
            time=time,
            fees=self.fees,
            limits=self.limits,
            subnet_id=self.subnet_id,
            root_key=self.root_key,
            balance=canister.cycles,
            instruction_limit=limit,
            interrupted=self._interrupted,
            freezing_limit=self.fees.freezing_limit(canister),
            maximum_response=self.limits.response_payload if mode.replicated else self.limits.query_response_payload,
        )

    def execute(self, canister: Canister, api: SystemApi, entry: str | Closure, keep: bool) -> Outcome:
        """Runs one entry point or callback; with `keep` a success is written to the page log.

        Whatever happens, the warm instance is afterwards what the outcome's `memory` says, or is gone.
        """
        instance = self.instances.acquire(canister)
        try:
            outcome = self.execute_on(instance, canister, api, entry)
            if outcome.error is None and keep:
                outcome.memory = instance.commit(canister.memory)
            elif not instance.rollback(canister.memory):
                discard(instance)
                instance = None  # type: ignore[assignment]
        except BaseException:
            discard(instance)
            self.instances.release(canister.id, None)
            raise
        self.instances.release(canister.id, instance)
        return outcome

    def execute_on(self, instance: Instance, canister: Canister, api: SystemApi, entry: str | Closure) -> Outcome:
        """Runs on a given instance and leaves its memory as the execution left it."""
        error: CanisterError | None = None
        try:
            if isinstance(entry, Closure):
                instance.run_closure(entry, api)
            else:
                instance.run(entry, api)
        except CanisterError as caught:
            error = caught
        used = instance.counter.used
        if api.mode not in _FORGOTTEN:
            each = DIRTY_PAGE_INSTRUCTIONS * (_IN_64_BIT_HEAPS if instance.compiled.layout.is_64 else 1)
            used = min(api.instruction_limit, used + each * instance.heap_pages_written())
        return Outcome(api, error, used, canister.memory)

    def interrupt(self) -> None:
        """Ends every execution under way, and all that would follow, with `Interrupted`; from any thread."""
        self._interrupted.set()
        interrupt()
        self.instances.modules.interrupt()
