"""Interface Specification, "Cycles", instructions: what is executed counts as much as on the IC."""

from __future__ import annotations

import pytest
import wasmtime

from icmigrate.replica.errors.canister_errors import InstructionLimitExceeded
from icmigrate.replica.execution.commit_or_rollback import Executor
from icmigrate.replica.state.calls import Closure
from icmigrate.replica.state.fees import Fees
from icmigrate.replica.state.limits import Limits
from icmigrate.replica.system_api.execution_modes import ExecutionMode
from icmigrate.replica.wasm.module import ModuleCache, check
from tests.replica.execution.single import execute, instantiate
from tests.worlds.bare_replica import OWNER, BareWorld, rejected, wasm

QUERY = ExecutionMode.NON_REPLICATED_QUERY
"""Where written pages of the heap do not count."""
COUNTED = {
    "": 1,
    "(nop) (nop)": 3,
    "(drop (i32.add (i32.const 1) (i32.const 2)))": 5,
    "(drop (i64.div_s (i64.const 4) (i64.const 2)))": 1 + 2 + 10 + 1,
    "(drop (f64.sqrt (f64.const 4)))": 1 + 1 + 8 + 1,
    "(drop (f32.min (f32.const 4) (f32.const 5)))": 1 + 2 + 18 + 1,
    "(drop (i32.trunc_sat_f64_s (f64.const 1)))": 1 + 1 + 20 + 1,
    "(drop (i64x2.mul (v128.const i64x2 1 2) (v128.const i64x2 1 2)))": 1 + 2 + 4 + 1,
    "(drop (i8x16.shuffle 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 (v128.const i64x2 1 2) (v128.const i64x2 1 2)))": 7,
    "(drop (v128.load8_lane 3 (i32.const 0) (v128.const i64x2 1 2)))": 5,
    "(drop (i32.load offset=1000 (i32.const 0)))": 4,
    "(global.set $g (global.get $g))": 1 + 2 + 2,
    "(drop (ref.is_null (table.get $t (i32.const 0))))": 1 + 1 + 5 + 5 + 1,
    "(drop (ref.is_null (ref.func $f)))": 1 + 130 + 5 + 1,
    "(drop (select (result i32) (i32.const 1) (i32.const 2) (i32.const 3)))": 1 + 3 + 1 + 1,
    "(drop (memory.size))": 1 + 20 + 1,
    "(drop (table.size $t))": 1 + 100 + 1,
    "(drop (memory.grow (i32.const 1)))": 1 + 1 + 300 + 1,
    "(memory.fill (i32.const 0) (i32.const 0) (i32.const 1000))": 1 + 3 + 100 + 1000,
    "(memory.copy (i32.const 0) (i32.const 9) (i32.const 77))": 1 + 3 + 100 + 77,
    "(memory.init $d (i32.const 0) (i32.const 0) (i32.const 3)) (data.drop $d)": 1 + 3 + 100 + 3 + 300,
    "(call $f)": 1 + 5 + 1,
    "(call_indirect $t (i32.const 0))": 1 + 1 + 10 + 1,
    "(return_call $f)": 1 + 3 + 1,
    "(if (i32.const 1) (then (nop)) (else (nop) (nop)))": 1 + 1 + 2 + 1,
    "(if (i32.const 0) (then (nop)) (else (nop) (nop)))": 1 + 1 + 2 + 2,
    "(block (br 0) (nop) (nop))": 1 + 2,
    "(block (block (br_table 0 1 0 1 (i32.const 1)) (nop)) (nop))": 1 + 1 + 2,
    "(return) (nop)": 2,
    """(local $n i32) (loop $again (local.set $n (i32.add (local.get $n) (i32.const 1)))
       (br_if $again (i32.lt_u (local.get $n) (i32.const 10))))""": 1 + 10 * (4 + 3 + 2),
    "(call $msg_reply)": 1 + 5 + 500,
    "(call $msg_reply_data_append (i32.const 0) (i32.const 10))": 1 + 2 + 5 + 500 + 50 * 10,
    "(call $msg_arg_data_copy (i32.const 0) (i32.const 0) (i32.const 4))": 1 + 3 + 5 + 500 + 4,
    "(drop (call $performance_counter (i32.const 0)))": 1 + 1 + 5 + 200 + 1,
    "(call $debug_print (i32.const 0) (i32.const 10))": 1 + 2 + 5 + 100 + 52 * 10,
    "(drop (call $stable64_size))": 1 + 5 + 1,
    "(drop (call $stable64_grow (i64.const 1)))": 1 + 1 + 5 + 100 + 1,
    "(call $stable64_write (i64.const 4090) (i64.const 0) (i64.const 0))": 1 + 3 + 5 + 20,
    "(drop (call $stable64_grow (i64.const 1))) (call $stable64_write (i64.const 4090) (i64.const 0) (i64.const 10))":
        108 + 3 + 5 + 20 + 10 + 2000,
    "(drop (call $stable64_grow (i64.const 1))) (call $stable64_read (i64.const 0) (i64.const 0) (i64.const 10))":
        108 + 3 + 5 + 20 + 10,
}  # fmt: skip
FUNCTION = """(global $g (mut i32) (i32.const 0)) (table $t 1 funcref) (elem (table $t) (i32.const 0) func $f)
  (data $d "abc") (func $f)"""


