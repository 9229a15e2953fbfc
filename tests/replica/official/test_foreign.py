"""The same story told by canisters of ic-cdk from 0.6 to 0.20: one for each generation of its System API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from icmigrate.protocol import candid
from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import Principal
from icmigrate.replica.server import RunningReplica, running_replica
from tests.replica.http.client import Client, Rejected, given
from tests.replica.official.conftest import foreign_module

NEWEST = "cdk_0_20"
MODULES = ("cdk_0_6", "cdk_0_10", "cdk_0_13", "cdk_0_17", NEWEST)
BLOB = T.Vec(T.Nat8)
PAIR = [T.Nat64, T.Nat64]
QUERIES: dict[str, tuple[list[Any], list[Any]]] = {
    "tasks": ([], PAIR),
    "all": ([], [T.Vec(T.Text)]),
    "all_of": ([T.Principal], [T.Vec(T.Text)]),
    "whoami": ([], [T.Principal, T.Principal]),
    "balance": ([], [T.Nat64]),
    "locks": ([], [T.Nat64]),
    "load": (PAIR, [BLOB]),
    "certificate": ([], [T.Opt(BLOB)]),
    "outcall_costs": ([], PAIR),
    "variables": ([], [T.Vec(T.Tuple(T.Text, T.Text))]),
}
UPDATES: dict[str, tuple[list[Any], list[Any]]] = {
    "forbidden": ([], []),
    "ring": ([T.Nat64], []),
    "add": ([T.Text], [T.Nat64]),
    "add_at": ([T.Principal, T.Text], [T.Nat64]),
    "add_later_at": ([T.Principal, T.Text], []),
    "pay": ([T.Principal, T.Nat64], PAIR),
    "fail_after": ([T.Principal], []),
    "failure_of": ([T.Principal], [T.Int32, T.Text]),
    "refusing": ([], []),
    "store": ([*PAIR, BLOB], [T.Nat64]),
    "certify": ([BLOB], []),
    "random": ([], [BLOB]),
    "spawn_child": ([BLOB, T.Nat64], [T.Principal]),
    "child_status": ([T.Principal], [T.Text, T.Nat64]),
    "fund": ([T.Principal, T.Nat64], []),
    "retire": ([T.Principal], []),
    "snapshot_and_back": ([T.Principal], [T.Nat64]),
    "facts": ([], [T.Bool, T.Bool, T.Nat64, T.Nat32]),
}
TRILLION = 10**12
NOBODY = Principal(bytes.fromhex("0fffffffffffffff0101"))
FEES = TRILLION // 10


@dataclass(frozen=True)
class Teller:
    """A canister that tells the story."""

    client: Client
    module: bytes
    id: Principal

    async def __call__(self, method: str, *arguments: object) -> Any:
        if method in QUERIES:
            types, results = QUERIES[method]
            data = await self.client.query(self.id, method, candid.encode(types, list(arguments)))
        else:
            types, results = UPDATES[method]
            data = await self.client.update(self.id, method, candid.encode(types, list(arguments)))
        values = candid.decode(data, results)
        return values[0] if len(results) == 1 else values

    def child(self, canister_id: Principal) -> Teller:
        return replace(self, id=canister_id)

    async def upgrade(self, word: str) -> None:
        await self.client.install(self.module, self.id, mode="upgrade", arg=candid.encode([T.Text], [word]))

    async def get(self, method: str) -> tuple[int, bytes]:
        host = f"{self.id.to_str()}.raw.localhost:{self.client.running.port}"
        answer = await self.client.get("/where", host=host, method=method)
        return answer.status, answer.body


@dataclass(frozen=True)
class ForeignWorld:
    running: RunningReplica
    client: Client
    module: bytes

    async def teller(self, greeting: str = "hello") -> Teller:
        canister_id = await self.client.install(self.module, arg=candid.encode([T.Text], [greeting]))
        return Teller(self.client, self.module, canister_id)

    async def until(self, done: Any) -> None:
        """Lets time go on, second after second, until `done()` is true."""
        async with asyncio.timeout(60):
            while not await done():
                self.running.clock.advance(1)
                await self.running.subnet.settle()


@pytest_asyncio.fixture(scope="module")
async def served() -> AsyncIterator[tuple[RunningReplica, Client]]:
    async with running_replica() as running, aiohttp.ClientSession(auto_decompress=False) as session:
        yield running, Client(running, session)


@pytest.fixture(scope="module", params=MODULES)
def world(request: pytest.FixtureRequest, served: tuple[RunningReplica, Client]) -> ForeignWorld:
    return ForeignWorld(*served, foreign_module(request.param))


@pytest.fixture(scope="module")
def newest(served: tuple[RunningReplica, Client]) -> ForeignWorld:
    return ForeignWorld(*served, foreign_module(NEWEST))


async def test_it_answers_updates_queries_and_composite_queries(world: ForeignWorld) -> None:
    teller, other = await world.teller(), await world.teller("from the other")
    assert await teller("add", "world") == 2
    assert await teller("all") == ["hello", "world"]
    assert await teller("whoami") == [world.client.principal, teller.id]
    assert await teller("all_of", other.id) == ["from the other"]
    logs = await world.client.manage_query("fetch_canister_logs", {"canister_id": teller.id})
    assert bytes(logs["canister_log_records"][-1]["content"]) == b"adding world"


async def test_an_upgrade_runs_its_hooks_and_keeps_what_they_keep(world: ForeignWorld) -> None:
    teller = await world.teller()
    await teller("add", "world")
    await teller.upgrade("upgraded")
    assert await teller("add", "again") == 4
    assert await teller("all") == ["hello", "world", "upgraded", "again"]


async def test_calls_arrive_whether_their_answer_is_waited_for_or_not(world: ForeignWorld) -> None:
    teller, other = await world.teller(), await world.teller()
    assert await teller("add_at", other.id, "first") == 2
    await teller("add_later_at", other.id, "second")
    await world.running.subnet.settle()
    assert await other("all") == ["hello", "first", "second"]


async def test_a_call_to_oneself_arrives_and_one_to_nobody_is_rejected(world: ForeignWorld) -> None:
    teller = await world.teller()
    assert await teller("add_at", teller.id, "myself") == 2
    with pytest.raises(Rejected) as failed:
        await teller("add_at", NOBODY, "nobody")
    assert failed.value.error_code == "IC0503"
    assert "answered" in failed.value.message


async def test_cycles_are_taken_by_half_and_the_rest_comes_back(world: ForeignWorld) -> None:
    teller, other = await world.teller(), await world.teller()
    had, others = await teller("balance"), await other("balance")
    assert await teller("pay", other.id, 10 * TRILLION) == [5 * TRILLION, 5 * TRILLION]
    assert 0 <= had - 5 * TRILLION - await teller("balance") < FEES
    assert 0 <= others + 5 * TRILLION - await other("balance") < FEES


async def test_a_trap_after_an_await_undoes_what_came_after_it_and_cleans_up(world: ForeignWorld) -> None:
    teller, other = await world.teller(), await world.teller()
    with pytest.raises(Rejected) as failed:
        await teller("fail_after", other.id)
    assert failed.value.error_code == "IC0503"
    assert "as planned" in failed.value.message
    assert await teller("all") == ["hello", "before"]
    assert await teller("locks") == 0
    code, message = await teller("failure_of", other.id)
    assert code == 5
    assert "as planned" in message
    assert (await other("all"), await other("locks")) == (["hello", "before"], 0)


async def test_a_rejection_of_its_own_reaches_the_caller_with_its_message(world: ForeignWorld) -> None:
    teller = await world.teller()
    with pytest.raises(Rejected) as refused:
        await teller("refusing")
    assert (refused.value.code, refused.value.message) == (4, "no, thanks")


async def test_inspect_message_refuses_one_method(world: ForeignWorld) -> None:
    teller = await world.teller()
    with pytest.raises(Rejected) as refused:
        await teller("forbidden")
    assert (refused.value.error_code, refused.value.certified) == ("IC0406", False)


async def test_heartbeats_and_timers_run(world: ForeignWorld) -> None:
    teller = await world.teller()
    await teller("ring", 2)

    async def three_of_each() -> bool:
        beats, rings = await teller("tasks")
        return bool(beats >= 3 and rings >= 3)

    await world.until(three_of_each)


async def test_stable_memory_grows_far_and_is_read_where_it_was_written(world: ForeignWorld) -> None:
    teller = await world.teller()
    data = bytes(range(256)) * 1_000
    assert await teller("store", 70_000, 4_500_000_000, data) in (0, 1)
    assert await teller("load", 4_500_000_000, len(data)) == data
    assert await teller("load", 4_400_000_000, 3) == bytes(3)
    assert await teller("store", 1, 4_500_000_000, b"other") in (70_000, 70_001)
    assert await teller("load", 4_500_000_000, 8) == b"other" + data[5:8]


async def test_data_certificates_are_there_in_queries(world: ForeignWorld) -> None:
    teller = await world.teller()
    await teller("certify", b"certified")
    (data,) = await teller("certificate")
    certificate = world.client.verified(bytes(data))
    assert certificate.lookup(b"canister", teller.id.bytes, "certified_data") == b"certified"


async def test_random_bytes_are_never_the_same(world: ForeignWorld) -> None:
    teller = await world.teller()
    first, second = await teller("random"), await teller("random")
    assert len(first) == len(second) == 32
    assert first != second


async def test_it_creates_installs_funds_and_deletes_a_canister(world: ForeignWorld) -> None:
    teller = await world.teller()
    canister_id = await teller("spawn_child", world.module, 3 * TRILLION)
    child = teller.child(canister_id)
    assert await child("all") == ["hello from a child"]
    status, cycles = await teller("child_status", canister_id)
    assert status == "Running"
    assert 2 * TRILLION < cycles < 3 * TRILLION
    await teller("fund", canister_id, TRILLION)
    assert 0 <= cycles + TRILLION - (await teller("child_status", canister_id))[1] < FEES
    await teller("retire", canister_id)
    with pytest.raises(Rejected) as gone:
        await child("all")
    assert gone.value.error_code == "IC0301"


async def test_http_requests_are_answered_and_upgraded_to_updates(world: ForeignWorld) -> None:
    teller = await world.teller()
    assert await teller.get("GET") == (200, b"hello")
    assert await teller.get("POST") == (201, b"2 /where")
    assert await teller.get("GET") == (200, b"hello,posted")


async def test_a_canister_takes_and_loads_a_snapshot_of_its_child(newest: ForeignWorld) -> None:
    teller = await newest.teller()
    child = teller.child(await teller("spawn_child", newest.module, 5 * TRILLION))
    await child("add", "kept")
    assert await teller("snapshot_and_back", child.id) > 65_536
    assert await child("all") == ["hello from a child", "kept"]


async def test_it_reads_its_environment_variables_and_facts_about_itself(newest: ForeignWorld) -> None:
    teller = await newest.teller()
    variables = [{"name": "ONE", "value": "1"}, {"name": "TWO", "value": "two"}]
    settings = given({"environment_variables": variables})
    await newest.client.manage("update_settings", {"canister_id": teller.id, "settings": settings})
    assert await teller("variables") == [["ONE", "1"], ["TWO", "two"]]
    by_controller, replicated, version, nodes = await teller("facts")
    assert (by_controller, replicated) == (True, True)
    assert version >= 2
    assert nodes == 13


async def test_it_can_ask_what_an_outcall_costs_by_either_price(newest: ForeignWorld) -> None:
    teller = await newest.teller()
    nodes = 13
    usage = 50 * 3_000 + 300 * 2_000 + 1_000_000 // 13 + (10 * nodes + 600) * 2_000
    base = 1_000_000 + 50 * 1_000 + 140_000 * nodes + 800 * nodes * nodes
    before = (3_000_000 + 60_000 * nodes + 400 * 1_000 + 800 * 3_000) * nodes
    assert await teller("outcall_costs") == [(base + usage) * nodes, before]
