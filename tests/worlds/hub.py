"""The world of migrations: a hub on an embedded replica of its own, and capsules filled with all that they can hold."""

from __future__ import annotations

import hashlib
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from icmigrate.capsule.samples import EARLIER, LATER, person
from icmigrate.contract import records
from icmigrate.contract.access import AccessInput
from icmigrate.contract.blobs import CHUNK_BYTES
from icmigrate.contract.client import CapsuleClient
from icmigrate.hub.client import HubClient
from icmigrate.hub.deploy import deploy
from icmigrate.migration.toolkit import Toolkit
from icmigrate.networks.canister_ids import CanisterIds
from icmigrate.networks.gateway import GatewayClient
from icmigrate.networks.network import Network, connect
from icmigrate.progress import Progress
from icmigrate.protocol.identity import Ed25519Identity, Identity

CHUNK = CHUNK_BYTES


@dataclass(frozen=True)
class HubWorld:
    """One network with a deployed hub, and its operator."""

    network: Network
    operator: Ed25519Identity
    hub_id: str
    state_dir: Path

    @asynccontextmanager
    async def toolkit(self, identity: Identity | None = None, window: int = 4) -> AsyncIterator[Toolkit]:
        async with (
            await connect(self.network, identity or self.operator, window=window) as agent,
            GatewayClient() as gateway,
        ):
            yield Toolkit(
                network=self.network,
                agent=agent,
                gateway=gateway,
                hub=HubClient(agent, self.hub_id),
                state_dir=self.state_dir,
                database_url=f"sqlite:///{self.state_dir}/migrations.sqlite",
                window=window,
            )


async def deploy_world(network: Network, folder: Path) -> HubWorld:
    operator = Ed25519Identity.generate()
    async with await connect(network, operator) as agent:
        deployed = await deploy(agent, network, CanisterIds(folder, network), None, Progress())
        hub = HubClient(agent, deployed.hub)
        # every test leaves migrations behind
        await hub.policy_set((await hub.policy_get()).model_copy(update={"migrations_at_once": 1_000}))
    return HubWorld(network=network, operator=operator, hub_id=deployed.hub, state_dir=folder)


def some_bytes(seed: int, length: int) -> bytes:
    return random.Random(seed).randbytes(length)


async def upload(canister: CapsuleClient, capsule_id: str, data: bytes) -> records.InternalLocation:
    """Uploads a blob chunk by chunk."""
    sha256 = hashlib.sha256(data).digest()
    await canister.uploads_begin(capsule_id, sha256, len(data))
    for index, at in enumerate(range(0, len(data), CHUNK)):
        await canister.uploads_put_chunk(capsule_id, sha256, index, data[at : at + CHUNK])
    while not (await canister.uploads_finish(capsule_id, sha256)).complete:
        continue
    return records.InternalLocation(sha256=sha256, length=len(data))


def memory(
    name: str,
    location: records.AssetLocation | dict[str, object],
    *,
    folder: str | None = None,
    variants: tuple[str, ...] = ("Original",),
) -> records.MemoryInput:
    assets = [
        records.Asset.model_validate(
            {
                "variant_": variant,
                "name": f"{name} \N{EN DASH} {variant}.jpg",
                "mime_type": "image/jpeg",
                "detail": {"Image": {"width": 4, "height": 3, "orientation": 6}},
                "location": location,
                "created_at": 1_700_000_000_000_000_000,
                "updated_at": 1_700_000_000_000_000_001,
            }
        )
        for variant in variants
    ]
    return records.MemoryInput(
        id=name,
        memory_type="Image",
        title=f"Übersee “{name}”",
        content_type="image/jpeg",
        tags=["sea", "São Paulo"],
        people=["Anna"],
        notes="with love",
        parent_folder_id=folder,
        file_created_at=1_600_000_000_000_000_000,
        date_of_memory=499_999_999_999_999_999,
        assets=assets,
    )


def memory_id(capsule_id: str, name: str) -> str:
    """Memory ids are unique in a hub."""
    return f"{capsule_id}.{name}"


async def full_capsule(
    hub: HubClient, *, owner: records.Person | None = None, blobs: tuple[int, ...] = (40_000, 0, 4_000_000, CHUNK)
) -> str:
    """Creates a capsule that has something of every kind; `blobs` are the lengths of its blobs."""
    capsule = await hub.capsules_create(owner or person(uuid.uuid4().hex))
    capsule_id = capsule.id
    anna, ben = person("Anna"), person("Ben")
    clara = records.OpaquePerson(name="clara@example.org")
    await hub.folders_create(capsule_id, records.FolderInput(id="travels", title="Travels"))
    await hub.folders_create(
        capsule_id, records.FolderInput(id="lisbon", title="Lisbon", description="1999", parent_folder_id="travels")
    )
    inline, external = memory_id(capsule_id, "inline"), memory_id(capsule_id, "external")
    await hub.memories_create(capsule_id, memory(inline, {"Inline": b"a small picture"}, folder="lisbon"))
    await hub.memories_create(capsule_id, memory(external, {"External": {"url": "https://example.org/a.jpg"}}))
    names = [inline, external]
    for number, length in enumerate(blobs):
        data = some_bytes(number + length, length)
        location = await upload(hub, capsule_id, data)
        name = memory_id(capsule_id, f"blob-{number}")
        variants = ("Original", "Thumbnail") if number == 0 else ("Original",)
        given = memory(name, location, folder="travels", variants=variants)
        await hub.memories_create(capsule_id, given)
        names.append(name)
    items = [records.GalleryItem(memory_id=name, caption=f"No. {n}") for n, name in enumerate(reversed(names))]
    await hub.galleries_create(
        capsule_id, records.GalleryInput(id="best", title="The best", cover_memory_id=inline, items=items)
    )
    for name, peer in (("anna", anna), ("ben", ben), ("clara", clara)):
        await hub.connections_create(capsule_id, records.ConnectionInput(id=name, peer=peer, status="Accepted"))
    await hub.groups_create(capsule_id, records.GroupInput(id="family", name="Family", members=[anna, clara]))
    grants: list[dict[str, object]] = [
        {"id": "a-capsule", "resource": "Capsule", "person": anna, "permissions": 1},
        {
            "id": "b-family",
            "resource": {"Gallery": "best"},
            "person": None,
            "permissions": 3,
            "source": "Group",
            "source_id": "family",
        },
        {"id": "c-public", "resource": {"Memory": inline}, "person": None, "permissions": 3, "is_public": True},
        {"id": "d-until", "resource": {"Memory": external}, "person": ben, "permissions": 3}
        | {"condition": {"ExpiresAt": {"expires": LATER}}},
        {"id": "e-over", "resource": {"Folder": "travels"}, "person": ben, "permissions": 3}
        | {"condition": {"ExpiresAt": {"expires": EARLIER}}},
        {"id": "f-later", "resource": {"Folder": "lisbon"}, "person": clara, "permissions": 1}
        | {"condition": {"Scheduled": {"accessible_after": LATER}}},
    ]
    for grant in grants:
        entry = AccessInput.model_validate({"role": "Guest", **grant})
        await hub.access_create(capsule_id, entry)
    return capsule_id
