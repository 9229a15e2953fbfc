"""Interface Specification, "Heartbeat", "Global timer", "On Low Wasm Memory": what nobody calls."""

from __future__ import annotations

import asyncio
import time

import pytest

from icmigrate.replica.server import RunningReplica
from tests.replica.conformance.program import Program
from tests.worlds.users import Canister, Latch, User, number, rejected, user_of

P = Program()
PAGE = 65_536
SECOND = 10**9


# ------------------------------------------------------------------------------------------ global timer


async def test_a_timer_runs_once_when_its_time_has_come_and_is_then_off(canister: Canister) -> None:
    task = P.append(b"ran ").append(P.to_bytes(P.global_timer_set(0)))
    await canister.update(P.set_hook("global_timer", task).global_timer_set(1).drop().reply())
    await canister.settled()
    assert await canister.remembered() == b"ran " + bytes(8)  # off before the task begins
    await canister.update(P.reply())
    await canister.settled()
    assert await canister.remembered() == b"ran " + bytes(8)


async def test_a_timer_waits_for_its_time(replica_of_its_own: RunningReplica) -> None:
    async with user_of(replica_of_its_own) as user:
        canister = await user.install(P.set_hook("global_timer", P.append(b"x")))
        later = time.time_ns() + 60 * SECOND
        await canister.update(P.global_timer_set(later).drop().reply())
        await canister.settled()
        assert await canister.remembered() == b""
        replica_of_its_own.clock.advance(61)
        async with asyncio.timeout(10):
            while await canister.remembered() == b"":
                pass
        assert await canister.remembered() == b"x"


async def test_a_timer_can_set_itself_again(canister: Canister) -> None:
    again = P.if_(P.word("less", P.word("length", P.get()), 3), P.global_timer_set(1).drop())
    await canister.update(P.set_hook("global_timer", P.append(b"x").then(again)).global_timer_set(1).drop().reply())
    await canister.settled()
    assert await canister.remembered() == b"xxx"


async def test_a_timer_can_be_taken_back(canister: Canister) -> None:
    set_both = P.global_timer_set(1).drop().global_timer_set(0).drop()
    await canister.update(P.set_hook("global_timer", P.append(b"x")).then(set_both).reply())
    await canister.settled()
    assert await canister.remembered() == b""


async def test_a_timer_can_call_and_its_callbacks_run(canister: Canister, other: Canister) -> None:
    call = P.call(other.id, P.reply(b"called").code, on_reply=P.set(P.msg_arg_data()))
    await canister.update(P.set_hook("global_timer", call).global_timer_set(1).drop().reply())
    await canister.settled()
    assert await canister.remembered() == b"called"


async def test_a_timer_of_a_stopped_canister_waits_for_the_start(canister: Canister) -> None:
    await canister.update(P.set_hook("global_timer", P.append(b"x")).reply())
    far = time.time_ns() + 3600 * SECOND
    await canister.update(P.global_timer_set(far).drop().reply())
    await canister.stop()
    await canister.start()
    assert number(await canister.update(P.reply(P.global_timer_set(1)))) == far
    await canister.settled()
    assert await canister.remembered() == b"x"


@pytest.mark.parametrize("change", ["upgrade", "reinstall", "uninstall_code"])
async def test_a_change_of_the_module_takes_the_timer_off(canister: Canister, change: str) -> None:
    await canister.update(P.global_timer_set(1 << 63).drop().reply())
    if change == "uninstall_code":
        await canister.manage("uninstall_code")
        await canister.install()
    else:
        await getattr(canister, change)()
    assert number(await canister.update(P.reply(P.global_timer_set(0)))) == 0


FAR = 1 << 62
OLD = P.global_timer_set(FAR)


@pytest.mark.parametrize("before", ["set", "not set"])
async def test_setting_a_timer_gives_what_it_was(canister: Canister, before: str) -> None:
    values = [FAR, FAR + 1, 0, FAR] if before == "set" else [0, FAR, 0]
    seen = [number(await canister.update(P.reply(P.global_timer_set(value)))) for value in values]
    assert seen == [0, *values[:-1]]


async def test_a_timer_can_be_set_in_each_hook(canister: Canister) -> None:
    await canister.reinstall(P.set(P.to_bytes(OLD)))  # canister_init
    assert number(await canister.remembered()) == 0
    assert number(await canister.update(P.reply(OLD))) == FAR
    hook = P.stable64_grow(1).drop().stable64_write(0, P.to_bytes(P.global_timer_set(1)))
    await canister.update(P.set_hook("pre_upgrade", hook).reply())
    await canister.upgrade(P.set(P.to_bytes(OLD)))  # canister_post_upgrade sees none
    assert number(await canister.query(P.reply(P.stable64_read(0, 8)))) == FAR
    assert number(await canister.remembered()) == 0
    assert number(await canister.update(P.reply(OLD))) == FAR


async def test_a_task_that_sets_its_timer_sees_it_off(canister: Canister) -> None:
    await canister.update(P.set_hook("global_timer", P.set(P.to_bytes(OLD))).global_timer_set(1).drop().reply())
    await canister.settled()
    assert number(await canister.remembered()) == 0
    assert number(await canister.update(P.reply(P.global_timer_set(0)))) == FAR


