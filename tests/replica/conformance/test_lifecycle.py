"""Interface Specification, `stop_canister`, `start_canister`, `delete_canister`, `uninstall_code`: with open calls."""

from __future__ import annotations

import asyncio

import pytest

from icmigrate.errors import CanisterReject
from icmigrate.protocol.principal import MANAGEMENT_CANISTER
from icmigrate.replica.server import RunningReplica
from tests.replica.conformance.candid_types import decode, encode
from tests.replica.conformance.program import Program
from tests.replica.conformance.wire import wire_to
from tests.worlds.users import ABSENT, TRILLION, Canister, Latch, User, number, rejected, user_of

P = Program()


@pytest.fixture
async def latch(user: User) -> Latch:
    return await Latch.build(user)


async def until(canister: Canister, status: str) -> None:
    async with asyncio.timeout(10):
        while (await canister.status())["status"] != status:
            pass


# ------------------------------------------------------------------------------------------ stopping


async def test_a_stopped_canister_answers_nobody_until_it_is_started(canister: Canister, other: Canister) -> None:
    await canister.stop()
    for call in (canister.update, canister.query, canister.composite, canister.query_as_update):
        error = await rejected(call(P.reply()))
        assert (error.code, error.error_code, error.message) == (5, "IC0508", f"Canister {canister.id} is stopped")
    told = P.reply(P.msg_reject_code(), P.msg_reject_msg())
    answer = await other.update(P.call(canister.id, b"", cycles=TRILLION, on_reject=told))
    assert (number(answer[:8]), answer[8:].decode()) == (5, f"Canister {canister.id} is stopped")
    await canister.start()
    assert await canister.update(P.reply(b"back")) == b"back"


async def test_stopping_waits_for_open_call_contexts(canister: Canister, latch: Latch) -> None:
    call = asyncio.create_task(canister.update(latch.call(on_reply=P.set(b"heard").reply(b"done"))))
    await latch.is_held()
    stop = asyncio.create_task(canister.stop())
    await until(canister, "stopping")
    error = await rejected(canister.update(P.reply()))
    assert (error.code, error.error_code) == (5, "IC0509")
    assert not stop.done()
    await latch.release()
    assert await call == b"done"
    await stop
    assert (await canister.status())["status"] == "stopped"
    await canister.start()
    assert await canister.remembered() == b"heard"


async def test_a_stopping_canister_may_call_on_in_its_callbacks(
    canister: Canister, other: Canister, latch: Latch
) -> None:
    again = P.call(other.id, P.reply(b"called on").code)
    call = asyncio.create_task(canister.update(latch.call(on_reply=again)))
    await latch.is_held()
    stop = asyncio.create_task(canister.stop())
    await until(canister, "stopping")
    await latch.release()
    assert await call == b"called on"
    await stop


async def test_several_may_wait_for_one_canister_to_stop(canister: Canister, latch: Latch) -> None:
    call = asyncio.create_task(canister.update(latch.call()))
    await latch.is_held()
    stops = [asyncio.create_task(canister.stop()) for _ in range(3)]
    await until(canister, "stopping")
    await latch.release()
    assert await call == b"released"
    assert await asyncio.gather(*stops) == [None] * 3
    await canister.stop()  # stopped already: nothing to do


async def test_starting_a_stopping_canister_refuses_those_who_wait_for_it_to_stop(
    canister: Canister, latch: Latch
) -> None:
    call = asyncio.create_task(canister.update(latch.call()))
    await latch.is_held()
    stop = asyncio.create_task(canister.stop())
    await until(canister, "stopping")
    await canister.start()
    error = await rejected(stop)
    assert (error.code, error.error_code) == (5, "IC0511")
    assert await canister.update(P.reply(b"running")) == b"running"
    await latch.release()
    assert await call == b"released"


async def test_a_stop_that_takes_too_long_is_answered_and_the_canister_goes_on_stopping(
    replica_of_its_own: RunningReplica,
) -> None:
    async with user_of(replica_of_its_own) as user, wire_to(replica_of_its_own, user.agent.identity) as wire:
        canister, latch = await user.install(), await Latch.build(user)
        call = asyncio.create_task(canister.update(latch.call()))
        await latch.is_held()
        argument = encode("stop_canister", {"canister_id": canister.id})
        content = wire.call_content(MANAGEMENT_CANISTER, "stop_canister", argument)
        stop = asyncio.create_task(wire.call(content, effective=canister.id))
        await until(canister, "stopping")
        replica_of_its_own.clock.advance(301)
        with pytest.raises(CanisterReject) as caught:
            wire.outcome(await stop, content)
        assert (caught.value.code, caught.value.error_code) == (2, "IC0206")
        assert caught.value.message == "Stop canister request timed out"
        refused = (await wire.call(wire.call_content(canister.id, "run", b""))).map
        assert (refused["reject_code"], refused["error_code"]) == (5, "IC0509")
        call.cancel()


