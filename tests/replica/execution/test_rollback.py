"""Interface Specification, "Entry points": a trap undoes everything, a success keeps everything."""

from __future__ import annotations

import pytest

from icmigrate.replica.engine import dirty_pages
from icmigrate.replica.errors.rejected import Rejected
from icmigrate.replica.execution import instance
from tests.worlds.bare_replica import TRILLION, BareWorld, rejected, wasm

# Bytes 0..7 of the heap, of stable memory and the global $g are counters; "change" raises all and more.
COUNTERS = """
  (global $g (mut i64) (i64.const 0)) (global $v (mut v128) (v128.const i64x2 0 0))
  (data (i32.const 1000) "going down")
  (func $change
    (i64.store (i32.const 0) (i64.add (i64.load (i32.const 0)) (i64.const 1)))
    (global.set $g (i64.add (global.get $g) (i64.const 1)))
    (global.set $v (i64x2.add (global.get $v) (v128.const i64x2 1 1)))
    (if (i64.eqz (call $stable64_size)) (then (drop (call $stable64_grow (i64.const 2)))))
    (call $stable64_write (i64.const 70000) (i64.const 0) (i64.const 8))
    (call $certified_data_set (i32.const 0) (i32.const 8))
    (drop (call $global_timer_set (i64.const 0x7000000000000000))))
  (func (export "canister_update change") (call $change) (call $msg_reply))
  (func (export "canister_update trap") (call $change) (call $debug_print (i32.const 1000) (i32.const 5))
    (call $trap (i32.const 1000) (i32.const 10)))
  (func (export "canister_update unreachable") (call $change) unreachable)
  (func (export "canister_update spin") (call $change) (loop $l (br $l)))
  (func (export "canister_update silent") (call $change))
  (func (export "canister_update reject") (call $change) (call $msg_reject (i32.const 1000) (i32.const 5)))
  (func (export "canister_update twice") (call $change) (call $msg_reply) (call $msg_reply))
  (func (export "canister_update outside") (call $change) (drop (i32.load (i32.const -4))))
  (func (export "canister_update beyond") (call $change)
    (call $stable64_write (i64.const 131070) (i64.const 0) (i64.const 8)))
  (func (export "canister_update grow_trap") (call $change) (drop (memory.grow (i32.const 3)))
    (drop (call $stable64_grow (i64.const 5))) (i32.store (i32.const 140000) (i32.const 9))
    (call $stable64_write (i64.const 140000) (i64.const 0) (i64.const 8)) unreachable)
  (func $deeper (param i32) (result i32) (i32.add (i32.const 1) (call $deeper (local.get 0))))
  (func (export "canister_update recurse") (call $change) (drop (call $deeper (i32.const 1))))
  (func (export "canister_update grow") (drop (memory.grow (i32.const 3)))
    (drop (call $stable64_grow (i64.const 5))) (i32.store (i32.const 140000) (i32.const 9)) (call $msg_reply))
  (func (export "canister_update divide") (call $change)
    (drop (i32.div_u (i32.const 1) (i32.load (i32.const 2000)))))
  (func $read
    (if (i64.ne (call $stable64_size) (i64.const 0)) (then
      (call $stable64_read (i64.const 8) (i64.const 70000) (i64.const 8))))
    (i64.store (i32.const 16) (global.get $g)) (v128.store (i32.const 24) (global.get $v))
    (i64.store (i32.const 40) (call $stable64_size)) (i32.store (i32.const 48) (memory.size))
    (call $msg_reply_data_append (i32.const 0) (i32.const 52)) (call $msg_reply))
  (func (export "canister_query read") (call $read))
  (func (export "canister_query change_in_query") (call $change_heap) (call $msg_reply))
  (func (export "canister_query trap_in_query") (call $change_heap) unreachable)
  (func (export "canister_update query_as_update") (call $msg_reply))
  (func $change_heap
    (i64.store (i32.const 0) (i64.const -1)) (global.set $g (i64.const -1))
    (drop (call $stable64_grow (i64.const 1))) (call $stable64_write (i64.const 0) (i64.const 0) (i64.const 8)))
"""
TRAPS = {
    "trap": ("IC0503", "Canister called `ic0.trap` with message: 'going down'"),
    "unreachable": ("IC0502", "Canister trapped: unreachable"),
    "twice": ("IC0504", "ic0.msg_reply: the call is already replied"),
    "outside": ("IC0502", "Canister trapped: heap out of bounds"),
    "beyond": ("IC0502", "Canister trapped: stable memory out of bounds"),
    "grow_trap": ("IC0502", "Canister trapped: unreachable"),
    "recurse": ("IC0502", "Canister trapped: stack overflow"),
    "divide": ("IC0502", "Canister trapped: integer division by 0"),
}


