"""Interface Specification, `fetch_canister_logs`: what is logged, where, and for how long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from icmigrate.protocol.principal import MANAGEMENT_CANISTER
from tests.replica.conformance.candid_types import decode, encode
from tests.replica.conformance.program import Program
from tests.worlds.users import Canister, User, rejected

P = Program()
LINE = P.debug_print(b"line")
TRAP = LINE.trap(b"because")
Act = Callable[[Canister, Canister], Awaitable[object]]


def calling(other: Canister, **callbacks: Program) -> Program:
    return P.call(other.id, P.reply().code, **callbacks)  # type: ignore[arg-type]


async def timer(canister: Canister, task: Program) -> None:
    await canister.update(P.set_hook("global_timer", task).global_timer_set(1).drop().reply())
    await canister.settled()


async def pre_upgrade(canister: Canister, hook: Program) -> None:
    await canister.update(P.set_hook("pre_upgrade", hook).reply())
    await canister.upgrade()


# fmt: off
LOGGED: dict[str, tuple[Act, Act]] = {
    # where             what prints a line                          what prints a line and traps
    "an update":       (lambda it, other: it.update(LINE.reply()),
                        lambda it, other: rejected(it.update(TRAP))),
    "a query, replicated":
                       (lambda it, other: it.query_as_update(LINE.reply()),
                        lambda it, other: rejected(it.query_as_update(TRAP))),
    "a reply callback":
                       (lambda it, other: it.update(calling(other, on_reply=LINE.reply())),
                        lambda it, other: rejected(it.update(calling(other, on_reply=TRAP)))),
    "a cleanup":       (lambda it, other: rejected(it.update(
                            calling(other, on_reply=P.unreachable(), on_cleanup=LINE))),
                        lambda it, other: rejected(it.update(
                            calling(other, on_reply=P.unreachable(), on_cleanup=TRAP)))),
    "a timer":         (lambda it, other: timer(it, LINE),
                        lambda it, other: timer(it, TRAP)),
    "canister_init":   (lambda it, other: it.reinstall(LINE),
                        lambda it, other: rejected(it.reinstall(TRAP))),
    "post_upgrade":    (lambda it, other: it.upgrade(LINE),
                        lambda it, other: rejected(it.upgrade(TRAP))),
    "pre_upgrade":     (lambda it, other: pre_upgrade(it, LINE),
                        lambda it, other: rejected(pre_upgrade(it, TRAP))),
}
# fmt: on


@pytest.mark.parametrize("where", LOGGED)
async def test_what_replicated_code_prints_is_logged_and_why_it_trapped(
    canister: Canister, other: Canister, where: str
) -> None:
    prints, traps = LOGGED[where]
    before = canister.user.replica.subnet.time_ns()
    await prints(canister, other)
    records = await canister.log_records()
    assert [record["content"] for record in records if record["content"] != b"[TRAP]: unreachable"] == [b"line"]
    await traps(canister, other)
    records = await canister.log_records()
    assert [record["content"] for record in records][-2:] == [b"line", b"[TRAP]: because"]
    times = [record["timestamp_nanos"] for record in records]
    assert times == sorted(times) and before <= times[0] <= times[-1] <= canister.user.replica.subnet.time_ns()


async def test_what_is_not_replicated_leaves_no_log(canister: Canister) -> None:
    await canister.query(LINE.reply())
    await canister.composite(LINE.reply())
    await rejected(canister.query(TRAP))
    await canister.update(P.set_hook("inspect_message", LINE.accept_message()).reply())
    await canister.update(P.reply())
    assert await canister.logs() == []


async def test_records_are_numbered_also_over_upgrades_and_reinstallations(canister: Canister) -> None:
    await canister.update(LINE.then(LINE).reply())
    await canister.upgrade(LINE)
    assert [record["idx"] for record in await canister.log_records()] == [0, 1, 2]
    await rejected(canister.reinstall(TRAP))
    assert [record["idx"] for record in await canister.log_records()] == [0, 1, 2, 3, 4]
    await canister.reinstall(P.debug_print(b"new"))
    assert [(record["idx"], record["content"]) for record in await canister.log_records()] == [(5, b"new")]
    await canister.manage("uninstall_code")
    assert await canister.logs() == []
    await canister.install(LINE)
    assert [record["idx"] for record in await canister.log_records()] == [6]


async def test_a_stopped_canister_still_shows_its_log(canister: Canister) -> None:
    await canister.update(LINE.reply())
    await canister.stop()
    assert await canister.logs() == [b"line"]


async def test_a_failed_first_installation_is_logged(user: User) -> None:
    canister = await user.create()
    await rejected(canister.install(TRAP))
    assert await canister.logs() == [b"line", b"[TRAP]: because"]


async def test_the_log_holds_4_kib_of_the_newest(canister: Canister) -> None:
    for count in range(30):
        await canister.update(P.debug_print(bytes([count]) * 300).reply())
    kept = await canister.logs()
    assert kept == [bytes([count]) * 300 for count in range(30 - len(kept), 30)]
    assert 3_000 < sum(map(len, kept)) <= 4_096
    await rejected(canister.update(P.debug_print(bytes(10_000)).trap(b"t" * 10_000)))
    (last,) = await canister.logs()
    assert last.startswith(b"[TRAP]: ttt") and len(last) <= 4_096


async def test_a_composite_query_may_read_the_log_of_a_canister_that_its_canister_controls(
    user: User, canister: Canister, other: Canister
) -> None:
    await canister.update(LINE.reply())
    arg = encode("fetch_canister_logs", {"canister_id": canister.id})
    read = P.call(MANAGEMENT_CANISTER, arg, method="fetch_canister_logs", on_reject=P.reply(P.msg_reject_msg()))
    assert b"is not allowed to" in await other.composite(read)
    await canister.set(controllers=[user.principal, other.id])
    told = decode("fetch_canister_logs", await other.composite(read))
    assert [record["content"] for record in told["canister_log_records"]] == [b"line"]
    refused = P.call(MANAGEMENT_CANISTER, arg, method="start_canister", on_reject=P.reply(P.msg_reject_code()))
    assert (await other.composite(refused))[0] in (3, 4, 5)
