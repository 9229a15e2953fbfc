"""Interface Specification, "The IC management canister": what each method does, for whom, and its errors."""

from __future__ import annotations

import asyncio
import hashlib
import struct
from typing import Any

import pytest

from icmigrate.errors import CallRejected, ReplicaError
from icmigrate.protocol.principal import ANONYMOUS, MANAGEMENT_CANISTER, Principal
from tests.replica.conformance.candid_types import METHODS, decode, encode
from tests.replica.conformance.program import Program
from tests.replica.conformance.test_modules import EMPTY, custom
from tests.worlds.users import (
    ABSENT,
    PROGRAMMABLE,
    PROGRAMMABLE_PLAIN,
    TRILLION,
    Canister,
    User,
    number,
    rejected,
)

P = Program()
MIB = 1 << 20
PAGE = 65_536

# fmt: off
RIGHTS: dict[str, tuple[str, str]] = {
    # method:                                    callable from                 by whom
    "create_canister":                          ("canister",                  "anyone"),
    "provisional_create_canister_with_cycles":  ("ingress canister",          "anyone"),
    "provisional_top_up_canister":              ("ingress canister",          "anyone"),
    "update_settings":                          ("ingress canister",          "controllers"),
    "upload_chunk":                             ("ingress canister",          "controllers self"),
    "clear_chunk_store":                        ("ingress canister",          "controllers self"),
    "stored_chunks":                            ("ingress canister",          "controllers self"),
    "install_code":                             ("ingress canister",          "controllers"),
    "install_chunked_code":                     ("ingress canister",          "controllers"),
    "uninstall_code":                           ("ingress canister",          "controllers"),
    "canister_status":                          ("ingress canister query",    "controllers self"),
    "canister_metrics":                         ("ingress canister query",    "controllers"),
    "canister_info":                            ("canister",                  "anyone"),
    "canister_metadata":                        ("canister",                  "anyone"),
    "stop_canister":                            ("ingress canister",          "controllers"),
    "start_canister":                           ("ingress canister",          "controllers"),
    "delete_canister":                          ("ingress canister",          "controllers"),
    "deposit_cycles":                           ("canister",                  "anyone"),
    "raw_rand":                                 ("canister",                  "anyone"),
    "node_metrics_history":                     ("canister",                  "anyone"),
    "subnet_info":                              ("canister",                  "anyone"),
    "take_canister_snapshot":                   ("ingress canister",          "controllers"),
    "load_canister_snapshot":                   ("ingress canister",          "controllers"),
    "list_canister_snapshots":                  ("ingress canister",          "controllers"),
    "delete_canister_snapshot":                 ("ingress canister",          "controllers"),
    "read_canister_snapshot_metadata":          ("ingress canister",          "controllers"),
    "read_canister_snapshot_data":              ("ingress canister",          "controllers"),
    "upload_canister_snapshot_metadata":        ("ingress canister",          "controllers"),
    "upload_canister_snapshot_data":            ("ingress canister",          "controllers"),
    "fetch_canister_logs":                      ("query",                     "controllers"),
    "list_canisters":                           ("query",                     "nobody"),
}
# fmt: on


def argument(method: str, canister_id: Principal) -> dict[str, Any]:
    """Some argument of the right type that names a canister."""
    values: dict[str, Any] = {
        "canister_id": canister_id,
        "target_canister": canister_id,
        "subnet_id": canister_id,
        "settings": None if "create" in method else {},
        "mode": "install",
        "wasm_module": EMPTY,
        "arg": b"",
        "amount": 1,
        "chunk": b"x",
        "chunk_hashes_list": [],
        "wasm_module_hash": hashlib.sha256(b"").digest(),
        "name": "x",
        "snapshot_id": bytes(20),
        "wasm_module_size": 0,
        "wasm_memory_size": 0,
        "stable_memory_size": 0,
        "globals": [],
        "certified_data": b"",
        "start_at_timestamp_nanos": 0,
        "kind": "wasm_chunk" if method.startswith("upload") else {"stable_memory": {"offset": 0, "size": 0}},
    }
    type_ = METHODS[method][0]
    return {} if type_ is None else {name: values[name] for name in type_._fields if name in values}


