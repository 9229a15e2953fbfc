"""One execution of one module, without a replica around it."""

from __future__ import annotations

from icmigrate.protocol.principal import Principal
from icmigrate.replica.execution.commit_or_rollback import Executor, Outcome
from icmigrate.replica.execution.instance import Instance
from icmigrate.replica.state.canister import Canister
from icmigrate.replica.state.settings import Settings
from icmigrate.replica.system_api.execution_modes import ExecutionMode
from tests.worlds.bare_replica import OWNER

ID = Principal(b"\0" * 8 + b"\1\1")


def instantiate(executor: Executor, module: bytes, cycles: int = 10**15) -> tuple[Instance, Canister]:
    """A canister with this module, and it in memory."""
    digest = executor.store.put(executor.store.modules, module)
    compiled = executor.instances.modules.get(digest, module)
    settings = Settings((OWNER,), environment_variables=(("NAME", "value"),))
    canister = Canister(ID, settings, 0, cycles=cycles, module=compiled.installed)
    instance = Instance(compiled, executor.store.page_files(canister.id))
    instance.load(canister.memory, fresh_heap=True)
    return instance, canister


def execute(
    executor: Executor,
    module: bytes,
    limit: int = 1_000_000_000,
    context: ExecutionMode = ExecutionMode.UPDATE,
    cycles: int = 10**15,
    caller: Principal = OWNER,
) -> Outcome:
    """The outcome of the update method "go"."""
    instance, canister = instantiate(executor, module, cycles)
    api = executor.api(context, canister, caller, 1, limit)
    api.must_respond, api.arg = True, b"argument"
    api.data_certificate = lambda: b"certificate"
    try:
        return executor.execute_on(instance, canister, api, "canister_update go")
    finally:
        instance.close()
