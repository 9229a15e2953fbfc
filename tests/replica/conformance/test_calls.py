"""Interface Specification, "Inter-canister method calls" and "Call contexts"."""

from __future__ import annotations

import asyncio

import pytest

from icmigrate.protocol.principal import Principal
from icmigrate.replica.server import RunningReplica
from tests.replica.conformance.candid_types import decode, encode
from tests.replica.conformance.program import Program
from tests.worlds.users import ABSENT, TRILLION, Canister, Latch, User, number, rejected, user_of

P = Program()
REPLY = P.reply(b"replied")
MIB = 1 << 20


# -------------------------------------------------------------------------------------- building a call


@pytest.mark.parametrize(
    "word",
    [
        P.call_on_cleanup(P),
        P.call_data_append(b"x"),
        P.call_cycles_add128(1),
        P.word("call_cycles_add", 1),
        P.word("call_with_best_effort_response", 1),
        P.call_perform(),
    ],
)
@pytest.mark.parametrize("after", ["nothing", "call_perform"])
async def test_a_call_has_to_be_under_construction(
    canister: Canister, other: Canister, word: Program, after: str
) -> None:
    before = P if after == "nothing" else P.call(other.id, REPLY.code)
    error = await rejected(canister.update(before.then(word, REPLY)))
    assert (error.code, error.error_code) == (5, "IC0504")
    assert "called when no call is under construction" in error.message


@pytest.mark.parametrize(
    "word", [P.call_on_cleanup(P), P.word("call_with_best_effort_response", 1)], ids=["cleanup", "best effort"]
)
async def test_some_attributes_can_be_set_once(canister: Canister, other: Canister, word: Program) -> None:
    error = await rejected(canister.update(P.call_new(other.id, "run").then(word, word, REPLY)))
    assert (error.code, error.error_code) == (5, "IC0504")


async def test_the_argument_is_appended_piece_by_piece(canister: Canister, other: Canister) -> None:
    code = P.reply(b"whole").code
    call = P.call_new(other.id, "run")
    for at in range(len(code)):
        call = call.call_data_append(code[at : at + 1])
    assert await canister.update(call.call_perform().drop()) == b"whole"


async def test_a_call_that_is_not_performed_is_not_made(canister: Canister, other: Canister) -> None:
    set_it = P.set(b"called").reply().code
    await canister.update(P.call_new(other.id, "run").call_data_append(set_it).then(REPLY))
    begun = P.call_new(other.id, "run").call_data_append(set_it)
    await canister.update(begun.call(other.id, P.append(b"second").reply().code))
    assert await other.remembered() == b"second"


@pytest.mark.parametrize("callee", [bytes(30), b"\x01" * 100])
async def test_the_callee_has_to_be_a_principal(canister: Canister, callee: bytes) -> None:
    error = await rejected(canister.update(P.call_new(callee, "run").then(REPLY)))
    assert (error.code, error.error_code) == (5, "IC0504")


async def test_a_method_name_has_a_largest_size(canister: Canister, other: Canister) -> None:
    error = await rejected(canister.update(P.call(other.id, b"", method="m" * 20_000)))
    assert error.error_code == "IC0406" and "has no update method" in error.message
    error = await rejected(canister.update(P.call(other.id, b"", method="m" * 20_001)))
    assert (error.code, error.error_code) == (5, "IC0504")
    assert "exceeds the allowed limit of 20000" in error.message


async def test_a_request_has_a_largest_size(canister: Canister, other: Canister) -> None:
    """10 MiB with the method's name, on the same subnet."""
    told = P.reply(P.msg_reject_code(), P.msg_reject_msg())
    fits = P.call_new(other.id, "xyz", on_reject=told).call_data_append(P.zeros(10 * MIB - 3))
    assert number((await canister.update(fits.call_perform().drop()))[:8]) == 5  # no such method
    error = await rejected(canister.update(fits.call_data_append(b"x").call_perform().drop()))
    assert (error.code, error.error_code) == (5, "IC0504")
    assert "exceeds the allowed limit of 10485760" in error.message


# -------------------------------------------------------------------------------------- responses


async def test_a_canister_can_call_itself(canister: Canister) -> None:
    assert await canister.update(P.call(canister.id, P.set(b"self").then(REPLY).code)) == b"replied"
    assert await canister.remembered() == b"self"


async def test_calls_nest(user: User, canister: Canister, other: Canister) -> None:
    program = P.reply(b"the bottom")
    for depth in range(20):
        program = P.call((canister, other)[depth % 2].id, program.code)
    assert await canister.update(program) == b"the bottom"