@pytest.fixture(params=["kernel", "shadow"])
def tracking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of finding dirty pages."""
    if request.param == "kernel" and not dirty_pages.KernelDirtyPages.available():
        pytest.skip("this kernel has no asynchronous write protection")
    if request.param == "shadow":
        monkeypatch.setattr(instance, "follow", dirty_pages.ShadowDirtyPages)
    return str(request.param)


@pytest.mark.parametrize("method", TRAPS)
async def test_a_trap_leaves_no_trace(world: BareWorld, tracking: str, method: str) -> None:
    canister_id = await world.canister(wasm(COUNTERS))
    for _ in range(2):
        await world.call(canister_id, "change")
    before, record = await world.ask(canister_id, "read"), world.state(canister_id)
    code, text = TRAPS[method]
    reject = rejected(await world.update(canister_id, method), code)
    assert reject.message.startswith(f"Error from Canister {canister_id.to_str()}: ") and text in reject.message
    after = world.state(canister_id)
    assert await world.ask(canister_id, "read") == before
    assert after.certified_data == record.certified_data and after.global_timer == record.global_timer
    assert after.memory == record.memory and after.version == record.version
    await world.call(canister_id, "change")
    assert (await world.ask(canister_id, "read"))[:8] == (3).to_bytes(8, "little")


async def test_a_success_keeps_heap_stable_memory_and_globals(world: BareWorld, tracking: str) -> None:
    canister_id = await world.canister(wasm(COUNTERS))
    for _ in range(5):
        await world.call(canister_id, "change")
    five = (5).to_bytes(8, "little")
    assert (await world.ask(canister_id, "read"))[:40] == five * 5
    world.subnet.executor.instances.forget(canister_id)
    assert (await world.ask(canister_id, "read"))[:40] == five * 5


async def test_memory_that_grew_is_there_after_the_instance_was_dropped(world: BareWorld, tracking: str) -> None:
    canister_id = await world.canister(wasm(COUNTERS))
    await world.call(canister_id, "grow")
    await world.call(canister_id, "change")
    expected = await world.ask(canister_id, "read")
    assert expected[40:48] == (5).to_bytes(8, "little") and expected[48] == 5
    world.subnet.executor.instances.forget(canister_id)
    assert await world.ask(canister_id, "read") == expected


async def test_no_reply_is_a_reject_that_keeps_the_changes(world: BareWorld) -> None:
    canister_id = await world.canister(wasm(COUNTERS))
    reject = rejected(await world.update(canister_id, "silent"), "IC0506")
    assert reject.message == f"Canister {canister_id.to_str()} did not reply to the call"
    assert (await world.ask(canister_id, "read"))[0] == 1


async def test_an_explicit_reject_keeps_the_changes(world: BareWorld) -> None:
    canister_id = await world.canister(wasm(COUNTERS))
    reject = rejected(await world.update(canister_id, "reject"), "IC0406")
    assert reject.message == "going" and reject.code == 4
    assert (await world.ask(canister_id, "read"))[0] == 1


@pytest.mark.parametrize("method", ["change_in_query", "trap_in_query"])
async def test_a_query_leaves_no_trace(world: BareWorld, tracking: str, method: str) -> None:
    canister_id = await world.canister(wasm(COUNTERS))
    await world.call(canister_id, "change")
    before = await world.ask(canister_id, "read")
    for _ in range(3):
        await world.query(canister_id, method)
        assert await world.ask(canister_id, "read") == before


async def test_an_endless_loop_runs_out_of_instructions_and_is_undone(world: BareWorld) -> None:
    object.__setattr__(world.subnet.limits, "update_instructions", 10_000_000)
    canister_id = await world.canister(wasm(COUNTERS))
    reject = rejected(await world.update(canister_id, "spin"), "IC0522")
    assert "exceeded the limit of 10000000 instructions" in reject.message
    assert (await world.ask(canister_id, "read"))[0] == 0


async def test_traps_and_prints_are_logged(world: BareWorld) -> None:
    canister_id = await world.canister(wasm(COUNTERS))
    await world.update(canister_id, "trap")
    logs = world.state(canister_id).logs
    assert [record.content for record in logs] == [b"going", b"[TRAP]: going down"]
    assert [record.idx for record in logs] == [0, 1]


async def test_a_failing_message_is_paid_for(world: BareWorld) -> None:
    canister_id = await world.canister(wasm(COUNTERS), cycles=100 * TRILLION)
    before = world.state(canister_id).cycles
    await world.update(canister_id, "unreachable")
    spent = before - world.state(canister_id).cycles
    assert 5_000_000 < spent < 10_000_000


HOOKS = """
  (func $mark (param i32) (i32.store (i32.const 64) (local.get 0)) (drop (call $stable64_grow (i64.const 1)))
    (call $stable64_write (i64.const 0) (i64.const 64) (i64.const 4))
    (call $certified_data_set (i32.const 64) (i32.const 4))
    (drop (call $global_timer_set (i64.const 0x7000000000000000))))
