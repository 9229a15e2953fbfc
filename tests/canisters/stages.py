"""A capsule at a stage of its migration, all that can be seen of it, and people who want something of it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from icmigrate.contract.client import CapsuleClient, all_pages
from icmigrate.contract.records import PrincipalPerson
from icmigrate.errors import CallRejected, CanisterReject, QueryRejected
from icmigrate.hub.client import HubClient
from icmigrate.migration import phases
from icmigrate.migration.toolkit import Toolkit
from icmigrate.networks.network import connect
from icmigrate.personal.client import PersonalClient
from icmigrate.protocol.agent import Agent
from icmigrate.protocol.candid.method import Method
from icmigrate.protocol.identity import AnonymousIdentity, Ed25519Identity, Identity
from icmigrate.protocol.management_canister import ManagementClient
from icmigrate.protocol.principal import Principal
from tests.canisters.methods import ROOT, Target, methods
from tests.replica.conformance.program import Program
from tests.worlds.hub import HubWorld, full_capsule, memory_id, some_bytes

BLOBS = (40_000, 50_000)
PROGRAMMABLE = ROOT / "tests/wasm/programmable.wasm.gz"
HUB_STAGES = ("writable", "frozen", "sealed", "live", "handed off")
PERSONAL_STAGES = ("importing", "sealed", "live", "handed off")


@dataclass(frozen=True)
class Stage:
    """A private capsule, as far in its migration as `name` says."""

    name: str
    world: HubWorld
    capsule_id: str
    owner: Ed25519Identity
    canister_id: str | None
    root: bytes

    def id_of(self, canister: str) -> str:
        canister_id = self.world.hub_id if canister == "hub" else self.canister_id
        assert canister_id is not None
        return canister_id

    def target(self, caller: str) -> Target:
        """What a caller aims at: a private memory with a blob, and everything around it."""
        chunk = some_bytes(BLOBS[0], BLOBS[0])
        return Target(
            capsule_id=self.capsule_id,
            caller=caller,
            owner=self.owner.sender().to_str(),
            record_ids={
                "memories": memory_id(self.capsule_id, "blob-0"),
                "folders": "lisbon",
                "galleries": "best",
                "connections": "ben",
                "groups": "family",
                "access": "a-capsule",
            },
            sha256=hashlib.sha256(chunk).digest(),
            chunk=chunk,
            root=self.root,
        )


@asynccontextmanager
async def agent_of(world: HubWorld, identity: Identity) -> AsyncIterator[Agent]:
    async with await connect(world.network, identity, window=16) as agent:
        yield agent


async def private_capsule(hub: HubClient, owner: Ed25519Identity) -> str:
    """A full capsule in which nothing is public."""
    capsule_id = await full_capsule(hub, owner=PrincipalPerson(principal=owner.sender().to_str()), blobs=BLOBS)
    await hub._call("access_delete", capsule_id, "c-public")
    return capsule_id


async def reach(world: HubWorld, toolkit: Toolkit, name: str) -> Stage:
    """Brings a new capsule to a stage."""
    owner = Ed25519Identity.generate()
    return await advance(world, toolkit, name, await private_capsule(toolkit.hub, owner), owner)


async def advance(world: HubWorld, toolkit: Toolkit, name: str, capsule_id: str, owner: Ed25519Identity) -> Stage:
    """Brings a capsule that nobody migrates yet to a stage."""
    canister_id, root = None, bytes(32)
    if name != "writable":
        planned = await phases.plan(toolkit, capsule_id)
        await phases.reserve(toolkit, capsule_id)
        await phases.create(toolkit, capsule_id)
        canister_id = (await phases.install(toolkit, capsule_id)).created_canister()
        await phases.pre_copy(toolkit, capsule_id, planned, canister_id)
        frozen = await phases.freeze(toolkit, capsule_id)
    if name in ("importing", "sealed", "live", "handed off"):
        root = (await phases.catch_up(toolkit, capsule_id, frozen)).root
    if name == "importing":
        await toolkit.personal(frozen.created_canister()).import_reopen()
    if name in ("live", "handed off"):
        await phases.cut_over(toolkit, capsule_id, root)
    if name == "handed off":
        await hand_off(world, toolkit, capsule_id, frozen.created_canister(), owner)
    return Stage(name, world, capsule_id, owner, canister_id, root)


async def hand_off(
    world: HubWorld, toolkit: Toolkit, capsule_id: str, canister_id: str, owner: Ed25519Identity, *others: str
) -> None:
    """The owner consents to themselves and others as controllers, the operator hands off."""
    async with agent_of(world, owner) as agent:
        await PersonalClient(agent, canister_id).handoff_consent([owner.sender().to_str(), *others])
    await toolkit.hub.migration_handoff(capsule_id)


# ---- what can be seen ------------------------------------------------------------------------------


async def picture(stage: Stage, canister: str) -> dict[str, Any]:
    """Everything that a canister shows of itself and of the capsule to those who may see it."""
    identity = stage.owner if canister == "personal" and stage.name == "handed off" else stage.world.operator
    async with agent_of(stage.world, identity) as agent:
        canister_id = stage.id_of(canister)
        info = await agent.canister_info(Principal.from_str(canister_id))
        seen: dict[str, Any] = {"module": info.module_hash, "controllers": sorted(map(str, info.controllers))}
        if canister == "hub":
            hub = HubClient(agent, canister_id)
            seen |= await _hub_picture(hub, stage.capsule_id)
            if stage.name == "handed off":  # nobody reads the copy any more
                return seen | {"costs": await hub.cycles_by_operation()}
            records = all_pages(lambda after: hub.export_records(stage.capsule_id, after, 100_000))
            return (
                seen | {"records": [record async for record in records]} | await capsule_picture(hub, stage.capsule_id)
            )
        personal = PersonalClient(agent, canister_id)
        status = await personal.import_status()
        if stage.name in ("importing", "sealed"):
            seen["missing"] = [entry async for entry in all_pages(personal.import_missing_chunks)]
        return seen | {"status": status} | await capsule_picture(personal, stage.capsule_id)


async def capsule_picture(canister: CapsuleClient, capsule_id: str) -> dict[str, Any]:
    """The digest of every record and every blob, what is being uploaded, and what calls have cost."""
    after, leaves = None, []
    while True:
        page = await canister._call("manifest_leaves", capsule_id, after, 1_000)
        leaves += page["items"]
        if (after := page["next"]) is None:
            break
    chunk = some_bytes(BLOBS[0], BLOBS[0])
    return {
        "leaves": leaves,
        "blobs": [blob async for blob in all_pages(lambda after: canister.blobs_list(capsule_id, after))],
        "upload": await outcome(canister, "uploads_status", capsule_id, hashlib.sha256(chunk).digest()),
        "costs": await canister.cycles_by_operation(),
    }


async def _hub_picture(hub: HubClient, capsule_id: str) -> dict[str, Any]:
    return {
        "capsules": [capsule async for capsule in all_pages(hub.capsules_list)],
        "operators": await hub.operators_list(),
        "policy": await hub.policy_get(),
        "module stored": await hub.wasm_info(),
        "home": await hub.registry_home(capsule_id),
        "migration": await hub.migration_get(capsule_id),
    }


# ---- people ----------------------------------------------------------------------------------------


class Caller:
    """Somebody who calls a canister; answers are told as `Ok`, the kind of error, or how they were refused."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self.principal = agent.identity.sender().to_str()

    async def call(self, canister_id: str, method: Method, arguments: list[Any]) -> str:
        return await self.call_raw(canister_id, method, method.encode(*arguments))

    async def call_raw(self, canister_id: str, method: Method, argument: bytes) -> str:
        return await _told(method, self._send(Principal.from_str(canister_id), method, argument))

    async def _send(self, canister_id: Principal, method: Method, argument: bytes) -> bytes:
        send = self._agent.query if method.is_query else self._agent.update
        return await send(canister_id, method.name, argument)