@pytest.mark.parametrize(
    ("method", "arg", "code", "text"),
    [
        ("nowhere", b"", 5, "has no update method 'nowhere'"),
        ("run_composite_query", REPLY.code, 5, "Composite query cannot be called in replicated mode"),
        ("run", P.trap("why").code, 5, "Canister called `ic0.trap` with message: 'why'"),
        ("run", P.reject("own words").code, 4, "own words"),
        ("run", b"", 5, "did not reply to the call"),
        ("run_query", P.reject("own words").code, 4, "own words"),
    ],
)
async def test_a_call_that_fails_comes_back_as_a_reject(
    canister: Canister, other: Canister, method: str, arg: bytes, code: int, text: str
) -> None:
    told = P.reply(P.msg_reject_code(), P.msg_reject_msg())
    answer = await canister.update(P.call(other.id, arg, method=method, on_reject=told))
    assert (number(answer[:8]), text in answer[8:].decode()) == (code, True)


@pytest.mark.parametrize("kind", ["absent", "empty", "stopped"])
async def test_a_callee_that_cannot_answer_is_a_reject(user: User, canister: Canister, kind: str) -> None:
    told = P.reply(P.msg_reject_code(), P.msg_reject_msg())
    target, code, text = ABSENT, 3, "not found"
    if kind == "empty":
        target, code, text = (await user.create()).id, 5, "contains no Wasm module"
    if kind == "stopped":
        stopped = await user.install()
        await stopped.stop()
        target, code, text = stopped.id, 5, "is stopped"
    answer = await canister.update(P.call(target, b"", on_reject=told))
    assert (number(answer[:8]), text in answer[8:].decode()) == (code, True)


async def test_a_callback_that_is_no_function_is_an_error(canister: Canister, other: Canister) -> None:
    call = P.word("pass", other.id).word("pass", "run").push(10**6, 0, 10**6, 0).word("call_new")
    error = await rejected(canister.update(call.call_data_append(REPLY.code).call_perform().drop()))
    assert (error.code, error.error_code) == (5, "IC0513")
    assert "non-existent Wasm function 1000000 from table 0" in error.message


async def test_messages_between_two_canisters_are_executed_in_order(canister: Canister, other: Canister) -> None:
    program = P
    for digit in b"0123456789":
        program = program.call(other.id, P.append(bytes([digit])).reply().code, on_reply=P)
    program = program.call(other.id, P.reply(P.get()).code)
    assert await canister.update(program) == b"0123456789"


async def test_calls_in_a_trapped_execution_are_not_made(canister: Canister, other: Canister) -> None:
    await rejected(canister.update(P.call(other.id, P.set(b"called").reply().code).trap()))
    await canister.settled()
    assert await other.remembered() == b""


async def test_no_more_than_500_calls_to_one_canister_can_be_open(canister: Canister, other: Canister) -> None:
    """call_perform says 2 (SYS_TRANSIENT) then, and the attached cycles stay."""
    call = P.call_new(other.id, "run", on_reply=P).call_data_append(P.reply().code)
    program = P.repeat(500, call.call_perform().drop())
    last = call.call_cycles_add128(TRILLION).append_reply(P.balance()).append_reply(P.call_perform())
    answer = await canister.update(program.then(last).append_reply(P.balance()).msg_reply())
    assert number(answer[16:24]) == 2
    assert number(answer[24:]) == number(answer[:16]) + TRILLION


async def test_a_canister_cannot_call_when_that_would_freeze_it(user: User, other: Canister) -> None:
    canister = await user.install(cycles=75 * 10**9)
    call = P.call_new(other.id, "run").call_data_append(REPLY.code).call_perform()
    answer = await canister.update(P.set(P.to_bytes(call)).reply(P.get()))
    assert number(answer) == 2
    rich = await user.install()
    assert number(await rich.update(P.set(P.to_bytes(call)).reply(P.get()))) == 0


# -------------------------------------------------------------------------------------- cleanup


async def test_cleanup_runs_if_and_only_if_a_callback_trapped(canister: Canister, other: Canister) -> None:
    cleanup = P.append(b"C")
    ok = P.append(b"R").reply(b"fine")
    assert await canister.update(P.call(other.id, REPLY.code, on_reply=ok, on_cleanup=cleanup)) == b"fine"
    assert await canister.remembered() == b"R"
    failing = P.append(b"X").trap("in the callback")
    for responder in (REPLY, P.reject("")):
        call = P.call(other.id, responder.code, on_reply=failing, on_reject=failing, on_cleanup=cleanup)
        error = await rejected(canister.update(call))
        assert (error.code, error.error_code) == (5, "IC0503") and "in the callback" in error.message
    assert await canister.remembered() == b"RCC"


async def test_a_cleanup_that_traps_changes_nothing_and_is_told(canister: Canister, other: Canister) -> None:
    cleanup = P.append(b"C").trap("in the cleanup")
    error = await rejected(
        canister.update(P.call(other.id, REPLY.code, on_reply=P.trap("in the callback"), on_cleanup=cleanup))
    )
    assert (error.code, error.error_code) == (5, "IC0503")
    first, second = error.message.split("\n\ncall_on_cleanup also failed:\n\n")
    assert "in the callback" in first and "in the cleanup" in second
    assert await canister.remembered() == b""


