"""Interface Specification, "Unspecified constants and limits": sizes, instructions, cycles; as on mainnet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from icmigrate.protocol.principal import MANAGEMENT_CANISTER
from icmigrate.replica.server import RunningReplica, running_replica
from icmigrate.replica.state.limits import Limits
from tests.replica.conformance.candid_types import decode, encode
from tests.replica.conformance.program import Program
from tests.replica.conformance.wire import Wire, wire_to
from tests.worlds.users import TRILLION, Canister, User, number, rejected, user_of

P = Program()
MIB = 1 << 20
BILLION = 10**9

# What mainnet's application subnets allow. The suite lowers some of them where reaching them takes long.
MAINNET = {
    "update_instructions": 40 * BILLION,
    "query_instructions": 5 * BILLION,
    "inspect_instructions": 200_000_000,
    "install_instructions": 300 * BILLION,
    "ingress_payload": 2 * MIB,
    "request_payload": 10 * MIB,
    "response_payload": 2 * MIB,
    "query_response_payload": 3 * MIB,
    "method_name_length": 20_000,
    "module_size": 100 * MIB,
    "functions": 50_000,
    "globals": 1_000,
    "custom_sections": 16,
    "custom_sections_size": MIB,
    "exported_functions": 1_000,
    "heap_pages_32": 65_536,
    "stable_pages": 500 * 1024 * MIB // 65_536,
    "certified_data": 32,
    "queue_capacity": 500,
    "chunk_size": MIB,
    "controllers": 10,
}
SMALL = replace(
    Limits(),
    update_instructions=20_000_000,
    query_instructions=5_000_000,
    install_instructions=30_000_000,
    compile_instructions=0,
)


@pytest.mark.parametrize("name", MAINNET)
def test_the_limits_are_those_of_mainnet(name: str) -> None:
    assert getattr(Limits(), name) == MAINNET[name]


# ------------------------------------------------------------------------------------------ instructions


@pytest.fixture(scope="module")
async def hasty() -> AsyncIterator[User]:
    """A user of a replica that lets a message run for milliseconds only."""
    async with running_replica(heartbeats=False, limits=SMALL) as replica, user_of(replica) as user:
        yield user


FOREVER = P.spin(1 << 60)


def assert_out_of_instructions(error: object, limit: int) -> None:
    assert (getattr(error, "code", 0), getattr(error, "error_code", "")) == (5, "IC0522")
    text = f"Canister exceeded the limit of {limit} instructions for single message execution."
    assert text in getattr(error, "message", "")


@pytest.mark.parametrize(
    ("method", "limit"),
    [
        ("update", SMALL.update_instructions),
        ("query", SMALL.query_instructions),
        ("composite", SMALL.query_instructions),
        ("query_as_update", SMALL.update_instructions),
    ],
)
async def test_an_endless_message_is_stopped_and_leaves_no_trace(hasty: User, method: str, limit: int) -> None:
    canister = await hasty.install()
    error = await rejected(getattr(canister, method)(P.set(b"trace").then(FOREVER)))
    assert_out_of_instructions(error, limit)
    assert await canister.update(P.reply(P.get())) == b""


async def test_callbacks_tasks_and_installations_are_stopped_too(hasty: User) -> None:
    canister, other = await hasty.install(), await hasty.install()
    error = await rejected(canister.update(P.call(other.id, P.reply().code, on_reply=FOREVER)))
    assert_out_of_instructions(error, SMALL.update_instructions)
    await canister.update(P.set_hook("global_timer", P.set(b"x").then(FOREVER)).global_timer_set(1).drop().reply())
    await canister.settled()
    assert await canister.remembered() == b""
    error = await rejected(canister.reinstall(FOREVER))
    assert_out_of_instructions(error, SMALL.install_instructions)
    await canister.reinstall(P.spin(SMALL.update_instructions // 10))
    error = await rejected(canister.upgrade(FOREVER))  # after what pre_upgrade used
    assert (error.code, error.error_code) == (5, "IC0522")


async def test_instructions_are_paid_whether_a_message_succeeds_or_not(hasty: User) -> None:
    canister = await hasty.install()

    async def cost(program: Program) -> int:
        before = (await canister.status())["cycles"]
        try:
            await canister.update(program)
        except Exception as error:  # noqa: BLE001 - the cost is what counts
            assert "exceeded the limit" in str(error) or "trap" in str(error)
        return int(before - (await canister.status())["cycles"])

    cheap, dear = await cost(P.reply()), await cost(P.spin(1_000_000).reply())
    assert dear - cheap > 1_000_000
    assert abs(await cost(P.spin(1_000_000).trap()) - dear) < 500_000
    assert await cost(FOREVER) - cheap > SMALL.update_instructions * 9 // 10


# ------------------------------------------------------------------------------------------ sizes


@pytest.fixture
async def wire(replica: RunningReplica) -> AsyncIterator[Wire]:
    async with wire_to(replica) as somebody:
        yield somebody


async def test_an_ingress_message_has_2_mib_at_most(wire: Wire, canister: Canister) -> None:
    fits = P.push(bytes(2 * MIB - 10_000)).drop().reply(b"it fits")
    content = wire.call_content(canister.id, "run", fits.code)
    assert wire.outcome(await wire.call(content), content) == b"it fits"
    for size in (2 * MIB, 5 * MIB):
        answer = await wire.call(wire.call_content(canister.id, "run", bytes(size)))
        assert answer.status == 413 and answer.content_type.startswith("text/plain")


async def test_a_query_may_be_larger_than_a_call(wire: Wire, canister: Canister) -> None:
    def query(size: int) -> dict[str, Any]:
        return wire.query_content(canister.id, "run_query", P.push(bytes(size)).drop().reply(b"ok").code)

    assert (await wire.query(query(4_100_000))).map["reply"]["arg"] == b"ok"
    assert (await wire.query(query(4_200_000))).status == 413


async def test_a_method_that_is_no_text_or_very_long_does_no_harm(wire: Wire, canister: Canister) -> None:
    content = wire.call_content(canister.id, "m" * 100_000, b"")
    answer = await wire.call(content)
    assert answer.status in (200, 400)


async def test_stable_memory_can_be_grown_to_hundreds_of_gigabytes(user: User) -> None:
    canister = await user.install(cycles=10**6 * TRILLION, reserved_cycles_limit=10**6 * TRILLION)
    pages = 200 * 1024 * 16
    assert number(await canister.update(P.reply(P.stable64_grow(pages)))) == 0
    await canister.update(P.stable64_write(pages * 65_536 - 3, b"end").then(P.reply()))
    assert await canister.query(P.reply(P.stable64_read(pages * 65_536 - 3, 3))) == b"end"
    assert (await canister.status())["memory_metrics"]["stable_memory_size"] == pages * 65_536


# ------------------------------------------------------------------------------------------ cycles


async def test_a_frozen_canister_takes_no_calls_and_tells_its_controllers_what_is_missing(
    user: User, stranger: User, other: Canister
) -> None:
    canister = await user.install(cycles=TRILLION)
    await canister.set(freezing_threshold=1 << 50)
    error = await rejected(canister.update(P.reply()))
    assert (error.code, error.error_code) == (2, "IC0207")
    assert f"Canister {canister.id} is out of cycles: please top up the canister with at least" in error.message
    error = await rejected(canister.used_by(stranger).update(P.reply()))
    assert (error.code, error.error_code) == (2, "IC0207")
    assert error.message == f"Canister {canister.id} is out of cycles"
    told = P.reply(P.msg_reject_code(), P.msg_reject_msg())
    answer = await other.update(P.call(canister.id, P.reply().code, on_reject=told))
    assert number(answer[:8]) == 2
    await canister.set(freezing_threshold=0)  # its controllers can still help it
    assert await canister.update(P.reply(b"thawed")) == b"thawed"


async def test_a_canister_that_runs_out_of_cycles_loses_its_code(replica_of_its_own: RunningReplica) -> None:
    async with user_of(replica_of_its_own) as user:
        canister = await user.install(cycles=90 * BILLION, freezing_threshold=0, memory_allocation=1 << 20)
        witness = await user.install(cycles=10**6 * BILLION)
        await canister.update(P.stable64_grow(16_384).drop().reply())  # 1 GiB
        before = (await canister.status())["version"]
        replica_of_its_own.clock.advance(30 * 86_400)
        async with wire_to(replica_of_its_own, user.agent.identity) as wire:
            path = (b"canister", canister.id.bytes, b"module_hash")
            async with asyncio.timeout(10):
                while await certified(wire, canister, *path) is not None:
                    pass
            content = wire.call_content(canister.id, "run", P.reply().code)
            refused = (await wire.call(content)).map
            assert (refused["reject_code"], refused["error_code"]) == (2, "IC0207")
            ask = encode("canister_info", {"canister_id": canister.id, "num_requested_changes": 20})
            told = P.call(MANAGEMENT_CANISTER, ask, method="canister_info")
            content = wire.call_content(witness.id, "run", told.code)
            info = decode("canister_info", wire.outcome(await wire.call(content), content))
            assert (info["total_num_changes"], info["recent_changes"]) == (2, [])

            async def manage(method: str, **argument: Any) -> Any:
                arg = encode(method, {"canister_id": canister.id, **argument})
                content = wire.call_content(MANAGEMENT_CANISTER, method, arg)
                return decode(method, wire.outcome(await wire.call(content, effective=canister.id), content))

            await manage("provisional_top_up_canister", amount=90 * BILLION)
            status = await manage("canister_status")
            assert (status["settings"]["memory_allocation"], status["module_hash"]) == (0, None)
            assert status["version"] == before + 1


async def certified(wire: Wire, canister: Canister, *path: bytes) -> bytes | None:
    return wire.verified((await wire.read(canister.id, path)).map["certificate"]).lookup(*path)


async def test_a_call_with_fewer_cycles_than_the_callee_wants_is_rejected_and_refunded(
    user: User, canister: Canister
) -> None:
    callee = await user.install(minimum_incoming_canister_call_cycles=TRILLION)
    told = P.reply(P.msg_reject_code(), P.wide("msg_cycles_refunded128"))
    answer = await canister.update(P.call(callee.id, P.reply().code, cycles=TRILLION - 1, on_reject=told))
    assert (number(answer[:8]), number(answer[8:])) == (5, TRILLION - 1)
    assert await canister.update(P.call(callee.id, P.reply(b"enough").code, cycles=TRILLION)) == b"enough"
    assert await callee.update(P.reply(b"ingress")) == b"ingress"
    assert await callee.update(P.call(callee.id, P.reply(b"itself").code)) == b"itself"