def refused_by_whom(method: str) -> bool:
    return RIGHTS[method][1] != "anyone"


def told() -> Program:
    return P.reply(P.msg_reject_code(), P.msg_reject_msg())


def test_the_table_has_every_method() -> None:
    assert set(RIGHTS) == set(METHODS)


@pytest.mark.parametrize("method", RIGHTS)
async def test_a_method_can_be_called_from_where_the_specification_says(
    user: User, stranger: User, method: str
) -> None:
    """By a stranger: the answer is about the caller's rights if the method may be called from there at all."""
    places, rights = RIGHTS[method]
    canister, middle = await user.install(), await stranger.install()
    arg = argument(method, canister.id)
    by_ingress = stranger.manage(method, effective=_effective(method, canister.id), **arg)
    if "ingress" not in places:
        error = await rejected(by_ingress)
        assert isinstance(error, CallRejected) and error.code in (3, 4, 5)
    elif rights != "anyone":
        error = await rejected(by_ingress)
        assert isinstance(error, CallRejected)
        assert (error.code, error.error_code) == (5, "IC0512")
    else:
        await by_ingress

    query = stranger.agent.query(MANAGEMENT_CANISTER, method, encode(method, arg), effective_canister_id=canister.id)
    error = await rejected(query)
    assert (error.error_code == "IC0536") == ("query" not in places)

    call = P.call(MANAGEMENT_CANISTER, encode(method, arg), method=method, on_reply=P.reply(b""), on_reject=told())
    answer = await middle.update(call)
    if "canister" not in places:
        assert number(answer[:8]) in (4, 5)
    elif rights != "anyone":
        assert number(answer[:8]) == 5
        assert f"Only the controllers of the canister {canister.id} can control it." in answer[8:].decode()


def _effective(method: str, canister_id: Principal) -> Principal:
    creates = method in ("create_canister", "provisional_create_canister_with_cycles")
    return MANAGEMENT_CANISTER if creates else canister_id


@pytest.mark.parametrize("method", [method for method, (places, _) in RIGHTS.items() if "ingress" in places])
async def test_an_absent_canister_is_not_found(user: User, method: str) -> None:
    if method.startswith("provisional_create"):
        return
    error = await rejected(user.manage(method, **argument(method, ABSENT)))
    assert isinstance(error, CallRejected)
    assert (error.code, error.error_code) == (3, "IC0301")
    assert f"Canister {ABSENT} not found" in error.message


@pytest.mark.parametrize("method", [method for method, (argument_type, _) in METHODS.items() if argument_type])
async def test_what_is_no_candid_of_the_right_type_is_refused(canister: Canister, method: str) -> None:
    for arg in (b"", b"DIDL\0\0", b"DIDL\0\1\x71\1x", encode("canister_status", {"canister_id": canister.id})[:-1]):
        call = P.call(MANAGEMENT_CANISTER, arg, method=method, on_reply=P.reply(b"taken"), on_reject=told())
        answer = await canister.update(call)
        assert answer != b"taken" and number(answer[:8]) in (4, 5)


async def test_a_method_that_does_not_exist_is_not_found(user: User, canister: Canister) -> None:
    error = await rejected(
        user.agent.update(MANAGEMENT_CANISTER, "nowhere", b"DIDL\0\0", effective_canister_id=canister.id)
    )
    assert (error.code, error.error_code) == (5, "IC0536")
    answer = await canister.update(P.call(MANAGEMENT_CANISTER, b"DIDL\0\0", method="nowhere", on_reject=told()))
    assert number(answer[:8]) == 5


# ------------------------------------------------------------------------------------------ creation


async def test_a_canister_created_by_a_canister_is_its_own(canister: Canister) -> None:
    cycles = 3 * TRILLION
    create = P.call(MANAGEMENT_CANISTER, encode("create_canister", {}), method="create_canister", cycles=cycles)
    made = decode("create_canister", await canister.update(create))["canister_id"]
    status = encode("canister_status", {"canister_id": made})
    asked = P.call(MANAGEMENT_CANISTER, status, method="canister_status")
    seen = decode("canister_status", await canister.update(asked))
    assert seen["settings"]["controllers"] == [canister.id]
    assert seen["settings"]["wasm_memory_limit"] == 3 << 30  # only here, as on the IC
    assert seen["module_hash"] is None and seen["status"] == "running"
    assert seen["cycles"] == cycles - 500 * 10**9


