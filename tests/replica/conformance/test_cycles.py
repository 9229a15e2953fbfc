"""Interface Specification, "Cycles": attached, accepted, refunded, burned; never made, never lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icmigrate.errors import ReplicaError
from icmigrate.protocol.principal import MANAGEMENT_CANISTER
from icmigrate.replica.server import running_replica
from icmigrate.replica.state.fees import Fees
from tests.replica.conformance.candid_types import encode
from tests.replica.conformance.program import Program
from tests.worlds.users import ABSENT, TRILLION, Canister, User, number, rejected, user_of

P = Program()
FREE = Fees(**{field.name: 0 for field in fields(Fees) if field.name != "default_provisional_balance"})
AVAILABLE = P.wide("msg_cycles_available128")
REFUNDED = P.wide("msg_cycles_refunded128")


@pytest.fixture(scope="module")
async def free() -> AsyncIterator[User]:
    """A user of a replica where nothing costs anything, so that cycles can be counted exactly."""
    async with running_replica(heartbeats=False, fees=FREE) as replica, user_of(replica) as user:
        yield user


async def balance(canister: Canister) -> int:
    cycles: int = (await canister.status())["cycles"]
    return cycles


@pytest.fixture
async def sender(free: User) -> Canister:
    return await free.install(cycles=100 * TRILLION)


@pytest.fixture
async def receiver(free: User) -> Canister:
    return await free.install(cycles=0)


# ------------------------------------------------------------------------------------ one call


async def test_attached_cycles_leave_the_balance_at_once(sender: Canister, receiver: Canister) -> None:
    call = P.append_reply(P.balance()).call_new(receiver.id, "run").call_cycles_add128(3 * TRILLION)
    answer = await sender.update(call.append_reply(P.balance()).msg_reply())
    assert number(answer[:16]) - number(answer[16:]) == 3 * TRILLION
    assert await balance(sender) == 100 * TRILLION  # the call was not performed


async def test_what_is_not_accepted_comes_back_with_any_response(sender: Canister, receiver: Canister) -> None:
    accept = P.accept_cycles(2 * TRILLION).drop()
    told = P.reply(REFUNDED)
    for responder, accepted in (
        (P.reply(), 0),
        (accept.reply(), 2 * TRILLION),
        (accept.reject("no"), 2 * TRILLION),
        (accept, 2 * TRILLION),  # no response: rejected by the system
        (accept.trap(), 0),
        (accept.accept_cycles(TRILLION).drop().reply(), 3 * TRILLION),
        (P.accept_cycles(1 << 127).drop().reply(), 5 * TRILLION),
    ):
        before = await balance(sender), await balance(receiver)
        call = P.call(receiver.id, responder.code, cycles=5 * TRILLION, on_reply=told, on_reject=told)
        assert number(await sender.update(call)) == 5 * TRILLION - accepted
        assert await balance(sender) == before[0] - accepted
        assert await balance(receiver) == before[1] + accepted


async def test_an_absent_callee_accepts_nothing(sender: Canister) -> None:
    call = P.call(ABSENT, b"", cycles=5 * TRILLION, on_reject=P.reply(REFUNDED))
    assert number(await sender.update(call)) == 5 * TRILLION
    assert await balance(sender) == 100 * TRILLION


async def test_available_cycles_shrink_by_what_is_accepted_and_are_gone_after_the_response(
    sender: Canister, receiver: Canister
) -> None:
    seen = (
        P.append(AVAILABLE)
        .append(P.accept_cycles(2 * TRILLION))
        .append(AVAILABLE)
        .reply()
        .append(AVAILABLE)
        .append(P.accept_cycles(TRILLION))
    )
    await sender.update(P.call(receiver.id, seen.code, cycles=5 * TRILLION))
    data = await receiver.remembered()
    amounts = [number(data[at : at + 16]) // TRILLION for at in range(0, len(data), 16)]
    assert amounts == [5, 2, 3, 0, 0]


async def test_cycles_can_be_accepted_in_a_callback(sender: Canister, receiver: Canister) -> None:
    accept = P.reply(P.accept_cycles(4 * TRILLION))
    responder = P.call(receiver.id, P.reply().code, on_reply=accept)
    call = P.call(receiver.id, responder.code, cycles=5 * TRILLION, on_reply=P.reply(REFUNDED))
    assert number(await sender.update(call)) == TRILLION
    assert await balance(receiver) == 4 * TRILLION


async def test_cycles_that_a_trapped_callback_accepted_go_back(sender: Canister, receiver: Canister) -> None:
    accept = P.accept_cycles(4 * TRILLION).drop().trap()
    responder = P.call(receiver.id, P.reply().code, on_reply=accept)
    call = P.call(receiver.id, responder.code, cycles=5 * TRILLION, on_reject=P.reply(REFUNDED))
    assert number(await sender.update(call)) == 5 * TRILLION
    assert await balance(receiver) == 0


async def test_ingress_messages_carry_no_cycles(sender: Canister) -> None:
    assert number(await sender.update(P.reply(AVAILABLE))) == 0
    assert number(await sender.update(P.reply(P.accept_cycles(TRILLION)))) == 0


async def test_the_64_bit_functions_agree_and_trap_where_the_amount_does_not_fit(free: User) -> None:
    sender, receiver = await free.install(cycles=1 << 70), await free.install(cycles=0)
    small = P.append_reply(P.word("msg_cycles_available")).append_reply(P.word("msg_cycles_accept", 5)).msg_reply()
    answer = await sender.update(P.call(receiver.id, small.code, cycles=7))
    assert (number(answer[:8]), number(answer[8:])) == (7, 5)
    call = P.call_new(receiver.id, "run", on_reply=P.reply(P.word("msg_cycles_refunded")))
    call = call.call_data_append(P.reply().code).word("call_cycles_add", 9).call_perform().drop()
    assert number(await sender.update(call)) == 9
    for program in (
        P.word("canister_cycle_balance"),
        P.call(receiver.id, P.reply(P.word("msg_cycles_available")).code, cycles=1 << 65),
        P.call(receiver.id, P.reply().code, cycles=1 << 65, on_reply=P.word("msg_cycles_refunded")),
    ):
        error = await rejected(sender.update(program))
        assert "cycles amount exceeds 64-bit representation" in error.message
    assert number(await sender.update(P.reply(P.balance()))) > 1 << 64


async def test_more_cycles_than_there_are_cannot_be_attached(sender: Canister, receiver: Canister) -> None:
    call = P.call_new(receiver.id, "run").call_cycles_add128(101 * TRILLION)
    error = await rejected(sender.update(call.reply()))
    assert (error.code, error.error_code) == (5, "IC0504")
    assert f"Canister {sender.id} is out of cycles" in error.message
    assert await balance(sender) == 100 * TRILLION


async def test_burned_cycles_are_gone_but_never_more_than_there_are(sender: Canister) -> None:
    assert number(await sender.update(P.reply(P.wide("cycles_burn128", 0, 7)))) == 7
    assert await balance(sender) == 100 * TRILLION - 7
    assert number(await sender.update(P.reply(P.wide("cycles_burn128", 1, 0)))) == 100 * TRILLION - 7
    assert await balance(sender) == 0
    await rejected(sender.update(P.wide("cycles_burn128", 0, 1).trap()))


async def test_a_call_to_the_management_canister_refunds_what_it_does_not_take(
    sender: Canister, receiver: Canister
) -> None:
    deposit = encode("deposit_cycles", {"canister_id": receiver.id})
    call = P.call(MANAGEMENT_CANISTER, deposit, method="deposit_cycles", cycles=TRILLION, on_reply=P.reply(REFUNDED))
    assert number(await sender.update(call)) == 0
    assert await balance(receiver) == TRILLION
    status = encode("canister_status", {"canister_id": sender.id})
    call = P.call(MANAGEMENT_CANISTER, status, method="canister_status", cycles=TRILLION, on_reply=P.reply(REFUNDED))
    assert number(await sender.update(call)) == TRILLION


# ------------------------------------------------------------------------------------ trees of calls


@dataclass(frozen=True)
class Node:
    """A call: who is called, what it carries, what the callee accepts, whom it calls and how it ends."""

    callee: int
    attached: int
    accepted: int
    calls: tuple[Node, ...]
    end: str
    trap_in_callback: bool = False

    def program(self, canisters: list[Canister]) -> Program:
        program = P.accept_cycles(self.accepted).drop()
        for call in self.calls:
            then = P.trap() if call.trap_in_callback else P
            program = program.call(
                canisters[call.callee].id,
                call.program(canisters).code,
                cycles=call.attached,
                on_reply=then,
                on_reject=then,
            )
        return program.then(ENDS[self.end])


ENDS = {"reply": P.reply(), "reject": P.reject("no"), "trap": P.trap(), "nothing": P}


def settle(node: Node, balances: list[int]) -> int:
    """What the specification says becomes of the balances; returns the refund."""
    if node.end == "trap":
        return node.attached
    accepted = min(node.accepted, node.attached)
    balances[node.callee] += accepted
    for call in node.calls:
        balances[node.callee] -= call.attached
    for call in node.calls:
        refund = settle(call, balances)
        balances[node.callee] += refund
    return node.attached - accepted


amounts = st.integers(0, 1 << 66)
leaves = st.builds(Node, st.integers(0, 2), amounts, amounts, st.just(()), st.sampled_from(sorted(ENDS)), st.booleans())
trees = st.recursive(
    leaves,
    lambda inner: st.builds(
        Node,
        st.integers(0, 2),
        amounts,
        amounts,
        st.lists(inner, max_size=3).map(tuple),
        st.sampled_from(["reply", "reply", "reject", "nothing", "trap"]),
        st.booleans(),
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
async def three(free: User) -> list[Canister]:
    return [await free.install(cycles=1 << 90) for _ in range(3)]


@settings(max_examples=60, deadline=None)
@given(tree=trees)
async def test_cycles_are_conserved_over_any_tree_of_calls(three: list[Canister], tree: Node) -> None:
    root = Node(tree.callee, 0, tree.accepted, tree.calls, tree.end)
    before = [await balance(canister) for canister in three]
    expected = list(before)
    settle(root, expected)
    try:
        await three[root.callee].update(root.program(three))
    except ReplicaError:
        assert root.end != "reply"
    await three[0].settled()
    assert [await balance(canister) for canister in three] == expected
    assert sum(expected) == sum(before)


# ------------------------------------------------------------------------------------ requests that manage


async def test_a_canister_pays_for_requests_that_manage_it_also_for_those_that_fail(user: User) -> None:
    canister = await user.create(cycles=TRILLION, freezing_threshold=0)

    async def consumed() -> dict[str, int]:
        metrics = await user.manage_query("canister_metrics", canister_id=canister.id)
        seen: dict[str, int] = metrics["cycles_consumed"]
        return seen

    before = (await consumed())["ingress_induction"]
    await canister.status()
    status = (await consumed())["ingress_induction"] - before
    assert 1_200_000 < status < 1_400_000  # a base and so much a byte
    await rejected(canister.set(compute_allocation=101))
    await rejected(canister.manage("delete_canister"))
    failed = (await consumed())["ingress_induction"] - before - status
    assert 2 * 1_200_000 < failed < 2 * 1_500_000
    async with user_of(user.replica) as stranger:
        await rejected(canister.used_by(stranger).status())
    assert (await consumed())["ingress_induction"] - before - status == failed
