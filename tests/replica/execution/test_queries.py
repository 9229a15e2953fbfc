"""Interface Specification, "Query call", "Composite query" and "Ingress message inspection"."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from icmigrate.protocol.principal import Principal
from icmigrate.replica.state.canister import QueryStats
from icmigrate.replica.state.limits import Limits
from icmigrate.replica.state.responses import Reply, Response
from icmigrate.replica.subnet.native_canister import Deferred, NativeCall
from tests.worlds.bare_replica import STRANGER, BareWorld, open_world, rejected, wasm

# "ask" calls the query named in the argument: callee (10 bytes), flags (1 byte), method name.
COMPOSITE = wasm(
    """
  (table funcref (elem $answer $trap_once $cleanup))
  (global $g (mut i32) (i32.const 0))
  (func (export "canister_composite_query ask") (local $flags i32)
    (call $msg_arg_data_copy (i32.const 64) (i32.const 0) (call $msg_arg_data_size))
    (local.set $flags (i32.load8_u (i32.const 74)))
    (i32.store (i32.const 0) (i32.const 41)) (global.set $g (i32.const 1))
    (call $call_new (i32.const 64) (i32.const 10) (i32.const 75)
      (i32.sub (call $msg_arg_data_size) (i32.const 11))
      (local.get $flags) (i32.const 0) (local.get $flags) (i32.const 0))
    (call $call_on_cleanup (i32.const 2) (i32.const 0))
    (drop (call $call_perform)))
  (func $answer (param i32)
    (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (global.get $g)))
    (i32.store8 (i32.const 4) (call $msg_reject_code))
    (call $msg_reply_data_append (i32.const 0) (i32.const 5))
    (if (i32.eqz (call $msg_reject_code)) (then
      (call $msg_arg_data_copy (i32.const 512) (i32.const 0) (call $msg_arg_data_size))
      (call $msg_reply_data_append (i32.const 512) (call $msg_arg_data_size))))
    (call $msg_reply))
  (func $trap_once (param i32) (i32.store (i32.const 0) (i32.const 99)) (global.set $g (i32.const 99)) unreachable)
  (func $cleanup (param i32)
    (if (i32.ne (i32.load (i32.const 0)) (i32.const 41)) (then unreachable))
    (if (i32.ne (global.get $g) (i32.const 1)) (then unreachable)))
  (func (export "canister_query heap") (call $msg_reply_data_append (i32.const 0) (i32.const 4)) (call $msg_reply))
  (func (export "canister_query who") (call $msg_caller_copy (i32.const 0) (i32.const 0) (call $msg_caller_size))
    (call $msg_reply_data_append (i32.const 0) (call $msg_caller_size)) (call $msg_reply))
  (func (export "canister_query present") (i32.store8 (i32.const 0) (call $data_certificate_present))
    (call $msg_reply_data_append (i32.const 0) (i32.const 1)) (call $msg_reply))
  (func (export "canister_update change") (call $msg_reply))
