"""Interface Specification, "IC method install_code": install, reinstall and upgrade, hooks included.

All phases succeed together or leave the canister as it was. Runs in a worker thread.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from icmigrate.protocol.principal import Principal
from icmigrate.replica.errors.canister_errors import (
    CanisterError,
    InsufficientCyclesInMemoryGrow,
    InvalidModule,
    WasmEngineError,
)
from icmigrate.replica.errors.system_rejects import invalid_persistence_option, missing_persistence_option, not_empty
from icmigrate.replica.execution.admission import no_module, out_of_cycles
from icmigrate.replica.execution.charging import available, charge_resources, spend
from icmigrate.replica.execution.commit_or_rollback import Executor, Outcome
from icmigrate.replica.execution.effects import log, settle
from icmigrate.replica.execution.instance import Instance
from icmigrate.replica.execution.low_memory import watch_memory
from icmigrate.replica.execution.warm_instances import discard
from icmigrate.replica.state.canister import Canister
from icmigrate.replica.state.code import InstalledModule, MemoryImage
from icmigrate.replica.state.responses import Reject
from icmigrate.replica.system_api.execution_modes import ExecutionMode
from icmigrate.replica.wasm.module import START


@dataclass(frozen=True, slots=True)
class Installation:
    """What install_code was asked to do; `keep_heap` is wasm_memory_persistence = keep."""

    mode: str
    module: bytes
    arg: bytes
    sender: Principal
    skip_pre_upgrade: bool = False
    keep_heap: bool | None = None


class _Failed(Exception):
    """A phase ended with an error; carries the canister's record with the log line."""

    def __init__(self, canister: Canister, error: CanisterError, instructions: int) -> None:
        self.canister = canister
        self.error = error
        self.instructions = instructions


def install(executor: Executor, canister: Canister, wanted: Installation, now: int) -> tuple[Canister, Reject | None]:
    """The canister with the new code, or the canister as it was (less the fee) and why it was rejected."""
    canister = charge_resources(executor.fees, canister, now)
    upgrade = wanted.mode == "upgrade"
    if wanted.mode == "install" and canister.module is not None:
        return canister, not_empty(canister.id)
    reject = no_module(canister)
    if upgrade and reject is not None:
        return canister, reject
    limit = executor.limits.install_instructions
    prepaid = executor.fees.execution(executor.limits.update_instructions)
    reject = out_of_cycles(executor.fees, canister, prepaid, wanted.sender)
    if reject is not None:
        return canister, reject
    try:
        digest = executor.store.put(executor.store.modules, wanted.module)
        compiled = executor.instances.modules.get(digest, wanted.module)
    except InvalidModule as error:
        return canister, error.reject(canister.id)
    if upgrade and wanted.keep_heap is None and _has_orthogonal_persistence(canister.module):
        return canister, missing_persistence_option()
    if upgrade and wanted.keep_heap and not _has_orthogonal_persistence(compiled.installed):
        return canister, invalid_persistence_option()

    executor.instances.forget(canister.id)
    files = executor.store.page_files(canister.id)
    run = _Run(executor, canister, wanted, now, limit)
    instance: Instance | None = None
    old: Instance | None = None
    try:
        if upgrade and not wanted.skip_pre_upgrade and "canister_pre_upgrade" in canister.module.exports:  # type: ignore[union-attr]
            old = executor.instances.fresh(canister)
            run.phase(old, ExecutionMode.PRE_UPGRADE, "canister_pre_upgrade")
            run.canister = run.canister.with_(memory=old.commit(canister.memory))
        run.instructions += executor.limits.compile_instructions * compiled.instructions
        image = run.canister.memory
        keep_heap = upgrade and wanted.keep_heap is True
        fresh = MemoryImage(
            heap_pages=image.heap_pages if keep_heap else 0,
            stable_pages=image.stable_pages if upgrade else 0,
            globals=(),
            heap_generation=image.heap_generation + (0 if keep_heap else 1),
            stable_generation=image.stable_generation + (0 if upgrade else 1),
            log_generation=image.log_generation,
            log_length=image.log_length,
            heap_file=image.heap_file if keep_heap else 0,
            stable_file=image.stable_file if upgrade else 0,
        )
        try:
            instance = Instance(compiled, files)
        except WasmEngineError as error:
            raise _Failed(run.canister, error, run.instructions) from None
        instance.load(fresh, fresh_heap=not keep_heap)
        run.canister = run.canister.with_(
            module=compiled.installed,
            memory=fresh,
            version=canister.version + 1,
            global_timer=0,
            installed_at=now,
            certified_data=run.canister.certified_data if upgrade else b"",
        )
        if compiled.layout.has_start:
            run.phase(instance, ExecutionMode.START, START)
        hook = "canister_post_upgrade" if upgrade else "canister_init"
        if hook in compiled.installed.exports:
            run.phase(instance, ExecutionMode.INIT, hook)
        run.check_growth(canister, instance)
        memory = instance.commit(fresh, fresh_heap=not keep_heap)
    except _Failed as failed:
        if instance is not None:
            discard(instance)
        charged = spend(
            canister.with_(logs=failed.canister.logs, next_log=failed.canister.next_log),
            executor.fees.execution(failed.instructions),
        )
        return charged, failed.error.reject(canister.id)
    except BaseException:
        if instance is not None:
            discard(instance)
        raise
    finally:
        if old is not None:
            discard(old)
    executor.instances.keep(canister.id, instance)
    if not upgrade:  # the log of the code before goes with it
        new = tuple(record for record in run.canister.logs if record.idx >= canister.next_log)
        run.canister = run.canister.with_(logs=new)
    installed = watch_memory(run.canister.with_(memory=memory, low_memory_hook="condition_not_satisfied"))
    return spend(installed, executor.fees.execution(run.instructions)), None


