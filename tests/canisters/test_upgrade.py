"""Both canisters are upgraded between any two phases and in the middle of one: nothing is lost, the migration ends."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from icmigrate import wasm
from icmigrate.contract import interface
from icmigrate.contract.blobs import CHUNK_BYTES
from icmigrate.contract.canister_errors import CapsuleMigrating
from icmigrate.contract.client import all_pages
from icmigrate.contract.records import BeingMigrated, InHub, PrincipalPerson
from icmigrate.copy.count import CopyCount
from icmigrate.copy.missing import blob_batches
from icmigrate.copy.relay import relay_chunk
from icmigrate.errors import ReplicaError
from icmigrate.hub.deploy import deploy
from icmigrate.migration import phases
from icmigrate.migration.toolkit import Toolkit
from icmigrate.networks.canister_ids import CanisterIds
from icmigrate.personal.client import PersonalClient
from icmigrate.progress import Progress
from icmigrate.protocol.candid import encode
from icmigrate.protocol.identity import Ed25519Identity
from icmigrate.protocol.management_canister import _STOP, ManagementClient
from icmigrate.protocol.principal import Principal
from tests.canisters.http import ask, certified
from tests.canisters.methods import methods
from tests.canisters.stages import PROGRAMMABLE, CallingCanister, hand_off
from tests.worlds.hub import CHUNK, HubWorld, deploy_world, full_capsule, memory_id, some_bytes

BLOBS = (40_000, 2 * CHUNK + 7)


@pytest_asyncio.fixture(scope="module")
async def own_toolkit(world: HubWorld, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Toolkit]:
    """A hub of its own: it is changed under the feet of whoever uses it."""
    own = await deploy_world(world.network, tmp_path_factory.mktemp("toolkit of the upgraded hub"))
    async with own.toolkit() as opened:
        yield opened


async def upgrade_hub(toolkit: Toolkit) -> None:
    management = ManagementClient(toolkit.agent)
    await management.upgrade(toolkit.hub.canister_id, wasm.module("hub"), encode([], []))


async def upload_personal_again(toolkit: Toolkit) -> None:
    """The module that is stored already is offered once more, as by another `deploy`."""
    module = wasm.module("personal")
    await toolkit.hub.wasm_begin(hashlib.sha256(module).digest(), len(module))
    for index, at in enumerate(range(0, len(module), CHUNK_BYTES)):
        if not (await toolkit.hub.wasm_begin(hashlib.sha256(module).digest(), len(module))).complete:
            await toolkit.hub.wasm_put_chunk(index, module[at : at + CHUNK_BYTES])
    await toolkit.hub.wasm_finish()


@pytest.mark.parametrize("change", ["upgrade", "upgrade and upload"])
async def test_the_hub_is_upgraded_between_any_two_phases(own_toolkit: Toolkit, change: str) -> None:
    toolkit = own_toolkit
    capsule_id = await full_capsule(toolkit.hub, blobs=BLOBS)
    name = memory_id(capsule_id, "inline")
    public = f"/asset/{name}/original"

    async def between() -> None:
        """The hub's data, its journal, and what it serves outlive an upgrade."""
        before = await hub_state(toolkit, capsule_id)
        await upgrade_hub(toolkit)
        if change == "upgrade and upload":
            await upload_personal_again(toolkit)
        assert await hub_state(toolkit, capsule_id) == before
        if await toolkit.hub.registry_home(capsule_id) in (InHub(), BeingMigrated()):
            answer = await ask(toolkit.hub, public)
            assert answer["status_code"] == 200
            assert certified(toolkit.hub, public, answer)

    await between()
    planned = await phases.plan(toolkit, capsule_id)
    await between()
    await phases.reserve(toolkit, capsule_id)
    await between()
    await phases.create(toolkit, capsule_id)
    await between()
    canister_id = (await phases.install(toolkit, capsule_id)).created_canister()
    await between()
    # A chunk may be asked for while the hub is stopped.
    copied, upgraded = await asyncio.gather(
        phases.pre_copy(toolkit, capsule_id, planned, canister_id), upgrade_hub(toolkit), return_exceptions=True
    )
    assert upgraded is None
    assert isinstance(copied, CopyCount | ReplicaError)
    await between()
    await phases.pre_copy(toolkit, capsule_id, planned, canister_id)
    await between()
    frozen = await phases.freeze(toolkit, capsule_id)
    await between()
    with pytest.raises(CapsuleMigrating):
        await toolkit.hub.memories_delete(capsule_id, name)
    caught_up = await phases.catch_up(toolkit, capsule_id, frozen)
    await between()
    verified = await phases.verify(toolkit, capsule_id, canister_id)
    await between()
    await phases.check_http(toolkit, capsule_id, canister_id)
    await between()
    cut_over = await phases.cut_over(toolkit, capsule_id, verified.personal_root)
    await between()
    assert cut_over.root == caught_up.root == verified.hub_root == verified.personal_root
    assert (await ask(toolkit.hub, public))["status_code"] == 308
    personal = toolkit.personal(canister_id)
    assert certified(personal, public, await ask(personal, public))
    assert len((await personal.memories_list(capsule_id)).items) == len(BLOBS) + 2


