"""Interface Specification, "Canister interface (System API)": what each function gives, and when it traps."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import pytest

from icmigrate.protocol.principal import MANAGEMENT_CANISTER, Principal
from tests.replica.conformance.program import Operand, Program
from tests.worlds.users import ABSENT, Canister, User, number, rejected

P = Program()
PAGE = 65_536
MEMORY_END = (1 << 32) - 1
"""An address that no 32-bit memory here reaches."""
GONE = (1 << 64) - 1
"""-1 as the unsigned number that programs see."""


def reply(*data: Operand) -> Program:
    return P.reply(*data)


@pytest.fixture(scope="module")
async def varied(user: User) -> Canister:
    """Has environment variables."""
    variables = [{"name": "LONG", "value": "first"}, {"name": "EMPTY", "value": ""}]
    return await user.install(environment_variables=variables)


# ------------------------------------------------------------------------------------- blob-typed arguments

BLOBS = {
    "msg_arg_data": P,
    "msg_caller": P,
    "canister_self": P,
    "subnet_self": P,
    "root_key": P,
    "env_var_name": P.push(0),
    "env_var_value": P.word("pass", "LONG"),
}
"""Functions that copy out, with their operands before `dst`."""


@pytest.mark.parametrize("name", BLOBS)
async def test_a_part_of_a_blob_is_copied(varied: Canister, name: str) -> None:
    whole = P.blob(name, BLOBS[name])
    part = P.push(BLOBS[name], 0, 2, 2).word(f"{name}_copy").push(0, 2).word("load")
    answer = await varied.update(reply(part, whole))
    assert answer[:2] == answer[4:6]


@pytest.mark.parametrize("name", BLOBS)
async def test_copying_beyond_the_end_of_a_blob_traps(varied: Canister, name: str) -> None:
    size = P.push(BLOBS[name]).word(f"{name}_size").add(1)
    error = await rejected(varied.update(P.push(BLOBS[name], 0, 0, size).word(f"{name}_copy").then(reply())))
    assert (error.code, error.error_code) == (5, "IC0504")


@pytest.mark.parametrize("name", BLOBS)
async def test_copying_beyond_the_end_of_memory_traps(varied: Canister, name: str) -> None:
    error = await rejected(varied.update(P.push(BLOBS[name], MEMORY_END, 0, 2).word(f"{name}_copy").then(reply())))
    assert (error.code, error.error_code) == (5, "IC0504")


TAKES = {
    "msg_reply_data_append": P,
    "msg_reject": P,
    "trap": P,
    "debug_print": P,
    "call_data_append": P.call_new(ABSENT, "x"),
    "certified_data_set": P,
    "is_controller": P,
    "env_var_name_exists": P,
    "env_var_value_size": P,
}


@pytest.mark.parametrize("name", TAKES)
async def test_data_beyond_the_end_of_memory_cannot_be_passed(varied: Canister, name: str) -> None:
    program = TAKES[name].word(name, MEMORY_END, 2).then(reply(b"done"))
    if name == "debug_print":  # which never traps
        assert await varied.update(program) == b"done"
        return
    error = await rejected(varied.update(program))
    assert (error.code, error.error_code) == (5, "IC0503" if name == "trap" else "IC0504")


# ------------------------------------------------------------------------------------------ the message


async def test_the_argument_is_that_of_the_call_and_in_a_reply_callback_the_reply(
    canister: Canister, other: Canister
) -> None:
    program = P.call(other.id, reply(b"the reply").code, on_reply=reply(b"got ", P.msg_arg_data()))
    assert await canister.update(program) == b"got the reply"
    assert await canister.update(reply(P.msg_arg_data())) == reply(P.msg_arg_data()).code


async def test_the_caller_is_the_user_the_canister_or_the_system(
    user: User, canister: Canister, other: Canister
) -> None:
    caller = P.append(P.msg_caller())
    assert await canister.update(reply(P.msg_caller())) == user.principal.bytes
    assert await canister.query(reply(P.msg_caller())) == user.principal.bytes
    assert await canister.query_as_update(reply(P.msg_caller())) == user.principal.bytes
    called = P.call(other.id, reply(P.msg_caller()).code)
    assert await canister.update(called) == canister.id.bytes
    called = P.call(other.id, reply(b"").code, on_reply=reply(P.msg_caller()))
    assert await canister.update(called) == user.principal.bytes
    await canister.reinstall(caller)
    assert await canister.remembered() == user.principal.bytes
    await canister.upgrade(caller)
    assert await canister.remembered() == user.principal.bytes
    task = P.set(b"-").set_hook("global_timer", caller.append(b"-")).global_timer_set(1).drop()
    await canister.update(task.then(reply()))
    await canister.settled()
    assert await canister.remembered() == b"-" + MANAGEMENT_CANISTER.bytes + b"-"


async def test_an_ordinary_caller_has_no_caller_info(canister: Canister) -> None:
    program = reply(P.blob("msg_caller_info_data"), P.blob("msg_caller_info_signer"))
    assert await canister.update(program) == b""
    assert await canister.query(program) == b""


@pytest.mark.parametrize(
    ("callee", "code", "message"),
    [
        (P.reject("words of its own"), 4, "words of its own"),
        (P.trap("why"), 5, "why"),
        (P, 5, "did not reply"),
        (None, 3, "not found"),
    ],
)
async def test_a_reject_callback_sees_code_and_message(
    canister: Canister, other: Canister, callee: Program | None, code: int, message: str
) -> None:
    told = P.reply(P.msg_reject_code(), P.msg_reject_msg())
    target = ABSENT if callee is None else other.id
    answer = await canister.update(P.call(target, (callee or P).code, on_reject=told))
    assert number(answer[:8]) == code
    assert message in answer[8:].decode()


async def test_a_reply_callback_and_its_cleanup_see_reject_code_0(canister: Canister, other: Canister) -> None:
    told = P.reply(P.msg_reject_code())
    assert number(await canister.update(P.call(other.id, reply().code, on_reply=told))) == 0
    program = P.call(other.id, reply().code, on_reply=P.trap(), on_cleanup=P.set(P.to_bytes(P.msg_reject_code())))
    await rejected(canister.update(program))
    assert number(await canister.remembered()) == 0
    program = P.call(other.id, P.reject("").code, on_reject=P.trap(), on_cleanup=P.set(P.to_bytes(P.msg_reject_code())))
    await rejected(canister.update(program))
    assert number(await canister.remembered()) == 4


async def test_only_calls_with_a_bounded_wait_have_a_deadline(canister: Canister, other: Canister) -> None:
    deadline = P.word("msg_deadline")
    assert number(await canister.update(reply(deadline))) == 0
    assert number(await canister.query(reply(deadline))) == 0
    assert number(await canister.update(P.call(other.id, reply(deadline).code))) == 0
    before = time.time_ns()
    bounded = P.call(other.id, reply(deadline).code, timeout=100)
    assert before + 100 * 10**9 <= number(await canister.update(bounded)) <= time.time_ns() + 100 * 10**9
    very_long = P.call(other.id, reply(deadline).code, timeout=10**6)
    assert number(await canister.update(very_long)) <= time.time_ns() + 300 * 10**9
    in_query = P.call(other.id, reply(deadline).code, method="run_query", timeout=100)
    assert number(await canister.update(in_query)) == 0


# ------------------------------------------------------------------------------------------ the canister


async def test_a_canister_knows_itself_its_subnet_and_the_root_key(canister: Canister) -> None:
    keys = canister.user.replica.keys
    assert await canister.update(reply(P.blob("canister_self"))) == canister.id.bytes
    assert await canister.query(reply(P.blob("canister_self"))) == canister.id.bytes
    assert await canister.update(reply(P.blob("subnet_self"))) == keys.subnet_id.bytes
    assert await canister.update(reply(P.blob("root_key"))) == canister.user.replica.root_key


async def test_a_canister_knows_its_controllers(canister: Canister) -> None:
    def asked(principal: Principal) -> Program:
        return reply(P.passing("is_controller", principal))

    assert number(await canister.update(asked(canister.user.principal))) == 1
    assert number(await canister.query(asked(canister.user.principal))) == 1
    assert number(await canister.update(asked(canister.id))) == 0
    error = await rejected(canister.update(P.passing("is_controller", bytes(30)).then(reply())))
    assert (error.code, error.error_code) == (5, "IC0504")


async def test_a_canister_knows_its_status(canister: Canister) -> None:
    status = P.word("canister_status")
    assert number(await canister.update(reply(status))) == 1
    await canister.stop()
    await canister.upgrade(P.set(P.to_bytes(status)))
    await canister.start()
    assert number(await canister.remembered()) == 3


async def test_the_version_grows_with_every_change(canister: Canister) -> None:
    async def version() -> int:
        seen: int = (await canister.status())["version"]
        return seen

    changes: list[Callable[[], Awaitable[object]]] = [
        lambda: canister.update(reply()),
        lambda: canister.set(freezing_threshold=1000),
        canister.stop,
        canister.start,
        lambda: canister.install(mode="reinstall"),
        canister.upgrade,
    ]
    for change in changes:
        before = await version()
        await change()
        assert await version() > before
    assert number(await canister.query(reply(P.canister_version()))) == await version()


async def test_an_upgrade_shows_the_old_version_before_and_the_new_after(canister: Canister) -> None:
    hook = P.stable64_write(0, P.to_bytes(P.canister_version()))
    await canister.update(P.stable64_grow(1).drop().set_hook("pre_upgrade", hook).then(reply()))
    before = number(await canister.query(reply(P.canister_version())))
    await canister.upgrade(P.set(P.to_bytes(P.canister_version())))
    assert number(await canister.query(reply(P.stable64_read(0, 8)))) == before
    assert number(await canister.remembered()) == number(await canister.query(reply(P.canister_version())))
    assert number(await canister.remembered()) > before


@pytest.mark.parametrize(
    ("method", "replicated"),
    [("update", 1), ("query_as_update", 1), ("query", 0), ("composite", 0)],
)
async def test_a_canister_knows_whether_it_runs_replicated(canister: Canister, method: str, replicated: int) -> None:
    assert number(await getattr(canister, method)(reply(P.word("in_replicated_execution")))) == replicated


# ------------------------------------------------------------------------------------ environment variables


async def test_environment_variables_can_be_listed_and_looked_up(varied: Canister) -> None:
    assert number(await varied.update(reply(P.word("env_var_count")))) == 2
    names = {await varied.query(reply(P.blob("env_var_name", index))) for index in (0, 1)}
    assert names == {b"LONG", b"EMPTY"}
    value = await varied.update(reply(P.blob("env_var_value", P.word("pass", "LONG"))))
    assert value == b"first"
    assert await varied.update(reply(P.blob("env_var_value", P.word("pass", "EMPTY")))) == b""
    for name, exists in (("LONG", 1), ("NONE", 0), ("", 0)):
        assert number(await varied.update(reply(P.passing("env_var_name_exists", name)))) == exists


@pytest.mark.parametrize(
    "program",
    [
        P.word("env_var_name_size", 2),
        P.word("env_var_name_copy", 2, 0, 0, 0),
        P.passing("env_var_value_size", "NONE"),
        P.word("pass", "NONE").word("env_var_value_copy", 0, 0, 0),
        P.passing("env_var_name_exists", b"\xff"),
        P.passing("env_var_value_size", b"\xff"),
        P.passing("env_var_name_exists", b"A" * 129),
        P.passing("env_var_value_size", b"A" * 129),
    ],
)
async def test_asking_for_a_variable_that_cannot_be_traps(varied: Canister, program: Program) -> None:
    error = await rejected(varied.update(program.then(reply())))
    assert (error.code, error.error_code) == (5, "IC0504")


# ------------------------------------------------------------------------------------------ time


async def test_time_is_that_of_the_world_constant_in_an_execution_and_grows(canister: Canister) -> None:
    twice = (
        reply(P.time(), P.spin(1000), P.time()) if False else P.append_reply(P.time()).spin(1000).append_reply(P.time())
    )
    times = []
    for _ in range(3):
        answer = await canister.update(twice.msg_reply())
        assert answer[:8] == answer[8:]
        times.append(number(answer[:8]))
    assert times == sorted(set(times))
    assert abs(times[-1] - time.time_ns()) < 60 * 10**9
    assert number(await canister.query(reply(P.time()))) > times[-1]


async def test_the_timer_function_gives_the_value_before(canister: Canister) -> None:
    far = (1 << 63) + 7
    assert number(await canister.update(reply(P.global_timer_set(far)))) == 0
    assert number(await canister.update(reply(P.global_timer_set(0)))) == far
    assert number(await canister.update(reply(P.global_timer_set(0)))) == 0


async def test_instructions_are_counted_for_the_execution_and_for_the_call_context(
    canister: Canister, other: Canister
) -> None:
    counters = reply(P.performance_counter(0), P.performance_counter(1))
    few = await canister.update(counters)
    many = await canister.update(P.spin(100_000).then(counters))
    assert number(few[:8]) < number(many[:8]) and number(many[:8]) > 100_000
    called = await canister.update(P.spin(100_000).call(other.id, reply().code, on_reply=counters))
    assert number(called[:8]) < 100_000 < number(called[8:])
    again = await canister.query(counters)
    assert 0 < number(again[:8]) <= number(again[8:])
    error = await rejected(canister.update(reply(P.performance_counter(2))))
    assert error.error_code == "IC0504"


# ------------------------------------------------------------------------------------------ stable memory


async def test_stable_memory_grows_keeps_and_is_read_by_either_interface(canister: Canister) -> None:
    assert number(await canister.update(reply(P.stable64_grow(2)))) == 0
    assert number(await canister.update(reply(P.word("stable_grow", 1)))) == 2
    assert number(await canister.query(reply(P.word("stable_size")))) == 3
    assert number(await canister.query(reply(P.word("stable64_size")))) == 3
    await canister.update(P.stable64_write(3 * PAGE - 4, b"last").then(reply()))
    await canister.update(P.push(5).word("pass", b"five").word("stable_write").then(reply()))
    assert await canister.query(reply(P.stable64_read(3 * PAGE - 4, 4), P.stable64_read(4, 6))) == b"last\0five\0"
    old_read = P.word("stable_read", 0, 5, 4).push(0, 4).word("load")
    assert await canister.query(reply(old_read)) == b"five"


async def test_growth_that_is_impossible_gives_minus_one(canister: Canister) -> None:
    assert number(await canister.update(reply(P.word("stable_grow", 65_537)))) == (1 << 32) - 1
    assert number(await canister.update(reply(P.stable64_grow(1 << 40)))) == GONE
    assert number(await canister.update(reply(P.word("stable64_size")))) == 0


async def test_the_32_bit_interface_traps_when_stable_memory_is_larger_than_it(canister: Canister) -> None:
    await canister.update(P.stable64_grow(65_537).drop().then(reply()))
    for word in (
        P.word("stable_size"),
        P.word("stable_grow", 0),
        P.word("stable_write", 0, 0, 0),
        P.word("stable_read", 0, 0, 1),
    ):
        error = await rejected(canister.update(word.then(reply())))
        assert "32 bit stable memory api used on a memory larger than 4GB" in error.message
        assert (error.code, error.error_code) == (5, "IC0502")
    assert number(await canister.query(reply(P.word("stable64_size")))) == 65_537


@pytest.mark.parametrize(
    ("program", "text"),
    [
        (P.word("stable64_write", PAGE - 1, 0, 2), "stable memory out of bounds"),
        (P.word("stable64_read", 0, PAGE - 1, 2), "stable memory out of bounds"),
        (P.word("stable64_read", 0, GONE, 1), "stable memory out of bounds"),
        (P.word("stable64_write", 0, MEMORY_END, 2), "heap out of bounds"),
        (P.word("stable64_read", MEMORY_END, 0, 2), "heap out of bounds"),
        (P.word("stable64_read", GONE, 0, 1), "heap out of bounds"),
        (P.word("stable_write", PAGE - 1, 0, 2), "stable memory out of bounds"),
        (P.word("stable_read", 0, PAGE - 1, 2), "stable memory out of bounds"),
        (P.word("stable_write", 0, MEMORY_END, 2), "heap out of bounds"),
        (P.word("stable_read", MEMORY_END, 0, 2), "heap out of bounds"),
    ],
)
async def test_stable_memory_beyond_an_end_traps(canister: Canister, program: Program, text: str) -> None:
    error = await rejected(canister.update(P.stable64_grow(1).drop().then(program, reply())))
    assert (error.code, error.error_code) == (5, "IC0502")
    assert f"Canister trapped: {text}" in error.message


async def test_a_query_may_write_to_stable_memory_but_it_is_not_kept(canister: Canister) -> None:
    await canister.update(P.stable64_grow(1).drop().then(reply()))
    written = P.stable64_write(0, b"here").stable64_grow(1).drop()
    assert await canister.query(written.reply(P.stable64_read(0, 4))) == b"here"
    assert await canister.query_as_update(written.reply(P.stable64_read(0, 4))) == b"here"
    assert await canister.query(reply(P.stable64_read(0, 4), P.word("stable64_size"))) == bytes(4) + b"\1" + bytes(7)


# ------------------------------------------------------------------------------------------ certified data


async def test_certified_data_has_32_bytes_at_most(canister: Canister) -> None:
    for size in (0, 32):
        await canister.update(P.certified_data_set(bytes(size)).then(reply()))
    error = await rejected(canister.update(P.certified_data_set(bytes(33)).then(reply())))
    assert (error.code, error.error_code) == (5, "IC0504")
    assert "must be no larger than 32 bytes. Found 33 bytes." in error.message


# ------------------------------------------------------------------------------------------ costs


async def test_the_costs_of_calls_grow_with_their_sizes(canister: Canister) -> None:
    async def cost(*operands: Operand) -> int:
        name, *rest = operands
        assert isinstance(name, str)
        return number(await canister.query(reply(P.wide(name, *rest))))

    base = await cost("cost_call", 0, 0)
    assert 10**9 < base < 10**12  # with what is set aside for the response
    assert await cost("cost_call", 10, 90) == base + 100 * 1000
    assert await cost("cost_create_canister") == 500 * 10**9
    base = await cost("cost_http_request", 0, 0)
    assert 0 < base < await cost("cost_http_request", 1000, 0) < await cost("cost_http_request", 1000, 1000)


@pytest.mark.parametrize(
    ("name", "algorithms"), [("cost_sign_with_ecdsa", 1), ("cost_sign_with_schnorr", 2), ("cost_vetkd_derive_key", 1)]
)
async def test_signing_costs_nothing_where_there_is_no_key(canister: Canister, name: str, algorithms: int) -> None:
    for algorithm in range(algorithms + 1):
        priced = P.wide(name, P.word("pass", "no_such_key"), algorithm)
        # The result is on top of the buffer.
        answer = await canister.query(priced.append_reply().append_reply().msg_reply())
        assert number(answer[:8]) == (2 if algorithm < algorithms else 1)
        assert answer[8:] == bytes(16)
    error = await rejected(canister.query(P.word(name, MEMORY_END, 2, 0, 0).then(reply())))
    assert error.error_code == "IC0504"


# ------------------------------------------------------------------------------------------ debugging aids


async def test_what_is_printed_and_why_a_message_trapped_are_in_the_log(canister: Canister) -> None:
    await canister.update(P.debug_print(b"one").debug_print(b"\xff").then(reply()))
    await rejected(canister.update(P.debug_print(b"before the trap").trap(b"because")))
    await rejected(canister.update(P.trap(b"")))
    await rejected(canister.update(P.unreachable()))
    await canister.update(P.word("debug_print", MEMORY_END, 9).then(reply()))
    *lines, system = await canister.logs()
    assert lines == [
        b"one",
        b"\xff",
        b"before the trap",
        b"[TRAP]: because",
        b"[TRAP]: (no message)",
        b"[TRAP]: unreachable",
    ]
    assert system.startswith(b"(debug_print message out of memory bounds)")


@pytest.mark.parametrize(
    ("program", "code", "text"),
    [
        (P.trap("words"), "IC0503", "Canister called `ic0.trap` with message: 'words'"),
        (P.trap(b"ok\xff"), "IC0503", "Canister called `ic0.trap` with message: 'ok"),
        (P.unreachable(), "IC0502", "Canister trapped: unreachable"),
        (P.word("load", 0xF000_0000, 1), "IC0502", "Canister trapped: heap out of bounds"),
        (P.word("overflow_stack", 10**6), "IC0502", "Canister trapped: "),
        (P.word("call_indirect", 0), "IC0502", "Canister trapped: "),
        (P.word("call_indirect", 10**6), "IC0502", "Canister trapped: table out of bounds"),
    ],
)
async def test_a_trap_is_a_canister_error_that_says_why(
    canister: Canister, program: Program, code: str, text: str
) -> None:
    for method in (canister.update, canister.query, canister.query_as_update, canister.composite):
        error = await rejected(method(program.then(reply())))
        assert (error.code, error.error_code) == (5, code)
        assert error.message.startswith(f"Error from Canister {canister.id}: {text}")