async def test_creating_a_canister_costs_cycles(canister: Canister) -> None:
    call = P.call(
        MANAGEMENT_CANISTER, encode("create_canister", {}), method="create_canister", cycles=10**9, on_reject=told()
    )
    answer = await canister.update(call)
    assert number(answer[:8]) == 4
    assert "Creating a canister requires a fee of 500000000000" in answer[8:].decode()


async def test_default_settings_are_those_of_the_specification(user: User) -> None:
    settings = (await (await user.create()).status())["settings"]
    assert settings["controllers"] == [user.principal]
    assert settings["wasm_memory_limit"] == 0
    assert settings["freezing_threshold"] == 2_592_000
    assert settings["reserved_cycles_limit"] == 5 * TRILLION
    for name in (
        "compute_allocation",
        "memory_allocation",
        "minimum_incoming_canister_call_cycles",
        "wasm_memory_threshold",
    ):
        assert settings[name] == 0
    for name in ("log_visibility", "snapshot_visibility", "status_visibility"):
        assert settings[name] == "controllers"
    assert settings["environment_variables"] == []


GIVEN: dict[str, Any] = {
    "controllers": [Principal(b"\5\2"), ANONYMOUS],
    "compute_allocation": 1,
    "memory_allocation": 10 * MIB,
    "freezing_threshold": 3600,
    "reserved_cycles_limit": 7 * TRILLION,
    "minimum_incoming_canister_call_cycles": 5,
    "log_visibility": "public",
    "snapshot_visibility": {"allowed_viewers": [ANONYMOUS]},
    "status_visibility": "public",
    "wasm_memory_limit": 1 << 30,
    "wasm_memory_threshold": MIB,
    "environment_variables": [{"name": "A", "value": "1"}],
}


@pytest.mark.parametrize("name", GIVEN)
async def test_each_setting_can_be_given_and_changed_alone(user: User, name: str) -> None:
    value = [user.principal, *GIVEN[name]] if name == "controllers" else GIVEN[name]

    def same(left: Any) -> bool:
        return sorted(left) == sorted(value) if name == "controllers" else bool(left == value)

    setting: dict[str, Any] = {name: value}
    given = await (await user.create(**setting)).status()
    assert same(given["settings"][name])
    canister = await user.create()
    before = (await canister.status())["settings"]
    await canister.set(**{name: value})
    after = (await canister.status())["settings"]
    assert same(after[name])
    assert {**after, name: before[name]} == before


# fmt: off
OUT_OF_RANGE: dict[str, list[tuple[Any, int, str, str]]] = {
    # setting                 value, code, error code, text
    "controllers":           [([ANONYMOUS] * 11, 4, "IC0408", "")],
    "compute_allocation":    [(101, 5, "IC0504", "ComputeAllocation expected to be in the range [0..100], got 101"),
                              (1 << 70, 5, "IC0504", "ComputeAllocation expected to be in the range")],
    "memory_allocation":     [(1 << 64, 5, "IC0504", ""),
                              (1 << 60, 1, "IC0101", "Canister requested 1.00 EiB of memory but only ")],
    "freezing_threshold":    [(1 << 64, 5, "IC0504",
                               f"Freezing threshold expected to be in the range of [0..2^64-1], got {1 << 64}")],
    "reserved_cycles_limit": [(1 << 128, 5, "IC0504", "")],
    "minimum_incoming_canister_call_cycles": [(1 << 128, 5, "IC0504", "")],
    "wasm_memory_limit":     [((1 << 48) + 1, 5, "IC0504", "")],
    "wasm_memory_threshold": [((1 << 48) + 1, 5, "IC0504", "")],
    "log_visibility":        [({"allowed_viewers": [ANONYMOUS] * 11}, 4, "IC0408", "")],
    "snapshot_visibility":   [({"allowed_viewers": [ANONYMOUS] * 11}, 4, "IC0408", "")],
    "status_visibility":     [({"allowed_viewers": [ANONYMOUS] * 11}, 4, "IC0408", "")],
    "environment_variables": [
        ([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}], 4, "IC0408", ""),
        ([{"name": str(n), "value": ""} for n in range(21)], 4, "IC0408",
         "Too many environment variables: 21 (max: 20)"),
        ([{"name": "n" * 129, "value": ""}], 4, "IC0408",
         'Environment variable name "' + "n" * 129 + '" exceeds the maximum allowed length of 128.'),
        ([{"name": "n", "value": "v" * 129}], 4, "IC0408", ""),
    ],
}
HIGHEST: dict[str, Any] = {
    "controllers": [Principal(bytes([n])) for n in range(10)],
    "compute_allocation": 100,
    "freezing_threshold": (1 << 64) - 1,
    "reserved_cycles_limit": (1 << 128) - 1,
    "minimum_incoming_canister_call_cycles": (1 << 128) - 1,
    "wasm_memory_limit": 1 << 48,
    "wasm_memory_threshold": 1 << 48,
    "log_visibility": {"allowed_viewers": [Principal(bytes([n])) for n in range(10)]},
    "environment_variables": [{"name": f"{n:0>128}", "value": "v" * 128} for n in range(20)],
}
# fmt: on


