"""What Motoko has of its own: actor classes, system functions, async*, finally, migrations, memory kept by upgrades."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from icmigrate.protocol import candid
from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import Principal
from icmigrate.replica.server import RunningReplica, running_replica
from tests.replica.http.client import Client, Rejected, given
from tests.replica.official.conftest import compile_motoko

METHODS: dict[str, tuple[list[Any], list[Any]]] = {
    "history": ([], [T.Nat, T.Vec(T.Text)]),
    "tasks": ([], [T.Nat, T.Nat]),
    "hoarded": ([T.Nat], [T.Nat64]),
    "told": ([], [T.Text, T.Vec(T.Text), T.Nat]),
    "names": ([], [T.Text, T.Text]),
    "anonymousOnly": ([], []),
    "increment": ([], [T.Nat]),
    "make": ([T.Nat, T.Text], [T.Principal]),
    "remake": ([T.Principal, T.Bool, T.Text], [T.Text, T.Text]),
    "statusOf": ([T.Principal], [T.Bool, T.Nat, T.Vec(T.Principal)]),
    "retire": ([T.Principal], []),
    "fails": ([T.Principal], [T.Text]),
    "undone": ([T.Principal], []),
    "nested": ([T.Nat], [T.Nat]),
    "collect": ([T.Nat], [T.Nat]),
}
QUERIES = {"history", "tasks", "hoarded", "told", "names"}
TRILLION = 10**12


@dataclass(frozen=True)
class Workshop:
    client: Client
    id: Principal

    async def __call__(self, method: str, *arguments: object, of: Principal | None = None) -> Any:
        types, results = METHODS[method]
        send = self.client.query if method in QUERIES else self.client.update
        values = candid.decode(await send(of or self.id, method, candid.encode(types, list(arguments))), results)
        return values[0] if len(results) == 1 else values

    async def upgrade(self, module: bytes) -> None:
        keep = {"skip_pre_upgrade": [], "wasm_memory_persistence": [{"keep": None}]}
        mode = {"upgrade": [keep]}
        await self.client.manage(
            "install_code", {"canister_id": self.id, "mode": mode, "wasm_module": module, "arg": b"DIDL\0\0"}
        )


@dataclass(frozen=True)
class WorkshopWorld:
    running: RunningReplica
    client: Client
    modules: dict[str, bytes]

    async def workshop(self) -> Workshop:
        return Workshop(self.client, await self.client.install(self.modules["Main"], arg=b"DIDL\0\0"))


@pytest_asyncio.fixture(scope="module")
async def world(npm_clients: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WorkshopWorld]:
    folder = tmp_path_factory.mktemp("workshop")
    for name in ("Main", "Migrated"):
        compile_motoko(npm_clients, "enhanced", f"workshop/{name}.mo", folder, name)
    modules = {path.stem: path.read_bytes() for path in folder.glob("*.wasm")}
    async with running_replica() as running, aiohttp.ClientSession(auto_decompress=False) as session:
        yield WorkshopWorld(running, Client(running, session), modules)


async def test_it_creates_canisters_of_an_actor_class(world: WorkshopWorld) -> None:
    workshop = await world.workshop()
    child = await workshop("make", 3 * TRILLION, "first")
    assert await workshop("names", of=child) == ["first", "first"]
    running, cycles, controllers = await workshop("statusOf", child)
    assert running
    assert 2 * TRILLION < cycles < 3 * TRILLION
    assert controllers == [workshop.id]
    assert await workshop("remake", child, True, "second") == ["first", "second"]
    assert await workshop("remake", child, False, "third") == ["third", "third"]
    await workshop("retire", child)
    with pytest.raises(Rejected) as gone:
        await workshop("names", of=child)
    assert gone.value.error_code == "IC0301"


async def test_finally_runs_after_what_was_caught_and_after_a_trap(world: WorkshopWorld) -> None:
    workshop = await world.workshop()
    child = await workshop("make", 2 * TRILLION, "child")
    assert await workshop("fails", child) == "caught"
    assert (await workshop("history"))[1] == ["caught", "finally"]
    with pytest.raises(Rejected) as failed:
        await workshop("undone", child)
    assert failed.value.error_code == "IC0503"
    assert (await workshop("history"))[1] == ["caught", "finally", "before", "cleaned"]


async def test_async_computations_can_be_nested(world: WorkshopWorld) -> None:
    workshop = await world.workshop()
    assert await workshop("nested", 5) == 32


async def test_its_timer_sets_itself_again(world: WorkshopWorld) -> None:
    workshop = await world.workshop()
    async with asyncio.timeout(60):
        while (await workshop("tasks"))[0] < 3:
            world.running.clock.advance(1)
            await world.running.subnet.settle()


async def test_inspect_message_knows_caller_and_method(world: WorkshopWorld) -> None:
    workshop = await world.workshop()
    with pytest.raises(Rejected) as refused:
        await workshop("anonymousOnly")
    assert not refused.value.certified
    anyone = Workshop(world.client.anonymous(), workshop.id)
    assert await anyone("anonymousOnly") == []


async def test_an_upgrade_keeps_memory_and_a_migration_changes_it(world: WorkshopWorld) -> None:
    workshop = await world.workshop()
    await workshop("increment")
    await workshop("collect", 1_000)
    await workshop.upgrade(world.modules["Main"])
    assert await workshop("increment") == 2
    await workshop.upgrade(world.modules["Migrated"])
    assert await workshop("told") == ["counted 2", ["preupgrade", "postupgrade", "preupgrade"], 1_000]


async def test_hundreds_of_megabytes_outlive_an_upgrade_and_a_trap(world: WorkshopWorld) -> None:
    workshop = await world.workshop()
    size = 20_000_000
    assert await workshop("collect", size) == size
    status = await world.client.manage("canister_status", {"canister_id": workshop.id})
    assert status["memory_metrics"]["wasm_memory_size"] > 8 * size
    with pytest.raises(Rejected):
        await workshop("undone", Principal.management_canister())
    await workshop.upgrade(world.modules["Main"])
    assert [await workshop("hoarded", index) for index in (0, 12_345_678, size - 1)] == [0, 12_345_678, size - 1]


async def test_the_low_memory_hook_runs(world: WorkshopWorld) -> None:
    workshop = await world.workshop()
    settings = given({"wasm_memory_limit": 1_000_000_000, "wasm_memory_threshold": 900_000_000})
    await world.client.manage("update_settings", {"canister_id": workshop.id, "settings": settings})
    await workshop("collect", 20_000_000)
    await world.running.subnet.settle()
    assert (await workshop("tasks"))[1] == 1


async def test_a_body_is_streamed_by_its_callback(world: WorkshopWorld) -> None:
    workshop = await world.workshop()
    host = f"{workshop.id.to_str()}.raw.localhost:{world.running.port}"
    answer = await world.client.get("/", host=host)
    assert answer.status == 200
    assert answer.body == b"".join(bytes([page]) * 1_000_000 for page in range(6))