@pytest.mark.parametrize("status", ["stopped", "stopping"])
async def test_a_timer_that_is_due_waits_until_the_canister_runs(user: User, canister: Canister, status: str) -> None:
    due = P.set_hook("global_timer", P.append(b"ran")).global_timer_set(1).drop()
    if status == "stopping":
        latch = await Latch.build(user)
        call = asyncio.create_task(canister.update(latch.call(on_reply=P.reply(), on_reject=P.reply())))
        await latch.is_held()
        stop = asyncio.create_task(canister.stop())
        async with asyncio.timeout(10):
            while (await canister.status())["status"] != "stopping":
                pass
    else:
        await canister.stop()
    await canister.upgrade(due)
    assert (await canister.status())["status"] == status
    await canister.start()
    await canister.settled()
    assert await canister.remembered() == b"ran"
    if status == "stopping":
        assert (await rejected(stop)).error_code == "IC0511"
        await latch.release()
        await rejected(call)


async def test_a_message_that_traps_sets_no_timer(canister: Canister) -> None:
    await rejected(canister.update(P.global_timer_set(FAR).drop().trap()))
    assert number(await canister.update(P.reply(OLD))) == 0
    await rejected(canister.upgrade(P.global_timer_set(1).drop().trap()))
    assert number(await canister.update(P.reply(P.global_timer_set(0)))) == FAR


async def test_a_timer_set_by_post_upgrade_stays(canister: Canister) -> None:
    await canister.upgrade(P.global_timer_set(1 << 63).drop())
    assert number(await canister.update(P.reply(P.global_timer_set(0)))) == 1 << 63


# ------------------------------------------------------------------------------------------ heartbeat


async def test_a_heartbeat_beats_again_and_again_while_the_canister_runs(replica_of_its_own: RunningReplica) -> None:
    async with user_of(replica_of_its_own) as user:
        canister = await user.install(P.set_hook("heartbeat", P.append(b"x")))

        async def beats() -> int:
            return len(await canister.remembered())

        for _ in range(2):
            before = await beats()
            replica_of_its_own.clock.advance(2)
            async with asyncio.timeout(10):
                while await beats() <= before:
                    pass
        await canister.stop()
        await canister.upgrade(P.set(b"silent"))
        replica_of_its_own.clock.advance(2)
        await canister.settled()
        await canister.start()
        assert (await canister.remembered()).rstrip(b"x") == b"silent"


async def test_a_heartbeat_beats_while_nothing_else_happens(replica_of_its_own: RunningReplica) -> None:
    async with user_of(replica_of_its_own) as user, asyncio.timeout(20):
        canister = await user.install(P.set_hook("heartbeat", P.append(b"x")))
        while len(await canister.remembered()) < 3:
            pass


async def test_a_heartbeat_that_traps_leaves_no_trace_and_beats_on(replica_of_its_own: RunningReplica) -> None:
    async with user_of(replica_of_its_own) as user:
        canister = await user.install(P.set_hook("heartbeat", P.set(b"x").trap("arrhythmia")))
        for count in (1, 2):
            async with asyncio.timeout(10):
                while (await canister.logs()).count(b"[TRAP]: arrhythmia") < count:
                    replica_of_its_own.clock.advance(1)
        assert await canister.remembered() == b""


# ------------------------------------------------------------------------------------------ low Wasm memory


async def test_the_hook_runs_when_the_remaining_memory_falls_below_the_threshold(canister: Canister) -> None:
    size = number(await canister.query(P.reply(P.word("memory_size")))) * PAGE
    await canister.set(wasm_memory_limit=size + 10 * PAGE, wasm_memory_threshold=5 * PAGE)
    await canister.update(P.set_hook("on_low_wasm_memory", P.append(b"low ")).reply())
    await canister.update(P.memory_grow(5).drop().reply())  # 5 pages remain: not less than the threshold
    await canister.settled()
    assert await canister.remembered() == b""
    await canister.update(P.memory_grow(1).drop().reply())
    await canister.settled()
    assert await canister.remembered() == b"low "
    await canister.update(P.memory_grow(1).drop().reply())  # it fell before
    await canister.settled()
    assert await canister.remembered() == b"low "


async def test_the_hook_runs_again_after_the_condition_was_over(canister: Canister) -> None:
    size = number(await canister.query(P.reply(P.word("memory_size")))) * PAGE
    await canister.update(P.set_hook("on_low_wasm_memory", P.append(b"low ")).reply())
    for threshold in (9 * PAGE, 0, 9 * PAGE):
        await canister.set(wasm_memory_limit=size + 5 * PAGE, wasm_memory_threshold=threshold)
        await canister.settled()
    assert await canister.remembered() == b"low low "


async def test_without_a_threshold_the_hook_never_runs(canister: Canister) -> None:
    await canister.update(P.set_hook("on_low_wasm_memory", P.append(b"low ")).memory_grow(100).drop().reply())
    await canister.settled()
    assert await canister.remembered() == b""


async def test_more_wasm_memory_than_the_limit_traps_in_updates_but_not_in_queries(canister: Canister) -> None:
    size = number(await canister.query(P.reply(P.word("memory_size")))) * PAGE
    await canister.set(wasm_memory_limit=size + PAGE)
    error = await rejected(canister.update(P.memory_grow(2).drop().reply()))
    assert (error.code, error.error_code) == (5, "IC0539")
    assert f"Canister exceeded its current Wasm memory limit of {size + PAGE} bytes." in error.message
    await canister.update(P.memory_grow(1).drop().reply())
    assert await canister.query(P.memory_grow(5).drop().reply(b"fine")) == b"fine"


async def test_the_user_of_a_system_task_is_nobody(user: User, canister: Canister) -> None:
    task = P.set(P.concat(P.msg_caller(), b"."))
    await canister.update(P.set_hook("global_timer", task).global_timer_set(1).drop().reply())
    await canister.settled()
    assert await canister.remembered() == b"."