class CallingCanister(Caller):
    """A canister that calls: its calls are not looked at by `inspect_message`."""

    def __init__(self, agent: Agent, canister_id: str) -> None:
        super().__init__(agent)
        self.principal = canister_id

    async def _send(self, canister_id: Principal, method: Method, argument: bytes) -> bytes:
        program = Program().call(canister_id, argument, method=method.name)
        return await self._agent.update(Principal.from_str(self.principal), "run", program.code)


async def _told(method: Method, sending: Any) -> str:
    try:
        reply = await sending
    except CallRejected as error:  # before anything was executed: by `inspect_message`
        return "not accepted" if error.message.endswith("rejected the message") else f"rejected: {error}"
    except (CanisterReject, QueryRejected) as error:
        return f"rejected: {error}"
    try:
        answer = method.decode(reply)
    except NotImplementedError:
        return "answered"
    match answer:
        case {"Err": str(kind)}:
            return kind
        case {"Err": dict(kinds)}:
            return str(next(iter(kinds)))
        case {"Ok": _} | "Ok":
            return "Ok"
        case _:
            return "answered"


async def outcome(canister: CapsuleClient, name: str, *arguments: object) -> str:
    """How a canister answers one call of a client's identity."""
    method = methods("hub" if isinstance(canister, HubClient) else "personal")[name]
    return await Caller(canister.agent).call(canister.canister_id, method, list(arguments))


@asynccontextmanager
async def strangers(world: HubWorld, toolkit: Toolkit) -> AsyncIterator[dict[str, Caller]]:
    """Nobody by name, somebody unknown, the owner of another capsule, and a canister."""
    async with AsyncExitStack() as stack:
        anonymous = await stack.enter_async_context(agent_of(world, AnonymousIdentity()))
        unknown = await stack.enter_async_context(agent_of(world, Ed25519Identity.generate()))
        neighbour = await stack.enter_async_context(agent_of(world, Ed25519Identity.generate()))
        principal = neighbour.identity.sender().to_str()
        await toolkit.hub.capsules_create(PrincipalPerson(principal=principal))
        management = ManagementClient(toolkit.agent)
        canister_id = await management.create_with_cycles(100_000_000_000_000)
        await management.install(canister_id, PROGRAMMABLE.read_bytes(), b"")
        yield {
            "anonymous": Caller(anonymous),
            "unknown": Caller(unknown),
            "neighbour": Caller(neighbour),
            "canister": CallingCanister(unknown, canister_id),
        }