@pytest.mark.parametrize(("name", "at"), [(name, at) for name, rows in OUT_OF_RANGE.items() for at in range(len(rows))])
async def test_a_setting_out_of_range_is_refused_and_changes_nothing(
    user: User, canister: Canister, name: str, at: int
) -> None:
    value, code, error_code, text = OUT_OF_RANGE[name][at]
    before = (await canister.status())["settings"]
    other = {} if name == "log_visibility" else {"log_visibility": "public"}
    setting: dict[str, Any] = {name: value, **other}
    by_canister = P.call(
        MANAGEMENT_CANISTER,
        encode("create_canister", {"settings": setting}),
        method="create_canister",
        cycles=TRILLION,
        on_reject=told(),
    )
    for error in (await rejected(canister.set(**setting)), await rejected(user.create(**setting))):
        assert (error.code, error.error_code) == (code, error_code) and text in error.message
    answer = await canister.update(by_canister)
    assert number(answer[:8]) == code and text in answer[8:].decode()
    assert (await canister.status())["settings"] == before


@pytest.mark.parametrize("name", HIGHEST)
async def test_a_setting_may_be_as_high_as_its_range(user: User, name: str) -> None:
    value = HIGHEST[name]
    if name == "controllers":
        value = [user.principal, *value[1:]]
    setting: dict[str, Any] = {name: value}
    made, changed = await user.create(cycles=1 << 100), await user.create(cycles=1 << 100)
    await changed.set(**setting)
    if name == "compute_allocation":
        await changed.set(compute_allocation=0)
        await made.set(**setting)
        seen = (await made.status())["settings"]
        await made.set(compute_allocation=0)
    else:
        seen = (await (await user.create(cycles=1 << 100, **setting)).status())["settings"]
        assert (await changed.status())["settings"][name] == seen[name]
    assert seen[name] == (sorted(value) if name == "controllers" else value)


async def test_the_subnet_has_only_so_much_to_allocate(user: User) -> None:
    first, second = await user.create(cycles=1 << 100), await user.create(cycles=1 << 100)
    await first.set(compute_allocation=100)
    error = await rejected(second.set(compute_allocation=100))
    assert (error.code, error.error_code) == (1, "IC0101")
    expected = "Canister requested a compute allocation of 100% which cannot be satisfied because the Subnet's "
    assert error.message.startswith(expected + "remaining compute capacity is 9")
    await first.set(compute_allocation=0)
    await second.set(compute_allocation=100)
    await second.set(compute_allocation=0)


async def test_allocations_have_to_be_paid_for(user: User) -> None:
    for setting, error_code in (
        ({"compute_allocation": 50}, "IC0530"),
        ({"memory_allocation": 1 << 36}, "IC0531"),
    ):
        poor = await user.create(cycles=10**9)
        for pending in (poor.set(**setting), user.create(cycles=10**9, **setting)):
            error = await rejected(pending)
            assert (error.code, error.error_code) == (5, error_code)
            assert "due to insufficient cycles. At least " in error.message
        await poor.set(freezing_threshold=1 << 40)  # freezes it, which is allowed


