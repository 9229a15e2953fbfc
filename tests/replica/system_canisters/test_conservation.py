"""ICRC-1, ICRC-2, ICRC-3: whatever is asked of a ledger, its blocks account for every balance and allowance."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from icmigrate.protocol.principal import ANONYMOUS, Principal
from icmigrate.replica.system_canisters.cycles_ledger import CYCLES_LEDGER, FEE
from icmigrate.replica.system_canisters.icp_blocks import account_identifier
from icmigrate.replica.system_canisters.icp_ledger import ICP_LEDGER
from icmigrate.replica.system_canisters.icrc import Account
from tests.replica.system_canisters.test_cycles_ledger import blocks
from tests.worlds.system_canisters import SystemWorld, account, open_world

USERS = [Principal.self_authenticating(bytes([number])) for number in range(3)]
ACCOUNTS = [*USERS, ANONYMOUS]

amounts = st.one_of(st.integers(0, 5 * FEE), st.integers(0, 1 << 61))
accounts = st.sampled_from(ACCOUNTS)
transfers = st.tuples(st.just("icrc1_transfer"), accounts, accounts, accounts, amounts)
approvals = st.tuples(st.just("icrc2_approve"), accounts, accounts, accounts, amounts)
takings = st.tuples(st.just("icrc2_transfer_from"), accounts, accounts, accounts, amounts)
operations = st.lists(st.one_of(transfers, approvals, takings), max_size=25)


def argument(method: str, other: Principal, third: Principal, amount: int) -> dict[str, Any]:
    match method:
        case "icrc1_transfer":
            return {"to": account(other), "amount": amount}
        case "icrc2_approve":
            return {"spender": account(other), "amount": amount}
    return {"from": account(other), "to": account(third), "amount": amount}


async def perform(
    world: SystemWorld, ledger: Principal, asked: list[tuple[str, Principal, Principal, Principal, int]]
) -> None:
    for method, caller, other, third, amount in asked:
        if method == "icrc2_approve" and caller == other:
            continue
        await world.update(ledger, method, argument(method, other, third, amount), caller=caller)


async def held(world: SystemWorld, ledger: Principal) -> dict[Principal, int]:
    return {owner: await world.query(ledger, "icrc1_balance_of", account(owner)) for owner in ACCOUNTS}


async def approved(world: SystemWorld, ledger: Principal) -> dict[tuple[Principal, Principal], int]:
    allowances = {}
    for owner in ACCOUNTS:
        for spender in ACCOUNTS:
            asked = {"account": account(owner), "spender": account(spender)}
            allowances[owner, spender] = (await world.query(ledger, "icrc2_allowance", asked))["allowance"]
    return allowances


class Replay:
    """Balances and allowances as blocks tell them, by any key of accounts."""

    def __init__(self) -> None:
        self.balances: Counter[bytes] = Counter()
        self.allowances: dict[tuple[bytes, bytes], int] = {}

    def mint(self, to: bytes, amount: int) -> None:
        self.balances[to] += amount

    def transfer(self, payer: bytes, to: bytes, amount: int, fee: int, spender: bytes | None) -> None:
        self.balances[payer] -= amount + fee
        self.balances[to] += amount
        if spender not in (None, payer):
            assert spender is not None
            self.allowances[payer, spender] -= amount + fee
        assert self.balances[payer] >= 0 and all(left >= 0 for left in self.allowances.values())

    def approve(self, payer: bytes, spender: bytes, amount: int, fee: int) -> None:
        self.balances[payer] -= fee
        self.allowances[payer, spender] = amount

    async def agrees(self, world: SystemWorld, ledger: Principal, key: Callable[[Principal], bytes]) -> None:
        """With what the ledger says of each account that has a block, and of its supply."""
        for owner, amount in (await held(world, ledger)).items():
            assert key(owner) not in self.balances or self.balances[key(owner)] == amount
        for (owner, spender), amount in (await approved(world, ledger)).items():
            assert self.allowances.get((key(owner), key(spender)), 0) == amount
        assert await world.query(ledger, "icrc1_total_supply") == sum(self.balances.values())


@settings(max_examples=40, deadline=None)
@given(operations)
def test_blocks_of_the_cycles_ledger_account_for_everything(asked: list[Any]) -> None:
    async def main() -> None:
        async with open_world() as world:
            await perform(world, CYCLES_LEDGER, asked)
            replay = Replay()
            for block in await blocks(world):
                transaction = block["tx"]
                payer, to, spender = (b"".join(transaction.get(name, [])) for name in ("from", "to", "spender"))
                match transaction["op"]:
                    case "mint":
                        replay.mint(to, transaction["amt"])
                    case "xfer":
                        replay.transfer(payer, to, transaction["amt"], block["fee"], spender or None)
                    case _:
                        replay.approve(payer, spender, transaction["amt"], block["fee"])
            await replay.agrees(world, CYCLES_LEDGER, lambda owner: owner.bytes)

    asyncio.run(main())


@settings(max_examples=40, deadline=None)
@given(operations)
def test_blocks_of_the_icp_ledger_account_for_everything(asked: list[Any]) -> None:
    async def main() -> None:
        async with open_world() as world:
            await perform(world, ICP_LEDGER, asked)
            replay = Replay()
            answer = await world.query(ICP_LEDGER, "query_blocks", {"start": 0, "length": 100})
            for block in answer["blocks"]:
                match block["transaction"]["operation"][0]:
                    case {"Mint": mint}:
                        replay.mint(mint["to"], mint["amount"]["e8s"])
                    case {"Transfer": sent}:
                        spender = sent["spender"][0] if sent["spender"] else None
                        e8s, fee = sent["amount"]["e8s"], sent["fee"]["e8s"]
                        replay.transfer(sent["from"], sent["to"], e8s, fee, spender)
                    case {"Approve": approval}:
                        e8s, fee = approval["allowance"]["e8s"], approval["fee"]["e8s"]
                        replay.approve(approval["from"], approval["spender"], e8s, fee)
            await replay.agrees(world, ICP_LEDGER, lambda owner: account_identifier(Account(owner)))

    asyncio.run(main())