async def test_a_trap_in_a_callback_does_not_answer_while_other_calls_may(canister: Canister, other: Canister) -> None:
    program = P.call(other.id, REPLY.code, on_reply=P.trap()).call(
        other.id, P.reply(b"other").code, on_reply=P.reply(b"the other call answered")
    )
    assert await canister.update(program) == b"the other call answered"


# -------------------------------------------------------------------------------------- call contexts


async def test_a_call_is_rejected_when_its_last_callback_does_not_respond(canister: Canister, other: Canister) -> None:
    error = await rejected(canister.update(P.call(other.id, REPLY.code, on_reply=P.set(b"ran"))))
    assert (error.code, error.error_code) == (5, "IC0506")
    assert await canister.remembered() == b"ran"


async def test_callbacks_of_different_calls_belong_to_different_contexts(canister: Canister, other: Canister) -> None:
    programs = [P.call(other.id, P.reply(b"%d" % n).code) for n in range(20)]
    answers = await asyncio.gather(*(canister.update(program) for program in programs))
    assert answers == [b"%d" % n for n in range(20)]


async def test_the_stack_of_a_trapped_execution_is_given_back(canister: Canister) -> None:
    """A Wasm global points to Rust's stack: traps deep in it would use it up if they did not undo that."""
    trapping = P.trap()
    for _ in range(20):
        trapping = P.quote(trapping).word("do")
    for _ in range(200):
        await rejected(canister.query(trapping))
    await rejected(canister.update(trapping))
    assert await canister.update(REPLY) == b"replied"


# -------------------------------------------------------------------------------------- bounded wait


async def test_the_system_answers_a_bounded_wait_call_when_its_time_is_over(
    replica_of_its_own: RunningReplica,
) -> None:
    """And the answer of the callee, when it comes, is dropped; its refund is lost."""
    async with user_of(replica_of_its_own) as user:
        canister, latch = await user.install(), await Latch.build(user)
        told = P.reply(P.msg_reject_code(), P.msg_reject_msg())
        call = latch.call(timeout=10, on_reject=told, on_reply=P.set(b"late reply"))
        answer = asyncio.create_task(canister.update(call))
        await latch.is_held()
        replica_of_its_own.clock.advance(11)
        text = await answer
        assert number(text[:8]) == 6  # SYS_UNKNOWN
        await latch.release()
        await canister.settled()
        assert await canister.remembered() == b""


async def test_a_bounded_wait_call_is_an_ordinary_one_while_there_is_time(canister: Canister, other: Canister) -> None:
    call = P.call(other.id, REPLY.code, timeout=10, cycles=TRILLION, on_reply=P.reply(P.wide("msg_cycles_refunded128")))
    assert number(await canister.update(call)) == TRILLION


async def test_the_largest_principal_is_just_another_absent_canister(canister: Canister) -> None:
    told = P.reply(P.msg_reject_code())
    assert number(await canister.update(P.call(Principal(b"\xff" * 29), b"", on_reject=told))) == 3


# -------------------------------------------------------------------------------------- the subnet's id


async def test_the_id_of_the_subnet_stands_for_its_management_canister(canister: Canister) -> None:
    subnet = canister.user.replica.keys.subnet_id
    create = P.call(subnet, encode("create_canister", {}), method="create_canister", cycles=3 * TRILLION)
    made = decode("create_canister", await canister.update(create))["canister_id"]
    status = encode("canister_status", {"canister_id": made})
    told = await canister.update(P.call(subnet, status, method="canister_status"))
    assert decode("canister_status", told)["settings"]["controllers"] == [canister.id]
    random = await canister.update(P.call(subnet, encode("raw_rand"), method="raw_rand"))
    assert len(decode("raw_rand", random)) == 32


async def test_there_is_no_other_subnet(canister: Canister) -> None:
    told = P.reply(P.msg_reject_code())
    elsewhere = Principal(bytes(28) + b"\2")
    answer = await canister.update(P.call(elsewhere, encode("raw_rand"), method="raw_rand", on_reject=told))
    assert number(answer) == 3


async def test_a_best_effort_call_ends_by_itself_while_nothing_else_happens(
    user: User, canister: Canister, other: Canister
) -> None:
    latch = await Latch.build(user)
    told = P.reply(P.msg_reject_code())
    held = latch.call().code
    async with asyncio.timeout(20):
        answer = await canister.update(P.call(other.id, held, timeout=1, on_reject=told))
    assert number(answer) == 6  # SYS_UNKNOWN
    await latch.release()
