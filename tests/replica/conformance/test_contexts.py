"""Interface Specification, "Overview of imports": every function in every context, allowed and not allowed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
import wasmtime

from icmigrate.protocol.principal import Principal
from tests.replica.conformance.program import Program
from tests.replica.conformance.stage import ACTS, Act, Part, Stage
from tests.worlds.users import PROGRAMMABLE_PLAIN, User, rejected

EVERYWHERE = "I G U RQ NRQ TQ CQ Ry Rt CRy CRt C CC F T"
P = Program()
A_CALL = P.call_new(Principal(b"\x0a"), "nobody")


@dataclass(frozen=True)
class Row:
    """A function: its parameters (I for the pointer type, i for i32, l for i64), its result, where it may be
    called, and a use of it that succeeds there."""

    parameters: str
    result: str
    contexts: frozenset[str]
    use: Program
    answers: bool = False
    always_traps: bool = False


def row(signature: str, contexts: str, use: Program, *, answers: bool = False, always_traps: bool = False) -> Row:
    parameters, _, result = signature.partition("->")
    letters = frozenset(contexts.replace("*", EVERYWHERE).split())
    return Row(parameters.strip(), result.strip(), letters, use, answers, always_traps)


def w(name: str, *operands: int) -> Program:
    return P.word(name, *operands)


CALLS = "U CQ Ry Rt CRy CRt T"
ANSWERS = "U RQ NRQ TQ CQ Ry Rt CRy CRt"
INFO = "U RQ NRQ CQ Ry Rt CRy CRt C CC F"
ARGUMENT = "I U RQ NRQ TQ CQ Ry CRy F"
REPLICATED = "I G U RQ Ry Rt C T"
KEY = P.word("pass", b"key_1")
NAME = P.word("pass", b"A")

# fmt: off
TABLE: dict[str, Row] = {
    "msg_arg_data_size":                row("->I", ARGUMENT, w("msg_arg_data_size")),
    "msg_arg_data_copy":                row("III->", ARGUMENT, w("msg_arg_data_copy", 0, 0, 0)),
    "msg_caller_size":                  row("->I", "*", w("msg_caller_size")),
    "msg_caller_copy":                  row("III->", "*", P.msg_caller()),
    "msg_caller_info_data_size":        row("->I", INFO, w("msg_caller_info_data_size")),
    "msg_caller_info_data_copy":        row("III->", INFO, P.blob("msg_caller_info_data")),
    "msg_caller_info_signer_size":      row("->I", INFO, w("msg_caller_info_signer_size")),
    "msg_caller_info_signer_copy":      row("III->", INFO, P.blob("msg_caller_info_signer")),
    "msg_reject_code":                  row("->i", "Ry Rt CRy CRt C", w("msg_reject_code")),
    "msg_reject_msg_size":              row("->I", "Rt CRt", w("msg_reject_msg_size")),
    "msg_reject_msg_copy":              row("III->", "Rt CRt", P.msg_reject_msg()),
    "msg_deadline":                     row("->l", "U RQ NRQ TQ CQ Ry Rt CRy CRt", w("msg_deadline")),
    "msg_reply_data_append":            row("II->", ANSWERS, P.append_reply(b"x")),
    "msg_reply":                        row("->", ANSWERS, P.msg_reply(), answers=True),
    "msg_reject":                       row("II->", ANSWERS, P.reject(b"no"), answers=True),
    "msg_cycles_available128":          row("I->", "U RQ Rt Ry", P.wide("msg_cycles_available128")),
    "msg_cycles_refunded128":           row("I->", "Rt Ry", P.wide("msg_cycles_refunded128")),
    "msg_cycles_accept128":             row("llI->", "U RQ Rt Ry", P.accept_cycles(1)),
    "cycles_burn128":                   row("llI->", REPLICATED, P.wide("cycles_burn128", 0, 1)),
    "canister_self_size":               row("->I", "*", w("canister_self_size")),
    "canister_self_copy":               row("III->", "*", P.blob("canister_self")),
    "canister_cycle_balance128":        row("I->", "*", P.balance()),
    "canister_liquid_cycle_balance128": row("I->", "*", P.wide("canister_liquid_cycle_balance128")),
    "canister_status":                  row("->i", "*", w("canister_status")),
    "canister_version":                 row("->l", "*", w("canister_version")),
    "subnet_self_size":                 row("->I", "*", w("subnet_self_size")),
    "subnet_self_copy":                 row("III->", "*", P.blob("subnet_self")),
    "msg_method_name_size":             row("->I", "F", w("msg_method_name_size")),
    "msg_method_name_copy":             row("III->", "F", P.blob("msg_method_name")),
    "accept_message":                   row("->", "F", P.accept_message(), answers=True),
    "call_new":                         row("IIIIIIII->", CALLS, A_CALL),
    "call_on_cleanup":                  row("II->", CALLS, A_CALL.call_on_cleanup(P)),
    "call_data_append":                 row("II->", CALLS, A_CALL.call_data_append(b"x")),
    "call_with_best_effort_response":   row("i->", CALLS, A_CALL.word("call_with_best_effort_response", 1)),
    "call_cycles_add128":               row("ll->", "U Ry Rt T", A_CALL.call_cycles_add128(1)),
    "call_perform":                     row("->i", CALLS, P.call_new(Principal(b"\x0a"), "x", on_reject=P, on_reply=P)
                                                           .call_perform()),
    "stable64_size":                    row("->l", "* s", w("stable64_size")),
    "stable64_grow":                    row("l->l", "* s", w("stable64_grow", 1)),
    "stable64_write":                   row("lll->", "* s", w("stable64_write", 0, 0, 0)),
    "stable64_read":                    row("lll->", "* s", w("stable64_read", 0, 0, 0)),
    "root_key_size":                    row("->I", REPLICATED, w("root_key_size")),
    "root_key_copy":                    row("III->", REPLICATED, P.blob("root_key")),
    "certified_data_set":               row("II->", "I G U Ry Rt T", P.certified_data_set(bytes(32))),
    "data_certificate_present":         row("->i", "*", w("data_certificate_present")),
    "data_certificate_size":            row("->I", "NRQ CQ", w("data_certificate_size")),
    "data_certificate_copy":            row("III->", "NRQ CQ", P.blob("data_certificate")),
    "time":                             row("->l", "*", P.time()),
    "global_timer_set":                 row("l->l", "I G U Ry Rt C T", P.global_timer_set(0)),
    "performance_counter":              row("i->l", "* s", P.performance_counter(0)),
    "is_controller":                    row("II->i", "* s", P.passing("is_controller", b"\x04")),
    "in_replicated_execution":          row("->i", "* s", w("in_replicated_execution")),
    "cost_call":                        row("llI->", "* s", P.wide("cost_call", 1, 1)),
    "cost_create_canister":             row("I->", "* s", P.wide("cost_create_canister")),
    "cost_http_request":                row("llI->", "* s", P.wide("cost_http_request", 1, 1)),
    "cost_sign_with_ecdsa":             row("IIiI->i", "* s", KEY.wide("cost_sign_with_ecdsa", 0)),
    "cost_sign_with_schnorr":           row("IIiI->i", "* s", KEY.wide("cost_sign_with_schnorr", 0)),
    "cost_vetkd_derive_key":            row("IIiI->i", "* s", KEY.wide("cost_vetkd_derive_key", 0)),
    "env_var_count":                    row("->I", "*", w("env_var_count")),
    "env_var_name_size":                row("I->I", "*", w("env_var_name_size", 0)),
    "env_var_name_copy":                row("IIII->", "*", P.blob("env_var_name", 0)),
    "env_var_name_exists":              row("II->i", "*", NAME.word("env_var_name_exists")),
    "env_var_value_size":               row("II->I", "*", NAME.word("env_var_value_size")),
    "env_var_value_copy":               row("IIIII->", "*", P.blob("env_var_value", NAME)),
    "debug_print":                      row("II->", "* s", P.debug_print(b"hello")),
    "trap":                             row("II->", "* s", P.trap(b"why"), always_traps=True),
}
ONLY_32_BIT: dict[str, Row] = {
    "msg_cycles_available":   row("->l", "U RQ Rt Ry", w("msg_cycles_available")),
    "msg_cycles_refunded":    row("->l", "Rt Ry", w("msg_cycles_refunded")),
    "msg_cycles_accept":      row("l->l", "U RQ Rt Ry", w("msg_cycles_accept", 1)),
    "canister_cycle_balance": row("->l", "*", w("canister_cycle_balance")),
    "call_cycles_add":        row("l->", "U Ry Rt T", A_CALL.word("call_cycles_add", 1)),
    "stable_size":            row("->i", "* s", w("stable_size")),
    "stable_grow":            row("i->i", "* s", w("stable_grow", 1)),
    "stable_write":           row("iii->", "* s", w("stable_write", 0, 0, 0)),
    "stable_read":            row("iii->", "* s", w("stable_read", 0, 0, 0)),
}
# fmt: on
ALL_32_BIT = TABLE | ONLY_32_BIT


@pytest.fixture(scope="module")
async def stages(user: User) -> dict[Act, Stage]:
    """A stage for each context, so that they can be entered side by side."""
    acts = [act for several in ACTS.values() for act in several]
    return dict(zip(acts, await asyncio.gather(*(Stage.build(user) for _ in acts)), strict=True))


@pytest.mark.parametrize("name", ALL_32_BIT)
async def test_a_function_can_be_called_in_its_contexts_and_traps_in_all_others(
    stages: dict[Act, Stage], name: str
) -> None:
    function = ALL_32_BIT[name]
    bare = Part(P.word(name, *[0] * len(function.parameters)))
    acts = [(letter, act) for letter, several in ACTS.items() for act in several]

    async def outcome(letter: str, act: Act) -> str | None:
        allowed = letter in function.contexts
        return await act(stages[act], Part(function.use, function.answers) if allowed else bare)

    outcomes = await asyncio.gather(*(outcome(*each) for each in acts))
    wrong = {
        act.__name__: why for (letter, act), why in zip(acts, outcomes, strict=True) if wrong_outcome(name, letter, why)
    }
    assert wrong == {}


def wrong_outcome(name: str, letter: str, why: str | None) -> bool:
    function = ALL_32_BIT[name]
    if letter not in function.contexts:
        # A system task can tell nobody.
        return why is None or (letter != "T" and f'"ic0_{name}" cannot be executed in ' not in why)
    if function.always_traps:
        return why is None or (letter != "T" and "Canister called `ic0.trap` with message: 'why'" not in why)
    return why is not None and not (name == "msg_reject" and why == "no")


def test_the_programmable_canister_imports_every_function_and_no_other() -> None:
    module = wasmtime.Module(wasmtime.Engine(), PROGRAMMABLE_PLAIN)
    assert {imported.name for imported in module.imports} == set(ALL_32_BIT)


# ---------------------------------------------------------------------------- (start), and 64-bit pointers


def starting(name: str, function: Row, pointer: str) -> bytes:
    """A module that calls a function, with zeros, in its start section."""
    types = {"I": pointer, "i": "i32", "l": "i64"}
    parameters = [types[letter] for letter in function.parameters]
    result = f"(result {types[function.result]})" if function.result else ""
    arguments = " ".join(f"({type_}.const 0)" for type_ in parameters)
    call = f"(call $f {arguments})"
    return bytes(
        wasmtime.wat2wasm(f"""
            (module
              (import "ic0" "{name}" (func $f (param {" ".join(parameters)}) {result}))
              (memory {"i64" if pointer == "i64" else ""} 1)
              (func $start {f"(drop {call})" if result else call})
              (start $start))
        """)
    )


@pytest.mark.parametrize("pointer", ["i32", "i64"])
async def test_the_start_function_may_call_what_the_specification_allows_it(user: User, pointer: str) -> None:
    rows = ALL_32_BIT if pointer == "i32" else TABLE
    canister = await user.create()
    wrong = {}
    for name, function in rows.items():
        allowed = "s" in function.contexts and not function.always_traps
        pending = canister.reinstall(module=starting(name, function, pointer))
        if allowed:
            await pending
            continue
        error = await rejected(pending)
        expected = (
            "Canister called `ic0.trap`" if function.always_traps else f'"ic0_{name}" cannot be executed in start mode'
        )
        if expected not in error.message:
            wrong[name] = error.message
    assert wrong == {}


@pytest.mark.parametrize("name", ONLY_32_BIT)
async def test_a_module_with_a_64_bit_memory_cannot_import_what_is_32_bit_only(user: User, name: str) -> None:
    canister = await user.create()
    error = await rejected(canister.install(module=starting(name, ONLY_32_BIT[name], "i64")))
    assert (error.code, error.error_code) == (5, "IC0505")


@pytest.mark.parametrize(
    "name", [name for name, function in TABLE.items() if "I" in function.parameters + function.result]
)
async def test_a_function_has_the_pointer_width_of_the_memory(user: User, name: str) -> None:
    canister = await user.create()
    for pointer, other in (("i32", "i64"), ("i64", "i32")):
        module = starting(name, TABLE[name], pointer)
        wrong = (
            module.replace(b"\5\3\1\4\1", b"\5\3\1\0\1")
            if pointer == "i64"
            else module.replace(b"\5\3\1\0\1", b"\5\3\1\4\1")
        )
        assert wrong != module, other
        error = await rejected(canister.install(module=wrong))
        assert (error.code, error.error_code) == (5, "IC0505")
