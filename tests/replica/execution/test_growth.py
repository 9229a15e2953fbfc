"""Interface Specification, "Memory allocation": memories grow as far as settings, cycles and limits allow."""

from __future__ import annotations

import struct

import pytest

from icmigrate.protocol.principal import Principal
from icmigrate.replica.state.canister import Canister
from icmigrate.replica.state.limits import Limits
from icmigrate.replica.state.responses import Reject
from icmigrate.replica.state.settings import Settings
from tests.worlds.bare_replica import STRANGER, TRILLION, BareWorld, open_world, rejected, wasm

PAGE = 65_536
GROW = """(func $grow (call $msg_arg_data_copy (i32.const 0) (i32.const 0) (i32.const 8))
    (i64.store (i32.const 0) (i64.extend_i32_u (memory.grow (i32.load (i32.const 0)))))
    (call $debug_print (i32.const 64) (i32.const 5))
    (call $msg_reply_data_append (i32.const 0) (i32.const 8)) (call $msg_reply))
  (func $stable (call $msg_arg_data_copy (i32.const 0) (i32.const 0) (i32.const 8))
    (i64.store (i32.const 0) (call $stable64_grow (i64.load (i32.const 0))))
    (call $msg_reply_data_append (i32.const 0) (i32.const 8)) (call $msg_reply))
  (data (i32.const 64) "grown")
  (export "canister_update grow" (func $grow)) (export "canister_query grow_only" (func $grow))
  (export "canister_update stable" (func $stable))
  (func (export "canister_update timer") (drop (call $global_timer_set (i64.const 1))) (call $msg_reply))
  (func (export "canister_global_timer") (drop (memory.grow (i32.const 1))))"""
NEVER = struct.pack("<q", (1 << 32) - 1)


async def change_settings(world: BareWorld, canister_id: Principal, **settings: object) -> None:
    state = world.state(canister_id)
    changed = Settings(**{**_as_dict(state.settings), **settings})  # type: ignore[arg-type]
    await world.change(canister_id, lambda changes: changes.put(state.with_(settings=changed)))


def _as_dict(settings: Settings) -> dict[str, object]:
    return {name: getattr(settings, name) for name in Settings.__dataclass_fields__}


def heap(canister: Canister) -> int:
    return canister.memory.heap_pages


async def test_growing_beyond_the_wasm_memory_limit_ends_the_message_there(world: BareWorld) -> None:
    canister_id = await world.canister(wasm(GROW))
    await change_settings(world, canister_id, wasm_memory_limit=4 * PAGE)
    assert await world.call(canister_id, "grow", struct.pack("<Q", 2)) == struct.pack("<Q", 2)
    reject = rejected(await world.update(canister_id, "grow", struct.pack("<Q", 1)), "IC0539")
    assert (
        f"Canister exceeded its current Wasm memory limit of {4 * PAGE} bytes. "
        f"The peak Wasm memory usage was {5 * PAGE} bytes. If the canister reaches 4GiB"
    ) in reject.message
    assert heap(world.state(canister_id)) == 4
    printed = [record.content for record in world.state(canister_id).logs]
    assert printed.count(b"grown") == 1  # the message that may not grow did not go on after memory.grow


async def test_the_wasm_memory_limit_holds_neither_for_queries_nor_for_tasks(world: BareWorld) -> None:
    canister_id = await world.canister(wasm(GROW))
    await change_settings(world, canister_id, wasm_memory_limit=2 * PAGE)
    assert await world.ask(canister_id, "grow_only", struct.pack("<Q", 1)) == struct.pack("<Q", 2)
    await world.call(canister_id, "timer")
    await world.until(lambda: heap(world.state(canister_id)) == 3)


async def test_the_wasm_memory_limit_holds_for_installation(world: BareWorld) -> None:
    canister_id = await world.create()
    await change_settings(world, canister_id, wasm_memory_limit=2 * PAGE)
    with pytest.raises(Exception, match="IC0539"):
        await world.install(canister_id, wasm('(func (export "canister_init") (drop (memory.grow (i32.const 1))))'))
    assert world.state(canister_id).module is None


async def test_a_heap_grows_to_4_gib_and_no_further(world: BareWorld) -> None:
    canister_id = await world.canister(wasm(GROW), cycles=10_000 * TRILLION)
    assert await world.ask(canister_id, "grow_only", struct.pack("<Q", 65_534)) == struct.pack("<Q", 2)
    assert await world.ask(canister_id, "grow_only", struct.pack("<Q", 65_535)) == NEVER


async def test_a_64_bit_heap_grows_to_6_gib_and_no_further(world: BareWorld) -> None:
    module = wasm(
        """(func (export "canister_query grow") (i64.store (i64.const 0) (memory.grow (i64.const 98303)))
        (i64.store (i64.const 8) (memory.grow (i64.const 1)))
        (call $msg_reply_data_append (i64.const 0) (i64.const 16)) (call $msg_reply))""",
        "(memory i64 1)",
    ).replace(b"\x60\x02\x7f\x7f\x00", b"\x60\x02\x7e\x7e\x00")
    canister_id = await world.canister(module)
    assert struct.unpack("<qq", await world.ask(canister_id, "grow")) == (1, -1)


