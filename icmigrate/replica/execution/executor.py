"""Interface Specification, "Abstract behavior": executing one message, all of it or nothing.

`Executor.execute` is the one place that begins, executes, and commits or rolls back the memory of a canister;
`Executor.settle` turns the effects of a successful execution into the canister's next record. Both run in
worker threads on frozen records; nothing is true before the scheduler has committed the result.
"""

from __future__ import annotations

import ctypes
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass
from threading import Event, Lock

from icmigrate.protocol.principal import Principal
from icmigrate.replica.engine.wasmtime_c_api import interrupt
from icmigrate.replica.errors.canister_errors import CanisterError
from icmigrate.replica.execution.instance import Instance
from icmigrate.replica.state.calls import Callback, CallContext, CanisterRequest, Closure, Message
from icmigrate.replica.state.canister import Canister, CycleUse, LogRecord
from icmigrate.replica.state.code import MemoryImage
from icmigrate.replica.state.fees import Fees
from icmigrate.replica.state.limits import Limits
from icmigrate.replica.storage.page_files import PageFiles
from icmigrate.replica.storage.store import Store
from icmigrate.replica.system_api import SystemApi
from icmigrate.replica.system_api.contexts import Context
from icmigrate.replica.system_api.stable_memory import DIRTY_PAGE_INSTRUCTIONS
from icmigrate.replica.wasm.module import CompiledModule, ModuleCache

_LOG_OVERHEAD = 24
_IN_64_BIT_HEAPS = 4
"""How many times as much a written page counts there."""
_FORGOTTEN = frozenset(context for context in Context if not context.replicated) | {Context.REPLICATED_QUERY}
"""The executions whose memory is not kept; the pages of the heap that they write count nothing."""


@dataclass(slots=True)
class Outcome:
    """What became of an execution. `memory` is the next image; on an error it is the one before."""

    api: SystemApi
    error: CanisterError | None
    instructions: int
    memory: MemoryImage


