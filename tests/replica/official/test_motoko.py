"""Canisters written in Motoko, compiled by the official compiler, with classical and enhanced persistence."""

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
from tests.replica.http.client import Client, Rejected
from tests.replica.official.conftest import compile_motoko

METHODS: dict[str, tuple[list[Any], list[Any]]] = {
    "version": ([], [T.Text]),
    "all": ([], [T.Vec(T.Text)]),
    "tasks": ([], [T.Record({"beats": T.Nat, "rings": T.Nat})]),
    "whoami": ([], [T.Principal]),
    "allOf": ([T.Principal], [T.Vec(T.Text)]),
    "add": ([T.Text], [T.Nat]),
    "ring": ([], []),
    "store": ([T.Nat64, T.Vec(T.Nat8)], [T.Nat64]),
    "load": ([T.Nat], [T.Vec(T.Nat8)]),
    "pay": ([T.Principal, T.Nat], [T.Record({"taken": T.Nat, "refunded": T.Nat})]),
    "failAfter": ([T.Principal], []),
    "failureOf": ([T.Principal], [T.Text]),
    "rejecting": ([], []),
    "random": ([], [T.Vec(T.Nat8)]),
}
QUERIES = {"version", "all", "tasks", "whoami", "allOf", "load"}
TRILLION = 10**12


@dataclass(frozen=True)
class Keeper:
    """A canister of classical.mo or enhanced.mo."""

    client: Client
    id: Principal

    async def __call__(self, method: str, *arguments: object) -> Any:
        types, results = METHODS[method]
        send = self.client.query if method in QUERIES else self.client.update
        data = await send(self.id, method, candid.encode(types, list(arguments)))
        values = candid.decode(data, results)
        return values[0] if values else None

    async def upgrade(self, module: bytes, keep_main_memory: bool, arg: str = "ignored") -> None:
        persistence: list[object] = [{"keep": None}] if keep_main_memory else []
        options = {"skip_pre_upgrade": [], "wasm_memory_persistence": persistence}
        await self.client.manage(
            "install_code",
            {
                "canister_id": self.id,
                "mode": {"upgrade": [options]},
                "wasm_module": module,
                "arg": candid.encode([T.Text], [arg]),
            },
        )


@dataclass(frozen=True)
class MotokoWorld:
    running: RunningReplica
    client: Client
    modules: dict[str, bytes]
    enhanced: bool

    async def keeper(self, greeting: str = "hello") -> Keeper:
        canister_id = await self.client.install(self.modules["one"], arg=candid.encode([T.Text], [greeting]))
        return Keeper(self.client, canister_id)

    async def cycles(self, keeper: Keeper) -> int:
        """The balance when no heartbeat is under way, which would have some of it set aside."""
        await self.running.subnet.settle()
        return self.running.subnet.state.canisters[keeper.id].cycles


@pytest.fixture(scope="session", params=["classical", "enhanced"])
def compiled(
    request: pytest.FixtureRequest, npm_clients: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[str, bytes]]:
    """The kind of persistence, and the modules by version."""
    folder = tmp_path_factory.mktemp("motoko")
    versions = ("one", "two")
    compile_motoko(npm_clients, request.param, f"{request.param}.mo", folder, *versions)
    modules = {version: (folder / f"{version}.wasm").read_bytes() for version in versions}
    return request.param, modules


@pytest_asyncio.fixture(scope="session")
async def world(compiled: tuple[str, dict[str, bytes]]) -> AsyncIterator[MotokoWorld]:
    kind, modules = compiled
    async with running_replica() as running, aiohttp.ClientSession() as session:
        yield MotokoWorld(running, Client(running, session), modules, kind == "enhanced")


async def test_it_answers_updates_queries_and_composite_queries(world: MotokoWorld) -> None:
    keeper, other = await world.keeper(), await world.keeper("hello from the other")
    assert await keeper("add", "world") == 2
    assert await keeper("all") == ["hello", "world"]
    assert await keeper("allOf", other.id) == ["hello from the other"]
    assert await keeper("whoami") == world.client.principal
    assert len(await keeper("random")) == 32
    with pytest.raises(Rejected) as refused:
        await keeper("rejecting")
    assert (refused.value.code, refused.value.message) == (4, "no, thanks")


async def test_an_upgrade_keeps_what_is_stable_and_its_region(world: MotokoWorld) -> None:
    keeper = await world.keeper()
    await keeper("add", "more")
    assert await keeper("store", 20, b"region" * 100) == 0
    await keeper.upgrade(world.modules["two"], keep_main_memory=world.enhanced)
    assert await keeper("version") == "two"
    assert await keeper("all") == ["hello", "more", "upgraded to two"]
    assert await keeper("load", 600) == b"region" * 100
    assert await keeper("store", 3, b"again") == 20
    await keeper.upgrade(world.modules["one"], keep_main_memory=world.enhanced)
    assert (await keeper("all"))[2:] == ["upgraded to two", "upgraded to one"]
    assert await keeper("load", 5) == b"again"


async def test_an_upgrade_with_the_wrong_kind_of_persistence_is_refused(world: MotokoWorld) -> None:
    keeper = await world.keeper()
    with pytest.raises(Rejected) as refused:
        await keeper.upgrade(world.modules["two"], keep_main_memory=not world.enhanced)
    assert refused.value.error_code == "IC0504"
    assert "wasm_memory_persistence" in refused.value.message
    assert await keeper("version") == "one"
    assert await keeper("all") == ["hello"]


async def test_timers_and_heartbeats_run(world: MotokoWorld) -> None:
    keeper = await world.keeper()
    await keeper("ring")
    async with asyncio.timeout(30):
        while (await keeper("tasks"))["rings"] < 3 or (await keeper("tasks"))["beats"] < 3:
            world.running.clock.advance(1)
            await world.running.subnet.settle()


async def test_cycles_go_where_they_are_accepted_and_the_rest_comes_back(world: MotokoWorld) -> None:
    keeper, other = await world.keeper(), await world.keeper()
    others, own = await world.cycles(other), await world.cycles(keeper)
    assert await keeper("pay", other.id, 10 * TRILLION) == {"taken": 5 * TRILLION, "refunded": 5 * TRILLION}
    fees = TRILLION // 10
    assert 0 <= others + 5 * TRILLION - await world.cycles(other) < fees
    assert 0 <= own - 5 * TRILLION - await world.cycles(keeper) < fees


async def test_a_trap_after_an_await_undoes_only_what_came_after_it(world: MotokoWorld) -> None:
    keeper, other = await world.keeper(), await world.keeper()
    with pytest.raises(Rejected) as failed:
        await keeper("failAfter", other.id)
    assert failed.value.error_code == "IC0503"
    assert "assertion failed" in failed.value.message
    assert await keeper("all") == ["hello", "before"]
    assert "assertion failed" in await keeper("failureOf", other.id)
    assert await other("all") == ["hello", "before"]


async def test_inspect_message_refuses_what_is_too_long(world: MotokoWorld) -> None:
    keeper = await world.keeper()
    with pytest.raises(Rejected) as refused:
        await keeper("add", "x" * 100_000)
    assert (refused.value.error_code, refused.value.certified) == ("IC0503", False)
    assert "canister_inspect_message explicitly refused message" in refused.value.message
