"""A canister in TypeScript by Azle: a JavaScript engine as a module, larger than compilers of canisters make them."""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
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
from tests.processes import run
from tests.replica.http.client import Client, Rejected
from tests.replica.official.conftest import INSTALLING, cache_folder, digest_of, npm_packages, once

SOURCES = Path(__file__).parent / "azle"
BLOB = T.Vec(T.Nat8)
WORDS = T.Vec(T.Text)
QUERIES: dict[str, tuple[list[Any], list[Any]]] = {
    "all": ([], [WORDS]),
    "all_of": ([T.Principal], [WORDS]),
    "whoami": ([], [T.Vec(T.Principal)]),
    "balance": ([], [T.Nat]),
    "alarms": ([], [T.Nat64]),
    "certificate": ([], [T.Opt(BLOB)]),
}
UPDATES: dict[str, tuple[list[Any], list[Any]]] = {
    "forbidden": ([], []),
    "add": ([T.Text], [T.Nat64]),
    "add_at": ([T.Principal, T.Text], [T.Nat64]),
    "pay": ([T.Principal, T.Nat], [T.Nat]),
    "fail_after": ([T.Principal], []),
    "failure_of": ([T.Principal], [T.Text]),
    "refusing": ([], []),
    "ring": ([T.Nat64], []),
    "certify": ([BLOB], []),
    "random": ([], [BLOB]),
}
TRILLION = 10**12


@dataclass(frozen=True)
class Script:
    """A canister of azle/src/index.ts."""

    client: Client
    id: Principal

    async def __call__(self, method: str, *arguments: object) -> Any:
        send, (types, results) = (
            (self.client.query, QUERIES[method]) if method in QUERIES else (self.client.update, UPDATES[method])
        )
        values = candid.decode(await send(self.id, method, candid.encode(types, list(arguments))), results)
        return values[0] if values else None


@dataclass(frozen=True)
class AzleWorld:
    running: RunningReplica
    client: Client
    module: bytes

    async def script(self, greeting: str = "hello") -> Script:
        return Script(self.client, await self.client.install(self.module, arg=candid.encode([T.Text], [greeting])))


def built() -> bytes:
    """The module that Azle's own command makes, compressed: as it is it does not fit a message."""
    folder = cache_folder() / f"azle-{digest_of([SOURCES])}"
    with once(folder) as needed:
        if needed:
            packages = npm_packages(SOURCES / "package.json", "--ignore-scripts")
            shutil.copytree(SOURCES, packages, dirs_exist_ok=True)
            environment = os.environ | {"CANISTER_CANDID_PATH": ".azle/words/words.did"}
            ended = run(["npx", "azle", "build", "words"], seconds=INSTALLING, cwd=packages, env=environment)
            assert ended.returncode == 0, ended.stderr
            shutil.copy(packages / ".azle/words/words.wasm", folder)
            (folder / "installed").touch()
    return gzip.compress((folder / "words.wasm").read_bytes(), mtime=0)


@pytest_asyncio.fixture(scope="module")
async def world() -> AsyncIterator[AzleWorld]:
    module = built()
    async with running_replica() as running, aiohttp.ClientSession() as session:
        yield AzleWorld(running, Client(running, session), module)


async def test_it_answers_updates_and_queries_and_calls_other_canisters(world: AzleWorld) -> None:
    script, other = await world.script(), await world.script("from the other")
    assert await script("add", "world") == 2
    assert await script("all") == ["hello", "world"]
    assert await script("whoami") == [world.client.principal, script.id]
    assert await script("add_at", other.id, "sent") == 2
    assert await script("all_of", other.id) == ["from the other", "sent"]
    first, second = await script("random"), await script("random")
    assert len(first) == len(second) == 32
    assert first != second


async def test_an_upgrade_runs_its_hooks_and_keeps_stable_structures(world: AzleWorld) -> None:
    script = await world.script()
    await world.client.install(world.module, script.id, mode="upgrade", arg=candid.encode([T.Text], ["arrived"]))
    assert await script("all") == ["hello", "leaving", "arrived"]


async def test_cycles_go_to_the_other(world: AzleWorld) -> None:
    script, other = await world.script(), await world.script()
    await world.running.subnet.settle()  # It asks for randomness when it begins, and the call sets cycles aside.
    before = await other("balance")
    assert await script("pay", other.id, 4 * TRILLION) == 2 * TRILLION
    assert 0 <= before + 2 * TRILLION - await other("balance") < TRILLION // 10


async def test_a_trap_after_an_await_undoes_only_what_came_after_it(world: AzleWorld) -> None:
    script, other = await world.script(), await world.script()
    with pytest.raises(Rejected) as failed:
        await script("fail_after", other.id)
    assert "as planned" in failed.value.message
    assert await script("all") == ["hello", "before"]
    failure = await script("failure_of", other.id)
    assert failure.startswith("5 ")
    assert "as planned" in failure
    assert await other("all") == ["hello", "before"]


async def test_a_rejection_of_its_own_and_one_by_inspect_message_reach_the_caller(world: AzleWorld) -> None:
    script = await world.script()
    with pytest.raises(Rejected) as refused:
        await script("refusing")
    assert (refused.value.code, refused.value.message) == (4, "no, thanks")
    with pytest.raises(Rejected) as uninspected:
        await script("forbidden")
    assert (uninspected.value.error_code, uninspected.value.certified) == ("IC0406", False)


async def test_its_timer_rings_and_its_data_are_certified(world: AzleWorld) -> None:
    script = await world.script()
    await script("ring", 2)
    async with asyncio.timeout(60):
        while await script("alarms") < 3:
            world.running.clock.advance(1)
            await world.running.subnet.settle()
    await script("certify", b"certified")
    (data,) = await script("certificate")
    certificate = world.client.verified(bytes(data))
    assert certificate.lookup(b"canister", script.id.bytes, "certified_data") == b"certified"