def method(body: str, memory: str = "(memory 2)") -> bytes:
    return wasm(f'{FUNCTION} (func (export "canister_update go") {body})', memory)


@pytest.mark.parametrize("body", COUNTED)
def test_code_counts_as_much_as_on_the_ic(executor: Executor, body: str) -> None:
    outcome = execute(executor, method(body), context=QUERY)
    assert outcome.error is None
    assert outcome.instructions == COUNTED[body]


@pytest.mark.parametrize("body", COUNTED)
def test_one_instruction_less_than_a_call_needs_stops_it_or_its_last_straight_piece_is_free(
    executor: Executor, body: str
) -> None:
    outcome = execute(executor, method(body), COUNTED[body] - 1, QUERY)
    assert outcome.instructions == COUNTED[body] - 1
    if outcome.error is not None:
        assert isinstance(outcome.error, InstructionLimitExceeded)


def test_in_a_64_bit_memory_loads_count_twice_and_copies_take_64_bit_lengths(executor: Executor) -> None:
    load = "(drop (i32.load (i64.const 0)))"
    assert execute(executor, method(load, "(memory i64 1)")).instructions == 1 + 1 + 2 + 1
    copy = "(memory.copy (i64.const 0) (i64.const 0) (i64.const 5))"
    assert execute(executor, method(copy, "(memory i64 1)"), context=QUERY).instructions == 1 + 3 + 100 + 5
    endless = "(memory.copy (i64.const 0) (i64.const 0) (i64.const -1))"
    assert isinstance(execute(executor, method(endless, "(memory i64 1)")).error, InstructionLimitExceeded)


def test_a_canister_that_is_unreachable_has_not_run_out_of_instructions(executor: Executor) -> None:
    fault = execute(executor, method("unreachable")).error
    assert fault is not None and fault.text == "Canister trapped: unreachable"


def test_a_callback_that_is_no_function_counts_nothing(executor: Executor) -> None:
    instance, canister = instantiate(executor, method("(nop)"))
    for entry, instructions in (("canister_update go", 2), (Closure(7, 0), 0)):
        api = executor.api(ExecutionMode.REPLY, canister, OWNER, 1, 1_000_000)
        outcome = executor.execute_on(instance, canister, api, entry)
        assert outcome.instructions == instructions
    assert outcome.error is not None and outcome.error.error_code == "IC0513"
    instance.close()