async def test_a_canister_cannot_be_deleted_unless_it_is_stopped(canister: Canister) -> None:
    error = await rejected(canister.manage("delete_canister"))
    assert (error.code, error.error_code) == (5, "IC0510")
    assert f"Canister {canister.id} must be stopped before it is deleted." in error.message
    await canister.stop()
    await canister.manage("delete_canister")
    for call in (canister.update(P.reply()), canister.query(P.reply()), canister.status(), canister.start()):
        error = await rejected(call)
        assert (error.code, error.error_code) == (3, "IC0301")


async def test_the_id_of_a_deleted_canister_is_not_given_again(user: User) -> None:
    canister = await user.create()
    await canister.stop()
    await canister.manage("delete_canister")
    assert (await user.create()).id.bytes > canister.id.bytes


# ------------------------------------------------------------------------------------------ uninstalling


async def test_uninstalling_rejects_open_calls_and_returns_their_cycles(
    canister: Canister, other: Canister, latch: Latch
) -> None:
    told = P.reply(P.msg_reject_code(), P.wide("msg_cycles_refunded128"), P.msg_reject_msg())
    call = asyncio.create_task(
        other.update(P.call(canister.id, latch.call().code, cycles=3 * TRILLION, on_reject=told))
    )
    await latch.is_held()
    await canister.manage("uninstall_code")
    answer = await call
    assert (number(answer[:8]), number(answer[8:24])) == (4, 3 * TRILLION)
    assert "uninstalled" in answer[24:].decode()
    await latch.release()
    await canister.settled()  # the late answer finds nobody
    assert (await canister.status())["module_hash"] is None


async def test_uninstalling_rejects_open_ingress_messages(canister: Canister, latch: Latch) -> None:
    call = asyncio.create_task(canister.update(latch.call()))
    await latch.is_held()
    await canister.manage("uninstall_code")
    error = await rejected(call)
    assert (error.code, error.error_code) == (4, "IC0406")
    await latch.release()


async def test_cycles_that_come_back_to_an_uninstalled_canister_are_its_own(canister: Canister, latch: Latch) -> None:
    call = asyncio.create_task(canister.update(latch.call(cycles=40 * TRILLION)))
    await latch.is_held()
    before = (await canister.status())["cycles"]
    await canister.manage("uninstall_code")
    await rejected(call)
    await latch.release()
    await canister.settled()
    assert (await canister.status())["cycles"] - before > 39 * TRILLION


async def test_an_empty_canister_runs_nothing(user: User, other: Canister) -> None:
    empty = await user.create()
    error = await rejected(empty.update(P.reply()))
    assert (error.code, error.error_code) == (5, "IC0537")
    error = await rejected(empty.query(P.reply()))
    assert (error.code, error.error_code) == (5, "IC0537")
    await empty.stop()
    await empty.start()


# ------------------------------------------------------------------------------------------ upgrading


async def test_callbacks_outlive_an_upgrade_of_their_canister(canister: Canister, latch: Latch) -> None:
    """Of the same module: table and heap are those of the new instance, which knows no such program."""
    call = asyncio.create_task(canister.update(latch.call()))
    await latch.is_held()
    await canister.upgrade()
    await latch.release()
    error = await rejected(call)
    assert (error.code, error.error_code) == (5, "IC0502")


async def test_a_canister_may_be_upgraded_while_it_is_stopped(canister: Canister) -> None:
    await canister.update(P.stable64_grow(1).drop().stable64_write(0, b"kept").reply())
    await canister.stop()
    await canister.upgrade(P.set(b"new"))
    await canister.start()
    assert await canister.query(P.reply(P.get(), P.stable64_read(0, 4))) == b"newkept"


async def test_a_pre_upgrade_hook_can_be_skipped(canister: Canister) -> None:
    await canister.update(P.set_hook("pre_upgrade", P.trap("never again")).reply())
    error = await rejected(canister.upgrade())
    assert "never again" in error.message
    await canister.upgrade(P.set(b"new"), skip_pre_upgrade=True)
    assert await canister.remembered() == b"new"