async def test_stable_memory_grows_to_its_limit_and_no_further() -> None:
    world = await open_world(limits=Limits(stable_pages=10))
    canister_id = await world.canister(wasm(GROW))
    for pages, answer in ((10, 0), (0, 10), (1, -1), ((1 << 64) - 1, -1)):
        assert await world.call(canister_id, "stable", struct.pack("<Q", pages)) == struct.pack("<q", answer)
    await world.subnet.close()


@pytest.mark.parametrize("method", ["grow", "stable"])
async def test_memory_that_would_freeze_the_canister_is_refused_when_it_grows(world: BareWorld, method: str) -> None:
    """200 MiB for a month cost 64 billion cycles; who controls the canister is told what is missing."""
    canister_id = await world.canister(wasm(GROW), cycles=TRILLION // 10)
    pages = struct.pack("<Q", 3200)
    owner = rejected(await world.update(canister_id, method, pages), "IC0532")
    message = world.ingress(canister_id, method, pages, STRANGER)
    await world.subnet.submit(message)
    stranger = rejected(await world.answer(message.request_id), "IC0532")
    text = f"Canister cannot grow memory by {3200 * PAGE} bytes due to insufficient cycles."
    assert f"{text} At least " in owner.message
    assert text in stranger.message and "At least" not in stranger.message
    assert heap(world.state(canister_id)) == 2
    assert world.state(canister_id).memory.stable_pages == 0


async def test_an_installation_that_would_freeze_the_canister_is_refused_at_its_end(world: BareWorld) -> None:
    canister_id = await world.create(cycles=TRILLION // 10)
    big = wasm('(func (export "canister_init") (drop (call $stable64_grow (i64.const 6400))))')
    with pytest.raises(Exception, match="IC0532"):
        await world.install(canister_id, big)
    assert world.state(canister_id).module is None


async def test_no_more_pages_of_stable_memory_can_be_written_than_a_message_may() -> None:
    world = await open_world(limits=Limits(dirty_pages_update=4, dirty_pages_query=2))
    write = """(func $write (param $n i32) (drop (call $stable64_grow (i64.const 1)))
        (loop $more (local.set $n (i32.sub (local.get $n) (i32.const 1)))
          (call $stable64_write (i64.extend_i32_u (i32.mul (local.get $n) (i32.const 4096)))
            (i64.const 0) (i64.const 9))
          (br_if $more (local.get $n)))
        (call $msg_reply))"""
    names = [("update", 4), ("update", 5), ("query", 2), ("query", 3)]
    methods = " ".join(
        f'(func (export "canister_{kind} {kind}{n}") (call $write (i32.const {n})))' for kind, n in names
    )
    canister_id = await world.canister(wasm(write + methods))
    await world.call(canister_id, "update4")
    await world.ask(canister_id, "query2")
    for response in (await world.update(canister_id, "update5"), await world.query(canister_id, "query3")):
        message = rejected(response, "IC0524").message
        assert "Exceeded the limit for the number of modified pages" in message
        assert "limit 16 KB for regular messages" in message and "8 KB for queries" in message
    await world.subnet.close()


COMPOSITE = """(table funcref (elem $on_reply $on_cleanup))
  (func (export "canister_query size") (i32.store (i32.const 0) (memory.size))
    (call $msg_reply_data_append (i32.const 0) (i32.const 4)) (call $msg_reply))
  (func (export "canister_composite_query go")
    (drop (memory.grow (i32.const 1))) (i32.store (i32.const 150000) (i32.const 77))
    (call $ask (i32.const 1)))
  (func $ask (param $cleanup i32)
    (call $msg_arg_data_copy (i32.const 16) (i32.const 0) (i32.const 10))
    (call $call_new (i32.const 16) (i32.const 10) (i32.const 32) (i32.const 4)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
    (if (local.get $cleanup) (then (call $call_on_cleanup (i32.const 1) (i32.const 0))))
    (drop (call $call_perform)))
  (func $on_reply (param i32)
    (drop (memory.grow (i32.const 3))) (i32.store (i32.const 150000) (i32.const 1)) unreachable)
  (func $on_cleanup (param i32)
    (i32.store (i32.const 0) (memory.size)) (i32.store (i32.const 4) (i32.load (i32.const 150000)))
    (call $debug_print (i32.const 0) (i32.const 8))
    (call $trap (i32.const 0) (i32.const 8)))
  (data (i32.const 32) "size")"""


async def test_a_composite_callback_that_grew_the_heap_and_trapped_leaves_it_as_it_was(world: BareWorld) -> None:
    """The cleanup says what it sees, in its own trap: what the method grew and wrote, and nothing of the callback."""
    canister_id = await world.canister(wasm(COMPOSITE))
    other = await world.canister(wasm(COMPOSITE))
    answer = await world.query(canister_id, "go", other.bytes)
    assert isinstance(answer, Reject)
    seen = struct.pack("<II", 3, 77).decode()
    assert f"call_on_cleanup also failed:\n\nCanister called `ic0.trap` with message: '{seen}'" in answer.message
    assert await world.ask(canister_id, "size") == struct.pack("<I", 2)
