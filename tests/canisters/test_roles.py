"""Who may do what, with real keys: owner, controller, admin, viewer, member of a group, operator, stranger."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from icmigrate.contract.access import AccessInput
from icmigrate.contract.records import GroupInput, OpaquePerson, Person, PrincipalPerson
from icmigrate.hub.client import HubClient
from icmigrate.migration.toolkit import Toolkit
from icmigrate.protocol.identity import Ed25519Identity
from tests.canisters.methods import methods
from tests.canisters.stages import BLOBS, Caller, Stage, advance, agent_of, outcome, private_capsule
from tests.worlds.hub import HubWorld, memory, memory_id, some_bytes

CAST = ("owner", "controller", "admin", "viewer", "member", "operator", "stranger")
REFUSALS = {"Unauthorized", "not accepted"}
BLOB = some_bytes(BLOBS[0], BLOBS[0])
SHA256 = hashlib.sha256(BLOB).digest()

MANAGERS = {"owner", "controller", "admin"}
READERS = MANAGERS | {"operator"}
SHOWN = READERS | {"member"}


@dataclass(frozen=True)
class House:
    """A capsule at a place, and its people."""

    stage: Stage
    canister: str
    people: dict[str, Caller]

    async def may(self, method: str, arguments: list[Any]) -> set[str]:
        """Those of the cast who are not refused."""
        contract = methods(self.canister)[method]
        canister_id = self.stage.id_of(self.canister)
        told = {
            name: await caller.call(canister_id, contract, [self.stage.capsule_id, *arguments])
            for name, caller in self.people.items()
        }
        assert not any(answer.startswith("rejected") for answer in told.values()), (method, told)
        return {name for name, answer in told.items() if answer not in REFUSALS}


def principal(identity: Ed25519Identity) -> Person:
    return PrincipalPerson(principal=identity.sender().to_str())


async def invite(world: HubWorld, hub: HubClient, capsule_id: str, keys: dict[str, Ed25519Identity]) -> None:
    """Gives each of the cast what their name says. The owner comes last: they take the capsule into their hands."""
    await hub.groups_create(capsule_id, GroupInput(id="readers", name="Readers", members=[principal(keys["member"])]))
    grants: list[dict[str, Any]] = [
        {
            "id": "r-admin",
            "resource": "Capsule",
            "person": principal(keys["admin"]),
            "role": "Admin",
            "permissions": 15,
        },
        {
            "id": "r-viewer",
            "resource": {"Memory": memory_id(capsule_id, "blob-0")},
            "person": principal(keys["viewer"]),
            "role": "Guest",
            "permissions": 1,
        },
        {
            "id": "r-readers",
            "resource": {"Gallery": "best"},
            "person": None,
            "role": "Guest",
            "permissions": 3,
            "source": "Group",
            "source_id": "readers",
        },
    ]
    for grant in grants:
        await hub.access_create(capsule_id, AccessInput.model_validate(grant))
    async with agent_of(world, keys["owner"]) as agent:
        own = HubClient(agent, hub.canister_id)
        await own.capsules_update(capsule_id, controllers=[principal(keys["controller"])])


@pytest_asyncio.fixture(scope="module", params=["writable", "live", "handed off"])
async def house(world: HubWorld, module_toolkit: Toolkit, request: pytest.FixtureRequest) -> AsyncIterator[House]:
    keys = {name: Ed25519Identity.generate() for name in CAST} | {"operator": world.operator}
    capsule_id = await private_capsule(module_toolkit.hub, keys["owner"])
    await invite(world, module_toolkit.hub, capsule_id, keys)
    stage = await advance(world, module_toolkit, request.param, capsule_id, keys["owner"])
    async with AsyncExitStack() as stack:
        people = {name: Caller(await stack.enter_async_context(agent_of(world, key))) for name, key in keys.items()}
        yield House(stage, "hub" if request.param == "writable" else "personal", people)


def given(name: str | None, title: str = "by somebody") -> dict[str, Any]:
    return memory("", {"Inline": b"x"}).model_dump() | {"id": name, "title": title}


def grant(role: str, permissions: int, resource: Any = "Capsule") -> dict[str, Any]:
    entry = {"id": None, "resource": resource, "person": {"Opaque": "Dora"}, "role": role, "permissions": permissions}
    return entry | {"source": "User", "source_id": None, "condition": "Immediate", "is_public": False}


def rules(capsule_id: str, owner: dict[str, str], controller: dict[str, str]) -> list[tuple[str, list[Any], set[str]]]:
    """Method, arguments, and who may."""
    seen, other = memory_id(capsule_id, "blob-0"), memory_id(capsule_id, "inline")
    update: dict[str, Any] = {"owners": None, "controllers": None, "settings": None}
    hosting = {"frontend": "icp", "backend": "icp", "database": "icp", "blobs": "icp"}
    settings = {"hosting": hosting, "has_advanced_settings": True, "triggered_events": []}
    token = [{"memory_id": seen, "variant_": "Original"}]
    return [
        ("capsules_get", [], READERS),
        ("capsules_summary", [], READERS),
        ("memories_get", [seen], SHOWN | {"viewer"}),
        ("memories_get", [other], SHOWN),
        ("memories_get", ["nowhere"], READERS),
        ("memories_list", [None, 10], SHOWN | {"viewer"}),
        ("blobs_get", [SHA256], SHOWN),
        ("blobs_read_chunk", [SHA256, 0], SHOWN),
        ("blobs_read_chunk", [bytes(32), 0], READERS),
        ("asset_tokens", [token, 60], SHOWN | {"viewer"}),
        ("asset_tokens_revoke", [seen], MANAGERS),
        ("asset_tokens_revoke", [None], MANAGERS),
        ("galleries_get", ["best"], SHOWN),
        ("folders_get", ["travels"], READERS),
        ("connections_get", ["ben"], READERS),
        ("groups_get", ["readers"], READERS),
        ("access_get", ["a-capsule"], READERS),
        ("access_get", ["r-viewer"], READERS | {"viewer"}),
        ("access_effective", ["Capsule", owner], READERS),
        ("access_matrix", [0, None, 10], READERS),
        ("blobs_list", [None, 10], READERS),
        ("manifest_leaves", [None, 10], READERS),
        ("manifest_node", [b""], READERS),
        ("uploads_status", [bytes(32)], READERS),
        ("uploads_begin", [bytes(32), 10], MANAGERS),
        ("uploads_put_chunk", [bytes(32), 0, bytes(10)], MANAGERS),
        ("uploads_abort", [bytes(32)], MANAGERS),
        ("memories_create", [given(None)], MANAGERS),
        ("memories_update", [memory_id(capsule_id, "external"), given(None)], MANAGERS),
        ("memories_delete", ["nowhere"], MANAGERS),
        ("folders_create", [{"id": None, "title": "t", "description": None, "parent_folder_id": "travels"}], MANAGERS),
        (
            "galleries_create",
            [{"id": None, "title": "t", "description": None, "cover_memory_id": None, "items": []}],
            MANAGERS,
        ),
        ("connections_create", [{"id": None, "peer": {"Opaque": "Dora"}, "status": "Pending"}], MANAGERS),
        ("groups_create", [{"id": None, "name": "g", "description": None, "members": []}], MANAGERS),
        ("access_create", [grant("Guest", 1, {"Memory": seen})], MANAGERS),
        ("access_create", [grant("SuperAdmin", 15)], MANAGERS),
        ("access_create", [grant("Owner", 16)], {"owner"}),
        ("access_update", ["a-capsule", grant("Owner", 31)], {"owner"}),
        ("capsules_update", [update | {"settings": settings}], MANAGERS),
        ("capsules_update", [update | {"owners": [owner]}], {"owner"}),
        ("capsules_update", [update | {"controllers": [controller]}], {"owner"}),
    ]


async def test_everybody_may_do_what_the_rules_say_and_no_more(house: House) -> None:
    wrong = []
    people = house.people
    owner, controller = ({"Principal": people[name].principal} for name in ("owner", "controller"))
    for method, arguments, allowed in rules(house.stage.capsule_id, owner, controller):
        if house.stage.name == "handed off":
            allowed = allowed - {"operator"}
        if (found := await house.may(method, arguments)) != allowed:
            wrong.append((method, repr(arguments)[:80], sorted(found - allowed), sorted(allowed - found)))
    assert wrong == []


async def test_a_capsule_is_migrated_only_by_those_who_may(world: HubWorld, module_toolkit: Toolkit) -> None:
    keys = {name: Ed25519Identity.generate() for name in CAST} | {"operator": world.operator}
    capsule_id = await private_capsule(module_toolkit.hub, keys["owner"])
    await invite(world, module_toolkit.hub, capsule_id, keys)
    await module_toolkit.hub.migration_invite(capsule_id)
    for name, key in keys.items():
        async with agent_of(world, key) as agent:
            hub = HubClient(agent, world.hub_id)
            allowed = {"Ok"} if name in ("owner", "operator") else REFUSALS
            assert await outcome(hub, "migration_quote", capsule_id, 0) in allowed, name
            for method in ("migration_get", "migration_reserve", "migration_abort"):
                assert await outcome(hub, method, capsule_id) in allowed, (name, method)
            if name != "owner":
                assert await outcome(hub, "capsules_delete", capsule_id) in REFUSALS, name


async def test_an_operator_fills_what_they_made_until_they_are_one_no_more(
    world: HubWorld, module_toolkit: Toolkit
) -> None:
    maker, hub = Ed25519Identity.generate(), module_toolkit.hub
    await hub.operators_add(maker.sender().to_str())
    async with agent_of(world, maker) as agent:
        mine = HubClient(agent, world.hub_id)
        capsule_id = (await mine.capsules_create(OpaquePerson(name=f"made by {maker.sender()}"))).id
        assert await outcome(mine, "memories_create", capsule_id, given(None)) == "Ok"
        assert await outcome(hub, "memories_create", capsule_id, given(None)) == "Unauthorized"
        await hub._call("operators_remove", maker.sender().to_str())
        assert await outcome(mine, "memories_create", capsule_id, given(None)) in REFUSALS
        assert await outcome(mine, "capsules_get", capsule_id) in REFUSALS
