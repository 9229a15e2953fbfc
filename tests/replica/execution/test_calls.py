"""Interface Specification, "Call contexts": calls between canisters, their responses and their cycles."""

from __future__ import annotations

import struct

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from icmigrate.protocol.principal import Principal
from icmigrate.replica.execution.result import CallAnswer
from icmigrate.replica.state.calls import IngressState, SystemOrigin
from icmigrate.replica.state.canister import CanisterStatus
from icmigrate.replica.state.history import UserChange
from icmigrate.replica.state.responses import RejectCode, Reply, Response
from icmigrate.replica.subnet.native_canister import Deferred, NativeCall
from tests.replica.execution import planner
from tests.replica.execution.planner import PLANNER, Plan
from tests.worlds.bare_replica import OWNER, TRILLION, BareWorld, open_world, rejected, replied, wasm


async def counters(world: BareWorld, canister_id: Principal) -> tuple[int, ...]:
    """How often the canister was called, called back, and cleaned up."""
    return struct.unpack("<III", await world.ask(canister_id, "counters"))


async def test_a_call_reaches_the_callee_and_its_reply_the_caller(world: BareWorld) -> None:
    first, second = await world.canister(PLANNER), await world.canister(PLANNER)
    await world.call(first, "go", Plan(callee=second, then=Plan()).encode())
    assert await counters(world, first) == (1, 1, 0)
    assert await counters(world, second) == (1, 0, 0)
    assert not world.state(first).contexts and not world.state(first).callbacks and not world.subnet.state.messages


async def test_a_canister_can_call_itself(world: BareWorld) -> None:
    alone = await world.canister(PLANNER)
    await world.call(alone, "go", Plan(callee=alone, then=Plan(callee=alone, then=Plan())).encode())
    assert await counters(world, alone) == (3, 2, 0)


async def test_a_call_to_nobody_is_rejected(world: BareWorld) -> None:
    first, nobody = await world.canister(PLANNER), Principal(b"\0" * 7 + b"\7\1\1")
    await world.call(first, "go", Plan(callee=nobody, attach=5 * TRILLION, then=Plan()).encode())
    assert await counters(world, first) == (1, 1, 0)
    assert world.state(first).cycles > 99 * TRILLION


async def test_a_trap_after_call_perform_sends_nothing_and_returns_the_cycles(world: BareWorld) -> None:
    first, second = await world.canister(PLANNER), await world.canister(PLANNER)
    before = world.state(first).cycles
    plan = Plan(planner.TRAP_AFTER_CALL, callee=second, attach=7 * TRILLION, then=Plan(accept=7 * TRILLION))
    rejected(await world.update(first, "go", plan.encode()), "IC0502")
    assert await counters(world, second) == (0, 0, 0)
    assert before - world.state(first).cycles < TRILLION // 1000


async def test_cycles_not_accepted_come_back(world: BareWorld) -> None:
    first, second = await world.canister(PLANNER), await world.canister(PLANNER)
    plan = Plan(callee=second, attach=9 * TRILLION, then=Plan(accept=2 * TRILLION))
    await world.call(first, "go", plan.encode())
    assert 97 * TRILLION < world.state(first).cycles < 98 * TRILLION
    assert 101 * TRILLION < world.state(second).cycles < 102 * TRILLION


async def test_cycles_accepted_by_a_message_that_traps_go_back(world: BareWorld) -> None:
    first, second = await world.canister(PLANNER), await world.canister(PLANNER)
    plan = Plan(callee=second, attach=9 * TRILLION, then=Plan(planner.TRAP, accept=9 * TRILLION))
    await world.call(first, "go", plan.encode())
    assert world.state(first).cycles > 99 * TRILLION


async def test_a_trap_in_a_callback_runs_cleanup_and_rejects_the_call(world: BareWorld) -> None:
    first, second = await world.canister(PLANNER), await world.canister(PLANNER)
    plan = Plan(planner.TRAP_IN_CALLBACK | planner.CLEANUP, callee=second, then=Plan())
    reject = rejected(await world.update(first, "go", plan.encode()), "IC0502")
    assert reject.code is RejectCode.CANISTER_ERROR
    assert await counters(world, first) == (1, 0, 1)  # the callback's own count was undone, cleanup's was not