async def test_a_loop_of_large_copies_is_stopped_by_its_bytes(world: BareWorld) -> None:
    """65,536 instructions a round: without the bytes, this would copy 60 GB for 10 million instructions."""
    body = """(func (export "canister_update go")
      (loop $again (memory.copy (i32.const 0) (i32.const 1) (i32.const 65535)) (br $again)))"""
    canister_id = await world.canister(wasm(body))
    before = world.state(canister_id).cycles
    rejected(await world.update(canister_id, "go"), "IC0522")
    assert before - world.state(canister_id).cycles >= Limits().update_instructions


async def test_the_performance_counter_goes_on_where_the_canister_uses_instructions(world: BareWorld) -> None:
    body = """(func (export "canister_query counts")
      (i64.store (i32.const 0) (call $performance_counter (i32.const 0)))
      (memory.fill (i32.const 100) (i32.const 0) (i32.const 5000))
      (i64.store (i32.const 8) (call $performance_counter (i32.const 0)))
      (call $msg_reply_data_append (i32.const 0) (i32.const 16)) (call $msg_reply))"""
    canister_id = await world.canister(wasm(body))
    answer = await world.ask(canister_id, "counts")
    first, second = (int.from_bytes(answer[at : at + 8], "little") for at in (0, 8))
    assert second - first == 5000 + 200


@pytest.mark.parametrize(("memory", "pointer", "each"), [("(memory 2)", "i32", 1000), ("(memory i64 2)", "i64", 4000)])
def test_a_written_page_of_the_heap_counts_when_it_is_kept(
    executor: Executor, memory: str, pointer: str, each: int
) -> None:
    """Three pages of 4 KiB; a query's are forgotten."""
    stores = "".join(f"(i32.store8 ({pointer}.const {at}) (i32.const 1))" for at in (0, 1, 4096, 100_000))
    own = 1 + 4 * (3 if pointer == "i32" else 4)
    assert execute(executor, method(stores, memory)).instructions == own + 3 * each
    query = execute(executor, method(stores, memory), context=QUERY)
    assert query.instructions == own


async def test_compiling_a_module_counts_whether_it_was_compiled_before_or_not(world: BareWorld) -> None:
    module = wasm('(func (export "canister_query nothing") (nop))')
    instructions = check(module, Limits())[2].instructions
    assert instructions == 2 + 10 + 2  # nop, end; what counts and stops; the counter
    for _ in range(2):
        canister_id = await world.create()
        before = world.state(canister_id).cycles
        await world.install(canister_id, module)
        assert before - world.state(canister_id).cycles == Fees().execution(6_000 * instructions)
        world.subnet.executor.instances.modules = ModuleCache(world.subnet.store.compiled, Limits())


# ------------------------------------------------------------------------------------------ any module


def test_wasmtime_s_own_instructions_are_all_known(executor: Executor) -> None:
    """Every numeric instruction survives metering: one function for each, compiled and never called."""
    numeric = range(0x45, 0xC5)
    operands = {"i32": "i32.const 0", "i64": "i64.const 0", "f32": "f32.const 0", "f64": "f64.const 0"}
    for opcode in numeric:
        fits = [
            body
            for left in operands.values()
            for right in ["", *(f"({each})" for each in operands.values())]
            if (body := _with(opcode, f"({left}) {right}")) is not None
        ]
        assert fits, hex(opcode)
        for module in fits[:1]:
            assert execute(executor, module).error is None or opcode in range(0x6D, 0x83)


def _with(opcode: int, operands: str) -> bytes | None:
    """A module whose method applies the instruction; None where these are not its operands."""
    module = bytes(wasmtime.wat2wasm(f'(module (func (export "canister_update go") {operands} nop nop drop))'))
    module = module.replace(b"\1\1\x1a\x0b", bytes([1, opcode, 0x1A, 0x0B]))
    try:
        wasmtime.Module.validate(wasmtime.Engine(), module)
    except wasmtime.WasmtimeError:
        return None
    return module