"""
)


async def test_a_composite_query_asks_other_canisters_and_leaves_no_trace(world: BareWorld) -> None:
    first, second = await world.canister(COMPOSITE), await world.canister(COMPOSITE)
    answer = await world.ask(first, "ask", second.bytes + b"\0who")
    assert answer == b"\x2a\0\0\0\0" + first.bytes  # writes made before the call are seen by the callback
    assert await world.ask(first, "heap") == bytes(4)


async def test_the_called_canister_sees_no_certificate(world: BareWorld) -> None:
    first, second = await world.canister(COMPOSITE), await world.canister(COMPOSITE)
    assert await world.ask(first, "present") == b"\1"
    assert (await world.ask(first, "ask", second.bytes + b"\0present"))[5:] == b"\0"


async def test_a_trap_in_a_composite_callback_undoes_only_its_own_writes(world: BareWorld) -> None:
    first, second = await world.canister(COMPOSITE), await world.canister(COMPOSITE)
    reject = rejected(await world.query(first, "ask", second.bytes + b"\1who"), "IC0502")
    assert "cleanup" not in reject.message


async def test_updates_cannot_be_called_by_composite_queries(world: BareWorld) -> None:
    first, second = await world.canister(COMPOSITE), await world.canister(COMPOSITE)
    assert await world.ask(first, "ask", second.bytes + b"\0change") == b"\x2a\0\0\0\5"


async def test_a_canister_may_ask_itself_and_answers_from_its_committed_state(world: BareWorld) -> None:
    first = await world.canister(COMPOSITE)
    assert await world.ask(first, "ask", first.bytes + b"\0who") == b"\x2a\0\0\0\0" + first.bytes
    assert await world.ask(first, "ask", first.bytes + b"\0heap") == b"\x2a\0\0\0\0" + b"\0\0\0\0"


async def test_only_the_canister_that_was_asked_from_outside_sees_its_certificate(world: BareWorld) -> None:
    first, second = await world.canister(COMPOSITE), await world.canister(COMPOSITE)
    assert (await world.ask(first, "ask", first.bytes + b"\0present"))[5:] == b"\1"
    assert (await world.ask(first, "ask", second.bytes + b"\0present"))[5:] == b"\0"


async def test_two_composite_queries_that_ask_each_other_s_canister_do_not_wait_for_ever(world: BareWorld) -> None:
    first, second = await world.canister(COMPOSITE), await world.canister(COMPOSITE)
    answers = await asyncio.gather(
        *(world.ask(one, "ask", other.bytes + b"\0who") for one, other in [(first, second), (second, first)] * 5)
    )
    assert {answer[5:] for answer in answers} == {first.bytes, second.bytes}


async def test_a_composite_query_is_no_update(world: BareWorld) -> None:
    first = await world.canister(COMPOSITE)
    rejected(await world.update(first, "ask", bytes(14)), "IC0527")


async def test_absent_methods_are_named(world: BareWorld) -> None:
    first = await world.canister(COMPOSITE)
    reject = rejected(await world.query(first, "nothing"), "IC0536")
    assert "Canister has no query method 'nothing'" in reject.message
    assert "Canister has no update method 'nothing'" in rejected(await world.update(first, "nothing"), "IC0536").message


INSPECT = wasm(
    """
  (func (export "canister_inspect_message")
    (i32.store (i32.const 0) (i32.const 7))
    (if (i32.eq (call $msg_method_name_size) (i32.const 4)) (then (call $accept_message)))
    (if (i32.eq (call $msg_method_name_size) (i32.const 5)) (then unreachable)))
  (func (export "canister_update open") (call $msg_reply_data_append (i32.const 0) (i32.const 4)) (call $msg_reply))
  (func (export "canister_update traps")) (func (export "canister_update closed"))