async def test_a_call_answered_before_its_callback_keeps_its_context_until_then(world: BareWorld) -> None:
    first, second = await world.canister(PLANNER), await world.canister(PLANNER)
    plan = Plan(planner.REPLY_BEFORE_CALL, callee=second, then=Plan())
    await world.call(first, "go", plan.encode())
    await world.subnet.settle()
    assert await counters(world, first) == (1, 1, 0)
    assert not world.state(first).contexts


async def test_more_cycles_than_there_are_cannot_be_attached(world: BareWorld) -> None:
    first, second = await world.canister(PLANNER), await world.canister(PLANNER)
    plan = Plan(callee=second, attach=200 * TRILLION, then=Plan())
    reject = rejected(await world.update(first, "go", plan.encode()), "IC0504")
    assert "is out of cycles" in reject.message


async def test_a_poor_canister_cannot_perform_a_call(world: BareWorld) -> None:
    first, second = await world.canister(PLANNER, cycles=75 * 10**9), await world.canister(PLANNER)
    reject = await world.update(first, "go", Plan(planner.REJECT, callee=second, then=Plan()).encode())
    assert rejected(reject, "IC0406").message == "rejected"
    assert await counters(world, second) == (0, 0, 0)


async def test_a_frozen_canister_refuses_updates_with_out_of_cycles(world: BareWorld) -> None:
    poor = await world.canister(PLANNER, cycles=40_050_000_000)
    reject = rejected(await world.update(poor, "go", Plan().encode()), "IC0207")
    assert reject.code is RejectCode.SYS_TRANSIENT
    assert f"Canister {poor.to_str()} is out of cycles: please top up the canister with at least" in reject.message


# ------------------------------------------------------------------------------------------- conservation


def plans(canisters: list[Principal]) -> st.SearchStrategy[Plan]:
    flags = st.sampled_from(
        [0, 0, planner.TRAP, planner.REJECT, planner.SILENT, planner.TRAP_IN_CALLBACK, planner.TRAP_AFTER_CALL,
         planner.REPLY_BEFORE_CALL, planner.CLEANUP | planner.TRAP_IN_CALLBACK]
    )  # fmt: skip
    amount = st.integers(0, 30 * TRILLION)
    leaf = st.builds(Plan, flags=flags, accept=amount)
    return st.recursive(
        leaf,
        lambda inner: st.builds(
            Plan, flags=flags, accept=amount, callee=st.sampled_from(canisters), attach=amount, then=inner
        ),
        max_leaves=6,
    )


async def test_cycles_are_conserved_over_any_tree_of_calls(world: BareWorld) -> None:
    canisters = [await world.canister(PLANNER) for _ in range(3)]
    nobody = Principal(b"\0" * 7 + b"\x77\1\1")
    found: list[list[Plan]] = []

    @settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(plans([*canisters, nobody]), min_size=1, max_size=4))
    def collect(sample: list[Plan]) -> None:
        found.append(sample)

    collect()

    def total() -> int:
        states = world.subnet.state.canisters.values()
        return sum(each.cycles + each.reserved_cycles + each.consumed_cycles for each in states)

    before = total()
    for sample in found:
        sent = [await world.send(canisters[n % 3], "go", plan.encode()) for n, plan in enumerate(sample)]
        for request_id in sent:
            await world.answer(request_id)
        await world.subnet.settle()
        assert total() == before
        assert not world.subnet.state.messages
        assert all(not each.contexts and not each.callbacks for each in world.subnet.state.canisters.values())


# ------------------------------------------------------------------------------------------- stopping


class Slow:
    """A native canister whose answers the test decides on."""

    def __init__(self) -> None:
        self.id = Principal(b"\xff" * 8 + b"\1\1")
        self.calls: list[NativeCall] = []

    def target(self, method_name: str, arg: bytes) -> Principal | None:
        return None

    async def execute(self, call: NativeCall, changes: object) -> Response | Deferred:
        self.calls.append(call)
        return Deferred()

    async def query(self, caller: Principal, method_name: str, arg: bytes) -> Response:
        return Reply(b"")


async def answer_slow(world: BareWorld, call: NativeCall) -> None:
    changes = world.subnet.commits.changes()
    world.subnet.commits.answer(changes, CallAnswer(call.origin, Reply(b""), call.cycles))
    world.subnet.commits.commit(changes)


