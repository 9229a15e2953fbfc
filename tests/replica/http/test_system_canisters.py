"""The system canisters as clients and canisters meet them; what they do is tested in tests/replica/system_canisters."""

from __future__ import annotations

from typing import Any

import pytest

from icmigrate.protocol import candid, cbor, certificate, hash_tree
from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import Principal
from icmigrate.replica.system_canisters import cycles_ledger_types as types
from icmigrate.replica.system_canisters import icp_ledger_types, icrc, icrc3
from icmigrate.replica.system_canisters.canister_creation import CYCLES_MINTING_CANISTER
from icmigrate.replica.system_canisters.cycles_ledger import CYCLES_LEDGER, FEE
from icmigrate.replica.system_canisters.cycles_minting import CONVERSION_RATE_RESPONSE
from icmigrate.replica.system_canisters.icp_ledger import ICP_LEDGER
from tests.replica.conformance.program import Program
from tests.replica.http.client import Client, Rejected, encode
from tests.worlds.users import PROGRAMMABLE


async def balance(client: Client, owner: Principal | None = None) -> int:
    account = {"owner": owner or client.principal, "subaccount": []}
    data = await client.query(CYCLES_LEDGER, "icrc1_balance_of", candid.encode([icrc.ACCOUNT], [account]))
    value = candid.decode(data, [T.Nat])[0]
    assert isinstance(value, int)
    return value


async def update(client: Client, method: str, argument: Any, record: dict[str, Any], result: Any) -> Any:
    """The result of an update call to the cycles ledger."""
    return candid.decode(await client.update(CYCLES_LEDGER, method, encode(argument, record)), [result])[0]


async def status(client: Client, canister_id: Principal) -> Any:
    return await client.manage("canister_status", {"canister_id": canister_id})


async def test_the_minting_canister_names_the_subnet(client: Client) -> None:
    data = await client.query(CYCLES_MINTING_CANISTER, "get_default_subnets")
    assert candid.decode(data, [T.Vec(T.Principal)]) == [[client.running.keys.subnet_id]]


async def test_the_cycles_ledger_creates_and_tops_up_a_canister(client: Client) -> None:
    before = await balance(client)
    made = await update(
        client, "create_canister", types.CREATE_CANISTER_ARGS, {"amount": 2 * 10**12}, types.CREATE_CANISTER_RESULT
    )
    canister_id = made["Ok"]["canister_id"]
    assert before - await balance(client) == 2 * 10**12 + FEE
    created = await status(client, canister_id)
    assert created["settings"]["controllers"] == [client.principal]
    assert 1.4 * 10**12 < created["cycles"] <= 1.5 * 10**12
    withdrawal = {"amount": 10**13, "to": canister_id}
    assert "Ok" in await update(client, "withdraw", types.WITHDRAW_ARGS, withdrawal, types.WITHDRAW_RESULT)
    assert (await status(client, canister_id))["cycles"] - created["cycles"] > 10**13 - 10**10


async def test_a_canister_deposits_the_cycles_that_it_attaches(client: Client) -> None:
    canister_id = await client.install(PROGRAMMABLE)
    before = (await status(client, canister_id))["cycles"]

    async def deposit(cycles: int) -> Any:
        argument = {"to": {"owner": canister_id, "subaccount": []}}
        call = Program().call(CYCLES_LEDGER, encode(types.DEPOSIT_ARGS, argument), method="deposit", cycles=cycles)
        reply = await client.update(canister_id, "run", call.code)
        return candid.decode(reply, [types.DEPOSIT_RESULT])[0]

    assert (await deposit(10**12))["balance"] == 10**12 - FEE == await balance(client, canister_id)
    assert before - (await status(client, canister_id))["cycles"] > 10**12
    with pytest.raises(Rejected, match="less than the cycles ledger fee"):
        await deposit(5)
    assert before - (await status(client, canister_id))["cycles"] < 1.1 * 10**12


async def test_the_last_blocks_are_certified_by_the_subnet(client: Client) -> None:
    transfer = {"to": {"owner": client.as_user().principal, "subaccount": []}, "amount": 5}
    await update(client, "icrc1_transfer", icrc.TRANSFER_ARG, transfer, icrc.TRANSFER_RESULT)
    data = await client.query(CYCLES_LEDGER, "icrc3_get_tip_certificate")
    (tip,) = decoded(data, icrc3.DATA_CERTIFICATE)
    assert certified_data(client, CYCLES_LEDGER, tip["certificate"]) == root_hash(tip["hash_tree"])

    data = await client.query(ICP_LEDGER, "tip_of_chain")
    tip = decoded(data, icp_ledger_types.TIP_OF_CHAIN_RESPONSE)
    assert len(certified_data(client, ICP_LEDGER, tip["certification"][0])) == 32

    data = await client.query(CYCLES_MINTING_CANISTER, "get_icp_xdr_conversion_rate")
    rate = decoded(data, CONVERSION_RATE_RESPONSE)
    assert certified_data(client, CYCLES_MINTING_CANISTER, rate["certificate"]) == root_hash(rate["hash_tree"])


def decoded(data: bytes, type_: Any) -> Any:
    return candid.decode(data, [type_])[0]


def certified_data(client: Client, canister_id: Principal, data: bytes) -> bytes:
    target = client.target
    certified = certificate.verify(data, target.root_key, effective_canister_id=canister_id, now_ns=target.time_ns())
    value = certified.lookup(b"canister", canister_id.bytes, b"certified_data")
    assert value is not None
    return value


def root_hash(encoded: bytes) -> bytes:
    return hash_tree.digest(hash_tree.from_cbor_value(cbor.loads(encoded)))


async def test_what_is_not_in_the_table_is_refused_as_canisters_do(client: Client) -> None:
    with pytest.raises(Rejected) as rejected:
        await client.update(CYCLES_LEDGER, "no_such_method")
    assert rejected.value.error_code == "IC0536"
    with pytest.raises(Rejected) as rejected:
        await client.query(CYCLES_LEDGER, "withdraw")
    assert rejected.value.error_code == "IC0536"
    with pytest.raises(Rejected) as rejected:
        await client.update(CYCLES_LEDGER, "withdraw", b"nonsense")
    assert rejected.value.error_code == "IC0503"
