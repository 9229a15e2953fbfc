"""Interface Specification, "Error codes": what is wrong with canister code is told in the words of the IC's replica."""

from __future__ import annotations

import pytest

from icmigrate.protocol.principal import Principal
from icmigrate.replica.execution.commit_or_rollback import Executor
from icmigrate.replica.system_api.execution_modes import ExecutionMode
from tests.replica.execution.single import ID, execute
from tests.worlds.bare_replica import OWNER, STRANGER, wasm

DOCS = "https://internetcomputer.org/docs/current/references/execution-errors#"
TRAPPED = (
    "Consider gracefully handling failures from this canister or altering the canister to handle exceptions. "
    f"See documentation: {DOCS}trapped"
)
TOOLCHAIN = "If you are running this canister in a test environment (e.g., dfx), make sure"
CONTRACT = "Canister violated contract: "
SIZE = 2 * 65_536
NEW = """(call $call_new (i32.const 0) (i32.const 10) (i32.const 16) (i32.const 1)
    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))"""
FAR = "(i32.const -1)"
STABLE = "(drop (call $stable64_grow (i64.const 1)))"
# Situation: error code, text, how the help begins.
FAULTS = {
    "unreachable": ("IC0502", "Canister trapped: unreachable", TRAPPED),
    "(drop (i32.div_u (i32.const 1) (i32.const 0)))": ("IC0502", "Canister trapped: integer division by 0", TRAPPED),
    "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))": ("IC0502", "Canister trapped: unknown", TRAPPED),
    "(drop (i32.trunc_f32_s (f32.const nan)))": ("IC0502", "Canister trapped: unknown", TRAPPED),
    f"(drop (i32.load {FAR}))": ("IC0502", "Canister trapped: heap out of bounds", TRAPPED),
    f"(memory.fill {FAR} (i32.const 0) (i32.const 2))": ("IC0502", "Canister trapped: heap out of bounds", TRAPPED),
    "(call_indirect $t (i32.const 9))": ("IC0502", "Canister trapped: table out of bounds", TRAPPED),
    "(call_indirect $t (i32.const 1))": ("IC0502", "Canister trapped: unknown", TRAPPED),
    "(call_indirect $t (param i32) (i32.const 1) (i32.const 0))": ("IC0502", "Canister trapped: unknown", TRAPPED),
    "(call $deep)": ("IC0502", "Canister trapped: stack overflow", TRAPPED),
    "(loop $again (br $again))": (
        "IC0522", "Canister exceeded the limit of 1000000 instructions for single message execution.",
        f"Try optimizing this method to consume fewer instructions or split the work across multiple messages. "
        f"See documentation: {DOCS}instruction-limit-exceeded"),
    "(call $trap (i32.const 32) (i32.const 3))": (
        "IC0503", "Canister called `ic0.trap` with message: 'why'", f"{TRAPPED}-explicitly"),
    f"(call $trap {FAR} (i32.const 3))": (
        "IC0503", "Canister called `ic0.trap` with message: '(trap message out of memory bounds)'",
        f"{TRAPPED}-explicitly"),
    "(call $stable64_write (i64.const 0) (i64.const 0) (i64.const 1))":
        ("IC0502", "Canister trapped: stable memory out of bounds", TRAPPED),
    "(call $stable64_read (i64.const 0) (i64.const -1) (i64.const 2))":
        ("IC0502", "Canister trapped: stable memory out of bounds", TRAPPED),
    f"{STABLE} (call $stable64_read (i64.const 0x100000000) (i64.const 0) (i64.const 1))":
        ("IC0502", "Canister trapped: heap out of bounds", TRAPPED),
    f"{STABLE} (call $stable_write (i32.const 0) (i32.const 131072) (i32.const 1))":
        ("IC0502", "Canister trapped: heap out of bounds", TRAPPED),
    "(call $stable_write (i32.const 1) (i32.const 0) (i32.const 0))":
        ("IC0502", "Canister trapped: stable memory out of bounds", TRAPPED),
    "(drop (call $stable64_grow (i64.const 65537))) (drop (call $stable_grow (i32.const 0)))":
        ("IC0502", "Canister trapped: 32 bit stable memory api used on a memory larger than 4GB", TRAPPED),
    "(call $msg_reply) (call $msg_reply)":
        ("IC0504", CONTRACT + "ic0.msg_reply: the call is already replied", TOOLCHAIN),
    "(call $msg_reply) (call $msg_reply_data_append (i32.const 0) (i32.const 0))":
        ("IC0504", CONTRACT + "ic0.msg_reply_data_append: the call is already replied.", TOOLCHAIN),
    "(call $msg_reply_data_append (i32.const 0) (i32.const 2097153))": (
        "IC0504", CONTRACT + "ic0.msg_reply_data_append: application payload size (2097153) cannot be larger than "
        "2097152.", "Consider checking the response size and returning an error if it is too long. See documentation: "
        f"{DOCS}msg_reply_data_append-payload-too-large"),
    "(call $msg_reject (i32.const 60) (i32.const 1))":
        ("IC0504", CONTRACT + "ic0.msg_reject: invalid UTF-8 string provided", TOOLCHAIN),
    f"(call $msg_arg_data_copy {FAR} (i32.const 0) (i32.const 3))": (
        "IC0504", CONTRACT + "ic0.msg_arg_data_copy heap: src=4294967295 + length=3 exceeds the slice size="
        f"{SIZE}", TOOLCHAIN),
    "(call $msg_arg_data_copy (i32.const 0) (i32.const 6) (i32.const 3))": (
        "IC0504", CONTRACT + "ic0.msg_arg_data_copy payload: src=6 + length=3 exceeds the slice size=8", TOOLCHAIN),
    "(call $certified_data_set (i32.const 0) (i32.const 33))": (
        "IC0504", CONTRACT + "ic0_certified_data_set failed because the passed data must be no larger than 32 bytes. "
        "Found 33 bytes.", "Try certifying just the hash of your data instead of the full contents. "
        f"See documentation: {DOCS}certified_data_set-payload-too-large"),
    f"(call $certified_data_set {FAR} (i32.const 3))": (
        "IC0504", CONTRACT + "ic0_certified_data_set failed because src + size is out of bounds. Found src = "
        f"4294967295 and size = 3 while src + size must be <= {SIZE}", TOOLCHAIN),
    "(drop (call $performance_counter (i32.const 2)))":
        ("IC0504", CONTRACT + "Error getting performance counter type 2", ""),
    "(drop (call $is_controller (i32.const 0) (i32.const 30)))":
        ("IC0504", "Canister provided invalid principal id", TOOLCHAIN),
    "(drop (call $call_perform))":
        ("IC0504", CONTRACT + "ic0.call_perform called when no call is under construction.", TOOLCHAIN),
    f"{NEW} (call $call_on_cleanup (i32.const 0) (i32.const 0)) (call $call_on_cleanup (i32.const 0) (i32.const 0))": (
        "IC0504", CONTRACT + "ic0.call_on_cleanup can be called at most once between `ic0.call_new` and "
        "`ic0.call_perform`", TOOLCHAIN),
    f"{NEW} (call $call_with_best_effort_response (i32.const 1)) (call $call_with_best_effort_response (i32.const 1))":
        ("IC0504", CONTRACT + "ic0_call_with_best_effort_response failed because a timeout is already set.", TOOLCHAIN),
    "(drop (call $env_var_name_size (i32.const 1)))": (
        "IC0504", "Environment variable index 1 is out of bounds. The number of environment variables is 1.", ""),
    "(drop (call $env_var_value_size (i32.const 32) (i32.const 3)))":
        ("IC0504", "Environment variable why not found.", ""),
    "(drop (call $env_var_value_size (i32.const 60) (i32.const 1)))": (
        "IC0504", CONTRACT + "ic0.env_var_value_size: Variable name is not a valid UTF-8 string.",
        "Provide a valid UTF-8 string for the environment variable name. See documentation: "),
    "(call $env_var_value_copy (i32.const 0) (i32.const 129) (i32.const 0) (i32.const 0) (i32.const 0))":
        ("IC0504", CONTRACT + "ic0.env_var_value_copy: Variable name is too large.", ""),
    f"(call $cost_call (i64.const 0) (i64.const 0) {FAR})": (
        "IC0504", CONTRACT + "ic0_cost_call failed because dst + size is out of bounds."
        f"Found dst = 4294967295 and size = 16 while must be <= {SIZE}", TOOLCHAIN),
    f"(drop (call $cost_sign_with_ecdsa {FAR} (i32.const 1) (i32.const 0) (i32.const 0)))": (
        "IC0504", CONTRACT + "ic0.cost_sign_with_ecdsa heap: src=4294967295 + length=1 exceeds the slice size="
        f"{SIZE}", TOOLCHAIN),
    "(call $accept_message)": (
        "IC0504", CONTRACT + '"ic0_accept_message" cannot be executed in update mode',
        "Check the ICP documentation to make sure APIs are being called in the correct message types. "
        f"See documentation: {DOCS}calling-a-system-api-from-the-wrong-mode"),
}  # fmt: skip
MODULE = """(type $other (func (param i32))) (table $t 2 funcref) (elem (table $t) (i32.const 0) func $deep)
  (func $deep (call $deep) (call $deep)) (data (i32.const 32) "why") (data (i32.const 60) "\\ff")"""


