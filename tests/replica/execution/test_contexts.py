"""Interface Specification, "Overview of imports": every function in every context."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import wasmtime

from icmigrate.protocol.principal import Principal
from icmigrate.replica.errors.canister_errors import CanisterError, ContractViolation
from icmigrate.replica.execution.commit_or_rollback import Executor
from icmigrate.replica.execution.instance import Instance
from icmigrate.replica.state.calls import Closure
from icmigrate.replica.state.canister import Canister
from icmigrate.replica.state.responses import Reject, RejectCode
from icmigrate.replica.state.settings import Settings
from icmigrate.replica.storage import compiled_files
from icmigrate.replica.system_api.execution_modes import ExecutionMode
from icmigrate.replica.system_api.ic0_imports import FUNCTIONS, Function
from icmigrate.replica.wasm.module import REWRITE_VERSION
from tests.worlds.bare_replica import OWNER, BareWorld, replied, wasm

EVERYWHERE = "I G U RQ NRQ TQ CQ Ry Rt CRy CRt C CC F T"


def probe(function: Function, is_64: bool) -> bytes:
    """A module that calls the function once with zeroes (cost_* and the like get room in memory)."""
    kinds = {"i": "i32", "l": "i64"}
    taken, given = function.types("l" if is_64 else "i")
    parameters = " ".join(f"(param {kinds[letter]})" for letter in taken)
    result = f"(result {kinds[given]})" if given else ""
    arguments = " ".join(f"({kinds[letter]}.const 0)" for letter in taken)
    call = f"(call $f {arguments})"
    memory = "i64 1" if is_64 else "1"
    return bytes(
        wasmtime.wat2wasm(
            f"""(module (import "ic0" "{function.name}" (func $f {parameters} {result}))
            (memory {memory}) (func (export "canister_update probe") {f"(drop {call})" if result else call}))"""
        )
    )


@pytest.mark.parametrize(
    ("name", "is_64"),
    [(name, is_64) for name, row in FUNCTIONS.items() for is_64 in (False, True) if not (is_64 and row.only_32_bit)],
)
def test_a_function_is_refused_exactly_where_the_specification_forbids_it(
    executor: Executor, name: str, is_64: bool
) -> None:
    function = FUNCTIONS[name]
    data = probe(function, is_64)
    digest = executor.store.put(executor.store.modules, data)
    compiled = executor.instances.modules.get(digest, data)
    canister = Canister(Principal(b"\0" * 8 + b"\1\1"), Settings((OWNER,)), 0, cycles=10**15, module=compiled.installed)
    for context in ExecutionMode:
        instance = Instance(compiled, executor.store.page_files(canister.id))
        api = executor.api(context, canister, OWNER, 1, 1_000_000_000)
        api.must_respond = True
        api.data_certificate = lambda: b""
        api.reject = Reject(RejectCode.CANISTER_REJECT, "", "IC0406")
        outcome = executor.execute_on(instance, canister, api, "canister_update probe")
        instance.close()
        refused = is_forbidden(outcome.error, name, context)
        assert refused == (context not in function.modes), (name, context, outcome.error)


def is_forbidden(fault: CanisterError | None, name: str, context: ExecutionMode) -> bool:
    text = f'Canister violated contract: "ic0_{name}" cannot be executed in {context.label} mode'
    return isinstance(fault, ContractViolation) and fault.text == text


def test_the_table_is_the_specification_s() -> None:
    """Spot checks that a typing error in the table would not survive."""
    assert FUNCTIONS["msg_reply"].modes == {
        ExecutionMode(each) for each in ["U", "RQ", "NRQ", "TQ", "CQ", "Ry", "Rt", "CRy", "CRt"]
    }
    assert FUNCTIONS["call_perform"].modes == {
        ExecutionMode(each) for each in ["U", "CQ", "Ry", "Rt", "CRy", "CRt", "T"]
    }
    assert FUNCTIONS["time"].modes == {ExecutionMode(each) for each in EVERYWHERE.split()}
    assert FUNCTIONS["trap"].modes == set(ExecutionMode)
    assert len(FUNCTIONS) == 77


# The entry points run in the contexts that they should: `data_certificate_present` and the like tell.

ENTRY_POINTS = """
  (table funcref (elem $on_reply $on_reject $on_cleanup $trap_now))
  (func $note (param $at i32)
    (i32.store8 (local.get $at) (i32.add (i32.const 1) (call $in_replicated_execution))))
  (func (export "canister_init") (call $note (i32.const 0)))
  (func (export "canister_post_upgrade") (call $stable64_read (i64.const 64) (i64.const 0) (i64.const 64))
    (call $note (i32.const 65)))
  (func (export "canister_pre_upgrade") (call $note (i32.const 66)) (drop (call $stable64_grow (i64.const 1)))
    (call $stable64_write (i64.const 0) (i64.const 64) (i64.const 64)))
  (func (export "canister_heartbeat") (call $note (i32.const 1)))
  (func (export "canister_global_timer") (call $note (i32.const 2)))
  (func (export "canister_update timer") (drop (call $global_timer_set (i64.const 1))) (call $msg_reply))
  (func (export "canister_update notes") (call $msg_reply_data_append (i32.const 0) (i32.const 128)) (call $msg_reply))
  (func (export "canister_query certificate") (i32.store8 (i32.const 200) (call $data_certificate_present))
    (if (call $data_certificate_present) (then
      (call $data_certificate_copy (i32.const 300) (i32.const 0) (call $data_certificate_size))))
    (call $msg_reply_data_append (i32.const 200) (i32.const 1))
    (if (call $data_certificate_present) (then
      (call $msg_reply_data_append (i32.const 300) (call $data_certificate_size))))
    (call $msg_reply))
  (func $on_reply (param i32)) (func $on_reject (param i32)) (func $on_cleanup (param i32))
  (func $trap_now (param i32) unreachable)
