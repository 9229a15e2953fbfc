"""A node that lies, and whose signature is good: no command takes its word for what decides."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiohttp import web

from icmigrate.capsule.find import find_capsule
from icmigrate.contract import interface
from icmigrate.contract.records import MovedTo, PrincipalPerson
from icmigrate.errors import CertificateError, PreflightRefused
from icmigrate.migration import phases
from icmigrate.migration.abort import abort
from icmigrate.migration.handoff import handoff
from icmigrate.migration.migrate import migrate
from icmigrate.migration.status import status
from icmigrate.networks import embedded
from icmigrate.proof.certified_data import certified_home, require_certified
from icmigrate.protocol import cbor
from icmigrate.protocol.candid import encode
from icmigrate.protocol.candid.method import to_candid
from icmigrate.protocol.hash_of_map import hash_of_map
from icmigrate.protocol.identity import Ed25519Identity
from icmigrate.protocol.node_keys import RESPONSE_DOMAIN
from icmigrate.replica.certification.keys import Keys
from tests.migration.proxy import Proxy
from tests.worlds.hub import HubWorld, deploy_world, full_capsule

FOREIGN = "ryjl3-tyaaa-aaaaa-aaaba-cai"


@dataclass
class LyingNode(Proxy):
    """Answers queries of the methods in `lies` by these values, in plain form, under the node's own signature."""

    keys: Keys | None = None
    lies: dict[str, Any] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        truth = await super().handle(request)
        if not request.path.endswith("/query"):
            return truth
        envelope: Any = cbor.loads(await request.read())
        content = envelope["content"]
        method = content["method_name"]
        if method not in self.lies:
            return truth
        self.told.append(method)
        assert isinstance(truth.body, bytes)
        answer: Any = cbor.loads(truth.body)
        return web.Response(body=cbor.dumps(self._signed(content, answer, method)), content_type="application/cbor")

    def _signed(self, content: dict[str, Any], answer: dict[str, Any], method: str) -> dict[str, Any]:
        kind = interface("hub").methods[method].results
        response = {"status": "replied", "reply": {"arg": encode(kind, [to_candid(kind[0], self.lies[method])])}}
        (signature,) = answer["signatures"]
        hashed = {**response, "timestamp": signature["timestamp"], "request_id": hash_of_map(content)}
        assert self.keys is not None
        signed = self.keys.node.sign(RESPONSE_DOMAIN + hash_of_map(hashed))
        return {**response, "signatures": [{**signature, "signature": signed}]}


@dataclass
class Deceived:
    """A world of its own, and the same seen through the lying node."""

    world: HubWorld
    seen: HubWorld
    node: LyingNode


@pytest.fixture
async def deceived(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deceived]:
    state_dir = tmp_path_factory.mktemp("replica of a lying node")
    info = embedded.start(state_dir)
    try:
        world = await deploy_world(embedded.as_network(info), tmp_path_factory.mktemp("toolkit"))
        node = LyingNode(world.network.url, keys=Keys.open(embedded.folder_of(state_dir)))
        async with node.running():
            yield Deceived(world, replace(world, network=replace(world.network, url=node.url)), node)
    finally:
        embedded.stop(state_dir)


def moved(canister_id: str) -> dict[str, Any]:
    return {"Ok": {"Moved": canister_id}}


async def test_its_lies_are_told_and_believed_where_nothing_follows(deceived: Deceived) -> None:
    async with deceived.seen.toolkit() as toolkit:
        capsule_id = await full_capsule(toolkit.hub, blobs=())
        deceived.node.lies = {"registry_home": moved(FOREIGN)}
        assert await toolkit.hub.registry_home(capsule_id) == MovedTo(canister_id=FOREIGN)
        assert deceived.node.told == ["registry_home"]


@pytest.mark.parametrize("of", ["another home", "another capsule", "another canister"])
async def test_a_proof_of_something_else_proves_nothing(deceived: Deceived, of: str) -> None:
    async with deceived.world.toolkit() as honest, deceived.seen.toolkit() as toolkit:
        capsule_id, other_id = [await full_capsule(honest.hub, blobs=()) for _ in range(2)]
        match of:
            case "another home":
                told = await honest.hub.registry_home_certified(capsule_id)
                told = told.model_copy(update={"home": MovedTo(canister_id=FOREIGN)})
            case "another capsule":
                told = await honest.hub.registry_home_certified(other_id)
            case _:
                other = await deploy_world(deceived.world.network, deceived.world.state_dir / "another hub")
                async with other.toolkit() as elsewhere:
                    assert await full_capsule(elsewhere.hub, blobs=()) == capsule_id
                    told = await elsewhere.hub.registry_home_certified(capsule_id)
        deceived.node.lies = {"registry_home_certified": {"Ok": told.model_dump()}}
        with pytest.raises(CertificateError):
            await certified_home(toolkit.hub, capsule_id)