class Executor:
    """Executes messages on canisters that it keeps warm."""

    def __init__(self, store: Store, fees: Fees, limits: Limits, subnet_id: Principal, root_key: bytes) -> None:
        self.store = store
        self.fees = fees
        self.limits = limits
        self.subnet_id = subnet_id
        self.root_key = root_key
        self.modules = ModuleCache(store.compiled, limits)
        self._warm: OrderedDict[Principal, Instance] = OrderedDict()
        """Least recently used first; an instance that is being used is not among them."""
        self._lock = Lock()
        self.folds: Counter[Principal] = Counter()
        """How often a canister's page log was begun to be folded: who reads an older state sees newer pages since."""
        self._interrupted = Event()
        self._trimmed_at = time.monotonic()

    # -------------------------------------------------------------------------------------- instances

    def compiled(self, canister: Canister) -> CompiledModule:
        """The compiled module of a canister that has one."""
        assert canister.module is not None
        digest = canister.module.hash
        known = self.modules.known(digest)
        if known is not None:
            return known
        data = self.store.get(self.store.modules, digest)
        if data is None:
            raise FileNotFoundError(f"the module {digest.hex()} is missing in {self.store.folder}")
        return self.modules.get(digest, data)

    def fresh(self, canister: Canister) -> Instance:
        """An instance of its own with the committed state, for whoever needs one besides the warm one."""
        instance = Instance(self.compiled(canister), self.store.page_files(canister.id))
        instance.load(canister.memory)
        return instance

    def _acquire(self, canister: Canister) -> Instance:
        with self._lock:
            instance = self._warm.pop(canister.id, None)
        return instance or self.fresh(canister)

    def _release(self, canister_id: Principal, instance: Instance | None) -> None:
        with self._lock:
            if instance is not None:
                instance.used_at = time.monotonic()
                self._warm[canister_id] = instance
            dropped = []
            held = sum(each.bytes for each in self._warm.values())
            while self._warm and (len(self._warm) > self.limits.warm_instances or held > self.limits.warm_bytes):
                _, oldest = self._warm.popitem(last=False)
                held -= oldest.bytes
                dropped.append(oldest)
        for each in dropped:
            discard(each)

    def keep(self, canister_id: Principal, instance: Instance) -> None:
        """Makes an instance the warm one of a canister that has none."""
        self._release(canister_id, instance)

    def forget(self, canister_id: Principal) -> None:
        """Drops the warm instance: the committed state is no longer what it holds."""
        with self._lock:
            instance = self._warm.pop(canister_id, None)
        if instance is not None:
            discard(instance)

    def drop_idle(self) -> None:
        """Lets go of the instances that nobody used for a while, and of memory that nothing uses."""
        now = time.monotonic()
        limit = now - self.limits.idle_seconds
        with self._lock:
            idle = [canister_id for canister_id, each in self._warm.items() if each.used_at < limit]
        for canister_id in idle:
            self.forget(canister_id)
        if self._trimmed_at < limit:
            self._trimmed_at = now
            trim()

    def fold(self, canister: Canister) -> tuple[MemoryImage, PageFiles]:
        """Folds the canister's page log; the files that did it know what is stale after the commit."""
        self.folds[canister.id] += 1
        with self._lock:
            instance = self._warm.pop(canister.id, None)
        files = instance.files if instance is not None else self.store.page_files(canister.id)
        folded = files.fold(canister.memory)
        if instance is not None:
            self._release(canister.id, instance)
        return folded, files

    def interrupt(self) -> None:
        """Ends every execution under way, and all that would follow, with `Interrupted`; from any thread."""
        self._interrupted.set()
        interrupt()
        self.modules.interrupt()

    def close(self) -> None:
        for canister_id in list(self._warm):
            self.forget(canister_id)

    # -------------------------------------------------------------------------------------- executing

    def api(self, context: Context, canister: Canister, caller: Principal, time: int, limit: int) -> SystemApi:
        """The System API for an execution, with the canister's whole balance to spend."""
        return SystemApi(
            context=context,
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
            maximum_response=self.limits.response_payload if context.replicated else self.limits.query_response_payload,
        )

    def execute(self, canister: Canister, api: SystemApi, entry: str | Closure, keep: bool) -> Outcome:
        """Runs one entry point or callback; with `keep` a success is written to the page log.

        Whatever happens, the warm instance is afterwards what the outcome's `memory` says, or is gone.
        """
        instance = self._acquire(canister)
        try:
            outcome = self.execute_on(instance, canister, api, entry)
            if outcome.error is None and keep:
                outcome.memory = instance.commit(canister.memory)
            elif not instance.rollback(canister.memory):
                discard(instance)
                instance = None  # type: ignore[assignment]
        except BaseException:
            discard(instance)
            self._release(canister.id, None)
            raise
        self._release(canister.id, instance)
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
        if api.context not in _FORGOTTEN:
            each = DIRTY_PAGE_INSTRUCTIONS * (_IN_64_BIT_HEAPS if instance.compiled.layout.is_64 else 1)
            used = min(api.instruction_limit, used + each * instance.heap_pages_written())
        return Outcome(api, error, used, canister.memory)

    # -------------------------------------------------------------------------------------- settling

    def settle(
        self, canister: Canister, outcome: Outcome, context: CallContext | None
    ) -> tuple[Canister, list[Message]]:
        """The canister after a successful replicated execution, and the requests that it sent.

        The execution's fee is the caller's part; the balance is what the canister had left.
        """
        api = outcome.api
        callbacks = dict(canister.callbacks)
        next_id = canister.next_id
        sent: list[Message] = []
        for call in api.calls:
            assert context is not None
            deadline = None if call.timeout is None else api.time + call.timeout * 1_000_000_000
            callbacks[next_id] = Callback(
                id=next_id,
                context_id=context.id,
                callee=call.callee,
                on_reply=call.on_reply,
                on_reject=call.on_reject,
                on_cleanup=call.on_cleanup,
                cycles_sent=call.cycles,
                prepaid=call.prepaid,
                deadline=deadline,
            )
            sent.append(
                CanisterRequest(
                    0, canister.id, call.callee, call.method_name, bytes(call.arg), call.cycles, next_id, deadline
                )
            )
            next_id += 1
        pending = api.under_construction.cycles if api.under_construction else 0
        settled = canister.with_(
            cycles=api.balance + pending,
            memory=outcome.memory,
            callbacks=callbacks,
            next_id=next_id,
            certified_data=canister.certified_data if api.certified_data is None else api.certified_data,
            global_timer=canister.global_timer if api.global_timer is None else api.global_timer,
        )
        for use, amount in ((CycleUse.BURNED, api.cycles_burned), (CycleUse.TRANSMISSION, api.cycles_for_requests)):
            if amount:
                settled = settled.consuming(use, amount)
        return watch_memory(settled), sent

    @staticmethod
    def log(canister: Canister, outcome: Outcome) -> Canister:
        """Adds what was printed, and the trap, to the canister's log; long lines are cut, the oldest make room."""
        lines = list(outcome.api.printed)
        trap = outcome.error.log_line() if outcome.error else None
        if trap is not None:
            lines.append(trap.encode())
        if not lines:
            return canister
        records = list(canister.logs)
        capacity = canister.settings.log_memory_limit
        for number, line in enumerate(lines, canister.next_log):
            records.append(LogRecord(number, outcome.api.time, line[: max(0, capacity - _LOG_OVERHEAD)]))
        size = sum(len(record.content) + _LOG_OVERHEAD for record in records)
        while records and size > capacity:
            size -= len(records.pop(0).content) + _LOG_OVERHEAD
        return canister.with_(logs=tuple(records), next_log=canister.next_log + len(lines))


def trim() -> None:
    """Gives memory back that glibc keeps after large messages; other C libraries do it by themselves."""
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if give_back is not None:
        give_back(0)


def discard(instance: Instance) -> None:
    instance.files.close()
    instance.close()


def has_low_memory(canister: Canister) -> bool:
    """Section "On Low Wasm Memory": the hook's condition."""
    settings = canister.settings
    limit = settings.wasm_memory_limit or 1 << 32
    return limit - canister.wasm_memory_size < settings.wasm_memory_threshold


def watch_memory(canister: Canister) -> Canister:
    """Section "On Low Wasm Memory": whether the hook is due, judged after whatever changes memory or settings."""
    low = has_low_memory(canister)
    if low and canister.low_memory_hook == "condition_not_satisfied":
        return canister.with_(low_memory_hook="ready")
    if not low and canister.low_memory_hook != "condition_not_satisfied":
        return canister.with_(low_memory_hook="condition_not_satisfied")
    return canister
