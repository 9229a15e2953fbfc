"""Interface Specification, "Query call": query and composite query methods."""

from __future__ import annotations

from typing import Any

import pytest

from icmigrate.protocol import certificate
from icmigrate.protocol.principal import MANAGEMENT_CANISTER
from tests.replica.conformance.candid_types import decode, encode
from tests.replica.conformance.program import Operand, Program
from tests.worlds.users import ABSENT, Canister, User, number, rejected

P = Program()
TOLD = P.reply(P.msg_reject_code(), P.msg_reject_msg())


def ask(canister: Canister, arg: bytes, method: str = "run_query", **options: Any) -> Program:
    """A query of another canister, in a composite query."""
    return P.call(canister.id, arg, method=method, **options)


# ------------------------------------------------------------------------------------ what a query call reaches


async def test_update_methods_cannot_be_queried(canister: Canister) -> None:
    error = await rejected(canister.query(P.reply(), "run"))
    assert (error.code, error.error_code) == (5, "IC0536")
    assert error.message.startswith(f"Error from Canister {canister.id}: Canister has no query method 'run'.")


async def test_query_methods_can_be_called_as_updates_and_composite_ones_cannot(canister: Canister) -> None:
    assert await canister.query_as_update(P.reply(b"certified")) == b"certified"
    error = await rejected(canister.update(P.reply(), "run_composite_query"))
    assert (error.code, error.error_code) == (5, "IC0527")


async def test_a_query_of_an_absent_canister_is_rejected(user: User) -> None:
    error = await rejected(user.agent.query(ABSENT, "run_query", b""))
    assert (error.code, error.error_code) == (3, "IC0301")


async def test_queries_cost_nothing(canister: Canister) -> None:
    before = (await canister.status())["cycles"]
    for _ in range(3):
        await canister.query(P.spin(100_000).reply())
    charged = before - (await canister.status())["cycles"]
    assert charged < 20_000_000  # the two status calls


async def test_a_query_sees_what_the_last_update_did(canister: Canister) -> None:
    for n in range(5):
        await canister.update(P.set(b"%d" % n).reply())
        assert await canister.remembered() == b"%d" % n


# ------------------------------------------------------------------------------------ data certificates


async def certified(canister: Canister, encoded: bytes) -> bytes | None:
    replica = canister.user.replica
    checked = certificate.verify(
        encoded, replica.root_key, effective_canister_id=canister.id, now_ns=replica.subnet.time_ns()
    )
    assert checked.time_ns > 0
    return checked.lookup("canister", canister.id.bytes, "certified_data")


@pytest.mark.parametrize("method", ["query", "composite"])
async def test_a_query_gets_a_certificate_of_the_data_set_last(canister: Canister, method: str) -> None:
    act = getattr(canister, method)
    ask_for = P.reply(P.blob("data_certificate"))
    assert await certified(canister, await act(ask_for)) == b""
    await canister.update(P.certified_data_set(b"first").certified_data_set(b"second").reply())
    assert await certified(canister, await act(ask_for)) == b"second"
    await rejected(canister.update(P.certified_data_set(b"third").trap()))
    assert await certified(canister, await act(ask_for)) == b"second"
    await canister.upgrade()
    assert await certified(canister, await act(ask_for)) == b"second"
    await canister.reinstall()
    assert await certified(canister, await act(ask_for)) == b""


PRESENT = P.word("data_certificate_present")


async def test_only_the_target_of_a_query_call_gets_a_certificate(canister: Canister, other: Canister) -> None:
    assert number(await canister.query(P.reply(PRESENT))) == 1
    assert number(await canister.composite(P.reply(PRESENT))) == 1
    assert number(await canister.update(P.reply(PRESENT))) == 0
    assert number(await canister.query_as_update(P.reply(PRESENT))) == 0
    assert number(await canister.composite(ask(other, P.reply(PRESENT).code))) == 0
    assert number(await canister.composite(ask(other, P.reply(PRESENT).code, "run_composite_query"))) == 0
    assert number(await canister.composite(ask(other, P.reply().code, on_reply=P.reply(PRESENT)))) == 0
    assert number(await canister.update(P.call(other.id, P.reply(PRESENT).code, method="run_query"))) == 0


@pytest.mark.parametrize("word", ["data_certificate_size", "data_certificate_copy"])
async def test_without_a_certificate_asking_for_it_traps(canister: Canister, other: Canister, word: str) -> None:
    operands: tuple[Operand, ...] = () if word.endswith("size") else (0, 0, 0)
    asking = P.word(word, *operands).then(P.reply())
    answer = await canister.composite(ask(other, asking.code, on_reject=TOLD))
    assert number(answer[:8]) == 5
    await rejected(canister.query_as_update(asking))


# ------------------------------------------------------------------------------------ composite queries


async def test_a_composite_query_calls_queries_and_composite_queries(
    user: User, canister: Canister, other: Canister
) -> None:
    third = await user.install()
    innermost = P.reply(P.msg_caller())
    nested = ask(third, innermost.code).code
    assert await canister.composite(ask(other, innermost.code)) == canister.id.bytes
    assert await canister.composite(ask(other, nested, "run_composite_query")) == other.id.bytes


async def test_the_state_of_a_composite_query_lasts_until_its_answer(canister: Canister, other: Canister) -> None:
    await canister.update(P.set(b"0").reply())
    callback = P.append(b"3").reply(P.get(), P.msg_arg_data())
    program = P.append(b"1").then(ask(other, P.append(b"x").reply(P.get()).code, on_reply=callback)).append(b"2")
    assert await canister.composite(program) == b"0123x"
    assert await canister.remembered() == b"0"
    assert await other.remembered() == b""


