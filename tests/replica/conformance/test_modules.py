"""Interface Specification, "Canister module format" and "WebAssembly module requirements"."""

from __future__ import annotations

import gzip
import hashlib

import pytest
import wasmtime

from icmigrate.protocol.leb128 import encode_unsigned
from tests.replica.conformance.program import Program
from tests.worlds.users import PROGRAMMABLE, PROGRAMMABLE_PLAIN, User, rejected

P = Program()
EMPTY = b"\0asm\1\0\0\0"


def wat(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


def custom(name: str, content: bytes = b"") -> bytes:
    """A custom section."""
    body = encode_unsigned(len(name.encode())) + name.encode() + content
    return b"\0" + encode_unsigned(len(body)) + body


def exporting(*names: str, type_: str = "") -> bytes:
    functions = "".join(f'(func (export "{name}") {type_})' for name in names)
    return wat(f"(module {functions})")


ENTRY_POINTS = (
    "canister_init",
    "canister_inspect_message",
    "canister_pre_upgrade",
    "canister_post_upgrade",
    "canister_heartbeat",
    "canister_on_low_wasm_memory",
    "canister_global_timer",
    "canister_update x",
    "canister_query x",
    "canister_composite_query x",
)

GOOD = {
    "the smallest module": EMPTY,
    "gzip": gzip.compress(EMPTY),
    "a start function": wat("(module (func $start) (start $start))"),
    "a memory of 64 bits": wat("(module (memory i64 1))"),
    "other exports": exporting("anything", "canister", "_canister_x"),
    "every kind of method once": exporting("canister_update a", "canister_query b", "canister_composite_query c"),
    "1,000 methods": exporting(*[f"canister_query {n}" for n in range(1000)]),
    "names of 20,000 bytes": exporting("canister_query " + "n" * 20_000),
    "16 custom sections": EMPTY + b"".join(custom(f"icp:public {n}") for n in range(16)),
    "other custom sections": EMPTY + b"".join(custom(f"section {n}") for n in range(50)),
    "many functions": wat("(module " + "(func)" * 5_000 + ")"),
    "1,000 globals": wat("(module " + "(global (mut i32) (i32.const 0))" * 1000 + ")"),
    "bulk memory, sign extension, saturating conversion": wat(
        """(module (memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 1))
           (drop (i32.extend8_s (i32.const 1))) (drop (i32.trunc_sat_f32_s (f32.const 1)))))"""
    ),
    "SIMD": wat("(module (func (drop (i32x4.add (v128.const i32x4 1 2 3 4) (v128.const i32x4 1 2 3 4)))))"),
}

BAD = {
    "nothing": b"",
    "no Wasm": b"hello",
    "cut off": PROGRAMMABLE_PLAIN[:-20],
    "another version": b"\0asm\2\0\0\0",
    "broken gzip": PROGRAMMABLE[:-20],
    "garbage behind it": EMPTY + b"\xff",
    "two memories": wat("(module (memory 1) (memory 1))"),
    "an imported memory": wat('(module (import "env" "memory" (memory 1)))'),
    "an imported global": wat('(module (import "env" "g" (global i32)))'),
    "an imported table": wat('(module (import "env" "t" (table 1 funcref)))'),
    "a function of another module": wat('(module (import "env" "msg_reply" (func)))'),
    "an unknown function": wat('(module (import "ic0" "msg_answer" (func)))'),
    "a function of another type": wat('(module (import "ic0" "msg_reply" (func (param i32))))'),
    "a result that is none": wat('(module (import "ic0" "time" (func)))'),
    "an unknown entry point": exporting("canister_exit"),
    "an unknown method kind": exporting("canister_procedure x"),
    "a name of two kinds": exporting("canister_update x", "canister_query x"),
    "a name of two other kinds": exporting("canister_query x", "canister_composite_query x"),
    "1,001 methods": exporting(*[f"canister_query {n}" for n in range(1001)]),
    "names of more than 20,000 bytes": exporting("canister_query " + "n" * 20_001),
    "public and private of a name": EMPTY + custom("icp:public x") + custom("icp:private x"),
    "a section neither public nor private": EMPTY + custom("icp:secret x"),
    "17 custom sections": EMPTY + b"".join(custom(f"icp:public {n}") for n in range(17)),
    "custom sections of more than 1 MiB": EMPTY + custom("icp:public x", bytes((1 << 20) + 1)),
    "50,001 functions": wat("(module " + "(func)" * 50_001 + ")"),
    "1,001 globals": wat("(module " + "(global (mut i32) (i32.const 0))" * 1001 + ")"),
    **{
        f"{name} with a parameter": exporting(name, type_="(param i32)")
        for name in ENTRY_POINTS
    },
    **{
        f"{name} with a result": exporting(name, type_="(result i32) (i32.const 0)")
        for name in ENTRY_POINTS
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", GOOD)
async def test_a_module_that_follows_the_rules_is_installed(user: User, kind: str) -> None:
    canister = await user.install(module=GOOD[kind])
    assert (await canister.status())["module_hash"] == hashlib.sha256(GOOD[kind]).digest()


@pytest.mark.parametrize("kind", BAD)
async def test_a_module_that_breaks_a_rule_is_refused(user: User, kind: str) -> None:
    canister = await user.create()
    error = await rejected(canister.install(module=BAD[kind]))
    assert (error.code, error.error_code) == (5, "IC0505"), error
    assert (await canister.status())["module_hash"] is None


async def test_a_module_without_entry_points_answers_nothing(user: User) -> None:
    canister = await user.install(module=EMPTY)
    error = await rejected(canister.update(P))
    assert (error.code, error.error_code) == (5, "IC0536")


async def test_a_start_function_that_traps_fails_the_installation(user: User) -> None:
    canister = await user.create()
    error = await rejected(canister.install(module=wat("(module (func $start unreachable) (start $start))")))
    assert (error.code, error.error_code) == (5, "IC0502")
    assert (await canister.status())["module_hash"] is None


@pytest.mark.parametrize(
    "segment",
    [
        '(memory 1) (data (i32.const 65535) "ab")',
        "(table 1 funcref) (elem (i32.const 1) $f) (func $f)",
        "(memory i64 0x1000000000000)",
        "(memory i64 0x1000000)",
        "(table 0xffffffff funcref)",
    ],
)
async def test_a_segment_that_does_not_fit_fails_the_installation(user: User, segment: str) -> None:
    canister = await user.create()
    error = await rejected(canister.install(module=wat(f"(module {segment})")))
    assert error.code == 5
    assert (await canister.status())["module_hash"] is None


async def test_the_start_function_runs_before_init_and_once(user: User) -> None:
    module = wat("""
        (module
          (import "ic0" "msg_reply" (func $reply))
          (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
          (memory 1)
          (func $start (i32.store8 (i32.const 0) (i32.add (i32.load8_u (i32.const 0)) (i32.const 1))))
          (start $start)
          (func (export "canister_init") (i32.store8 (i32.const 1) (i32.load8_u (i32.const 0))))
          (func (export "canister_query get") (call $append (i32.const 0) (i32.const 2)) (call $reply)))
    """)
    canister = await user.install(module=module)
    assert await canister.query(P, "get") == b"\1\1"
    await canister.upgrade(module=module)
    assert await canister.query(P, "get") == b"\1\0"


async def test_metadata_sections_are_part_of_the_certified_state(user: User) -> None:
    module = EMPTY + custom("icp:public open", b"to all") + custom("icp:private closed", b"to controllers")
    canister = await user.install(module=module)
    assert await user.agent.metadata(canister.id, "open") == b"to all"
    assert await user.agent.metadata(canister.id, "closed") == b"to controllers"
    assert await user.agent.metadata(canister.id, "none") is None
    await canister.upgrade(module=EMPTY)
    assert await user.agent.metadata(canister.id, "open") is None