def method(body: str) -> bytes:
    return wasm(f'{MODULE} (func (export "canister_update go") {body})')


@pytest.mark.parametrize("body", FAULTS)
def test_a_mistake_is_told_as_the_ic_tells_it(executor: Executor, body: str) -> None:
    code, text, help = FAULTS[body]
    fault = execute(executor, method(body), limit=1_000_000 if "loop" in body else 1_000_000_000).error
    assert fault is not None
    assert (fault.error_code, fault.text) == (code, text)
    assert fault.help.startswith(help) and (fault.help == "") == (help == "")
    told = fault.reject(ID)
    assert told.code == 5
    assert told.message == f"Error from Canister {ID.to_str()}: {text}" + (f".\n{fault.help}" if help else "")


@pytest.mark.parametrize(("caller", "told"), [(OWNER, True), (STRANGER, False)])
def test_only_a_controller_is_told_how_many_cycles_a_call_lacks(
    executor: Executor, caller: Principal, told: bool
) -> None:
    body = f"{NEW} (call $call_cycles_add (i64.const 1000000000000))"
    fault = execute(executor, method(body), cycles=10**11, caller=caller).error
    assert fault is not None and fault.error_code == "IC0504"
    text = f"Canister {ID.to_str()} is out of cycles"
    assert fault.text.startswith(f"{text}: please top up the canister with at least " if told else text)
    assert told or fault.text == text


@pytest.mark.parametrize(
    "context",
    [ExecutionMode(letter) for letter in ("U", "NRQ", "F", "I", "G", "s", "T", "C")],
)
@pytest.mark.parametrize("body", ["(loop $again (br $again))", "(call $deep)"])
def test_no_execution_goes_on_for_ever_or_too_deep(executor: Executor, context: ExecutionMode, body: str) -> None:
    fault = execute(executor, method(body), limit=100_000_000, context=context).error
    assert fault is not None
    assert fault.error_code == ("IC0502" if "deep" in body else "IC0522")
    assert execute(executor, method("(nop)"), context=context).error is None


def test_what_an_outcall_costs_can_be_asked_for_by_its_usage(executor: Executor) -> None:
    """The Candid argument is missing: it is said so."""
    fault = execute(executor, method("(call $cost_http_request_v2 (i32.const 0) (i32.const 4) (i32.const 0))")).error
    assert fault is not None
    assert fault.text.startswith(CONTRACT + "Failed to decode HttpRequestV2CostParams from Candid: ")