"""
)


async def test_a_canister_inspects_messages_and_leaves_no_trace(world: BareWorld) -> None:
    canister_id = await world.canister(INSPECT)
    inspect = world.subnet.inspect_message
    assert await inspect(world.ingress(canister_id, "open", sender=STRANGER)) is None
    assert (await inspect(world.ingress(canister_id, "closed"))).error_code == "IC0406"  # type: ignore[union-attr]
    assert (await inspect(world.ingress(canister_id, "traps"))).error_code == "IC0502"  # type: ignore[union-attr]
    assert await world.call(canister_id, "open") == bytes(4)


async def test_queries_at_the_same_time_as_updates_of_one_canister_see_whole_messages(world: BareWorld) -> None:
    body = """
      (func (export "canister_update raise") (local $n i32)
        (local.set $n (i32.add (i32.load (i32.const 0)) (i32.const 1)))
        (i32.store (i32.const 0) (local.get $n)) (i32.store (i32.const 70000) (local.get $n)) (call $msg_reply))
      (func (export "canister_query both") (i32.store (i32.const 4) (i32.load (i32.const 70000)))
        (call $msg_reply_data_append (i32.const 0) (i32.const 8)) (call $msg_reply))"""
    canister_id = await world.canister(wasm(body))
    updates = asyncio.gather(*(world.call(canister_id, "raise") for _ in range(50)))
    answers = await asyncio.gather(*(world.ask(canister_id, "both") for _ in range(50)))
    await updates
    assert all(answer[:4] == answer[4:] for answer in answers)


async def test_queries_are_counted_when_their_epoch_is_over(world: BareWorld) -> None:
    first, second = await world.canister(COMPOSITE), await world.canister(COMPOSITE)
    await world.ask(first, "heap", b"12345")
    arg = second.bytes + b"\0heap"
    await world.ask(first, "ask", arg)
    assert world.state(first).query_stats == QueryStats()
    world.clock.advance(61)
    async with asyncio.timeout(10):
        while not (world.state(first).query_stats.calls and world.state(second).query_stats.calls):
            await asyncio.sleep(0)
    counted, called = world.state(first).query_stats, world.state(second).query_stats
    assert (counted.calls, counted.request_bytes, counted.response_bytes) == (2, 5 + len(arg), 4 + 9)
    assert (called.calls, called.request_bytes, called.response_bytes) == (1, 0, 4)
    assert counted.instructions > called.instructions > 0


ASKING = """(table funcref (elem $on_reply)) (global $left (mut i32) (i32.const 0)) (data (i32.const 32) "yes")
  (func (export "canister_query yes") (call $msg_reply))
  (func (export "canister_composite_query go")
    (call $msg_arg_data_copy (i32.const 16) (i32.const 0) (i32.const 11))
    (global.set $left (i32.load8_u (i32.const 26))) (call $ask))
  (func $ask
    (call $call_new (i32.const 16) (i32.const 10) (i32.const 32) (i32.const 3)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
    (drop (call $call_perform)))
  (func $on_reply (param i32)
    (global.set $left (i32.sub (global.get $left) (i32.const 1)))
    (if (global.get $left) (then (call $ask)) (else (call $msg_reply))))"""


async def test_a_composite_query_and_all_that_it_calls_have_a_limit_together() -> None:
    """Each call counts as 50 million instructions, whatever it does; the canister may call itself."""
    world = await open_world(limits=Limits(query_graph_instructions=200_000_000))
    canister_id = await world.canister(wasm(ASKING))
    assert await world.ask(canister_id, "go", canister_id.bytes + b"\3") == b""
    reject = rejected(await world.query(canister_id, "go", canister_id.bytes + b"\5"), "IC0526")
    assert reject.message == "Composite query calls exceeded the instruction limit."
    assert Limits().query_graph_instructions == 5_000_000_000
    await world.subnet.close()


async def test_what_a_called_query_uses_counts_for_the_query_that_calls_it() -> None:
    """It uses all that is left; then the whole query ends, before the callback that could handle it."""
    world = await open_world(limits=Limits(query_graph_instructions=100_000_000))
    endless = ASKING.replace('"canister_query yes") (call $msg_reply)', '"canister_query yes") (loop $on (br $on))')
    canister_id = await world.canister(wasm(endless))
    rejected(await world.query(canister_id, "go", canister_id.bytes + b"\1"), "IC0526")
    reject = rejected(await world.query(canister_id, "yes"), "IC0522")
    assert "exceeded the limit of 100000000 instructions" in reject.message
    await world.subnet.close()


class Meddler:
    """A native canister that changes another one, once, while it is asked."""

    def __init__(self) -> None:
        self.id = Principal(b"\xff" * 8 + b"\1\1")
        self.meddle: Callable[[], Awaitable[object]] | None = None

    def target(self, method_name: str, arg: bytes) -> Principal | None:
        return None

    async def execute(self, call: NativeCall, changes: object) -> Response | Deferred:
        return Deferred()

    async def query(self, caller: Principal, method_name: str, arg: bytes) -> Response:
        meddle, self.meddle = self.meddle, None
        if meddle is not None:
            await meddle()
        return Reply(b"")


GROWS_AND_TRAPS = """
  (table funcref (elem $grow_and_trap $cleanup))
  (func (export "canister_composite_query ask")
    (call $msg_arg_data_copy (i32.const 64) (i32.const 0) (i32.const 10))
    (call $call_new (i32.const 64) (i32.const 10) (i32.const 0) (i32.const 1)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
    (call $call_on_cleanup (i32.const 1) (i32.load (i32.const 80000)))
    (drop (call $call_perform)))
  (func $grow_and_trap (param i32) (drop (memory.grow (i32.const 1))) unreachable)
  (func $cleanup (param $seen i32) (if (i32.ne (local.get $seen) (i32.load (i32.const 80000))) (then unreachable)))
  (func (export "canister_update write")
    (i32.store (i32.const 80000) (i32.add (i32.load (i32.const 80000)) (i32.const 1))) (call $msg_reply))
"""


async def test_a_composite_query_sees_one_state_although_its_files_change_meanwhile() -> None:
    """Its cleanup compares what is there with what the query saw at first."""
    meddler = Meddler()
    world = await open_world(natives=(meddler,), limits=Limits(page_log_bytes=0))
    canister = await world.canister(wasm(GROWS_AND_TRAPS))

    async def write_and_fold() -> None:
        before = world.state(canister).memory.files
        await world.call(canister, "write")
        await world.subnet.settle()
        assert world.state(canister).memory.files != before

    meddler.meddle = write_and_fold
    reject = rejected(await world.query(canister, "ask", meddler.id.bytes), "IC0502")
    assert meddler.meddle is None
    assert "call_on_cleanup also failed" not in reject.message
    await world.subnet.close()
