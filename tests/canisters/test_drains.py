"""Who may make a canister pay: junk, guests and strangers are turned away before anything is charged to it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from icmigrate.migration.toolkit import Toolkit
from icmigrate.protocol.candid.method import Method
from icmigrate.protocol.identity import Ed25519Identity
from icmigrate.protocol.principal import Principal
from tests.canisters.methods import methods
from tests.canisters.stages import Caller, Stage, advance, agent_of, outcome, private_capsule, reach
from tests.canisters.test_roles import CAST, House, invite
from tests.worlds.hub import HubWorld, some_bytes

MOST = 2_000_000
"""More than any method takes, and less than an ingress message may have."""
GUESTS = ("viewer", "member", "stranger")
BOUNDLESS = {"import_put_records", "import_declare_blobs"}
"""What an import brings in comes in messages as long as they can be."""


class Sender(Caller):
    """Sends everything as an update call, queries too."""

    async def _send(self, canister_id: Principal, method: Method, argument: bytes) -> bytes:
        return await self._agent.update(canister_id, method.name, argument)

    async def junk(self, canister_id: str, method: Method) -> str:
        """Sends a method no arguments, and behind them a lot of bytes that mean nothing."""
        return await self.call_raw(canister_id, method, b"DIDL\x00\x00" + bytes(MOST))


@pytest_asyncio.fixture(scope="module", params=["writable", "live"])
async def house(world: HubWorld, module_toolkit: Toolkit, request: pytest.FixtureRequest) -> AsyncIterator[House]:
    keys = {name: Ed25519Identity.generate() for name in CAST} | {"operator": world.operator}
    capsule_id = await private_capsule(module_toolkit.hub, keys["owner"])
    await invite(world, module_toolkit.hub, capsule_id, keys)
    stage = await advance(world, module_toolkit, request.param, capsule_id, keys["owner"])
    async with AsyncExitStack() as stack:
        people: dict[str, Caller] = {}
        for name, key in keys.items():
            people[name] = Sender(await stack.enter_async_context(agent_of(world, key)))
        yield House(stage, "hub" if request.param == "writable" else "personal", people)


async def test_arguments_longer_than_a_method_takes_are_not_accepted_from_anybody(house: House) -> None:
    accepted = []
    for name, method in methods(house.canister).items():
        for who, sender in house.people.items():
            assert isinstance(sender, Sender)
            if (told := await sender.junk(house.stage.id_of(house.canister), method)) != "not accepted":
                accepted.append((name, who, told))
    assert [one for one in accepted if one[0] not in BOUNDLESS] == []


@pytest.mark.parametrize("who", GUESTS)
async def test_who_may_only_look_makes_a_canister_pay_for_nothing(house: House, who: str) -> None:
    """Not even for what they may read: that is free as a query."""
    sender = house.people[who]
    target = house.stage.target(sender.principal)
    told = {
        name: await sender.call(house.stage.id_of(house.canister), method, target.arguments(house.canister, name))
        for name, method in methods(house.canister).items()
        if name != "capsules_create"
    }
    assert {name: answer for name, answer in told.items() if answer != "not accepted"} == {}


async def test_the_matrix_as_an_update_is_for_owners_and_operators(house: House) -> None:
    method = methods(house.canister)["access_matrix"]
    for who, sender in house.people.items():
        told = await sender.call(house.stage.id_of(house.canister), method, [house.stage.capsule_id, 0, None, 1])
        assert (told == "Ok") == (who in ("owner", "operator")), (who, told)


@pytest_asyncio.fixture(scope="module")
async def stage(world: HubWorld, module_toolkit: Toolkit) -> Stage:
    return await reach(world, module_toolkit, "writable")


async def test_who_may_upload_sees_what_is_open_and_drops_it(module_toolkit: Toolkit, stage: Stage) -> None:
    hub, capsule_id = module_toolkit.hub, stage.capsule_id
    data = {hashlib.sha256(some_bytes(n, 1_000)).digest(): some_bytes(n, 1_000) for n in range(90, 93)}
    for sha256 in data:
        await hub.uploads_begin(capsule_id, sha256, 1_000)
    (last, content) = max(data.items())
    await hub.uploads_put_chunk(capsule_id, last, 0, content)
    page = await hub.uploads_list(capsule_id, limit=2)
    assert [one.sha256 for one in page.items] == sorted(data)[:2]
    (open_,) = (await hub.uploads_list(capsule_id, page.next)).items
    assert (open_.sha256, open_.length, open_.received, open_.is_finished) == (last, 1_000, 1, False)
    assert open_.expires_at > open_.touched_at > 0
    for sha256 in data:
        await hub.uploads_abort(capsule_id, sha256)
    assert (await hub.uploads_list(capsule_id)).items == []
    policy = await hub.policy_get()  # of a hub that other tests use as well
    quotas = policy.quotas.model_copy(update={"blob_bytes": (await hub.capsules_summary(capsule_id)).blob_bytes + 999})
    await hub.policy_set(policy.model_copy(update={"quotas": quotas}))
    try:
        assert await outcome(hub, "uploads_begin", capsule_id, last, 1_000) == "OutOfStorage"
        assert await outcome(hub, "uploads_begin", capsule_id, last, 999) == "Ok"
    finally:
        await hub.policy_set(policy)
