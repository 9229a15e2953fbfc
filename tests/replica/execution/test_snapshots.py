"""Interface Specification, canister snapshots: taken, loaded, read, uploaded."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from icmigrate.protocol.principal import Principal
from icmigrate.replica.errors.rejected import Rejected
from icmigrate.replica.state.canister import Snapshot
from icmigrate.replica.state.history import UserChange
from icmigrate.replica.storage.changes import Changes
from tests.replica.execution.test_durability import COUNTER, counts
from tests.worlds.bare_replica import OWNER, BareWorld, open_world

BY_OWNER = UserChange(OWNER)


async def take(world: BareWorld, canister_id: Principal) -> Snapshot:
    taken: list[Snapshot] = []

    async def act(changes: Changes) -> None:
        taken.append(await world.snapshots.take(changes, canister_id, origin=BY_OWNER))

    await world.change(canister_id, act)
    return taken[0]


async def load(world: BareWorld, canister_id: Principal, source: Principal, snapshot_id: bytes) -> None:
    await world.change(
        canister_id,
        lambda changes: world.snapshots.load(changes, canister_id, source, snapshot_id, BY_OWNER),
    )


async def test_a_snapshot_brings_everything_back(tmp_path: Path) -> None:
    world = await open_world(tmp_path)
    canister_id = await world.canister(COUNTER)
    for _ in range(3):
        await world.call(canister_id, "count")
    snapshot = await take(world, canister_id)
    assert snapshot.heap_pages == 16 and snapshot.stable_pages == 40
    for _ in range(4):
        await world.call(canister_id, "count")
    await world.subnet.close()

    world = await open_world(tmp_path)
    await load(world, canister_id, canister_id, snapshot.id)
    assert await counts(world) == [3]
    assert await world.call(canister_id, "count") == struct.pack("<I", 4)
    await load(world, canister_id, canister_id, snapshot.id)
    assert await counts(world) == [3]
    await world.subnet.close()


async def test_another_canister_can_be_made_from_a_snapshot(world: BareWorld) -> None:
    first = await world.canister(COUNTER)
    await world.call(first, "count")
    snapshot = await take(world, first)
    second = await world.create()
    await load(world, second, first, snapshot.id)
    assert await world.call(second, "count") == struct.pack("<I", 2)
    assert await counts(world) == [1, 2]


async def test_a_snapshot_can_be_read_and_uploaded_again(world: BareWorld) -> None:
    first = await world.canister(COUNTER)
    await world.call(first, "count")
    snapshot = await take(world, first)

    def whole(kind: str, size: int) -> bytes:
        half = size // 2
        parts = [world.snapshots.read(snapshot, kind, at, half) for at in (0, half)]
        return b"".join(parts) + world.snapshots.read(snapshot, kind, 2 * half, size - 2 * half)

    assert snapshot.module is not None
    data = {
        "wasm_module": whole("wasm_module", snapshot.module.size),
        "wasm_memory": whole("wasm_memory", snapshot.heap_pages << 16),
        "stable_memory": whole("stable_memory", snapshot.stable_pages << 16),
    }
    assert data["wasm_module"] == COUNTER
    with pytest.raises(Rejected):
        world.snapshots.read(snapshot, "wasm_module", 1, len(COUNTER))

    second = await world.create()
    made: list[Snapshot] = []
    upload = Snapshot(
        id=b"", taken_at=1, canister_version=0, source="metadata_upload", module=snapshot.module,
        heap_pages=snapshot.heap_pages, stable_pages=snapshot.stable_pages, globals=snapshot.globals,
        certified_data=b"",
    )  # fmt: skip
    await world.change(
        second,
        lambda changes: made.append(world.snapshots.create(changes, second, upload)),
    )

    def write(changes: Changes) -> None:
        for kind, content in data.items():
            world.snapshots.write(changes, second, made[0].id, kind, 0, content)

    await world.change(second, write)
    await load(world, second, second, made[0].id)
    assert await world.call(second, "count") == struct.pack("<I", 2)
    assert world.state(second).history[-1].snapshot_source == "metadata_upload"


async def test_a_deleted_snapshot_is_gone(world: BareWorld) -> None:
    canister_id = await world.canister(COUNTER)
    snapshot = await take(world, canister_id)
    await world.change(canister_id, lambda changes: world.snapshots.delete(changes, canister_id, snapshot.id))
    assert not list(world.subnet.store.snapshots.iterdir())
    with pytest.raises(Rejected, match="IC0305"):
        await load(world, canister_id, canister_id, snapshot.id)