"""


@pytest.mark.parametrize(
    ("failing", "export"),
    [
        ("the old pre_upgrade", "canister_pre_upgrade"),
        ("the new post_upgrade", "canister_post_upgrade"),
        ("the new start function", "start"),
    ],
)
async def test_an_upgrade_whose_hook_traps_changes_nothing(world: BareWorld, failing: str, export: str) -> None:
    pre = "unreachable" if export == "canister_pre_upgrade" else ""
    old = wasm(COUNTERS + HOOKS + f'(func (export "canister_pre_upgrade") (call $mark (i32.const 7)) {pre})')
    if export == "start":
        new = wasm(COUNTERS + "(start $s) (func $s unreachable)")
    else:
        new = wasm(COUNTERS + HOOKS + '(func (export "canister_post_upgrade") (call $mark (i32.const 8)) unreachable)')
    canister_id = await world.canister(old)
    await world.call(canister_id, "change")
    before, record = await world.ask(canister_id, "read"), world.state(canister_id)
    with pytest.raises(Rejected) as refused:
        await world.install(canister_id, new, mode="upgrade")
    assert refused.value.reject.error_code == "IC0502"
    after = world.state(canister_id)
    assert await world.ask(canister_id, "read") == before
    assert (after.module, after.certified_data, after.global_timer, after.memory, after.version) == (
        record.module, record.certified_data, record.global_timer, record.memory, record.version,
    )  # fmt: skip
    assert after.cycles < record.cycles


async def test_an_upgrade_keeps_stable_memory_and_begins_with_a_fresh_heap(world: BareWorld, tracking: str) -> None:
    canister_id = await world.canister(wasm(COUNTERS))
    for _ in range(3):
        await world.call(canister_id, "change")
    await world.install(canister_id, wasm(COUNTERS), mode="upgrade")
    answer = await world.ask(canister_id, "read")
    assert answer[:8] == bytes(8) and answer[8] == 3 and answer[16] == 0
    assert world.state(canister_id).global_timer == 0
    world.subnet.executor.instances.forget(canister_id)
    assert await world.ask(canister_id, "read") == answer


async def test_a_reinstall_forgets_everything(world: BareWorld, tracking: str) -> None:
    canister_id = await world.canister(wasm(COUNTERS))
    await world.call(canister_id, "change")
    await world.install(canister_id, wasm(COUNTERS), mode="reinstall")
    assert (await world.ask(canister_id, "read"))[:48] == bytes(48)
    assert world.state(canister_id).certified_data == b""
    world.subnet.executor.instances.forget(canister_id)
    assert (await world.ask(canister_id, "read"))[:48] == bytes(48)


async def test_skip_pre_upgrade_goes_past_a_broken_hook(world: BareWorld) -> None:
    canister_id = await world.canister(wasm(COUNTERS + '(func (export "canister_pre_upgrade") unreachable)'))
    await world.install(canister_id, wasm(COUNTERS), mode="upgrade", skip_pre_upgrade=True)
    await world.call(canister_id, "change")


async def test_a_kept_heap_survives_the_upgrade(world: BareWorld) -> None:
    persistent = COUNTERS + '(@custom "icp:private enhanced-orthogonal-persistence" "")'
    canister_id = await world.canister(wasm(persistent))
    await world.call(canister_id, "change")
    await world.install(
        canister_id, wasm(persistent + "(start $s) (func $s)"), mode="upgrade", wasm_memory_persistence="keep"
    )
    answer = await world.ask(canister_id, "read")
    assert answer[0] == 1 and answer[16] == 0  # the heap is kept, the globals are the new module's


async def test_a_second_installation_is_refused(world: BareWorld) -> None:
    canister_id = await world.canister(wasm(COUNTERS))
    with pytest.raises(Rejected, match="IC0514"):
        await world.install(canister_id, wasm(COUNTERS))


TRAPPING_INIT = '(func (export "canister_init") (call $trap (i32.const 0) (i32.const 0)))'


async def test_a_failing_init_leaves_the_canister_empty(world: BareWorld) -> None:
    canister_id = await world.create()
    with pytest.raises(Rejected, match="IC0503"):
        await world.install(
            canister_id, wasm('(func (export "canister_init") (call $trap (i32.const 0) (i32.const 0)))')
        )
    assert world.state(canister_id).module is None
    rejected(await world.update(canister_id, "anything"), "IC0537")
