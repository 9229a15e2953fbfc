"""Somebody without rights tries every method at every stage of a migration: refused, and nothing has changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest
import pytest_asyncio

from icmigrate.contract.policy import MayCreate
from icmigrate.errors import CallRejected, NotAuthorized
from icmigrate.hub.client import HubClient
from icmigrate.migration.toolkit import Toolkit
from icmigrate.protocol.identity import Ed25519Identity
from tests.canisters.methods import methods
from tests.canisters.stages import HUB_STAGES, PERSONAL_STAGES, Caller, Stage, agent_of, picture, reach, strangers
from tests.worlds.hub import HubWorld

OPEN = {
    "cycles": "answered",
    "cycles_by_operation": "answered",
    "operators_list": "answered",
    "wasm_info": "answered",
    "http_request": "answered",
    "registry_home": "Ok",
    "capsules_list": "Ok",
    "access_reach": "Ok",
    "import_status": "Ok",
}
"""Methods that everybody may call. The two lists are of what the caller may see."""

CERTIFIED = "registry_home_certified"
"""Says what `registry_home` says. To a canister, whose call is no query, there is no certificate to give."""

STREAMING = "http_request_streaming_callback"
"""Has no error to answer with: who may not see the asset gets a trap, which breaks the stream off."""

REFUSALS = {"Unauthorized", "not accepted"}

ONE_AT_A_TIME = {"migration_handoff", "hub_copy_delete"}
"""About who calls these the hub asks another canister, one question a caller: a second one is told to try again."""

ONLY_THE_HUB = {"import_activate", "import_close", "import_return_cycles", "handoff_terms"}
"""What no person may do in a personal canister."""


@pytest_asyncio.fixture(scope="module")
async def callers(world: HubWorld, module_toolkit: Toolkit) -> AsyncIterator[dict[str, Caller]]:
    async with strangers(world, module_toolkit) as found:
        yield found


@pytest_asyncio.fixture(scope="module")
async def stages(world: HubWorld, module_toolkit: Toolkit) -> dict[str, Stage]:
    return {name: await reach(world, module_toolkit, name) for name in dict.fromkeys(HUB_STAGES + PERSONAL_STAGES)}


async def answers(stage: Stage, canister: str, caller: Caller) -> dict[str, str]:
    """How the canister answers every method."""
    target = stage.target(caller.principal)
    tried = methods(canister)

    async def call(names: Iterable[str]) -> dict[str, str]:
        canister_id = stage.id_of(canister)
        return {name: await caller.call(canister_id, tried[name], target.arguments(canister, name)) for name in names}

    asking = tuple(name for name in tried if name in ONE_AT_A_TIME)
    told = await asyncio.gather(call(asking), *(call((name,)) for name in tried if name not in asking))
    return {name: answer for part in told for name, answer in part.items()}


def allowed(name: str, answer: str, canister: str, stage: str) -> bool:
    """Whether a stranger's answer is as it must be."""
    if name in OPEN:
        return answer == OPEN[name]
    if name == CERTIFIED:
        return answer in ("Ok", "Conflict")
    if name == STREAMING:
        return answer.startswith("rejected") and "cannot be seen" in answer
    has_left = canister == "hub" and stage in ("live", "handed off")
    return answer in REFUSALS or (has_left and answer == "Moved")


@pytest.mark.parametrize("who", ["anonymous", "unknown", "neighbour", "canister"])
@pytest.mark.parametrize(
    ("canister", "at"), [("hub", at) for at in HUB_STAGES] + [("personal", at) for at in PERSONAL_STAGES]
)
async def test_a_stranger_is_refused_everything_and_nothing_changes(
    stages: dict[str, Stage], callers: dict[str, Caller], canister: str, at: str, who: str
) -> None:
    stage = stages[at]
    before = await picture(stage, canister)
    told = await answers(stage, canister, callers[who])
    assert {name: answer for name, answer in told.items() if not allowed(name, answer, canister, at)} == {}
    after = await picture(stage, canister)
    if who in ("neighbour", "canister"):  # what is executed costs something, refused or not
        del before["costs"], after["costs"]
    assert after == before


@pytest.mark.parametrize(("canister", "at"), [("hub", "writable"), ("personal", "importing"), ("personal", "live")])
async def test_the_same_arguments_are_not_refused_to_those_who_may(
    world: HubWorld, module_toolkit: Toolkit, canister: str, at: str
) -> None:
    """Otherwise a stranger's refusal would say nothing about rights."""
    stage = await reach(world, module_toolkit, at)
    refused = set(methods(canister))
    for identity in (stage.owner, world.operator):
        async with agent_of(world, identity) as agent:
            told = await answers(stage, canister, Caller(agent))
        assert [name for name, answer in told.items() if answer.startswith("rejected") and name != STREAMING] == []
        refused &= {name for name, answer in told.items() if answer in REFUSALS}
    assert refused <= ONLY_THE_HUB | (
        {name for name in methods(canister) if name.startswith("import_")} if at == "live" else set()
    )


async def test_who_is_not_known_may_only_begin_a_capsule_of_their_own_where_the_policy_is_open(
    world: HubWorld, toolkit: Toolkit
) -> None:
    policy = await toolkit.hub.policy_get()
    async with agent_of(world, Ed25519Identity.generate()) as agent:
        somebody = Caller(agent)
        create = methods("hub")["capsules_create"]
        assert await somebody.call(world.hub_id, create, [None]) == "not accepted"
        await toolkit.hub.policy_set(policy.model_copy(update={"create": MayCreate.ANYBODY}))
        assert await somebody.call(world.hub_id, create, [{"Opaque": "somebody else"}]) == "Unauthorized"
        assert await somebody.call(world.hub_id, create, [None]) == "Ok"
        await toolkit.hub.policy_set(policy)
        assert await somebody.call(world.hub_id, create, [{"Principal": somebody.principal}]) == "Ok"
        assert await somebody.call(world.hub_id, create, [{"Principal": world.operator.sender().to_str()}]) in REFUSALS


async def test_a_call_that_the_canister_does_not_accept_is_a_matter_of_rights(world: HubWorld) -> None:
    async with agent_of(world, Ed25519Identity.generate()) as agent:
        with pytest.raises(CallRejected, match="rejected the message") as refused:
            await HubClient(agent, world.hub_id).operators_add(agent.identity.sender().to_str())
    assert refused.value.exit_code == NotAuthorized.exit_code
