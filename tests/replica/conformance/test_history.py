"""Interface Specification, `canister_info`: the history of a canister."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from icmigrate.protocol.hash_of_map import hash_of_map
from icmigrate.protocol.principal import MANAGEMENT_CANISTER, Principal
from tests.replica.conformance.candid_types import decode, encode
from tests.replica.conformance.program import Program
from tests.replica.conformance.test_modules import EMPTY
from tests.worlds.users import TRILLION, Canister, User, rejected

P = Program()
EMPTY_HASH = hashlib.sha256(EMPTY).digest()


@pytest.fixture(scope="module")
async def witness(user: User) -> Canister:
    """A canister that asks: users cannot."""
    return await user.install(cycles=1_000 * TRILLION)


async def ask(witness: Canister, method: str, *, cycles: int = 0, **argument: Any) -> Any:
    call = P.call(MANAGEMENT_CANISTER, encode(method, argument), method=method, cycles=cycles)
    return decode(method, await witness.update(call))


async def history(witness: Canister, canister_id: Principal, wanted: int | None = 20) -> Any:
    return await ask(witness, "canister_info", canister_id=canister_id, num_requested_changes=wanted)


def changes(info: Any) -> list[tuple[int, Any]]:
    """Versions and details."""
    return [(change["canister_version"], change["details"]) for change in info["recent_changes"]]


def deployment(mode: str, module_hash: bytes = EMPTY_HASH) -> dict[str, Any]:
    return {"code_deployment": {"mode": mode, "module_hash": module_hash}}


def creation(*controllers: Principal, variables: bytes | None = None) -> dict[str, Any]:
    return {"creation": {"controllers": list(controllers), "environment_variables_hash": variables}}


def controllers_change(*controllers: Principal) -> dict[str, Any]:
    return {"controllers_change": {"controllers": list(controllers)}}


async def test_creation_and_code_are_noted(user: User, witness: Canister) -> None:
    canister = await user.create()
    await canister.install(module=EMPTY)
    await canister.reinstall(module=EMPTY)
    await canister.upgrade(module=EMPTY)
    await canister.manage("uninstall_code")
    info = await history(witness, canister.id)
    assert changes(info) == [
        (0, creation(user.principal)),
        (1, deployment("install")),
        (2, deployment("reinstall")),
        (3, deployment("upgrade")),
        (4, "code_uninstall"),
    ]
    assert {str(change["origin"]) for change in info["recent_changes"]} == {
        str({"from_user": {"user_id": user.principal}})
    }
    assert info["total_num_changes"] == 5 and info["module_hash"] is None


async def test_a_failed_installation_is_not_noted(user: User, witness: Canister) -> None:
    canister = await user.create()
    await rejected(canister.install(P.trap("fails")))
    assert changes(await history(witness, canister.id)) == [(0, creation(user.principal))]


async def test_controllers_are_noted_whenever_they_are_given_as_the_set_they_are(
    user: User, stranger: User, witness: Canister
) -> None:
    canister = await user.create()
    me, you = user.principal, stranger.principal
    both = sorted((me, you))
    for given in ([you, me, me], [me, you, me], [me]):
        await canister.set(controllers=given)
        assert sorted((await canister.status())["settings"]["controllers"]) == sorted(set(given))
    await canister.set(controllers=[me])
    assert changes(await history(witness, canister.id)) == [
        (0, creation(me)),
        (1, controllers_change(*both)),
        (2, controllers_change(*both)),
        (3, controllers_change(me)),
        (4, controllers_change(me)),
    ]


async def test_short_ids_come_before_long_ones_among_controllers(user: User, witness: Canister) -> None:
    """As principals are ordered in the replica's sets: by length first."""
    low, high = Principal(bytes(28) + b"\2"), Principal(b"\xff")
    canister = await user.create(controllers=[low, high])
    (found,) = (await history(witness, canister.id))["recent_changes"]
    assert found["details"] == creation(high, low)
    assert (await history(witness, canister.id))["controllers"] == [high, low]


async def test_other_settings_are_not_noted(user: User, witness: Canister) -> None:
    canister = await user.create()
    await canister.set(freezing_threshold=1 << 10, environment_variables=[{"name": "A", "value": "1"}])
    await canister.install(module=EMPTY)
    assert changes(await history(witness, canister.id)) == [(0, creation(user.principal)), (2, deployment("install"))]


@pytest.mark.parametrize("variables", [{}, {"A": "1"}, {"B": "2", "A": "1", "C": "x" * 100}])
async def test_creation_notes_the_hash_of_given_environment_variables(
    user: User, witness: Canister, variables: dict[str, str]
) -> None:
    given = [{"name": name, "value": value} for name, value in variables.items()]
    canister = await user.create(environment_variables=given)
    expected = creation(user.principal, variables=hash_of_map(variables))
    assert changes(await history(witness, canister.id)) == [(0, expected)]


async def test_the_newest_20_changes_are_kept_and_all_are_counted(user: User, witness: Canister) -> None:
    canister = await user.create()
    for _ in range(22):
        await canister.set(controllers=[user.principal])
    info = await history(witness, canister.id)
    assert info["total_num_changes"] == 23
    assert changes(info) == [(version, controllers_change(user.principal)) for version in range(3, 23)]


async def test_as_many_changes_are_told_as_were_asked_for(user: User, witness: Canister) -> None:
    canister = await user.create()
    for _ in range(4):
        await canister.set(controllers=[user.principal])
    everything = (await history(witness, canister.id))["recent_changes"]
    for wanted, expected in ((None, 0), (0, 0), (1, 1), (2, 2), (5, 5), (200, 5)):
        info = await history(witness, canister.id, wanted)
        assert info["recent_changes"] == everything[len(everything) - expected :]
        assert info["total_num_changes"] == 5


async def test_a_canister_is_named_with_the_version_that_it_gave(user: User, witness: Canister) -> None:
    me = user.principal
    made = (await ask(witness, "create_canister", cycles=5 * TRILLION, settings={"controllers": [me, witness.id]}))[
        "canister_id"
    ]
    now = (await witness.status())["version"]
    await ask(
        witness,
        "install_code",
        mode="install",
        canister_id=made,
        wasm_module=EMPTY,
        arg=b"",
        sender_canister_version=now,
    )
    await user.manage("install_code", mode="reinstall", canister_id=made, wasm_module=EMPTY, arg=b"",
                      sender_canister_version=666)  # fmt: skip
    info = await history(witness, made)
    assert [change["origin"] for change in info["recent_changes"]] == [
        {"from_canister": {"canister_id": witness.id, "canister_version": None}},
        {"from_canister": {"canister_id": witness.id, "canister_version": now}},
        {"from_user": {"user_id": me}},
    ]


async def test_a_loaded_snapshot_is_noted_with_where_it_came_from(user: User, witness: Canister) -> None:
    source, target = await user.install(module=EMPTY), await user.create()
    await source.set(freezing_threshold=1)
    taken = await source.manage("take_canister_snapshot")
    for canister, origin in ((target, source.id), (source, None)):
        await canister.manage("load_canister_snapshot", snapshot_id=taken["id"])
        version, details = changes(await history(witness, canister.id))[-1]
        assert version == (await canister.status())["version"]
        assert details["load_snapshot"] == {
            "from_canister_id": origin,
            "snapshot_id": taken["id"],
            "canister_version": 2,
            "taken_at_timestamp": taken["taken_at_timestamp"],
            "source": "taken_from_canister",
        }