async def test_stopping_waits_for_open_calls() -> None:
    slow = Slow()
    world = await open_world(natives=(slow,))
    first = await world.canister(PLANNER)
    request = await world.send(first, "go", Plan(callee=slow.id, then=Plan()).encode())
    await world.subnet.settle()
    assert world.subnet.state.ingress[request].state is IngressState.PROCESSING

    stop = NativeCall(SystemOrigin(), OWNER, "stop_canister", b"")
    await world.change(first, lambda changes: world.canisters.stop_canister(changes, first, stop))
    await world.subnet.settle()
    assert world.state(first).status is CanisterStatus.STOPPING
    rejected(await world.update(first, "go", Plan().encode()), "IC0509")

    await answer_slow(world, slow.calls[0])
    assert isinstance(await world.answer(request), Reply)
    await world.subnet.settle()
    assert world.state(first).status is CanisterStatus.STOPPED
    rejected(await world.update(first, "go", Plan().encode()), "IC0508")
    rejected(await world.query(first, "counters"), "IC0508")
    await world.change(first, lambda changes: world.canisters.start_canister(changes, first))
    await world.call(first, "go", Plan().encode())
    await world.subnet.close()


BEST_EFFORT = """
  (table funcref (elem $answer))
  (data (i32.const 0) "go")
  (func (export "canister_update go")
    (call $msg_arg_data_copy (i32.const 64) (i32.const 0) (i32.const 10))
    (call $call_new (i32.const 64) (i32.const 10) (i32.const 0) (i32.const 2)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
    (call $call_with_best_effort_response (i32.const 60))
    (drop (call $call_perform)))
  (func $answer (param i32) (i32.store (i32.const 128) (call $msg_reject_code))
    (call $msg_reply_data_append (i32.const 128) (i32.const 4)) (call $msg_reply))
"""


async def test_a_best_effort_call_is_answered_by_the_system_when_its_time_is_over() -> None:
    slow = Slow()
    world = await open_world(natives=(slow,))
    first = await world.canister(wasm(BEST_EFFORT))
    request = await world.send(first, "go", slow.id.bytes)
    await world.subnet.settle()
    world.clock.advance(61)
    assert await world.answer(request) == Reply(struct.pack("<I", RejectCode.SYS_UNKNOWN))
    await answer_slow(world, slow.calls[0])  # too late: dropped
    await world.subnet.settle()
    assert not world.subnet.state.messages
    await world.subnet.close()


async def test_uninstalling_answers_open_calls_and_drops_late_responses() -> None:
    slow = Slow()
    world = await open_world(natives=(slow,))
    first = await world.canister(PLANNER)
    request = await world.send(first, "go", Plan(callee=slow.id, attach=TRILLION, then=Plan()).encode())
    await world.subnet.settle()
    await world.change(first, lambda changes: world.canisters.uninstall_code(changes, first, UserChange(OWNER)))
    assert rejected(await world.answer(request), "IC0406").message == "Canister has been uninstalled."
    cycles = world.state(first).cycles
    await answer_slow(world, slow.calls[0])
    await world.subnet.settle()
    returned = world.state(first).cycles - cycles
    assert TRILLION < returned < 2 * TRILLION  # what was attached, and what was set aside for the answer
    await world.subnet.close()


async def test_canister_code_has_the_stack_that_it_has_on_the_ic(world: BareWorld) -> None:
    """100,000 calls deep, which takes more than 2 MiB of the 5 MiB; a million are too many."""
    body = """(func $deep (param i32) (result i32)
        (if (result i32) (local.get 0)
          (then (i32.add (local.get 0) (call $deep (i32.sub (local.get 0) (i32.const 1)))))
          (else (i32.const 0))))
      (func $go (call $msg_arg_data_copy (i32.const 0) (i32.const 0) (i32.const 4))
        (drop (call $deep (i32.load (i32.const 0)))) (call $msg_reply))
      (export "canister_update go" (func $go)) (export "canister_query ask" (func $go))"""
    canister_id = await world.canister(wasm(body))
    for method in (world.update, world.query):
        name = "go" if method == world.update else "ask"
        assert replied(await method(canister_id, name, (100_000).to_bytes(4, "little"))) == b""
        reject = rejected(await method(canister_id, name, (1_000_000).to_bytes(4, "little")), "IC0502")
        assert "Canister trapped: stack overflow" in reject.message