async def test_a_proof_of_an_hour_ago_proves_nothing_now(deceived: Deceived) -> None:
    async with deceived.world.toolkit() as honest:
        capsule_id = await full_capsule(honest.hub, blobs=())
        told = await honest.hub.registry_home_certified(capsule_id)
        proof = (honest.hub, told.certificate, told.witness, [b"registry", capsule_id.encode()], b"hub")
        require_certified(*proof, now_ns=time.time_ns())
        with pytest.raises(CertificateError):
            require_certified(*proof, now_ns=time.time_ns() + 3_600_000_000_000)


async def test_a_capsule_that_it_says_has_moved_is_migrated_all_the_same(deceived: Deceived) -> None:
    async with deceived.world.toolkit() as honest, deceived.seen.toolkit() as toolkit:
        capsule_id = await full_capsule(honest.hub, blobs=(1_000,))
        deceived.node.lies = {"registry_home": moved(FOREIGN), "migration_get": {"Ok": None}}
        report = await migrate(toolkit, capsule_id)
        assert await honest.hub.registry_home(capsule_id) == MovedTo(canister_id=report.canister_id)
        assert "migration_get" in deceived.node.told


async def test_a_capsule_that_it_says_is_there_still_is_told_to_have_moved(deceived: Deceived) -> None:
    async with deceived.world.toolkit() as honest, deceived.seen.toolkit() as toolkit:
        capsule_id = await full_capsule(honest.hub, blobs=())
        report = await migrate(honest, capsule_id)
        deceived.node.lies = {"registry_home": {"Ok": "Hub"}, "migration_get": {"Ok": None}}
        assert (await status(toolkit, capsule_id)).home == MovedTo(canister_id=report.canister_id)
        assert (await migrate(toolkit, capsule_id)).already_migrated
        with pytest.raises(PreflightRefused, match="cut over"):
            await abort(toolkit, capsule_id)
        assert deceived.node.told == []


async def test_a_cut_over_that_it_denies_is_known_to_have_been(deceived: Deceived) -> None:
    async with deceived.world.toolkit() as honest, deceived.seen.toolkit() as toolkit:
        capsule_id = await full_capsule(honest.hub, blobs=())
        await phases.reserve(honest, capsule_id)
        await phases.create(honest, capsule_id)
        await phases.install(honest, capsule_id)
        root = (await phases.catch_up(honest, capsule_id, await phases.freeze(honest, capsule_id))).root
        deceived.node.lies = {"registry_home": {"Ok": "Migrating"}}
        assert (await phases.cut_over(toolkit, capsule_id, root)).is_cut_over


async def test_no_consent_goes_to_a_canister_that_it_names(deceived: Deceived) -> None:
    owner = Ed25519Identity.generate()
    async with deceived.world.toolkit() as honest:
        person = PrincipalPerson(principal=owner.sender().to_str())
        capsule_id = await full_capsule(honest.hub, owner=person, blobs=())
        report = await migrate(honest, capsule_id)
    deceived.node.lies = {"registry_home": moved(FOREIGN), "handoff_consent_get": {"Ok": None}}
    async with deceived.seen.toolkit(owner) as toolkit:
        handed = await handoff(toolkit, capsule_id, None, lambda warning: None)
    assert (handed.canister_id, handed.controllers) == (report.canister_id, [owner.sender().to_str()])


async def test_no_command_is_turned_against_a_capsule_that_it_names(deceived: Deceived) -> None:
    mine, theirs = Ed25519Identity.generate(), Ed25519Identity.generate()
    async with deceived.world.toolkit() as honest:
        capsule_id = await full_capsule(honest.hub, owner=PrincipalPerson(principal=theirs.sender().to_str()), blobs=())
        summary = await honest.hub.capsules_summary(capsule_id)
    claimed = summary.model_copy(update={"subject": PrincipalPerson(principal=mine.sender().to_str())})
    deceived.node.lies = {"capsules_list": {"Ok": {"items": [claimed.model_dump()], "next": None}}}
    async with deceived.seen.toolkit() as toolkit:
        with pytest.raises(CertificateError, match="not so"):
            await find_capsule(toolkit.hub, mine.sender().to_str())
        assert await find_capsule(toolkit.hub, None) == capsule_id