async def test_the_hub_is_upgraded_while_a_step_waits_for_an_answer(own_toolkit: Toolkit) -> None:
    """The answer still finds the module that asked: no canister is created that the journal does not know."""
    toolkit = own_toolkit
    capsule_id = await full_capsule(toolkit.hub, blobs=())
    await phases.reserve(toolkit, capsule_id)
    for phase in (phases.create, phases.install):
        done, upgraded = await asyncio.gather(phase(toolkit, capsule_id), upgrade_hub(toolkit), return_exceptions=True)
        assert upgraded is None
        if isinstance(done, BaseException):  # it came when the hub was stopped
            assert isinstance(done, ReplicaError)
            await phase(toolkit, capsule_id)
    migration = await toolkit.hub.migration_get(capsule_id)
    assert migration is not None
    others = [found async for found in all_pages(toolkit.hub.migration_list) if found.capsule_id == capsule_id]
    assert [found.canister_id for found in others] == [migration.canister_id]
    aborted = await toolkit.hub.migration_abort(capsule_id)
    assert aborted.returned > 0
    assert await toolkit.hub.registry_home(capsule_id) == InHub()


async def hub_state(toolkit: Toolkit, capsule_id: str) -> tuple[object, ...]:
    hub = toolkit.hub
    return (
        [page async for page in all_pages(lambda after: hub.export_records(capsule_id, after, 100_000))],
        [blob async for blob in all_pages(lambda after: hub.blobs_list(capsule_id, after))],
        [found async for found in all_pages(hub.capsules_list)],
        await hub.migration_get(capsule_id),
        await hub.registry_home(capsule_id),
        await hub.operators_list(),
        (await hub.wasm_info()),
        await hub.access_matrix(capsule_id, 0),
    )


# ---- the personal canister -------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """A personal canister whose controller is the operator, and whose hub does what the test says."""

    personal: PersonalClient
    hub: CallingCanister
    toolkit: Toolkit

    async def upgrade(self) -> None:
        management = ManagementClient(self.toolkit.agent)
        await management.upgrade(self.personal.canister_id, wasm.module("personal"), encode([], []))


@pytest_asyncio.fixture
async def capsule_id(module_toolkit: Toolkit) -> str:
    return await full_capsule(module_toolkit.hub, blobs=BLOBS)


@pytest_asyncio.fixture
async def target(module_toolkit: Toolkit, capsule_id: str) -> Target:
    management = ManagementClient(module_toolkit.agent)
    canister_id = await management.create_with_cycles(10_000_000_000_000)
    hub_id = await management.create_with_cycles(10_000_000_000_000)
    await management.install(hub_id, PROGRAMMABLE.read_bytes(), b"")
    operator = module_toolkit.agent.identity.sender()
    hub = Principal.from_str(hub_id)
    given = {"capsule_id": capsule_id, "hub": hub, "operators": [operator]}
    await management.install(canister_id, wasm.module("personal"), encode(interface("personal").init, [given]))
    return Target(module_toolkit.personal(canister_id), CallingCanister(module_toolkit.agent, hub_id), module_toolkit)


async def personal_state(personal: PersonalClient, capsule_id: str) -> tuple[object, ...]:
    status = await personal.import_status()
    missing = None
    if status.state != "Live":
        missing = [entry async for entry in all_pages(personal.import_missing_chunks)]
    if not status.records:
        return status, missing
    return (
        status,
        missing,
        [found async for found in all_pages(lambda after: personal.memories_list(capsule_id, after))],
        [blob async for blob in all_pages(lambda after: personal.blobs_list(capsule_id, after))],
        (await personal._call("manifest_leaves", capsule_id, None, 1_000)),
        await personal.access_matrix(capsule_id, 0),
    )


