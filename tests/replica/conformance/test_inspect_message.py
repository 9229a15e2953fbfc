"""Interface Specification, "Ingress message inspection"."""

from __future__ import annotations

import pytest

from icmigrate.errors import CallRejected
from tests.replica.conformance.program import Program
from tests.worlds.users import Canister, User, rejected

P = Program()
ACCEPT = P.accept_message()


async def test_only_accepted_messages_are_executed(canister: Canister) -> None:
    await canister.update(P.set_hook("inspect_message", P).reply())
    error = await rejected(canister.update(P.set(b"x").reply()))
    assert isinstance(error, CallRejected)  # not certified: it never was on the chain
    assert (error.code, error.error_code) == (4, "IC0406")
    assert error.message == f"Canister {canister.id} rejected the message"
    assert await canister.remembered() == b""


async def test_the_inspection_sees_caller_method_and_argument(user: User, stranger: User, canister: Canister) -> None:
    told = P.debug_print(P.blob("msg_method_name")).debug_print(P.msg_caller())
    known = P.if_(P.word("equal", P.msg_caller(), user.principal), ACCEPT)
    await canister.update(P.set_hook("inspect_message", told.then(known)).reply())
    assert await canister.update(P.reply(b"in")) == b"in"
    error = await rejected(canister.used_by(stranger).update(P.reply(b"in")))
    assert error.error_code == "IC0406"
    by_argument = P.if_(P.word("equal", P.msg_arg_data(), P.reply(b"sesame").code), ACCEPT)
    await canister.update(P.set_hook("inspect_message", by_argument).reply())
    assert await canister.update(P.reply(b"sesame")) == b"sesame"
    await rejected(canister.update(P.reply(b"barley")))


async def test_the_inspection_leaves_no_trace(canister: Canister) -> None:
    await canister.update(P.set_hook("inspect_message", P.set(b"inspected").then(ACCEPT)).reply())
    assert await canister.update(P.reply(P.get())) == b""


@pytest.mark.parametrize(
    ("program", "error_code"),
    [
        (P.trap("no entry"), "IC0503"),
        (ACCEPT.then(P.trap("no entry")), "IC0503"),
        (ACCEPT.then(ACCEPT), "IC0504"),
        (P.unreachable(), "IC0502"),
    ],
)
async def test_a_trap_in_the_inspection_is_a_refusal(canister: Canister, program: Program, error_code: str) -> None:
    await canister.update(P.set_hook("inspect_message", program).reply())
    error = await rejected(canister.update(P.reply()))
    assert isinstance(error, CallRejected)
    assert (error.code, error.error_code) == (5, error_code)


async def test_queries_calls_by_canisters_and_management_are_not_inspected(canister: Canister, other: Canister) -> None:
    await canister.update(P.set_hook("inspect_message", P.trap()).reply())
    assert await canister.query(P.reply(b"query")) == b"query"
    assert await other.update(P.call(canister.id, P.reply(b"call").code)) == b"call"
    await canister.upgrade()
    await canister.stop()
    await canister.start()


async def test_a_query_method_called_as_an_update_is_inspected(canister: Canister) -> None:
    named = P.if_(P.word("equal", P.blob("msg_method_name"), b"run_query"), ACCEPT)
    await canister.update(P.set_hook("inspect_message", named).reply())
    assert await canister.query_as_update(P.reply(b"in")) == b"in"
    await rejected(canister.update(P.reply(b"in")))


async def test_the_inspection_has_an_instruction_limit_of_its_own(canister: Canister) -> None:
    await canister.update(P.set_hook("inspect_message", P.spin(1 << 40)).reply())
    error = await rejected(canister.update(P.reply()))
    assert isinstance(error, CallRejected)
    assert (error.code, error.error_code) == (5, "IC0522")
    assert "exceeded the limit of 200000000 instructions" in error.message
