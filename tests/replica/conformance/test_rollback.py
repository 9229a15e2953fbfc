"""Interface Specification, "Entry points": what fails changes nothing, and what succeeds changes everything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields, replace

import pytest
import wasmtime

from icmigrate.protocol import certificate
from tests.replica.conformance.program import Program
from tests.worlds.users import ABSENT, TRILLION, Canister, User, number, rejected

P = Program()
FAR = (1 << 63) + 1
"""A time that never comes."""

SET_UP = (
    P.set(b"before")
    .stable64_grow(1)
    .drop()
    .stable64_write(0, b"before")
    .certified_data_set(b"before")
    .global_timer_set(FAR)
    .drop()
)


def mutation(other: Canister) -> Program:
    """Changes everything that can be changed in an update."""
    return (
        P.set(b"after")
        .memory_grow(3)
        .drop()
        .stable64_grow(2)
        .drop()
        .stable64_write(0, b"after!")
        .stable64_write(70_000, b"new page")
        .certified_data_set(b"after")
        .global_timer_set(FAR + 1)
        .drop()
        .wide("cycles_burn128", 0, TRILLION)
        .drop()
        .call(other.id, P.append(b"called").reply().code, on_reply=P, on_reject=P, cycles=TRILLION)
    )


@dataclass(frozen=True)
class Seen:
    """Everything of a canister that a message can change."""

    heap: bytes
    memory_and_stable_size: bytes
    stable: bytes
    timer: int
    certified_data: bytes | None
    trillions: int
    called: bytes


async def seen(canister: Canister, other: Canister) -> Seen:
    await canister.settled()
    sizes = await canister.query(P.reply(P.word("memory_size"), P.word("stable64_size")))
    encoded = await canister.query(P.reply(P.blob("data_certificate")))
    replica = canister.user.replica
    certified = certificate.verify(
        encoded, replica.root_key, effective_canister_id=canister.id, now_ns=replica.subnet.time_ns()
    )
    return Seen(
        await canister.remembered(),
        sizes,
        await canister.query(P.reply(P.stable64_read(0, 6))),
        await timer(canister),
        certified.lookup("canister", canister.id.bytes, "certified_data"),
        round((await canister.status())["cycles"] / TRILLION),
        await other.remembered(),
    )


async def timer(canister: Canister) -> int:
    """The global timer, read by setting it and setting it back."""
    was = number(await canister.update(P.reply(P.global_timer_set(FAR))))
    await canister.update(P.global_timer_set(was).drop().reply())
    return was


@pytest.fixture
async def prepared(user: User) -> Canister:
    return await user.install(SET_UP)


FAILURES = {
    "ic0.trap": P.trap(),
    "unreachable": P.unreachable(),
    "memory": P.word("load", 0xF000_0000, 1),
    "stack": P.word("overflow_stack", 10**6),
    "contract": P.certified_data_set(bytes(33)),
    "stable memory": P.word("stable64_write", FAR, 0, 1),
    "after a reply": P.reply(b"never sent").trap(),
    "a second reply": P.reply(b"never sent").reply(b"again"),
}

Act = Callable[[Canister, Canister, Program], Awaitable[object]]
RESPOND = P.reply().code
REJECT = P.reject("").code

CONTEXTS: dict[str, Act] = {
    "update": lambda canister, other, program: canister.update(program),
    "reply callback": lambda canister, other, program: canister.update(P.call(other.id, RESPOND, on_reply=program)),
    "reject callback": lambda canister, other, program: canister.update(P.call(other.id, REJECT, on_reject=program)),
    "reply callback with a cleanup": lambda canister, other, program: canister.update(
        P.call(other.id, RESPOND, on_reply=program, on_cleanup=P)
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("context", CONTEXTS)
async def test_a_failed_execution_leaves_no_trace(
    prepared: Canister, other: Canister, context: str, failure: str
) -> None:
    before = await seen(prepared, other)
    await rejected(CONTEXTS[context](prepared, other, mutation(other).then(FAILURES[failure])))
    assert await seen(prepared, other) == before


@pytest.mark.parametrize("context", CONTEXTS)
async def test_a_successful_execution_keeps_everything(prepared: Canister, other: Canister, context: str) -> None:
    before = await seen(prepared, other)
    await CONTEXTS[context](prepared, other, mutation(other).reply())
    after = await seen(prepared, other)
    assert [part.name for part in fields(Seen) if getattr(after, part.name) == getattr(before, part.name)] == []
    assert (after.heap, after.stable, after.certified_data, after.called) == (b"after", b"after!", b"after", b"called")


@pytest.mark.parametrize("failure", [name for name in FAILURES if "reply" not in name])
async def test_a_failed_timer_leaves_no_trace_but_is_over(prepared: Canister, other: Canister, failure: str) -> None:
    task = mutation(other).then(FAILURES[failure])
    await prepared.update(P.set_hook("global_timer", task).global_timer_set(FAR).drop().reply())
    before = await seen(prepared, other)
    await prepared.update(P.global_timer_set(1).drop().reply())
    assert await seen(prepared, other) == replace(before, timer=0)


@pytest.mark.parametrize("failure", ["ic0.trap", "unreachable", "memory", "stack", "contract"])
async def test_a_failed_cleanup_leaves_no_trace(prepared: Canister, other: Canister, failure: str) -> None:
    cleanup = P.set(b"cleanup").stable64_write(0, b"clean!").global_timer_set(5).drop().then(FAILURES[failure])
    before = await seen(prepared, other)
    call = P.call(other.id, RESPOND, on_reply=P.set(b"callback").trap(), on_cleanup=cleanup)
    await rejected(prepared.update(call))
    assert await seen(prepared, other) == before


async def test_a_cleanup_keeps_what_it_does(prepared: Canister, other: Canister) -> None:
    cleanup = P.append(b" and cleanup").stable64_write(0, b"clean!")
    await rejected(prepared.update(P.call(other.id, RESPOND, on_reply=P.set(b"callback").trap(), on_cleanup=cleanup)))
    after = await seen(prepared, other)
    assert (after.heap, after.stable) == (b"before and cleanup", b"clean!")


QUERY_MUTATION = P.set(b"after").memory_grow(3).drop().stable64_grow(2).drop().stable64_write(0, b"after!")


@pytest.mark.parametrize("method", ["query", "query_as_update", "composite"])
@pytest.mark.parametrize("ending", ["reply", "trap"])
async def test_queries_leave_no_trace(prepared: Canister, other: Canister, method: str, ending: str) -> None:
    before = await seen(prepared, other)
    act = getattr(prepared, method)
    if ending == "trap":
        await rejected(act(QUERY_MUTATION.trap()))
    else:
        assert await act(QUERY_MUTATION.reply(P.get(), P.stable64_read(0, 6))) == b"afterafter!"
    assert await seen(prepared, other) == before


# ------------------------------------------------------------------------------------ changes of the module


INSTALL_MUTATION = (
    P.set(b"after")
    .stable64_grow(2)
    .drop()
    .stable64_write(0, b"after!")
    .certified_data_set(b"after")
    .global_timer_set(FAR + 1)
    .drop()
)


@pytest.mark.parametrize("failure", ["ic0.trap", "unreachable", "memory", "stack", "contract", "stable memory"])
@pytest.mark.parametrize("where", ["init", "pre_upgrade", "post_upgrade"])
async def test_a_failed_change_of_the_module_leaves_the_old_one_as_it_was(
    prepared: Canister, other: Canister, where: str, failure: str
) -> None:
    failing = INSTALL_MUTATION.then(FAILURES[failure])
    hook = failing if where == "pre_upgrade" else INSTALL_MUTATION
    await prepared.update(P.set_hook("pre_upgrade", hook).reply())
    before, version = await seen(prepared, other), (await prepared.status())["module_hash"]
    if where == "init":
        await rejected(prepared.reinstall(failing))
    else:
        await rejected(prepared.upgrade(failing if where == "post_upgrade" else b""))
    assert await seen(prepared, other) == before
    assert (await prepared.status())["module_hash"] == version
    assert await prepared.update(P.reply(P.get())) == b"before"


async def test_a_failed_install_leaves_an_empty_canister(user: User) -> None:
    canister = await user.create()
    error = await rejected(canister.install(SET_UP.trap("in init")))
    assert (error.code, error.error_code) == (5, "IC0503") and "in init" in error.message
    status = await canister.status()
    assert status["module_hash"] is None and status["memory_metrics"]["stable_memory_size"] == 0


async def test_an_upgrade_keeps_stable_memory_and_drops_the_rest(prepared: Canister, other: Canister) -> None:
    before = await seen(prepared, other)
    await prepared.upgrade()
    after = await seen(prepared, other)
    assert (after.heap, after.stable, after.certified_data) == (b"", before.stable, before.certified_data)
    assert after.timer == 0  # deactivated by every change of the module


async def test_a_reinstall_drops_everything(prepared: Canister, other: Canister) -> None:
    await prepared.reinstall(P.stable64_grow(1).drop())
    after = await seen(prepared, other)
    assert (after.heap, after.stable, after.certified_data, after.timer) == (b"", bytes(6), b"", 0)


# -------------------------------------------------------------------------------------------- globals, tables

GLOBALS = wasmtime.wat2wasm("""
    (module
      (import "ic0" "msg_reply" (func $reply))
      (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
      (memory 1)
      (global $counter (mut i32) (i32.const 7))
      (func $increment (global.set $counter (i32.add (global.get $counter) (i32.const 1))))
      (func (export "canister_update fail") (call $increment) (unreachable))
      (func (export "canister_update increment") (call $increment) (call $reply))
      (func (export "canister_query increment_in_query") (call $increment) (call $reply))
      (func (export "canister_query get")
        (i32.store (i32.const 0) (global.get $counter))
        (call $append (i32.const 0) (i32.const 4))
        (call $reply)))
""")


async def test_globals_are_state_like_memory(user: User) -> None:
    canister = await user.install(module=bytes(GLOBALS))
    assert number(await canister.query(P, "get")) == 7
    await canister.update(P, "increment")
    await rejected(canister.update(P, "fail"))
    await canister.query(P, "increment_in_query")
    assert number(await canister.query(P, "get")) == 8


async def test_a_call_to_nobody_returns_the_cycles(prepared: Canister) -> None:
    before = (await prepared.status())["cycles"]
    await prepared.update(P.call(ABSENT, b"", cycles=50 * TRILLION, on_reject=P.reply()))
    assert before - (await prepared.status())["cycles"] < 10**9