async def test_an_id_may_be_wished_for_if_it_is_the_subnets_and_free(user: User) -> None:
    create = "provisional_create_canister_with_cycles"
    wished = Principal((1 << 40).to_bytes(8, "big") + b"\1\1")
    assert (await user.manage(create, specified_id=wished))["canister_id"] == wished
    error = await rejected(user.manage(create, specified_id=wished))
    assert (error.code, error.error_code) == (5, "IC0538")
    assert f"Canister {wished} is already installed." in error.message
    for elsewhere in (Principal(b"\xde\xad\xbe\xef"), user.principal, MANAGEMENT_CANISTER):
        error = await rejected(user.manage(create, specified_id=elsewhere))
        if elsewhere != MANAGEMENT_CANISTER:
            assert (error.code, error.error_code) == (4, "IC0405")
    taken = Canister(user, wished)
    await taken.stop()
    await taken.manage("delete_canister")
    assert (await user.manage(create, specified_id=wished))["canister_id"] == wished


async def test_no_canister_has_more_cycles_than_128_bits_hold(user: User) -> None:
    canister = await user.install(cycles=10 << 128)
    await user.manage("provisional_top_up_canister", canister_id=canister.id, amount=10 << 128)
    assert number(await canister.query(P.reply(P.balance()))) == (1 << 128) - 1
    error = await rejected(canister.query(P.reply(P.to_bytes(P.word("canister_cycle_balance")))))
    assert (error.code, error.error_code) == (5, "IC0502")


async def test_the_callers_version_has_to_be_right_where_it_is_given(canister: Canister, other: Canister) -> None:
    await other.set(controllers=[other.user.principal, canister.id])

    async def attempt(version: Program | int) -> ReplicaError | None:
        arg = encode(
            "update_settings", {"canister_id": other.id, "settings": {}, "sender_canister_version": 0x0123456789ABCDEF}
        )
        head = arg.removesuffix(struct.pack("<Q", 0x0123456789ABCDEF))
        assert head != arg
        call = P.call(MANAGEMENT_CANISTER, P.concat(head, P.to_bytes(version)), method="update_settings")
        try:
            await canister.update(call)
        except ReplicaError as error:
            return error
        return None

    assert await attempt(P.canister_version()) is None
    assert await attempt(P.canister_version().add(1)) is not None


# ------------------------------------------------------------------------------------------ controllers


async def test_controllers_decide_who_controls(user: User, stranger: User) -> None:
    canister = await user.create()
    await canister.set(controllers=[stranger.principal])
    error = await rejected(canister.set(controllers=[user.principal]))
    assert (error.code, error.error_code) == (5, "IC0512")
    assert error.message == f"Only controllers of canister {canister.id} can call ic00 method update_settings"
    await canister.used_by(stranger).set(controllers=[])
    for somebody in (user, stranger):
        await rejected(canister.used_by(somebody).start())


async def test_a_canister_can_control_itself_and_others(user: User, canister: Canister, other: Canister) -> None:
    await other.set(controllers=[canister.id])
    stop = P.call(MANAGEMENT_CANISTER, encode("stop_canister", {"canister_id": other.id}), method="stop_canister")
    await canister.update(stop)
    error = await rejected(other.update(P.reply()))
    assert error.error_code == "IC0508"
    await canister.set(controllers=[user.principal, canister.id])
    arg = encode("delete_canister", {"canister_id": canister.id})
    answer = await canister.update(P.call(MANAGEMENT_CANISTER, arg, method="delete_canister", on_reject=told()))
    assert number(answer[:8]) == 5


@pytest.mark.parametrize(
    ("setting", "method"),
    [("status_visibility", "canister_status"), ("snapshot_visibility", "list_canister_snapshots")],
)
async def test_a_visibility_lets_others_look(user: User, stranger: User, setting: str, method: str) -> None:
    canister = await user.create()
    seen = canister.used_by(stranger)
    await rejected(seen.manage(method))
    for visibility in ("public", {"allowed_viewers": [stranger.principal]}):
        await canister.set(**{setting: visibility})
        await seen.manage(method)
    await canister.set(**{setting: {"allowed_viewers": [ANONYMOUS]}})
    await rejected(seen.manage(method))
    await canister.manage(method)