def _has_orthogonal_persistence(module: InstalledModule | None) -> bool:
    """Motoko marks modules whose heap outlives upgrades by a private section."""
    sections = module.sections if module else ()
    return any(section.name == "enhanced-orthogonal-persistence" for section in sections)


class _Run:
    """The phases so far: the record as it became, and the instructions used."""

    def __init__(self, executor: Executor, canister: Canister, wanted: Installation, now: int, limit: int) -> None:
        self.executor = executor
        self.canister = canister
        self.wanted = wanted
        self.now = now
        self.limit = limit
        self.instructions = 0

    def phase(self, instance: Instance, mode: ExecutionMode, entry: str) -> None:
        """Runs one hook and takes over its effects. Raises _Failed."""
        left = max(0, self.limit - self.instructions)
        api = self.executor.api(mode, self.canister, self.wanted.sender, self.now, left)
        if mode is ExecutionMode.INIT:
            api.arg = self.wanted.arg
        outcome: Outcome = self.executor.execute_on(instance, self.canister, api, entry)
        self.instructions += outcome.instructions
        logged = log(self.canister, outcome)
        if outcome.error is not None:
            raise _Failed(logged, outcome.error, self.instructions)
        self.canister, _ = settle(logged, outcome, None)

    def check_growth(self, before: Canister, instance: Instance) -> None:
        """A canister that has more memory now must have the cycles for it. Raises _Failed."""
        memory = replace(self.canister.memory, heap_pages=instance.heap.pages, stable_pages=instance.stable.pages)
        after = self.canister.with_(memory=memory)
        size = after.memory_size - before.memory_size
        missing = -available(self.executor.fees, after)
        if size > 0 and missing > 0:
            told = missing if self.wanted.sender in after.settings.controllers else None
            raise _Failed(self.canister, InsufficientCyclesInMemoryGrow(size, told), self.instructions)


def empty(canister: Canister) -> Canister:
    """The canister without code and memory (uninstall_code); answering its open calls is the caller's part.

    ReplicatedCall contexts stay, as deleted, while responses to their calls are under way.
    """
    image = canister.memory
    waiting = {callback.context_id for callback in canister.callbacks.values()}
    return canister.with_(
        module=None,
        memory=MemoryImage(
            heap_generation=image.heap_generation + 1,
            stable_generation=image.stable_generation + 1,
            log_generation=image.log_generation + 1,
        ),
        certified_data=b"",
        global_timer=0,
        chunks={},
        contexts={
            context.id: replace(context, responded=True, cycles_available=0, deleted=True)
            for context in canister.contexts.values()
            if context.id in waiting
        },
        logs=(),
        low_memory_hook="condition_not_satisfied",
        version=canister.version + 1,
    )
