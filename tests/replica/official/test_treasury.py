"""A Rust canister that calls the ledgers by the crates ic-ledger-types and icrc-ledger-types."""

from __future__ import annotations

from typing import Any

import pytest

from icmigrate.protocol import candid
from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import Principal
from icmigrate.replica.system_canisters import icrc
from icmigrate.replica.system_canisters.icp_blocks import account_identifier
from icmigrate.replica.system_canisters.icp_ledger import ICP_LEDGER
from icmigrate.replica.system_canisters.icrc import Account
from tests.replica.http.client import Client, encode
from tests.replica.official.conftest import Daemon, foreign_module

ICP = 10**8
ICP_FEE, CYCLES_FEE = 10_000, 10**8


@pytest.fixture(scope="module")
def treasury(replica: Daemon) -> Principal:
    return replica.install(foreign_module("treasury"))


async def call(client: Client, canister_id: Principal, method: str, *arguments: tuple[Any, Any], result: Any) -> Any:
    types, values = [type_ for type_, _ in arguments], [value for _, value in arguments]
    reply = await client.update(canister_id, method, candid.encode(types, values))
    return candid.decode(reply, result if isinstance(result, list) else [result])[0]


async def ledger(client: Client, method: str, argument: Any, record: dict[str, Any], result: Any) -> Any:
    return candid.decode(await client.update(ICP_LEDGER, method, encode(argument, record)), [result])[0]


async def fund(client: Client, owner: Principal, e8s: int) -> None:
    """From the anonymous principal."""
    giving = {"to": {"owner": owner, "subaccount": []}, "amount": e8s}
    await ledger(client.anonymous(), "icrc1_transfer", icrc.TRANSFER_ARG, giving, icrc.TRANSFER_RESULT)


def test_a_canister_pays_and_finds_its_payments(replica: Daemon, treasury: Principal) -> None:
    async def use(client: Client) -> None:
        await fund(client, treasury, 3 * ICP)
        held = await call(client, treasury, "held", result=T.Nat64)
        paying = (T.Principal, client.principal), (T.Nat64, ICP)
        block = await call(client, treasury, "pay_once", *paying, result=T.Nat64)
        assert await call(client, treasury, "held", result=T.Nat64) == held - ICP - ICP_FEE
        reply = await client.update(treasury, "payment", candid.encode([T.Nat64], [block]))
        to = account_identifier(Account(client.principal))
        assert candid.decode(reply, [T.Vec(T.Nat8), T.Nat64]) == [to, ICP]

    replica.run(use)


def test_a_canister_is_paid_with_an_allowance(replica: Daemon, treasury: Principal) -> None:
    async def use(client: Client) -> None:
        await fund(client, client.principal, 2 * ICP)
        approval = {"spender": {"owner": treasury, "subaccount": []}, "amount": ICP + ICP_FEE}
        await ledger(client, "icrc2_approve", icrc.APPROVE_ARGS, approval, icrc.APPROVE_RESULT)
        held = await call(client, treasury, "held", result=T.Nat64)
        collecting = (T.Principal, client.principal), (T.Nat, ICP)
        collected = await call(client, treasury, "collect", *collecting, result=icrc.TRANSFER_FROM_RESULT)
        assert "Ok" in collected
        refused = await call(client, treasury, "collect", *collecting, result=icrc.TRANSFER_FROM_RESULT)
        assert refused == {"Err": {"InsufficientAllowance": {"allowance": 0}}}
        assert await call(client, treasury, "held", result=T.Nat64) == held + ICP

    replica.run(use)


def test_a_canister_mints_deposits_and_lends_cycles(replica: Daemon, treasury: Principal) -> None:
    async def use(client: Client) -> None:
        await fund(client, treasury, 2 * ICP)
        minted = await call(client, treasury, "mint", (T.Nat64, ICP), result=T.Nat)
        assert minted == 3_520_000_000_000 - CYCLES_FEE
        deposited = await call(client, treasury, "deposit", (T.Nat, 10**12), result=T.Nat)
        assert deposited == minted + 10**12 - CYCLES_FEE
        approving = (T.Principal, client.principal), (T.Nat, 5)
        assert await call(client, treasury, "approve", *approving, result=T.Nat) == 5
        assert await call(client, treasury, "audit", result=T.Nat) >= 3

    replica.run(use)
