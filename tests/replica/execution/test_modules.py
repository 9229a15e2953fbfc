"""Interface Specification, "WebAssembly module requirements": what may be installed."""

from __future__ import annotations

import gzip

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st

from icmigrate.replica.engine.wasmtime_c_api import shared_engine
from icmigrate.replica.errors.canister_errors import InvalidModule
from icmigrate.replica.errors.rejected import Rejected
from icmigrate.replica.state.limits import Limits
from icmigrate.replica.wasm.module import check
from tests.worlds.bare_replica import BareWorld, wasm

GOOD = '(module (func (export "canister_query q")) (memory 1))'
IMPORT, SIGNATURE = "Wasm module has an invalid import section. ", "Wasm module has an invalid function signature. "
EXPORT, SECTION = "Wasm module has an invalid export section. ", "Wasm module has an invalid custom section. "
UNSUPPORTED = "Wasm module contains a function at index 0 with unsupported instruction "
FORBIDDEN = "Wasmtime failed to validate wasm module wasmtime::Module::validate() failed with "
# What is refused, and the replica's words for it.
BAD = {
    '(module (import "ic0" "nothing" (func)))':
        IMPORT + "Module imports function 'nothing' from 'ic0' that is not exported by the runtime.",
    '(module (import "env" "msg_reply" (func)))':
        IMPORT + 'Module imports function "msg_reply" from "env", expected to be imported from one of ["ic0"] instead.',
    '(module (import "ic0" "memory" (memory 1)))': IMPORT + "Only memory imported from env.memory is allowed.",
    '(module (import "ic0" "table" (table 1 funcref)))': IMPORT + "Only tables imported from env.table are allowed.",
    '(module (import "ic0" "g" (global i32)))': IMPORT + "Importing globals is not allowed.",
    '(module (import "ic0" "msg_reject" (func (param i64 i32))))':
        SIGNATURE + "Expected input params [I32, I32] for 'msg_reject', got [I64, I32].",
    '(module (import "ic0" "time" (func (result i32))))':
        SIGNATURE + "Expected return type [I64] for 'time', got [I32].",
    '(module (import "ic0" "debug_print" (func (param i64 i64))) (memory 1))':
        SIGNATURE + "Expected input params [I32, I32] for 'debug_print', got [I64, I64].",
    '(module (import "ic0" "debug_print" (func (param i32 i32))) (memory i64 1))':
        SIGNATURE + "Expected input params [I64, I64] for 'debug_print', got [I32, I32].",
    '(module (import "ic0" "stable_size" (func (result i32))) (memory i64 1))':
        IMPORT + "Module imports function 'stable_size' from 'ic0' that is not exported by the runtime.",
    '(module (func (export "canister_updat x")))':
        EXPORT + "Exporting reserved function 'canister_updat x' with \"canister_\" prefix",
    '(module (func (export "canister_query")))':
        EXPORT + "Exporting reserved function 'canister_query' with \"canister_\" prefix",
    '(module (memory (export "stable_memory") 1))': EXPORT + "Exporting reserved symbol stable_memory not allowed.",
    '(module (func (export "canister_start")))': EXPORT + "Exporting reserved symbol canister_start not allowed.",
    '(module (func (export "canister_init") (param i32)))':
        SIGNATURE + "Expected input params [] for 'canister_init', got [I32].",
    '(module (func (export "canister_query q") (result i32) (i32.const 1)))':
        SIGNATURE + "Expected return type [] for 'canister_query q', got [I32].",
    '(module (func (export "canister_query q")) (func (export "canister_update q")))':
        "Duplicate function 'q' exported multiple times with different call types: update, query, or composite_query.",
    '(module (@custom "icp:hidden x" "1"))':
        SECTION + "Invalid custom section: Custom section 'icp:hidden x' has no public/private scope defined.",
    '(module (@custom "icp:public" "1"))':
        SECTION + "'icp:' section names must have a space after the public/private scope",
    '(module (@custom "icp:public x" "1") (@custom "icp:private x" "2"))':
        SECTION + "Invalid custom section: name x already exists",
    "(module (global (ref null func) (ref.null func)))":
        "Wasm module has an invalid global section. Unsupported global type: Ref(FUNCREF)",
    "(module (table 1 funcref) (func (table.set (i32.const 0) (ref.null func))))": UNSUPPORTED + "table.set.",
    "(module (table 1 funcref) (func (drop (table.grow (ref.null func) (i32.const 1)))))": UNSUPPORTED + "table.grow.",
    "(module (table 1 funcref) (func (table.fill (i32.const 0) (ref.null func) (i32.const 1))))":
        UNSUPPORTED + "table.fill.",
    "(module (table 1 funcref) (func (table.copy (i32.const 0) (i32.const 0) (i32.const 1))))":
        UNSUPPORTED + "table.copy.",
    "(module (table 1 funcref) (elem $e func) (func (table.init $e (i32.const 0) (i32.const 0) (i32.const 0))))":
        UNSUPPORTED + "table.init.",
    "(module (memory 1) (memory 1))": FORBIDDEN + "multiple memories",
    "(module (memory 1 1 shared))": FORBIDDEN + "threads must be enabled for shared memories",
    "(module (func (param v128) (drop (f64x2.relaxed_madd (local.get 0) (local.get 0) (local.get 0)))))":
        FORBIDDEN + "relaxed SIMD support is not enabled",
    "(module (tag))": FORBIDDEN + "exceptions proposal not enabled",
    "(module (type (struct)))": FORBIDDEN + "struct indexed types not supported without the gc feature",
    "(module (func) (func (drop (i32.const 1) (i64.const 1))))": FORBIDDEN + "type mismatch",
    "(module (global i32 (i32.add (i32.const 0) (i32.const 0))))": "Failed to decode wasm module: constant expression",
}  # fmt: skip
GOOD_MODULES = {
    "tail calls": "(module (func $f return_call $f))",
    "SIMD": "(module (func (drop (i8x16.popcnt (v128.const i32x4 1 2 3 4)))))",
    "a 64-bit memory": "(module (memory i64 1 0x1000000))",
    "tables that are only read": "(module (table 1 funcref) (table 1 externref) (func (drop (table.size 1))))",
    "no memory": '(module (func (export "canister_query q")))',
    "exports of other names": '(module (memory (export "memory") 1) (func (export "main") (param i32)))',
    "a passive segment": '(module (memory 1) (data "abc"))',
    "float globals": "(module (global f32 (f32.const 1)) (global f64 (f64.const 1)))",
    "a vector global": "(module (global v128 (v128.const i64x2 1 2)))",
    "a segment at the end": '(module (memory 1) (data (i32.const 65535) "a"))',
}