async def test_a_trapped_callback_undoes_its_own_changes_only(canister: Canister, other: Canister) -> None:
    failing = P.append(b"X").trap("in the callback")
    answers = P.append(b"b").reply(P.get())
    program = (
        P.append(b"a")
        .then(ask(other, P.reply().code, on_reply=failing, on_cleanup=P.append(b"c")))
        .then(ask(other, P.reply().code, on_reply=answers))
    )
    assert await canister.composite(program) == b"acb"


async def test_a_composite_query_fails_with_its_last_callback(canister: Canister, other: Canister) -> None:
    failing = P.append(b"X").trap("in the callback")
    error = await rejected(canister.composite(ask(other, P.reply().code, on_reply=failing)))
    assert (error.code, error.error_code) == (5, "IC0503")
    assert "in the callback" in error.message
    error = await rejected(canister.composite(ask(other, P.reply().code, on_reply=P)))
    assert (error.code, error.error_code) == (5, "IC0506")
    assert error.message == f"Canister {canister.id} did not produce a response"


@pytest.mark.parametrize(
    ("method", "code", "text"),
    [
        ("run", 5, "Canister has no query method 'run'"),
        ("nowhere", 5, "Canister has no query method 'nowhere'"),
    ],
)
async def test_a_composite_query_calls_no_update_method(
    canister: Canister, other: Canister, method: str, code: int, text: str
) -> None:
    answer = await canister.composite(ask(other, P.reply().code, method, on_reject=TOLD))
    assert (number(answer[:8]), text in answer[8:].decode()) == (code, True)


@pytest.mark.parametrize(
    ("program", "code", "text"),
    [(P.trap("why"), 5, "'why'"), (P.reject("why"), 4, "why"), (P, 5, "did not produce a response")],
)
async def test_a_failed_query_comes_back_as_a_reject(
    canister: Canister, other: Canister, program: Program, code: int, text: str
) -> None:
    answer = await canister.composite(ask(other, program.code, on_reject=TOLD))
    assert (number(answer[:8]), text in answer[8:].decode()) == (code, True)


async def test_an_absent_callee_is_a_reject(canister: Canister) -> None:
    answer = await canister.composite(P.call(ABSENT, b"", method="x", on_reject=TOLD))
    assert number(answer[:8]) == 3


async def test_several_queries_of_one_composite_query_are_answered_in_order(
    canister: Canister, other: Canister
) -> None:
    program = P
    for digit in b"0123456":
        program = program.then(ask(other, P.reply(bytes([digit])).code, on_reply=P.append(P.msg_arg_data())))
    last = ask(other, P.reply().code, on_reply=P.reply(P.get()))
    assert await canister.composite(program.then(last)) == b"0123456"


async def test_callbacks_of_a_composite_query_may_query_on(canister: Canister, other: Canister) -> None:
    second = ask(other, P.reply(b"second").code)
    assert await canister.composite(ask(other, P.reply().code, on_reply=second)) == b"second"
    assert await canister.composite(ask(other, P.reject("").code, on_reject=second)) == b"second"


async def test_queries_may_call_in_a_circle(canister: Canister, other: Canister) -> None:
    around = ask(canister, P.reply(b"around").code)
    assert await canister.composite(ask(other, around.code, "run_composite_query")) == b"around"
    assert await canister.composite(ask(canister, around.code, "run_composite_query")) == b"around"


async def test_queries_nest_only_so_deep(user: User) -> None:
    """Six calls below each other; the seventh ends the whole query, whoever would have handled the error."""
    canister, other = await user.install(), await user.install()

    def nested(depth: int) -> Program:
        program = P.reply(b"the bottom")
        for level in range(depth):
            program = ask((canister, other)[level % 2], program.code, "run_composite_query", on_reject=P.reply(b"no"))
        return program

    assert await canister.composite(nested(6)) == b"the bottom"
    error = await rejected(canister.composite(nested(7)))
    assert (error.code, error.error_code) == (5, "IC0525")
    assert error.message == "Composite query calls exceeded the maximum call depth."


async def test_a_composite_query_may_ask_the_management_canister_for_a_status(canister: Canister) -> None:
    argument = encode("canister_status", {"canister_id": canister.id})
    answer = await canister.composite(P.call(MANAGEMENT_CANISTER, argument, method="canister_status"))
    assert decode("canister_status", answer)["status"] == "running"
    answer = await canister.composite(P.call(MANAGEMENT_CANISTER, b"", method="raw_rand", on_reject=TOLD))
    assert number(answer[:8]) == 5


async def test_composite_queries_carry_no_cycles_and_need_no_balance(user: User, other: Canister) -> None:
    poor = await user.install(cycles=60 * 10**9)
    assert await poor.composite(ask(other, P.reply(b"free").code)) == b"free"


async def test_a_frozen_canister_answers_no_queries(user: User) -> None:
    canister = await user.install(cycles=10**12)
    await canister.set(freezing_threshold=1 << 62)
    error = await rejected(canister.query(P.reply()))
    assert (error.code, error.error_code) == (2, "IC0207")
    assert error.message == (
        f"Canister {canister.id} is unable to process query calls because it's frozen. "
        "Please top up the canister with cycles and try again."
    )