async def test_logs_are_for_those_whom_the_setting_names(canister: Canister, stranger: User) -> None:
    await canister.update(P.debug_print(b"line").reply())
    error = await rejected(canister.used_by(stranger).logs())
    assert (error.code, error.error_code) == (4, "IC0406")
    assert "is not allowed to" in error.message
    for visibility in ("public", {"allowed_viewers": [stranger.principal]}):
        await canister.set(log_visibility=visibility)
        assert await canister.used_by(stranger).logs() == [b"line"]


# ------------------------------------------------------------------------------------------ code


async def test_each_mode_installs_only_where_it_may_and_keeps_what_it_should(user: User) -> None:
    canister = await user.create()
    for mode in ("upgrade", {"upgrade": {"skip_pre_upgrade": True}}):
        error = await rejected(canister.install(mode=mode))
        assert (error.code, error.error_code) == (5, "IC0537")
    await canister.install(P.set(b"one"))
    error = await rejected(canister.install(P.set(b"two")))
    assert (error.code, error.error_code) == (5, "IC0514")
    assert await canister.remembered() == b"one"
    await canister.install(P.set(b"three"), mode="reinstall")
    assert await canister.remembered() == b"three"
    fresh = await user.create()
    await fresh.install(P.set(b"four"), mode="reinstall")
    assert await fresh.remembered() == b"four"


PERSISTENT = PROGRAMMABLE_PLAIN + custom("icp:private enhanced-orthogonal-persistence")


async def test_an_upgrade_may_keep_the_heap_of_a_module_made_for_that(user: User) -> None:
    canister = await user.install(P.set(b"kept"), module=PERSISTENT)
    await canister.upgrade(P.append(b" and more"), module=PERSISTENT, wasm_memory_persistence="keep")
    assert await canister.remembered() == b"kept and more"
    await canister.upgrade(P.append(b"new"), module=PERSISTENT, wasm_memory_persistence="replace")
    assert await canister.remembered() == b"new"


async def test_whether_the_heap_is_kept_has_to_be_said_where_it_matters(user: User) -> None:
    canister = await user.install(P.set(b"kept"), module=PERSISTENT)
    error = await rejected(canister.upgrade(module=PERSISTENT))
    assert (error.code, error.error_code) == (5, "IC0504")
    assert error.message.startswith("Missing upgrade option: ")
    error = await rejected(canister.upgrade(wasm_memory_persistence="keep"))  # to a module not made for that
    assert (error.code, error.error_code) == (5, "IC0504")
    assert error.message.startswith("Invalid upgrade option: ")
    assert await canister.remembered() == b"kept"
    await canister.upgrade(wasm_memory_persistence="replace")
    assert await canister.remembered() == b""


async def test_the_module_hash_is_that_of_the_bytes_as_they_were_given(canister: Canister) -> None:
    for module in (PROGRAMMABLE, PROGRAMMABLE_PLAIN):
        await canister.reinstall(module=module)
        assert (await canister.status())["module_hash"] == hashlib.sha256(module).digest()