def compiled(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


@pytest.mark.parametrize("text", BAD)
def test_a_module_is_refused_in_the_words_of_the_replica(text: str) -> None:
    with pytest.raises(InvalidModule) as caught:
        check(compiled(text), Limits())
    assert caught.value.text.startswith("Canister's Wasm module is not valid: " + BAD[text])
    assert caught.value.error_code == "IC0505"


@pytest.mark.parametrize("what", GOOD_MODULES)
def test_a_module_with_any_of_these_is_accepted(what: str) -> None:
    wasmtime.Module(shared_engine(), check(compiled(GOOD_MODULES[what]), Limits())[2].wasm)


def test_a_segment_outside_of_the_initial_memory_is_refused() -> None:
    with pytest.raises(InvalidModule) as caught:
        check(compiled('(module (memory 1) (data (i32.const 65535) "ab"))'), Limits())
    assert caught.value.text == (
        "Could not instrument wasm module of canister: Wasm module has invalid data segment of 2 bytes at 65535"
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("block end " * 19_608, "with complexity 1000009 which exceeds the maximum complexity allowed 1000000."),
        ("nop " * 1_000_000, "with complexity 1000001 which exceeds the maximum complexity allowed 1000000."),
    ],
)
def test_a_function_may_not_be_too_hard_to_compile(body: str, text: str) -> None:
    with pytest.raises(InvalidModule) as caught:
        check(compiled(f"(module (func) (func {body}))"), Limits())
    assert caught.value.text.endswith("Wasm module contains a function at index 1 " + text)


async def test_a_table_s_segment_that_does_not_fit_is_a_failure_of_the_engine(world: BareWorld) -> None:
    canister_id = await world.create()
    with pytest.raises(Rejected) as caught:
        await world.install(canister_id, compiled("(module (table 1 funcref) (elem (i32.const 1) $f) (func $f))"))
    assert caught.value.reject.error_code == "IC0521"
    assert "Canister encountered a Wasm engine error: Failed to instantiate module: " in caught.value.reject.message


