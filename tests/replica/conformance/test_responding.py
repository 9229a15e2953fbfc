"""Interface Specification, "Responding": reply, reject, both, neither, and how much fits."""

from __future__ import annotations

import pytest

from tests.replica.conformance.program import Program
from tests.worlds.users import Canister, rejected

P = Program()
MIB = 1 << 20
METHODS = ("update", "query_as_update", "query", "composite")


@pytest.mark.parametrize("method", METHODS)
async def test_a_reply_is_what_was_appended(canister: Canister, method: str) -> None:
    act = getattr(canister, method)
    assert await act(P.reply()) == b""
    assert await act(P.append_reply(b"a").append_reply(b"").append_reply(b"bc").msg_reply()) == b"abc"


@pytest.mark.parametrize("method", METHODS)
async def test_a_reject_has_code_4_and_the_message_given(canister: Canister, method: str) -> None:
    error = await rejected(getattr(canister, method)(P.append_reply(b"discarded").reject("why, ä")))
    assert (error.code, error.error_code, error.message) == (4, "IC0406", "why, ä")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("program", "text"),
    [
        (P.reply(b"1").reply(b"2"), "the call is already replied"),
        (P.reply(b"1").reject("2"), "the call is already replied"),
        (P.reject("1").reply(b"2"), "the call is already replied"),
        (P.reject("1").reject("2"), "the call is already replied"),
        (P.reply(b"1").append_reply(b"2"), "the call is already replied"),
        (P.reject(b"\xff"), "invalid UTF-8"),
    ],
)
async def test_responding_wrongly_traps(canister: Canister, method: str, program: Program, text: str) -> None:
    error = await rejected(getattr(canister, method)(program))
    assert (error.code, error.error_code) == (5, "IC0504")
    assert "violated contract: ic0." in error.message and text in error.message


@pytest.mark.parametrize("method", METHODS)
async def test_not_responding_is_an_error_of_the_canister(canister: Canister, method: str) -> None:
    error = await rejected(getattr(canister, method)(P.append_reply(b"lost")))
    assert (error.code, error.error_code) == (5, "IC0506")
    what = "produce a response" if method in ("query", "composite") else "reply to the call"
    assert error.message == f"Canister {canister.id} did not {what}"


async def test_not_responding_keeps_the_changes(canister: Canister) -> None:
    await rejected(canister.update(P.set(b"kept")))
    assert await canister.remembered() == b"kept"


async def test_data_that_was_not_replied_is_gone_in_the_callback(canister: Canister, other: Canister) -> None:
    program = P.append_reply(b"before").call(other.id, P.reply(b"x").code, on_reply=P.reply(b"after"))
    assert await canister.update(program) == b"after"


async def test_a_response_can_come_from_a_callback_even_after_others_did_not(
    canister: Canister, other: Canister
) -> None:
    call = P.call(other.id, P.reply().code, on_reply=P.append(b"x"))
    answers = P.call(other.id, P.reply().code, on_reply=P.append(b"y").reply(P.get()))
    assert sorted(await canister.update(call.then(call, answers))) in (sorted(b"xxy"), sorted(b"xy"), sorted(b"y"))
    await canister.settled()
    assert sorted(await canister.remembered()) == sorted(b"xxy")


async def test_a_callback_may_not_respond_a_second_time(canister: Canister, other: Canister) -> None:
    again = P.set(b"callback ran").then(P.reply(b"second"))
    answer = await canister.update(P.call(other.id, P.reply().code, on_reply=again).then(P.reply(b"first")))
    assert answer == b"first"
    await canister.settled()
    assert await canister.remembered() == b""


async def test_a_callback_may_run_on_after_the_response(canister: Canister, other: Canister) -> None:
    later = P.set(b"later")
    assert await canister.update(P.call(other.id, P.reply().code, on_reply=later).then(P.reply(b"first"))) == b"first"
    await canister.settled()
    assert await canister.remembered() == b"later"


@pytest.mark.parametrize(
    ("method", "limit"), [("update", 2 * MIB), ("query_as_update", 2 * MIB), ("query", 3 * MIB), ("composite", 3 * MIB)]
)
async def test_a_response_has_a_largest_size(canister: Canister, method: str, limit: int) -> None:
    act = getattr(canister, method)
    assert await act(P.reply(P.zeros(limit))) == bytes(limit)
    error = await rejected(act(P.append_reply(P.zeros(limit)).reply(b"x")))
    assert (error.code, error.error_code) == (5, "IC0504")
    assert f"application payload size ({limit + 1}) cannot be larger than {limit}" in error.message


async def test_a_reject_message_may_be_as_large_as_a_reply_but_is_cut_where_it_is_told(canister: Canister) -> None:
    error = await rejected(canister.update(P.reject(P.zeros(2 * MIB + 1))))
    assert (error.code, error.error_code) == (5, "IC0504")
