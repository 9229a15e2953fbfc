"""What was acknowledged survives SIGKILL, and nothing is there by halves."""

from __future__ import annotations

import asyncio
import os
import random
import struct
import sys
from pathlib import Path

import pytest

from icmigrate.replica.state.calls import IngressState
from icmigrate.replica.state.limits import Limits
from icmigrate.replica.state.responses import Reject
from icmigrate.replica.storage.errors import StateInUse
from tests.processes import started
from tests.replica.execution.planner import PLANNER, Plan
from tests.worlds.bare_replica import TRILLION, BareWorld, open_world, wasm

# The counter is kept in the heap, in a global and in stable memory, and in many pages of both memories.
COUNTER = wasm(
    """
  (global $g (mut i32) (i32.const 0))
  (func (export "canister_init") (drop (call $stable64_grow (i64.const 40))))
  (func (export "canister_update count") (local $i i32)
    (global.set $g (i32.add (global.get $g) (i32.const 1)))
    (i32.store (i32.const 0) (global.get $g))
    (loop $l
      (i32.store (i32.add (i32.const 131072) (i32.mul (local.get $i) (i32.const 4096))) (global.get $g))
      (call $stable64_write (i64.extend_i32_u (i32.mul (local.get $i) (i32.const 20480)))
        (i64.const 0) (i64.const 4))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (i32.const 100))))
    (call $msg_reply_data_append (i32.const 0) (i32.const 4)) (call $msg_reply))
  (func (export "canister_query all") (local $i i32)
    (i32.store (i32.const 8192) (global.get $g))
    (loop $l
      (i32.store (i32.add (i32.const 8196) (i32.mul (local.get $i) (i32.const 8)))
        (i32.load (i32.add (i32.const 131072) (i32.mul (local.get $i) (i32.const 4096)))))
      (call $stable64_read (i64.extend_i32_u (i32.add (i32.const 8200) (i32.mul (local.get $i) (i32.const 8))))
        (i64.extend_i32_u (i32.mul (local.get $i) (i32.const 20480))) (i64.const 4))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (i32.const 100))))
    (call $msg_reply_data_append (i32.const 8192) (i32.const 804)) (call $msg_reply))
""",
    '(memory (export "memory") 16)',
)


async def counts(world: BareWorld) -> list[int]:
    """The counters of all canisters, each of which must be the same in all its places."""
    found = []
    for canister_id in sorted(world.subnet.state.canisters):
        places = set(struct.unpack("<201I", await world.ask(canister_id, "all")))
        assert len(places) == 1, f"half a message: {places}"
        found.append(places.pop())
    return found


async def test_a_replica_killed_at_any_moment_comes_back_with_all_that_it_acknowledged(tmp_path: Path) -> None:
    random.seed(7)
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    acknowledged = [0, 0, 0]
    for _ in range(6):
        command = [sys.executable, "-m", "tests.replica.execution.crash_child", str(tmp_path)]
        with started(command, env=environment) as child:
            for _ in range(random.randint(5, 120)):
                number, count = map(int, child.line().split())
                acknowledged[number] = count
            child.process.kill()
            for line in child.lines():  # what it said before it died
                if line.endswith("\n"):
                    number, count = map(int, line.split())
                    acknowledged[number] = count
            child.ends()

        world = await open_world(tmp_path)
        await world.subnet.settle()
        after = await counts(world)
        assert all(have >= said for have, said in zip(after, acknowledged, strict=True))
        assert all(have <= said + 1 for have, said in zip(after, acknowledged, strict=True))
        acknowledged = after
        await world.subnet.close()


async def test_everything_is_there_after_closing_and_opening(tmp_path: Path) -> None:
    world = await open_world(tmp_path)
    canister_id = await world.canister(COUNTER)
    for _ in range(3):
        await world.call(canister_id, "count")
    request_id = await world.send(canister_id, "count")
    answer, before = await world.answer(request_id), world.state(canister_id)
    time = world.subnet.time_ns()
    await world.subnet.close()

    world = await open_world(tmp_path)
    assert await counts(world) == [4]
    after = world.state(canister_id)
    assert after == before
    assert world.subnet.ingress_status(request_id).response == answer  # type: ignore[union-attr]
    assert world.subnet.time_ns() > time
    await world.subnet.close()


async def test_an_accepted_message_is_executed_after_the_restart(tmp_path: Path) -> None:
    world = await open_world(tmp_path)
    canister_id = await world.canister(COUNTER)
    world.subnet.suspend()
    message = world.ingress(canister_id, "count")
    await world.subnet.submit(message)
    await world.subnet.close()

    world = await open_world(tmp_path)
    await world.answer(message.request_id)
    assert await counts(world) == [1]
    assert (await world.subnet.submit(message)).state is IngressState.REPLIED
    await world.subnet.settle()
    assert await counts(world) == [1]
    await world.subnet.close()


async def test_a_call_between_canisters_goes_on_after_the_restart(tmp_path: Path) -> None:
    world = await open_world(tmp_path)
    first, second = await world.canister(PLANNER), await world.canister(PLANNER)
    lock = world.subnet.scheduler.lock(second)
    await lock.acquire()  # the callee is busy
    request_id = await world.send(
        first, "go", Plan(callee=second, attach=TRILLION, then=Plan(accept=TRILLION)).encode()
    )
    async with asyncio.timeout(30):
        while not world.subnet.state.messages:
            await world.subnet.wait(request_id, 0.01)
    lock.release()
    world.subnet.suspend()
    await world.subnet.close()

    world = await open_world(tmp_path)
    await world.answer(request_id)
    assert world.state(second).cycles > 100 * TRILLION
    await world.subnet.close()


async def test_a_runaway_message_does_not_hold_up_closing_and_begins_anew_afterwards(tmp_path: Path) -> None:
    spinning = wasm('(func (export "canister_update spin") (loop $l (br $l)))')
    world = await open_world(tmp_path)
    canister_id = await world.canister(spinning)
    request_id = await world.send(canister_id, "spin")
    async with asyncio.timeout(30):
        while not world.subnet.scheduler.lock(canister_id).locked():
            await asyncio.sleep(0)
        await world.subnet.close()
    assert world.subnet.ingress_status(request_id).state is IngressState.RECEIVED  # type: ignore[union-attr]

    world = await open_world(tmp_path, limits=Limits(update_instructions=1_000_000))
    answer = await world.answer(request_id)
    assert isinstance(answer, Reject) and answer.error_code == "IC0522"
    await world.subnet.close()


async def test_folding_the_page_log_changes_nothing(tmp_path: Path) -> None:
    world = await open_world(tmp_path, Limits(page_log_bytes=1 << 16))
    canister_id = await world.canister(COUNTER)
    for expected in range(1, 6):
        await world.call(canister_id, "count")
        await world.subnet.settle()
        assert world.state(canister_id).memory.log_length == 0
        assert await counts(world) == [expected]
        world.subnet.executor.instances.forget(canister_id)
        assert await counts(world) == [expected]
    logs = list((tmp_path / "memory").glob("*.log.*"))
    assert not logs
    await world.subnet.close()


async def test_a_folder_is_open_once_at_a_time(tmp_path: Path) -> None:
    world = await open_world(tmp_path)
    with pytest.raises(StateInUse):
        await open_world(tmp_path)
    await world.subnet.close()
    await (await open_world(tmp_path)).subnet.close()


async def test_without_a_folder_nothing_is_left_behind() -> None:
    world = await open_world()
    folder = world.subnet.store.folder
    assert folder.exists()
    await world.subnet.close()
    assert not folder.exists()