def test_a_module_may_come_gzipped() -> None:
    data = compiled(GOOD)
    installed, layout, _ = check(gzip.compress(data), Limits())
    assert installed.exports == {"canister_query q"} and layout.has_memory
    assert installed.hash != check(data, Limits())[0].hash


def test_a_gzip_bomb_is_refused() -> None:
    with pytest.raises(InvalidModule, match="exceeds the maximum allowed size"):
        check(gzip.compress(bytes(1 << 24)), Limits(module_size=1 << 20))


def test_a_module_of_a_million_sections_is_refused() -> None:
    with pytest.raises(InvalidModule, match="more than 1000 sections"):
        check(compiled("(module)") + b"\0\2\1x" * 1_000_000, Limits())


def test_sections_are_read() -> None:
    text = (
        '(module (@custom "icp:public candid:service" "service") (@custom "icp:private cdk" "rust") (@custom "name2"))'
    )
    sections = check(compiled(text), Limits())[0].sections
    assert [(each.name, each.is_public, each.content) for each in sections] == [
        ("candid:service", True, b"service"),
        ("cdk", False, b"rust"),
    ]


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        ({"functions": 2}, "(module (func) (func) (func))"),
        ({"globals": 1}, "(module (global i32 (i32.const 0)) (global i32 (i32.const 0)))"),
        ({"exported_functions": 1}, '(module (func (export "canister_query a")) (func (export "canister_query b")))'),
        ({"exported_names_size": 3}, '(module (func (export "canister_query abcd")))'),
        ({"custom_sections": 1}, '(module (@custom "icp:public a" "") (@custom "icp:public b" ""))'),
        ({"custom_sections_size": 3}, '(module (@custom "icp:public a" "1234"))'),
        ({"code_section_size": 3}, "(module (func (drop (i32.const 1))))"),
    ],
)
def test_limits_are_enforced(limit: dict[str, int], text: str) -> None:
    check(compiled(text), Limits())
    with pytest.raises(InvalidModule):
        check(compiled(text), Limits(**limit))


WHOLE = """(module (import "ic0" "time" (func (result i64))) (memory 1) (data (i32.const 0) "abc")
  (global (mut i64) (i64.const 5)) (table 2 funcref) (func (export "canister_init")))"""


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 300), st.integers(0, 255))
def test_damaged_modules_are_refused_and_nothing_else_happens(noise: bytes, at: int, byte: int) -> None:
    good = bytearray(compiled(WHOLE))
    if at < len(good):
        good[at] = byte
    for data in (bytes(good), noise, b"\0asm\1\0\0\0" + noise, b"\x1f\x8b\x08" + noise):
        try:
            check(data, Limits())
        except InvalidModule as fault:
            assert fault.text


async def test_wasm64_canisters_run(world: BareWorld) -> None:
    text = """(module
      (import "ic0" "msg_reply" (func $reply)) (import "ic0" "msg_reply_data_append" (func $append (param i64 i64)))
      (import "ic0" "stable64_grow" (func $grow (param i64) (result i64)))
      (import "ic0" "stable64_write" (func $write (param i64 i64 i64)))
      (import "ic0" "stable64_read" (func $read (param i64 i64 i64)))
      (memory i64 2) (data (i64.const 8) "sixty-four")
      (func (export "canister_update go") (drop (call $grow (i64.const 1)))
        (call $write (i64.const 5) (i64.const 8) (i64.const 10))
        (call $read (i64.const 100) (i64.const 5) (i64.const 10))
        (call $append (i64.const 100) (i64.const 10)) (call $reply)))"""
    canister_id = await world.canister(compiled(text))
    assert await world.call(canister_id, "go") == b"sixty-four"


async def test_the_start_function_runs_at_installation_only(world: BareWorld) -> None:
    body = """(global $runs (mut i32) (i32.const 0)) (start $s)
      (func $s (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1))))
      (func (export "canister_query runs")
        (call $msg_reply_data_append (i32.const 0) (i32.const 4)) (call $msg_reply))"""
    canister_id = await world.canister(wasm(body))
    world.subnet.executor.instances.forget(canister_id)
    assert await world.ask(canister_id, "runs") == b"\1\0\0\0"
    await world.install(canister_id, wasm(body), mode="upgrade")
    assert await world.ask(canister_id, "runs") == b"\1\0\0\0"