async def test_the_personal_canister_is_upgraded_at_every_step_of_an_import(
    module_toolkit: Toolkit, capsule_id: str, target: Target
) -> None:
    toolkit, personal = module_toolkit, target.personal
    public = f"/asset/{memory_id(capsule_id, 'inline')}/original"

    async def between() -> None:
        before = await personal_state(personal, capsule_id)
        await target.upgrade()
        assert await personal_state(personal, capsule_id) == before

    await between()
    (batch,) = [batch async for batch in blob_batches(toolkit.hub, capsule_id)]
    await personal.import_declare_blobs(batch)
    await between()
    for blob in batch:
        for index in range(blob.chunks):
            await relay_chunk(toolkit.hub, personal, capsule_id, blob, index)
            await between()
    assert (await personal.import_status()).blobs_complete == len(batch)

    await phases.reserve(toolkit, capsule_id)
    await phases.create(toolkit, capsule_id)
    await phases.install(toolkit, capsule_id)
    await toolkit.hub.migration_freeze(capsule_id)
    summary = await toolkit.hub.migration_build_manifest(capsule_id)
    records = [page async for page in all_pages(lambda after: toolkit.hub.export_records(capsule_id, after, 100_000))]
    half = len(records) // 2
    for part in (records[:half], records[half:]):
        await personal.import_put_records(1, part)
        await between()
    sealed = await personal.import_seal(1)
    assert (sealed.complete, sealed.root) == (True, summary.root)
    await between()
    await personal.import_reopen()
    await between()
    assert (await personal.import_seal(1)).root == summary.root
    assert (await personal.manifest_root(capsule_id)).summary.root == summary.root
    await between()
    activate = methods("personal")["import_activate"]
    assert await target.hub.call(personal.canister_id, activate, [summary.root, None]) == "Ok"
    await between()
    assert certified(personal, public, await ask(personal, public))
    matrix = await toolkit.hub.access_matrix(capsule_id, 0)
    assert await personal.access_matrix(capsule_id, 0) == matrix
    data = some_bytes(BLOBS[1] + 1, BLOBS[1])
    chunks = [await personal.blobs_read_chunk(capsule_id, hashlib.sha256(data).digest(), n) for n in range(3)]
    assert b"".join(chunks) == data


async def test_the_owner_upgrades_after_handoff_and_goes_on_writing(world: HubWorld, module_toolkit: Toolkit) -> None:
    owner = Ed25519Identity.generate()
    capsule_id = await full_capsule(
        module_toolkit.hub, owner=PrincipalPerson(principal=owner.sender().to_str()), blobs=BLOBS
    )
    await phases.reserve(module_toolkit, capsule_id)
    await phases.create(module_toolkit, capsule_id)
    canister_id = (await phases.install(module_toolkit, capsule_id)).created_canister()
    frozen = await phases.freeze(module_toolkit, capsule_id)
    root = (await phases.catch_up(module_toolkit, capsule_id, frozen)).root
    await phases.cut_over(module_toolkit, capsule_id, root)
    await hand_off(world, module_toolkit, capsule_id, canister_id, owner)
    public = f"/asset/{memory_id(capsule_id, 'inline')}/original"
    async with world.toolkit(owner) as own:
        personal = own.personal(canister_id)
        upgrade = ManagementClient(own.agent).upgrade
        before = [found async for found in all_pages(lambda after: personal.memories_list(capsule_id, after))]
        await upgrade(canister_id, wasm.module("personal"), encode([], []))
        assert [m async for m in all_pages(lambda after: personal.memories_list(capsule_id, after))] == before
        assert certified(personal, public, await ask(personal, public))
        await personal._call("access_delete", capsule_id, "c-public")
        await upgrade(canister_id, wasm.module("personal"), encode([], []))
        assert (await ask(personal, public))["status_code"] == 401
        controllers = await own.agent.controllers(Principal.from_str(canister_id))
        assert controllers == [owner.sender()]


async def test_deploy_starts_a_hub_whose_upgrade_was_broken_off(own_toolkit: Toolkit, tmp_path: Path) -> None:
    management = ManagementClient(own_toolkit.agent)
    hub_id = own_toolkit.hub.canister_id
    await management._call(hub_id, _STOP, {"canister_id": hub_id})
    ids = CanisterIds(tmp_path, own_toolkit.network)
    report = await deploy(own_toolkit.agent, own_toolkit.network, ids, hub_id, Progress())
    assert (report.hub, report.actions) == (hub_id, ["started"])
    assert await own_toolkit.hub.operators_list() != []
