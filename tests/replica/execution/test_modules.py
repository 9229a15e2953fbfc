"""Interface Specification, "WebAssembly module requirements": what may be installed."""

from __future__ import annotations

import gzip

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st

from icmigrate.replica.faults import InvalidModule
from icmigrate.replica.limits import Limits
from icmigrate.replica.module import check
from tests.replica.execution.world import World, wasm

GOOD = '(module (func (export "canister_query q")) (memory 1))'
BAD = {
    "an unknown import": '(module (import "ic0" "nothing" (func)))',
    "an import from elsewhere": '(module (import "env" "msg_reply" (func)))',
    "an imported memory": '(module (import "ic0" "memory" (memory 1)))',
    "an imported global": '(module (import "ic0" "g" (global i32)))',
    "a wrong parameter": '(module (import "ic0" "msg_reject" (func (param i64 i32))))',
    "a wrong result": '(module (import "ic0" "time" (func (result i32))))',
    "64-bit pointers, 32-bit memory": '(module (import "ic0" "debug_print" (func (param i64 i64))) (memory 1))',
    "32-bit pointers, 64-bit memory": '(module (import "ic0" "debug_print" (func (param i32 i32))) (memory i64 1))',
    "a 32-bit function, 64-bit memory": '(module (import "ic0" "stable_size" (func (result i32))) (memory i64 1))',
    "an unknown entry point": '(module (func (export "canister_updat x")))',
    "an entry point with a parameter": '(module (func (export "canister_init") (param i32)))',
    "a method with a result": '(module (func (export "canister_query q") (result i32) (i32.const 1)))',
    "one name twice": '(module (func (export "canister_query q")) (func (export "canister_update q")))',
    "two memories": "(module (memory 1) (memory 1))",
    "a secret that is not declared so": '(module (@custom "icp:hidden x" "1"))',
    "a section both public and private": '(module (@custom "icp:public x" "1") (@custom "icp:private x" "2"))',
}


def compiled(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


@pytest.mark.parametrize("reason", BAD)
def test_a_module_is_refused_for(reason: str) -> None:
    with pytest.raises(InvalidModule):
        check(compiled(BAD[reason]), Limits())


def test_a_module_may_come_gzipped() -> None:
    data = compiled(GOOD)
    installed, layout, _ = check(gzip.compress(data), Limits())
    assert installed.exports == {"canister_query q"} and layout.has_memory
    assert installed.hash != check(data, Limits())[0].hash


def test_a_gzip_bomb_is_refused() -> None:
    with pytest.raises(InvalidModule, match="exceeds the maximum allowed size"):
        check(gzip.compress(bytes(1 << 24)), Limits(module_size=1 << 20))


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


async def test_wasm64_canisters_run(world: World) -> None:
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


async def test_the_start_function_runs_at_installation_only(world: World) -> None:
    body = """(global $runs (mut i32) (i32.const 0)) (start $s)
      (func $s (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1))))
      (func (export "canister_query runs")
        (call $msg_reply_data_append (i32.const 0) (i32.const 4)) (call $msg_reply))"""
    canister_id = await world.canister(wasm(body))
    world.replica.executor.forget(canister_id)
    assert await world.ask(canister_id, "runs") == b"\1\0\0\0"
    await world.install(canister_id, wasm(body), mode="upgrade")
    assert await world.ask(canister_id, "runs") == b"\1\0\0\0"