async def test_a_large_module_is_installed_from_chunks_of_another_canister(user: User, stranger: User) -> None:
    store, target = await user.create(), await user.create()
    module = PROGRAMMABLE_PLAIN + custom("padding", bytes(2 * MIB))
    chunks = [module[at : at + MIB] for at in range(0, len(module), MIB)]
    hashes = [await store.manage("upload_chunk", chunk=chunk) for chunk in chunks]
    assert [item["hash"] for item in hashes] == [hashlib.sha256(chunk).digest() for chunk in chunks]
    stored = await store.manage("stored_chunks")
    assert sorted(item["hash"] for item in stored) == sorted({item["hash"] for item in hashes})
    wanted: dict[str, Any] = {
        "mode": "install",
        "target_canister": target.id,
        "store_canister": store.id,
        "chunk_hashes_list": hashes,
        "wasm_module_hash": hashlib.sha256(module).digest(),
        "arg": P.set(b"large").code,
    }
    for wrong in (
        {"wasm_module_hash": bytes(32)},
        {"chunk_hashes_list": hashes[:-1]},
        {"chunk_hashes_list": [{"hash": bytes(32)}]},
        {"chunk_hashes_list": [{"hash": b"short"}]},
        {"store_canister": None},
    ):
        error = await rejected(user.manage("install_chunked_code", **{**wanted, **wrong}))
        assert (error.code, error.error_code) == (5, "IC0504"), wrong
        assert "Error from Wasm chunk store" in error.message
    await target.set(controllers=[user.principal, stranger.principal])
    error = await rejected(stranger.manage("install_chunked_code", **wanted))  # not the store's controller
    assert error.error_code == "IC0512"
    await user.manage("install_chunked_code", **wanted)
    assert await target.remembered() == b"large"
    await store.manage("clear_chunk_store")
    assert await store.manage("stored_chunks") == []


async def test_a_chunk_has_1_mib_at_most_and_is_kept_once(user: User) -> None:
    canister = await user.create()
    await canister.manage("upload_chunk", chunk=bytes(MIB))
    await canister.manage("upload_chunk", chunk=bytes(MIB))
    assert len(await canister.manage("stored_chunks")) == 1
    error = await rejected(canister.manage("upload_chunk", chunk=bytes(MIB + 1)))
    assert (error.code, error.error_code) == (5, "IC0504")
    assert (await canister.status())["memory_metrics"]["wasm_chunk_store_size"] >= MIB


async def test_uninstalling_takes_code_memory_and_chunks(canister: Canister) -> None:
    await canister.manage("upload_chunk", chunk=b"x")
    await canister.update(P.stable64_grow(1).drop().certified_data_set(b"x").reply())
    await canister.manage("uninstall_code")
    status = await canister.status()
    assert status["module_hash"] is None
    metrics = status["memory_metrics"]
    assert [metrics[name] for name in ("wasm_memory_size", "stable_memory_size", "wasm_chunk_store_size")] == [0] * 3
    await canister.manage("uninstall_code")  # nothing to do


# ------------------------------------------------------------------------------------------ information


async def ask(canister: Canister, method: str, **argument: Any) -> Any:
    """A call to the management canister by a canister."""
    return decode(method, await canister.update(P.call(MANAGEMENT_CANISTER, encode(method, argument), method=method)))


async def test_the_status_tells_sizes_cycles_and_settings(canister: Canister) -> None:
    await canister.update(P.stable64_grow(3).drop().memory_grow(2).drop().reply())
    status = await canister.status()
    metrics = status["memory_metrics"]
    assert metrics["stable_memory_size"] == 3 * PAGE
    pages = number(await canister.query(P.reply(P.word("memory_size"))))
    assert metrics["wasm_memory_size"] == pages * PAGE
    assert metrics["wasm_binary_size"] == len(PROGRAMMABLE)
    assert status["memory_size"] >= sum(metrics[name] for name in ("stable_memory_size", "wasm_memory_size"))
    assert status["status"] == "running" and not status["ready_for_migration"]
    assert 99 * TRILLION < status["cycles"] < 100 * TRILLION
    assert status["idle_cycles_burned_per_day"] > 0
    await canister.stop()
    status = await canister.status()
    assert status["status"] == "stopped"
    own = await canister.user.manage_query("canister_status", canister_id=canister.id)
    assert own["settings"] == status["settings"]


async def test_a_canister_may_ask_for_its_own_status(canister: Canister) -> None:
    assert (await ask(canister, "canister_status", canister_id=canister.id))["status"] == "running"


