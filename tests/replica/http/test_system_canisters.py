"""Cycles ledger and cycles minting canister: what tools need to create and fund canisters."""

from __future__ import annotations

from typing import Any

import pytest

from icmigrate.protocol import candid
from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import Principal
from icmigrate.replica import system_canisters as systems
from icmigrate.replica.system_canisters import CYCLES_LEDGER, CYCLES_MINTING_CANISTER, FEE
from tests.replica.http.client import Client, Rejected


async def balance(client: Client, owner: Principal | None = None) -> int:
    account = {"owner": owner or client.principal, "subaccount": []}
    data = await client.query(CYCLES_LEDGER, "icrc1_balance_of", candid.encode([systems.ACCOUNT], [account]))
    value = candid.decode(data, [T.Nat])[0]
    assert isinstance(value, int)
    return value


async def create(client: Client, amount: int, creation: dict[str, Any] | None = None) -> Any:
    record = {"from_subaccount": [], "created_at_time": [], "amount": amount, "creation_args": []}
    data = await client.update(
        CYCLES_LEDGER, "create_canister", candid.encode([systems.CREATE], [{**record, **(creation or {})}])
    )
    return candid.decode(data, [systems.CREATED])[0]


async def test_the_minting_canister_names_the_subnet(client: Client) -> None:
    data = await client.query(CYCLES_MINTING_CANISTER, "get_default_subnets")
    assert candid.decode(data, [T.Vec(T.Principal)]) == [[client.running.keys.subnet_id]]


async def test_the_ledger_creates_a_canister_and_takes_its_price(client: Client) -> None:
    before = await balance(client)
    made = await create(client, 2 * 10**12)
    canister_id = made["Ok"]["canister_id"]
    assert before - await balance(client) == 2 * 10**12 + FEE
    status = await client.manage("canister_status", {"canister_id": canister_id})
    assert status["settings"]["controllers"] == [client.principal]
    assert 1.4 * 10**12 < status["cycles"] <= 1.5 * 10**12


async def test_the_ledger_refuses_what_cannot_be_paid_or_created(client: Client) -> None:
    held = await balance(client)
    assert (await create(client, held))["Err"] == {"InsufficientFunds": {"balance": held}}
    assert "FailedToCreate" in (await create(client, 1))["Err"]
    selection = {"Subnet": {"subnet": Principal(b"elsewhere")}}
    elsewhere = {"creation_args": [{"settings": [], "subnet_selection": [selection]}]}
    assert "FailedToCreate" in (await create(client, 10**12, elsewhere))["Err"]
    assert await balance(client) == held


async def test_cycles_are_transferred_and_withdrawn_into_a_canister(client: Client) -> None:
    friend, canister_id = client.as_user(), await client.create()
    before, friends, held = await balance(client), await balance(friend), await cycles_of(client, canister_id)
    transfer = {
        "from_subaccount": [],
        "to": {"owner": friend.principal, "subaccount": [bytes(32)]},
        "amount": 5,
        "fee": [],
        "memo": [],
        "created_at_time": [],
    }
    data = await client.update(CYCLES_LEDGER, "icrc1_transfer", candid.encode([systems.TRANSFER], [transfer]))
    assert "Ok" in candid.decode(data, [systems.TRANSFERRED])[0]  # type: ignore[operator]
    assert (await balance(client), await balance(friend)) == (before - 5 - FEE, friends + 5)
    withdraw = {"amount": 10**13, "from_subaccount": [], "to": canister_id, "created_at_time": []}
    data = await client.update(CYCLES_LEDGER, "withdraw", candid.encode([systems.WITHDRAW], [withdraw]))
    assert "Ok" in candid.decode(data, [systems.WITHDRAWN])[0]  # type: ignore[operator]
    assert await cycles_of(client, canister_id) - held > 10**13 - 10**10


async def cycles_of(client: Client, canister_id: Principal) -> int:
    cycles: int = (await client.manage("canister_status", {"canister_id": canister_id}))["cycles"]
    return cycles


async def test_other_methods_are_not_there(client: Client) -> None:
    with pytest.raises(Rejected) as rejected:
        await client.update(CYCLES_LEDGER, "icrc2_approve")
    assert rejected.value.error_code == "IC0536"
    with pytest.raises(Rejected) as rejected:
        await client.query(CYCLES_LEDGER, "withdraw")
    assert rejected.value.error_code == "IC0536"
    with pytest.raises(Rejected) as rejected:
        await client.update(CYCLES_LEDGER, "withdraw", b"nonsense")
    assert rejected.value.error_code == "IC0503"
