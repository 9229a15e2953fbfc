"""Interface Specification, "Canister version": what counts as a change of a canister, and what does not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from icmigrate.replica.server import RunningReplica
from tests.replica.conformance.program import Program
from tests.worlds.users import TRILLION, Canister, User, number, rejected, user_of

P = Program()
SEEN = P.set(P.to_bytes(P.canister_version()))
FAIL = P.trap("fails")
Act = Callable[[Canister, Canister], Awaitable[object]]


async def version(canister: Canister) -> int:
    return number(await canister.query(P.reply(P.canister_version())))


async def seen(canister: Canister) -> int:
    """The version that a program remembered."""
    return number(await canister.remembered())


def calling(
    other: Canister,
    answer: Program,
    on_reply: Program | None = None,
    on_reject: Program | None = None,
    on_cleanup: Program | None = None,
) -> Program:
    return P.call(other.id, answer.code, on_reply=on_reply, on_reject=on_reject, on_cleanup=on_cleanup)


# fmt: off
SUCCEED: dict[str, tuple[int, Act]] = {
    # what is done                          how much the version grows by
    "a query":                              (0, lambda it, other: it.query(P.reply())),
    "a composite query":                    (0, lambda it, other: it.composite(P.reply())),
    "a query that is executed as update":   (1, lambda it, other: it.query_as_update(P.reply())),
    "an update":                            (1, lambda it, other: it.update(P.reply())),
    "a call and its reply callback":        (2, lambda it, other: it.update(calling(other, P.reply()))),
    "a call and its reject callback":       (2, lambda it, other: it.update(
                                                calling(other, FAIL, on_reject=P.reply()))),
    "other settings":                       (1, lambda it, other: it.set(freezing_threshold=1 << 20)),
    "no settings at all":                   (1, lambda it, other: it.set()),
    "asking for the status":                (0, lambda it, other: it.status()),
    "a start":                              (1, lambda it, other: it.start()),
    "a stop and a start":                   (3, lambda it, other: stop_and_start(it)),
    "an upgrade":                           (1, lambda it, other: it.upgrade()),
    "a reinstallation":                     (1, lambda it, other: it.reinstall()),
    "an uninstallation and installation":   (2, lambda it, other: install_anew(it)),
    "a chunk":                              (0, lambda it, other: it.manage("upload_chunk", chunk=b"x")),
    "an empty chunk store":                 (0, lambda it, other: it.manage("clear_chunk_store")),
    "a top up":                             (0, lambda it, other: it.manage(
                                                "provisional_top_up_canister", amount=TRILLION)),
    "a snapshot":                           (0, lambda it, other: it.manage("take_canister_snapshot")),
    "a snapshot that is loaded":            (1, lambda it, other: load_snapshot(it)),
}
FAILING: dict[str, tuple[int, Act]] = {
    "a query that traps":                   (0, lambda it, other: it.query(FAIL)),
    "an update that traps":                 (0, lambda it, other: it.update(FAIL)),
    "an update that rejects":               (1, lambda it, other: it.update(P.reject("no"))),
    "an update without an answer":          (1, lambda it, other: it.update(P)),
    "a reply callback that traps":          (1, lambda it, other: it.update(
                                                calling(other, P.reply(), on_reply=FAIL))),
    "a reject callback that traps":         (1, lambda it, other: it.update(
                                                calling(other, FAIL, on_reject=FAIL))),
    "a cleanup callback":                   (2, lambda it, other: it.update(
                                                calling(other, P.reply(), on_reply=FAIL, on_cleanup=SEEN))),
    "a cleanup callback that traps":        (1, lambda it, other: it.update(
                                                calling(other, P.reply(), on_reply=FAIL, on_cleanup=FAIL))),
    "settings out of range":                (0, lambda it, other: it.set(freezing_threshold=1 << 70)),
    "an installation over another":         (0, lambda it, other: it.install()),
    "an installation of no module":         (0, lambda it, other: it.reinstall(module=b"")),
    "a reinstallation that traps":          (0, lambda it, other: it.reinstall(FAIL)),
    "an upgrade to no module":              (0, lambda it, other: it.upgrade(module=b"")),
    "an upgrade that traps":                (0, lambda it, other: it.upgrade(FAIL)),
    "an uninstallation by somebody else":   (0, lambda it, other: as_anybody(it, "uninstall_code")),
}
# fmt: on


async def stop_and_start(canister: Canister) -> None:
    await canister.stop()
    await canister.start()


async def install_anew(canister: Canister) -> None:
    await canister.manage("uninstall_code")
    await canister.install()


async def load_snapshot(canister: Canister) -> None:
    taken = await canister.manage("take_canister_snapshot")
    await canister.manage("load_canister_snapshot", snapshot_id=taken["id"])


async def as_anybody(canister: Canister, method: str) -> None:
    async with user_of(canister.user.replica) as anybody:
        await canister.used_by(anybody).manage(method)


@pytest.mark.parametrize("act", SUCCEED)
async def test_the_version_grows_with_each_change(canister: Canister, other: Canister, act: str) -> None:
    growth, do = SUCCEED[act]
    assert await version(canister) == 1
    await do(canister, other)
    assert await version(canister) == (await canister.status())["version"] == 1 + growth


@pytest.mark.parametrize("act", FAILING)
async def test_the_version_grows_with_what_remains_of_a_failure(canister: Canister, other: Canister, act: str) -> None:
    growth, do = FAILING[act]
    await rejected(do(canister, other))
    assert await version(canister) == 1 + growth


async def test_a_new_canister_has_version_0_and_a_failed_installation_leaves_it(user: User) -> None:
    canister = await user.create()
    assert (await canister.status())["version"] == 0
    await rejected(canister.install(FAIL))
    assert (await canister.status())["version"] == 0


async def test_each_message_sees_the_version_before_it_and_an_installation_its_own(
    canister: Canister, other: Canister
) -> None:
    answer = P.reply(P.canister_version())
    assert [number(await canister.update(answer)) for _ in range(2)] == [1, 2]
    assert [number(await canister.query_as_update(answer)) for _ in range(2)] == [3, 4]
    await canister.reinstall(SEEN)  # runs canister_init
    assert (await seen(canister), await version(canister)) == (6, 6)
    hook = P.stable64_grow(1).drop().stable64_write(0, P.to_bytes(P.canister_version()))
    await canister.update(P.set_hook("pre_upgrade", hook).reply())
    await canister.upgrade(SEEN)
    old = number(await canister.query(P.reply(P.stable64_read(0, 8))))
    assert (old, await seen(canister), await version(canister)) == (7, 8, 8)
    assert number(await canister.update(calling(other, P.reply(), on_reply=answer))) == 9
    assert number(await canister.update(calling(other, FAIL, on_reject=answer))) == 11
    await rejected(canister.update(calling(other, P.reply(), on_reply=FAIL, on_cleanup=SEEN)))
    assert (await seen(canister), await version(canister)) == (13, 14)


@pytest.mark.parametrize(("task", "growth"), [(SEEN, 1), (FAIL, 0)], ids=["succeeds", "traps"])
async def test_a_timer_is_a_change_when_it_succeeds(canister: Canister, task: Program, growth: int) -> None:
    await canister.update(P.set_hook("global_timer", task).global_timer_set(1).drop().reply())
    await canister.settled()
    assert await version(canister) == 2 + growth
    if growth:
        assert await seen(canister) == 2


async def test_a_heartbeat_is_a_change_when_it_succeeds(replica_of_its_own: RunningReplica) -> None:
    async with user_of(replica_of_its_own) as user:
        once = P.if_(P.word("length", P.get()), P.trap("beats no more"), SEEN)
        canister = await user.install(P.set_hook("heartbeat", once))
        async with asyncio.timeout(10):
            while b"[TRAP]: beats no more" not in await canister.logs():
                replica_of_its_own.clock.advance(1)
        assert (await seen(canister), await version(canister)) == (1, 2)