async def test_the_history_of_a_canister_tells_who_changed_what(user: User, canister: Canister) -> None:
    other = await user.create()
    await other.install(module=EMPTY)
    await other.upgrade(module=EMPTY)
    await other.reinstall(module=EMPTY)
    await other.set(controllers=[user.principal, canister.id])
    await other.manage("uninstall_code")
    info = await ask(canister, "canister_info", canister_id=other.id, num_requested_changes=20)
    details = [change["details"] for change in info["recent_changes"]]
    kinds = [next(iter(detail)) if isinstance(detail, dict) else detail for detail in details]
    assert kinds == ["creation", *["code_deployment"] * 3, "controllers_change", "code_uninstall"]
    assert info["total_num_changes"] == 6
    assert info["module_hash"] is None and sorted(info["controllers"]) == sorted([user.principal, canister.id])
    modes = [detail["code_deployment"]["mode"] for detail in details[1:4]]
    assert modes == ["install", "upgrade", "reinstall"]
    for change in info["recent_changes"]:
        assert change["origin"] == {"from_user": {"user_id": user.principal}}
    versions = [change["canister_version"] for change in info["recent_changes"]]
    assert versions == sorted(set(versions))
    times = [change["timestamp_nanos"] for change in info["recent_changes"]]
    assert times == sorted(times)
    last = await ask(canister, "canister_info", canister_id=other.id, num_requested_changes=2)
    assert last["recent_changes"] == info["recent_changes"][-2:]
    assert (await ask(canister, "canister_info", canister_id=other.id))["recent_changes"] == []


async def test_metadata_is_public_or_for_controllers(user: User, stranger: User) -> None:
    module = EMPTY + custom("icp:public open", b"to all") + custom("icp:private closed", b"to some")
    described, controller, other = await user.install(module=module), await user.install(), await stranger.install()
    await described.set(controllers=[user.principal, controller.id])
    for canister in (controller, other):
        assert (await ask(canister, "canister_metadata", canister_id=described.id, name="open"))["value"] == b"to all"
    assert (await ask(controller, "canister_metadata", canister_id=described.id, name="closed"))["value"] == b"to some"
    for canister, name in ((other, "closed"), (other, "none"), (controller, "none")):
        error = await rejected(ask(canister, "canister_metadata", canister_id=described.id, name=name))
        assert error.message == f"The canister {described.id} has no metadata section with the name {name}."
    error = await rejected(ask(other, "canister_metadata", canister_id=(await user.create()).id, name="open"))
    assert error.message.endswith("has no Wasm module and hence no metadata is available.")


async def test_metrics_count_what_was_consumed(canister: Canister) -> None:
    before = (await canister.manage("canister_metrics"))["cycles_consumed"]
    await canister.update(P.spin(10**6).wide("cycles_burn128", 0, 777).drop().reply())
    after = (await canister.manage("canister_metrics"))["cycles_consumed"]
    assert after["burned_cycles"] - before["burned_cycles"] == 777
    assert after["instructions"] - before["instructions"] > 10**6
    assert after["ingress_induction"] > before["ingress_induction"]


async def test_random_bytes_are_32_and_never_the_same(canister: Canister) -> None:
    seen = [await ask(canister, "raw_rand") for _ in range(5)]
    assert {len(item) for item in seen} == {32} and len(set(seen)) == 5


async def test_the_subnet_tells_about_itself(canister: Canister) -> None:
    subnet = canister.user.replica.keys.subnet_id
    assert (await ask(canister, "subnet_info", subnet_id=subnet))["replica_version"]
    await ask(canister, "node_metrics_history", subnet_id=subnet, start_at_timestamp_nanos=0)


# ------------------------------------------------------------------------------------------ cycles


async def test_top_ups_and_deposits_add_cycles(user: User, canister: Canister) -> None:
    other = await user.create(cycles=TRILLION)
    await user.manage("provisional_top_up_canister", canister_id=other.id, amount=5 * TRILLION)
    arg = encode("deposit_cycles", {"canister_id": other.id})
    await canister.update(P.call(MANAGEMENT_CANISTER, arg, method="deposit_cycles", cycles=7 * TRILLION))
    assert round((await other.status())["cycles"] / TRILLION) == 13


# ------------------------------------------------------------------------------------------ all at once


async def test_many_changes_of_one_canister_are_made_one_after_the_other(user: User) -> None:
    canister = await user.install()
    await asyncio.gather(
        *(canister.set(freezing_threshold=n) for n in range(20)),
        *(canister.update(P.append(b"x").reply()) for _ in range(20)),
    )
    assert await canister.remembered() == b"x" * 20
