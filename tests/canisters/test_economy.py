"""Whose expense it is: strangers and owners cost the hub no more than its operators have allowed."""

from __future__ import annotations

import pytest
import pytest_asyncio

from icmigrate.contract.canister_errors import Conflict
from icmigrate.contract.policy import MayCreate, MayMigrate, Policy
from icmigrate.contract.records import AssetRef, PrincipalPerson
from icmigrate.hub.client import HubClient
from icmigrate.hub.deploy import deploy
from icmigrate.migration.toolkit import Toolkit
from icmigrate.networks.canister_ids import CanisterIds
from icmigrate.progress import Progress
from icmigrate.protocol.identity import Ed25519Identity
from icmigrate.protocol.management_canister import ManagementClient
from tests.canisters.http import ask
from tests.canisters.stages import Stage, agent_of, outcome, reach
from tests.worlds.hub import HubWorld, deploy_world, full_capsule, memory, memory_id

T = 1_000_000_000_000
REFUSALS = {"Unauthorized", "not accepted"}


@pytest_asyncio.fixture
async def stage(world: HubWorld, toolkit: Toolkit) -> Stage:
    return await reach(world, toolkit, "writable")


async def test_a_new_hub_is_for_those_whom_its_operators_let_in(
    world: HubWorld, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fresh = await deploy_world(world.network, tmp_path_factory.mktemp("a hub with its own policy"))
    async with fresh.toolkit() as toolkit:
        policy = await toolkit.hub.policy_get()
        assert (policy.create, policy.migrate) == (MayCreate.OPERATORS, MayMigrate.OPERATORS)
        assert policy.migrations_a_day == 1
        assert (policy.quotas.records, policy.quotas.blob_bytes) == (100_000, 50_000_000_000)


async def test_a_stranger_gets_neither_a_capsule_nor_a_canister(
    world: HubWorld, toolkit: Toolkit, stage: Stage
) -> None:
    before = (await toolkit.hub.cycles()).reserved
    async with agent_of(world, Ed25519Identity.generate()) as agent:
        thief = HubClient(agent, world.hub_id)
        assert await outcome(thief, "capsules_create", None) in REFUSALS
        assert await outcome(thief, "policy_set", (await toolkit.hub.policy_get()).model_dump()) in REFUSALS
        assert await outcome(thief, "migration_invite", stage.capsule_id) in REFUSALS
        assert await outcome(thief, "capsules_suspend", stage.capsule_id, True) in REFUSALS
    async with agent_of(world, stage.owner) as agent:
        owner = HubClient(agent, world.hub_id)
        assert (await owner.capsules_create()).id == stage.capsule_id
        assert await outcome(owner, "migration_reserve", stage.capsule_id) == "Unauthorized"
        assert not (await owner.migration_quote(stage.capsule_id)).feasible
        assert await outcome(owner, "migration_invite", stage.capsule_id) in REFUSALS
    assert (await toolkit.hub.cycles()).reserved == before


async def test_an_invited_owner_starts_one_migration_a_day_and_an_aborted_one_counts(
    world: HubWorld, toolkit: Toolkit, stage: Stage
) -> None:
    await toolkit.hub.migration_invite(stage.capsule_id)
    async with agent_of(world, stage.owner) as agent:
        owner = HubClient(agent, world.hub_id)
        assert (await owner.migration_quote(stage.capsule_id)).feasible
        await owner.migration_reserve(stage.capsule_id)
        await owner.migration_reserve(stage.capsule_id)
        await owner.migration_create_canister(stage.capsule_id)
        await owner.migration_abort(stage.capsule_id)
        assert await outcome(owner, "migration_reserve", stage.capsule_id) == "Conflict"
    await toolkit.hub.migration_reserve(stage.capsule_id)
    await toolkit.hub.migration_abort(stage.capsule_id)


async def changed(hub: HubClient, **changes: object) -> Policy:
    """Changes the policy; answers what it was."""
    policy = await hub.policy_get()
    quotas = policy.quotas.model_copy(update={name: value for name, value in changes.items() if name != "at_once"})
    at_once = changes.get("at_once", policy.migrations_at_once)
    await hub.policy_set(policy.model_copy(update={"quotas": quotas, "migrations_at_once": at_once}))
    return policy


@pytest_asyncio.fixture(scope="module")
async def own(world: HubWorld, tmp_path_factory: pytest.TempPathFactory) -> HubWorld:
    """A hub whose policy and cycles nobody else needs."""
    return await deploy_world(world.network, tmp_path_factory.mktemp("a hub for its economy"))


async def test_the_hub_has_only_so_many_migrations_under_way(own: HubWorld) -> None:
    async with own.toolkit() as toolkit:
        first, second = [await full_capsule(toolkit.hub, blobs=()) for _ in range(2)]
        before = await changed(toolkit.hub, at_once=1)
        await toolkit.hub.migration_reserve(first)
        with pytest.raises(Conflict, match="under way"):
            await toolkit.hub.migration_reserve(second)
        await toolkit.hub.migration_abort(first)
        await toolkit.hub.migration_reserve(second)
        await toolkit.hub.policy_set(before)


async def test_a_capsule_has_no_more_than_its_quotas(own: HubWorld) -> None:
    async with own.toolkit() as toolkit:
        hub = toolkit.hub
        capsule_id = await full_capsule(hub, blobs=(1_000,))
        now = await hub.capsules_summary(capsule_id)
        kinds = ("memories", "folders", "galleries", "access_entries", "connections", "groups")
        records = 1 + sum(getattr(now, kind) for kind in kinds)
        given = memory(memory_id(capsule_id, "one more"), {"Inline": b"x"}).model_dump()
        before = await changed(hub, records=records, blob_bytes=1_500)
        assert await outcome(hub, "memories_create", capsule_id, given) == "OutOfStorage"
        assert await outcome(hub, "uploads_begin", capsule_id, bytes(32), 501) == "OutOfStorage"
        assert await outcome(hub, "uploads_begin", capsule_id, bytes(32), 500) == "Ok"
        assert await outcome(hub, "uploads_begin", capsule_id, bytes(31) + b"1", 1) == "OutOfStorage"
        await hub.policy_set(before)
        await changed(hub, record_bytes=now.record_bytes)
        assert await outcome(hub, "memories_create", capsule_id, given) == "OutOfStorage"
        await hub.policy_set(before)
        assert await outcome(hub, "memories_create", capsule_id, given) == "Ok"


async def test_operators_suspend_and_delete_what_they_may_not_read(own: HubWorld) -> None:
    async with own.toolkit() as toolkit:
        hub, owner = toolkit.hub, Ed25519Identity.generate()
        capsule_id = await full_capsule(hub, owner=PrincipalPerson(principal=owner.sender().to_str()), blobs=(1_000,))
        public = f"/asset/{memory_id(capsule_id, 'inline')}/original"
        assert (await ask(hub, public))["status_code"] == 200
        assert await outcome(hub, "capsules_delete", capsule_id) == "Unauthorized"
        await hub.capsules_suspend(capsule_id, True)
        async with agent_of(own, owner) as agent:
            mine = HubClient(agent, own.hub_id)
            (token,) = await mine.asset_tokens(
                capsule_id, [AssetRef(memory_id=memory_id(capsule_id, "inline"), variant_="Original")], 600
            )
            assert [(await ask(hub, url))["status_code"] for url in (public, token.path)] == [401, 401]
            given = memory(memory_id(capsule_id, "new"), {"Inline": b"x"}).model_dump()
            assert await outcome(mine, "memories_create", capsule_id, given) == "Conflict"
            assert await outcome(mine, "uploads_begin", capsule_id, bytes(32), 10) == "Conflict"
            assert await outcome(mine, "capsules_delete", capsule_id) == "Conflict"
            assert await outcome(mine, "capsules_suspend", capsule_id, False) in REFUSALS
            assert await outcome(mine, "capsules_get", capsule_id) == "Ok"
            await hub.capsules_suspend(capsule_id, False)
            assert (await ask(hub, public))["status_code"] == 200
            assert await outcome(mine, "memories_create", capsule_id, given) == "Ok"
        await hub.capsules_suspend(capsule_id, True)
        await hub.capsules_delete(capsule_id)
        assert await outcome(hub, "registry_home", capsule_id) == "NotFound"


async def test_what_stops_first_when_cycles_run_low(world: HubWorld, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A hub with 4.5 T: one migration under way leaves it too little for some things, and enough for others."""
    folder = tmp_path_factory.mktemp("a poor hub")
    operator = Ed25519Identity.generate()
    async with agent_of(world, operator) as agent:
        canister_id = await ManagementClient(agent).create_with_cycles(45 * T // 10)
        await deploy(agent, world.network, CanisterIds(folder, world.network), canister_id, Progress())
        hub = HubClient(agent, canister_id)
        first, second = [await full_capsule(hub, blobs=(1_000,)) for _ in range(2)]
        assert not (await hub.cycles()).is_low
        await hub.migration_reserve(first)
        cycles = await hub.cycles()
        assert cycles.is_low and 1 * T < cycles.liquid - cycles.reserved < 3 * T
        assert await outcome(hub, "capsules_create", {"Opaque": "one more"}) == "OutOfCycles"
        assert await outcome(hub, "migration_reserve", second) == "OutOfCycles"
        assert await outcome(hub, "uploads_begin", second, bytes(32), 10) == "Ok"
        one_more = memory(memory_id(second, "one more"), {"Inline": b"x"}).model_dump()
        assert await outcome(hub, "memories_create", second, one_more) == "Ok"
        assert await outcome(hub, "migration_create_canister", first) == "Ok"
