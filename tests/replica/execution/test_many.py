"""Many canisters, timers, time, and work side by side."""

from __future__ import annotations

import asyncio
import hashlib
import struct
from pathlib import Path

from icmigrate.replica.state.limits import Limits
from icmigrate.replica.state.responses import Reply
from icmigrate.replica.storage import compiled_files
from icmigrate.replica.wasm.module import REWRITE_VERSION
from tests.replica.execution.test_durability import COUNTER
from tests.worlds.bare_replica import BareWorld, open_world, rejected, wasm


async def test_three_hundred_canisters_share_a_module_and_few_stay_in_memory(tmp_path: Path) -> None:
    world = await open_world(tmp_path, Limits(warm_instances=16))
    canisters = [await world.create() for _ in range(300)]
    await asyncio.gather(*(world.install(canister_id, COUNTER) for canister_id in canisters))
    answers = await asyncio.gather(*(world.call(canister_id, "count") for canister_id in canisters))
    assert set(answers) == {struct.pack("<I", 1)}
    assert len(world.subnet.executor.instances._warm) <= 16
    prefix = f"{hashlib.sha256(COUNTER).hexdigest()}.{REWRITE_VERSION}."
    assert len(compiled_files.names(world.subnet.store.compiled, prefix)) == 1
    await world.subnet.close()

    world = await open_world(tmp_path)
    assert not world.subnet.executor.instances._warm
    assert await world.call(canisters[123], "count") == struct.pack("<I", 2)
    await world.subnet.close()


TIMERS = """
  (func (export "canister_update at") (call $msg_arg_data_copy (i32.const 0) (i32.const 0) (i32.const 8))
    (i64.store (i32.const 8) (call $global_timer_set (i64.load (i32.const 0))))
    (call $msg_reply_data_append (i32.const 8) (i32.const 8)) (call $msg_reply))
  (func (export "canister_update now") (i64.store (i32.const 8) (call $time))
    (call $msg_reply_data_append (i32.const 8) (i32.const 8)) (call $msg_reply))
  (func (export "canister_global_timer") (i32.store (i32.const 16) (i32.add (i32.load (i32.const 16)) (i32.const 1))))
  (func (export "canister_query fired") (call $msg_reply_data_append (i32.const 16) (i32.const 4)) (call $msg_reply))
"""


async def test_a_timer_fires_once_when_its_time_has_come(world: BareWorld) -> None:
    canister_id = await world.canister(wasm(TIMERS))
    (now,) = struct.unpack("<Q", await world.call(canister_id, "now"))
    due = now + 3_600_000_000_000
    assert await world.call(canister_id, "at", struct.pack("<Q", due)) == bytes(8)
    assert await world.call(canister_id, "at", struct.pack("<Q", due)) == struct.pack("<Q", due)
    await world.subnet.settle()
    assert await world.ask(canister_id, "fired") == bytes(4)
    world.clock.advance(3601)
    await world.until(lambda: not world.state(canister_id).global_timer)
    assert await world.ask(canister_id, "fired") == struct.pack("<I", 1)


async def test_a_timer_that_is_always_due_does_not_keep_messages_waiting(world: BareWorld) -> None:
    canister_id = await world.canister(
        wasm(
            """
            (func $again (drop (call $global_timer_set (i64.const 1))))
            (func (export "canister_init") (call $again))
            (func (export "canister_global_timer") (call $again))
            (func (export "canister_update u") (call $msg_reply))
            """
        )
    )
    assert await world.call(canister_id, "u") == b""


async def test_time_never_goes_back_within_a_canister(world: BareWorld) -> None:
    canister_id = await world.canister(wasm(TIMERS))
    times = [struct.unpack("<Q", await world.call(canister_id, "now"))[0] for _ in range(5)]
    assert times == sorted(set(times))


SPIN = """
  (func (export "canister_update spin") (local $i i64)
    (loop $l
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (br_if $l (i64.lt_u (local.get $i) (i64.const 300000000))))
    (call $msg_reply))
"""


async def test_a_busy_canister_holds_up_nobody_else(world: BareWorld) -> None:
    busy, other = await world.canister(wasm(SPIN)), await world.canister(COUNTER)
    request_id = await world.send(busy, "spin")
    for _ in range(5):
        await world.call(other, "count")
        await world.ask(other, "all")
    status = world.subnet.ingress_status(request_id)
    assert status is not None and not status.is_terminal
    assert isinstance(await world.answer(request_id), Reply)


async def test_a_busy_canister_answers_queries_from_the_state_before_and_takes_messages_in(world: BareWorld) -> None:
    spinning = SPIN.replace("(loop", "(i32.store (i32.const 0) (i32.const 7)) (loop").replace("300000000", "1500000000")
    busy = await world.canister(
        wasm(
            spinning
            + """
            (func (export "canister_inspect_message") (call $accept_message))
            (func (export "canister_query get")
              (call $msg_reply_data_append (i32.const 0) (i32.const 4)) (call $msg_reply))
            """
        )
    )
    request_id = await world.send(busy, "spin")
    assert await world.ask(busy, "get") == bytes(4)
    assert await world.subnet.inspect_message(world.ingress(busy, "spin")) is None
    status = world.subnet.ingress_status(request_id)
    assert status is not None and not status.is_terminal
    await world.answer(request_id)
    assert await world.ask(busy, "get") == b"\7\0\0\0"


async def test_several_busy_canisters_hold_up_nobody_else(world: BareWorld) -> None:
    busy = [await world.canister(wasm(SPIN)) for _ in range(3)]
    other = await world.canister(COUNTER)
    sent = [await world.send(canister_id, "spin") for canister_id in busy]
    await world.ask(other, "all")
    await world.call(other, "count")
    statuses = [world.subnet.ingress_status(request_id) for request_id in sent]
    assert not any(status is None or status.is_terminal for status in statuses)
    for request_id in sent:
        assert isinstance(await world.answer(request_id), Reply)


async def test_a_message_that_waited_too_long_is_not_executed(world: BareWorld) -> None:
    canister_id = await world.canister(COUNTER)
    message = world.ingress(canister_id, "count")
    world.clock.advance(600)
    await world.subnet.submit(message)
    rejected(await world.answer(message.request_id), "IC0202")


async def test_storage_is_paid_over_time_and_who_cannot_pay_loses_its_code(world: BareWorld) -> None:
    rich, poor = await world.canister(COUNTER), await world.canister(COUNTER, cycles=60_000_000_000)
    before = world.state(rich).cycles
    world.clock.advance(86_400)
    await world.until(lambda: world.state(rich).cycles != before)
    idle = world.subnet.fees.idle_per_day(world.state(rich))
    assert abs(before - world.state(rich).cycles - idle) <= idle // 100
    world.clock.advance(86_400 * 3000)
    await world.until(lambda: world.state(poor).module is None)
    assert world.state(poor).cycles == 0 and world.state(poor).memory.heap_pages == 0
    rejected(await world.update(poor, "count"), "IC0207")


async def test_a_duplicate_request_is_executed_once(world: BareWorld) -> None:
    canister_id = await world.canister(COUNTER)
    message = world.ingress(canister_id, "count")
    await asyncio.gather(*(world.subnet.submit(message) for _ in range(8)))
    await world.answer(message.request_id)
    await world.subnet.submit(message)
    await world.subnet.settle()
    assert await world.call(canister_id, "count") == struct.pack("<I", 2)
