"""A replica that is killed comes back with ledgers and canisters that agree: a block and its effect are one."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from icmigrate.protocol import candid
from icmigrate.protocol.principal import Principal
from icmigrate.replica import daemon
from icmigrate.replica.system_canisters import cycles_ledger_types as types
from icmigrate.replica.system_canisters import cycles_minting, icp_ledger_types
from icmigrate.replica.system_canisters.canister_creation import CYCLES_MINTING_CANISTER
from icmigrate.replica.system_canisters.cycles_ledger import CREATE_CANISTER_MEMO, CYCLES_LEDGER, FEE
from icmigrate.replica.system_canisters.icp_blocks import account_identifier
from icmigrate.replica.system_canisters.icp_ledger import ICP_LEDGER, TRANSFER_FEE
from icmigrate.replica.system_canisters.icrc import Account
from tests.processes import gone
from tests.replica.http.client import Client, Target, encode
from tests.replica.system_canisters.test_cycles_ledger import blocks
from tests.replica.system_canisters.test_cycles_minting import MINT, subaccount_of
from tests.worlds.system_canisters import SystemWorld, open_world

E8S = 10**6


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    daemon.stop(tmp_path)


class Work:
    """What was acknowledged: canisters, and the blocks of minted cycles."""

    def __init__(self) -> None:
        self.canisters: list[Principal] = []
        self.minted: list[int] = []

    async def create(self, client: Client) -> None:
        while True:
            arg = encode(types.CREATE_CANISTER_ARGS, {"amount": 10**12})
            answer = await self._call(client, CYCLES_LEDGER, "create_canister", arg, types.CREATE_CANISTER_RESULT)
            self.canisters.append(answer["canister_id"])

    async def mint(self, client: Client) -> None:
        """From the anonymous principal's ICP."""
        bank = client.anonymous()
        to = account_identifier(Account(CYCLES_MINTING_CANISTER, subaccount_of(bank.principal)))
        payment = {"memo": MINT, "amount": {"e8s": E8S}, "fee": {"e8s": TRANSFER_FEE}, "to": to}
        arg = candid.encode(
            [icp_ledger_types.TRANSFER_ARGS], [{**payment, "from_subaccount": [], "created_at_time": []}]
        )
        while True:
            block = await self._call(bank, ICP_LEDGER, "transfer", arg, icp_ledger_types.TRANSFER_RESULT)
            notification = encode(cycles_minting.NOTIFY_MINT_CYCLES_ARG, {"block_index": block})
            minted = await self._call(
                bank,
                CYCLES_MINTING_CANISTER,
                "notify_mint_cycles",
                notification,
                cycles_minting.NOTIFY_RESULTS[cycles_minting.MINT_CYCLES],
            )
            self.minted.append(minted["block_index"])

    async def _call(self, client: Client, canister_id: Principal, method: str, arg: bytes, result: Any) -> Any:
        answer: Any = candid.decode(await client.update(canister_id, method, arg), [result])[0]
        return answer["Ok"]


async def live(folder: Path, work: Work, answers: int) -> None:
    """One life of the replica, which is killed after so many answers."""
    info = await asyncio.to_thread(daemon.start, folder, 0)
    goal = answers + len(work.canisters) + len(work.minted)
    async with aiohttp.ClientSession() as session:
        client = Client(Target(info.url, bytes.fromhex(info.root_key), time.time_ns), session)
        working = [asyncio.create_task(work.create(client.as_user())) for _ in range(2)]
        working.append(asyncio.create_task(work.mint(client)))
        async with asyncio.timeout(120):
            while len(work.canisters) + len(work.minted) < goal:
                assert not any(task.done() for task in working)
                await asyncio.sleep(0)
        os.kill(info.pid, signal.SIGKILL)
        for ended in await asyncio.gather(*working, return_exceptions=True):
            assert isinstance(ended, aiohttp.ClientError), ended
    await asyncio.to_thread(gone, info.pid)


async def test_blocks_and_their_effects_survive_together(folder: Path) -> None:
    work = Work()
    for answers in (5, 14):
        await live(folder, work, answers)
        async with open_world(folder) as world:
            chain = await blocks(world)
            created = [block for block in chain if block["tx"].get("memo") == CREATE_CANISTER_MEMO]
            assert len(created) == len(world.subnet.state.canisters) >= len(work.canisters)
            assert all(made in world.subnet.state.canisters for made in work.canisters)
            deposits = [block for block in chain if block["tx"]["op"] == "mint" and block["tx"]["fee"] == FEE]
            assert len(deposits) == await burned(world) >= len(work.minted)
            assert all(chain[index] in deposits for index in work.minted)


async def burned(world: SystemWorld) -> int:
    """How often ICP was burned."""
    answer = await world.query(ICP_LEDGER, "query_blocks", {"start": 0, "length": 2000})
    return sum("Burn" in block["transaction"]["operation"][0] for block in answer["blocks"])
