"""Who becomes controller of a personal canister, and by whose leave."""

from __future__ import annotations

from icmigrate.contract.client import all_pages
from icmigrate.contract.records import MovedTo, PrincipalPerson
from icmigrate.hub.client import HubClient
from icmigrate.migration.toolkit import Toolkit
from icmigrate.personal.client import PersonalClient
from icmigrate.protocol.identity import Ed25519Identity
from icmigrate.protocol.principal import Principal
from tests.canisters.stages import Stage, advance, agent_of, outcome, private_capsule, reach
from tests.worlds.hub import HubWorld, memory_id

REFUSALS = {"Unauthorized", "not accepted"}


def text(identity: Ed25519Identity) -> str:
    return identity.sender().to_str()


def person(identity: Ed25519Identity) -> PrincipalPerson:
    return PrincipalPerson(principal=text(identity))


async def controllers(toolkit: Toolkit, stage: Stage) -> set[str]:
    found = await toolkit.agent.controllers(Principal.from_str(stage.id_of("personal")))
    return {controller.to_str() for controller in found}


async def live_with_co_owner(world: HubWorld, toolkit: Toolkit, co_owner: Ed25519Identity) -> Stage:
    """A capsule that has moved, with two owners in either canister's records."""
    owner = Ed25519Identity.generate()
    capsule_id = await private_capsule(toolkit.hub, owner)
    async with agent_of(world, owner) as agent:
        await HubClient(agent, world.hub_id).capsules_update(capsule_id, owners=[person(owner), person(co_owner)])
    return await advance(world, toolkit, "live", capsule_id, owner)


async def test_a_co_owner_removed_in_the_personal_canister_hands_nothing_off(
    world: HubWorld, module_toolkit: Toolkit
) -> None:
    removed = Ed25519Identity.generate()
    stage = await live_with_co_owner(world, module_toolkit, removed)
    async with agent_of(world, stage.owner) as agent:
        personal = PersonalClient(agent, stage.id_of("personal"))
        await personal.capsules_update(stage.capsule_id, owners=[person(stage.owner)])
    async with agent_of(world, removed) as agent:
        hub = HubClient(agent, world.hub_id)
        assert await outcome(hub, "migration_handoff", stage.capsule_id) in REFUSALS
    assert await controllers(module_toolkit, stage) == {world.hub_id}


async def test_an_operator_hands_nothing_off_without_an_owners_consent(
    world: HubWorld, module_toolkit: Toolkit
) -> None:
    stage = await reach(world, module_toolkit, "live")
    assert await outcome(module_toolkit.hub, "migration_handoff", stage.capsule_id) == "Conflict"
    assert await controllers(module_toolkit, stage) == {world.hub_id}


async def test_an_owner_whom_the_hub_never_knew_hands_off(world: HubWorld, module_toolkit: Toolkit) -> None:
    stage, heir = await reach(world, module_toolkit, "live"), Ed25519Identity.generate()
    async with agent_of(world, stage.owner) as agent:
        personal = PersonalClient(agent, stage.id_of("personal"))
        await personal.handoff_consent([text(stage.owner)])
        await personal.capsules_update(stage.capsule_id, owners=[person(heir)])
        assert await outcome(personal, "handoff_consent", [text(stage.owner)]) in REFUSALS
    async with agent_of(world, heir) as agent:
        hub, personal = HubClient(agent, world.hub_id), PersonalClient(agent, stage.id_of("personal"))
        assert await personal.handoff_consent_get() is None, "who gave it is no owner any more"
        assert await outcome(hub, "migration_handoff", stage.capsule_id) == "Conflict"
        given = await personal.handoff_consent([text(heir)])
        assert await personal.handoff_consent_get() == given
        assert await outcome(personal, "handoff_consent", [text(stage.owner)]) == "Invalid"
        assert await outcome(personal, "handoff_terms", text(heir)) in REFUSALS
        assert await outcome(hub, "migration_handoff", stage.capsule_id) == "Ok"
    assert await controllers(module_toolkit, stage) == {text(heir)}


async def test_the_hub_is_no_owner_in_the_personal_canister_either(world: HubWorld, module_toolkit: Toolkit) -> None:
    stage = await reach(world, module_toolkit, "live")
    async with agent_of(world, stage.owner) as agent:
        personal = PersonalClient(agent, stage.id_of("personal"))
        for impossible in (world.hub_id, "aaaaa-aa"):
            owners = [{"Principal": text(stage.owner)}, {"Principal": impossible}]
            update = {"owners": owners, "controllers": None, "settings": None}
            assert await outcome(personal, "capsules_update", stage.capsule_id, update) == "Invalid"


async def test_nobody_reads_the_hubs_copy_after_the_handoff_and_the_owner_has_it_deleted(
    world: HubWorld, module_toolkit: Toolkit
) -> None:
    stage = await reach(world, module_toolkit, "handed off")
    picture = f"{world.network.gateway(world.hub_id)}/asset/{memory_id(stage.capsule_id, 'inline')}/original"
    async with agent_of(world, stage.owner) as agent:
        mine = HubClient(agent, world.hub_id)
        for hub in (module_toolkit.hub, mine):
            for method, arguments in (
                ("export_records", (None, 1_000)),
                ("manifest_leaves", (None, 10)),
                ("blobs_list", (None, 10)),
                ("access_matrix", (0, None, 10)),
            ):
                assert await outcome(hub, method, stage.capsule_id, *arguments) == "Moved", method
            listed = [capsule.id async for capsule in all_pages(hub.capsules_list)]
            assert stage.capsule_id not in listed
        assert await outcome(module_toolkit.hub, "hub_copy_delete", stage.capsule_id) in REFUSALS
        for _ in range(2):
            assert await outcome(mine, "hub_copy_delete", stage.capsule_id) in {"Ok"} | REFUSALS
            assert (await module_toolkit.gateway.request(picture)).status == 308
            assert await mine.registry_home(stage.capsule_id) == MovedTo(canister_id=stage.id_of("personal"))