async def test_the_hooks_of_an_upgrade_run_in_order_with_their_states(canister: Canister) -> None:
    hook = P.stable64_grow(1).drop().stable64_write(0, P.concat(P.get(), b" saved"))
    await canister.update(P.set(b"state").set_hook("pre_upgrade", hook).reply())
    await canister.upgrade(P.set(P.stable64_read(0, 11)))
    assert await canister.remembered() == b"state saved"
    await canister.reinstall(P.set(P.to_bytes(P.word("stable64_size"))))
    assert number(await canister.remembered()) == 0


async def test_what_an_uninstalled_canister_still_waits_for_keeps_it_from_stopping(
    canister: Canister, latch: Latch
) -> None:
    call = asyncio.create_task(canister.update(latch.call()))
    await latch.is_held()
    await canister.manage("uninstall_code")
    assert (await rejected(call)).code == 4
    stops = [asyncio.create_task(canister.stop()) for _ in range(2)]
    await until(canister, "stopping")
    error = await rejected(canister.manage("delete_canister"))
    assert (error.code, error.error_code) == (5, "IC0510")
    assert not any(stop.done() for stop in stops)
    await latch.release()
    await asyncio.gather(*stops)
    assert (await canister.status())["status"] == "stopped"


async def test_answers_to_code_that_was_uninstalled_do_not_reach_the_next(
    user: User, canister: Canister, latch: Latch
) -> None:
    first = asyncio.create_task(canister.update(latch.call(on_reply=P.reply(b"first"))))
    await latch.is_held()
    await canister.manage("uninstall_code")
    await rejected(first)
    await canister.install(P.set(b"new"))
    second_latch = await Latch.build(user)
    second = asyncio.create_task(canister.update(second_latch.call(on_reply=P.reply(b"second"))))
    await second_latch.is_held()
    await latch.release()
    await canister.update(P.reply())
    assert not second.done() and await canister.remembered() == b"new"
    await second_latch.release()
    assert await second == b"second"


async def test_an_uninstalled_canister_keeps_controllers_settings_and_cycles(user: User, canister: Canister) -> None:
    await canister.set(freezing_threshold=77, compute_allocation=1, controllers=[user.principal, canister.id])
    before = await canister.status()
    await canister.manage("uninstall_code")
    after = await canister.status()
    assert after["settings"] == before["settings"]
    assert before["cycles"] - after["cycles"] < TRILLION


async def test_code_sees_whether_its_canister_runs_also_while_it_is_upgraded(canister: Canister) -> None:
    status = P.to_bytes(P.word("canister_status"))
    hook = P.stable64_grow(1).drop().stable64_write(0, status)
    await canister.update(P.set_hook("pre_upgrade", hook).reply())
    assert number(await canister.query(P.reply(status))) == 1
    await canister.stop()
    await canister.stop()  # nothing to do
    await canister.upgrade(P.set(status))
    await canister.start()
    await canister.start()  # nothing to do
    assert number(await canister.query(P.reply(P.stable64_read(0, 8)))) == 3
    assert number(await canister.remembered()) == 3


async def test_deleting_returns_attached_cycles_and_takes_those_of_the_deleted(canister: Canister) -> None:
    create = P.call(MANAGEMENT_CANISTER, encode("create_canister", {}), method="create_canister", cycles=9 * TRILLION)
    made = decode("create_canister", await canister.update(create))["canister_id"]
    before = (await canister.status())["cycles"]
    for method in ("stop_canister", "delete_canister"):
        refunded = P.reply(P.wide("msg_cycles_refunded128"))
        arg = encode(method, {"canister_id": made})
        call = P.call(MANAGEMENT_CANISTER, arg, method=method, cycles=5 * TRILLION, on_reply=refunded)
        assert number(await canister.update(call)) == 5 * TRILLION
    assert 0 < before - (await canister.status())["cycles"] < TRILLION


async def test_cycles_that_are_sent_to_nobody_come_back(canister: Canister) -> None:
    refunded = P.reply(P.msg_reject_code(), P.wide("msg_cycles_refunded128"))
    arg = encode("deposit_cycles", {"canister_id": ABSENT})
    call = P.call(MANAGEMENT_CANISTER, arg, method="deposit_cycles", cycles=5 * TRILLION, on_reject=refunded)
    answer = await canister.update(call)
    assert (number(answer[:8]), number(answer[8:])) == (3, 5 * TRILLION)