"""


async def test_entry_points_run_in_their_contexts(world: BareWorld) -> None:
    module = wasm(ENTRY_POINTS)
    canister_id = await world.canister(module)
    await world.call(canister_id, "timer")
    await world.subnet.settle()
    notes = await world.call(canister_id, "notes")
    assert notes[:3] == b"\2\2\2"  # init, heartbeat and timer ran, replicated
    await world.install(canister_id, module, mode="upgrade")
    notes = await world.call(canister_id, "notes")
    assert notes[66] == 2 and notes[65] == 2  # pre_upgrade's note came through stable memory


async def test_only_query_calls_see_a_certificate(world: BareWorld) -> None:
    canister_id = await world.canister(wasm(ENTRY_POINTS))
    assert await world.ask(canister_id, "certificate") == b"\1certificate of " + canister_id.bytes
    assert await world.call(canister_id, "certificate") == b"\0"


async def test_instances_of_one_module_share_its_compiled_code(world: BareWorld, tmp_path: Path) -> None:
    module = wasm(ENTRY_POINTS)
    for _ in range(3):
        await world.canister(module)
    prefix = f"{hashlib.sha256(module).hexdigest()}.{REWRITE_VERSION}."
    assert len(compiled_files.names(world.subnet.store.compiled, prefix)) == 1


async def test_a_callback_must_be_a_function_of_the_table(world: BareWorld) -> None:
    body = """
      (table funcref (elem $wrong))
      (func $wrong)
      (func (export "canister_update go")
        (call $call_new (i32.const 0) (i32.const 10) (i32.const 100) (i32.const 4) (i32.const 0) (i32.const 0)
          (i32.const 7) (i32.const 0))
        (drop (call $call_perform)))"""
    canister_id = await world.canister(wasm(body))
    response = await world.update(canister_id, "go")
    assert "non-existent Wasm function 7 from table 0" in str(response)
    with pytest.raises(AssertionError):
        replied(response)


def test_closures_are_called_with_their_environment(executor: Executor) -> None:
    data = bytes(
        wasmtime.wat2wasm(
            """(module (memory 1) (table funcref (elem $keep))
            (func $keep (param i32) (i32.store (i32.const 0) (local.get 0))))"""
        )
    )
    compiled = executor.instances.modules.get(executor.store.put(executor.store.modules, data), data)
    canister = Canister(
        Principal(b"\0" * 7 + b"\1\1\1"), Settings((OWNER,)), 0, cycles=10**15, module=compiled.installed
    )
    instance = Instance(compiled, executor.store.page_files(canister.id))
    api = executor.api(ExecutionMode.REPLY, canister, OWNER, 1, 1_000_000)
    assert executor.execute_on(instance, canister, api, Closure(0, 0xFFFFFFFE)).error is None
    assert instance.heap.read(0, 4) == b"\xfe\xff\xff\xff"
