"""ledger.did, ICRC-1, ICRC-2 and index.did: accounts of ICP and what happened to them."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from icmigrate.protocol.leb128 import encode_unsigned
from icmigrate.protocol.principal import ANONYMOUS, Principal
from icmigrate.replica.system_canisters.icp_blocks import account_identifier
from icmigrate.replica.system_canisters.icp_ledger import GOVERNANCE, ICP_INDEX, ICP_LEDGER, MINTING_ACCOUNT
from icmigrate.replica.system_canisters.icrc import Account
from tests.worlds.system_canisters import (
    HOUR,
    SECOND,
    SystemWorld,
    Trapped,
    account,
    open_world,
    somebody,
    subaccount,
)

FEE = 10_000
ICP = 10**8
WINDOW = 24 * HOUR
ANONYMOUS_ADDRESS = "1c7a48ba6a562aa9eaa2481a9049cdf0433b9738c992d698c31d8abf89cadc79"


def address(owner: Principal, sub: bytes | None = None) -> bytes:
    return account_identifier(Account(owner, sub))


async def update(world: SystemWorld, method: str, argument: dict[str, Any], caller: Principal) -> Any:
    return await world.update(ICP_LEDGER, method, argument, caller=caller)


async def balance(world: SystemWorld, owner: Principal, sub: bytes | None = None) -> Any:
    return await world.query(ICP_LEDGER, "icrc1_balance_of", account(owner, sub))


async def funded(world: SystemWorld, e8s: int = 10 * ICP) -> Principal:
    """A user whom the anonymous principal gave ICP."""
    user = somebody()
    assert "Ok" in await update(world, "icrc1_transfer", {"to": account(user), "amount": e8s}, ANONYMOUS)
    return user


def transfer(to: bytes, e8s: int, **fields: Any) -> dict[str, Any]:
    return {"memo": 0, "amount": {"e8s": e8s}, "fee": {"e8s": FEE}, "to": to, **fields}


async def last_block(world: SystemWorld) -> Any:
    tip = (await world.query(ICP_LEDGER, "tip_of_chain"))["tip_index"]
    return (await world.query(ICP_LEDGER, "query_blocks", {"start": tip, "length": 1}))["blocks"][0]


# ------------------------------------------------------------------------------------ what it is


async def test_the_icp_ledger_tells_its_name_its_fee_and_the_standards_it_follows(world: SystemWorld) -> None:
    expected: dict[str, Any] = {
        "icrc1_name": "Internet Computer",
        "icrc1_symbol": "ICP",
        "icrc1_decimals": 8,
        "icrc1_fee": FEE,
        "name": {"name": "Internet Computer"},
        "symbol": {"symbol": "ICP"},
        "decimals": {"decimals": 8},
        "archives": {"archives": []},
        "icrc106_get_index_principal": {"Ok": ICP_INDEX},
        "is_ledger_ready": True,
        "icrc1_total_supply": 3_000_000_000 * ICP,
    }
    assert {name: await world.query(ICP_LEDGER, name) for name in expected} == expected
    assert await world.query(ICP_LEDGER, "transfer_fee", {}) == {"transfer_fee": {"e8s": FEE}}


async def test_accounts_have_the_identifiers_that_the_network_gives(world: SystemWorld) -> None:
    identifier = await world.query(ICP_LEDGER, "account_identifier", account(ANONYMOUS))
    assert identifier.hex() == ANONYMOUS_ADDRESS
    assert await world.query(ICP_LEDGER, "account_identifier", account(ANONYMOUS, bytes(32))) == identifier
    assert await world.query(ICP_LEDGER, "account_identifier", account(ANONYMOUS, subaccount(1))) != identifier


async def test_the_anonymous_principal_can_fund_anybody(world: SystemWorld) -> None:
    assert await world.query(ICP_LEDGER, "account_balance", {"account": bytes.fromhex(ANONYMOUS_ADDRESS)}) == {
        "e8s": 1_000_000_000 * ICP
    }
    user = await funded(world, 7 * ICP)
    assert await balance(world, user) == 7 * ICP
    assert await world.query(ICP_LEDGER, "account_balance", {"account": address(user)}) == {"e8s": 7 * ICP}
    assert await world.query(ICP_LEDGER, "account_balance_dfx", {"account": address(user).hex()}) == {"e8s": 7 * ICP}
    assert await world.query(ICP_LEDGER, "account_balance", {"account": b"short"}) == {"e8s": 0}
    with pytest.raises(Trapped, match="Checksum failed"):
        await world.query(ICP_LEDGER, "account_balance", {"account": bytes(32)})


# ------------------------------------------------------------------------------------ transfer


async def test_a_transfer_goes_to_an_account_identifier(world: SystemWorld) -> None:
    alice, bob = await funded(world), somebody()
    argument = transfer(address(bob, subaccount(3)), ICP, memo=77)
    assert await update(world, "transfer", argument, alice) == {"Ok": 4}
    assert await balance(world, alice) == 9 * ICP - FEE
    assert await balance(world, bob, subaccount(3)) == ICP
    block = await last_block(world)
    assert block["transaction"]["memo"] == 77
    assert block["transaction"]["operation"] == [
        {
            "Transfer": {
                "from": address(alice),
                "to": address(bob, subaccount(3)),
                "amount": {"e8s": ICP},
                "fee": {"e8s": FEE},
                "spender": [],
            }
        }
    ]
    assert block["transaction"]["created_at_time"] == block["timestamp"] == {"timestamp_nanos": world.now}
    sent = {**argument, "to": address(bob).hex()}
    assert await update(world, "send_dfx", sent, alice) == 5


REFUSED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"fee": {"e8s": 0}}, {"BadFee": {"expected_fee": {"e8s": FEE}}}),
    ({"amount": {"e8s": 10 * ICP}}, {"InsufficientFunds": {"balance": {"e8s": 10 * ICP}}}),
]


@pytest.mark.parametrize(("wrong", "error"), REFUSED)
async def test_a_wrong_transfer_is_refused(world: SystemWorld, wrong: dict[str, Any], error: dict[str, Any]) -> None:
    alice = await funded(world)
    assert await update(world, "transfer", {**transfer(address(somebody()), 1), **wrong}, alice) == {"Err": error}
    assert await balance(world, alice) == 10 * ICP
    with pytest.raises(Trapped, match="Checksum failed"):
        await update(world, "transfer", transfer(bytes(32), 1), alice)


@pytest.mark.parametrize(
    ("age", "error"),
    [
        (WINDOW, None),
        (WINDOW + 1, {"TxTooOld": {"allowed_window_nanos": WINDOW}}),
        (-60 * SECOND, None),
        (-60 * SECOND - 1, {"TxCreatedInFuture": None}),
    ],
)
async def test_a_time_lies_in_the_window(world: SystemWorld, age: int, error: dict[str, Any] | None) -> None:
    alice = await funded(world)
    argument = transfer(address(somebody()), 1, created_at_time=[{"timestamp_nanos": world.now - age}])
    assert (await update(world, "transfer", argument, alice)).get("Err") == error


async def test_the_same_transaction_is_made_once(world: SystemWorld) -> None:
    alice, bob = await funded(world), somebody()
    argument = transfer(address(bob), 5, created_at_time=[{"timestamp_nanos": world.now}])
    assert await update(world, "transfer", argument, alice) == {"Ok": 4}
    world.now += HOUR
    assert await update(world, "transfer", argument, alice) == {"Err": {"TxDuplicate": {"duplicate_of": 4}}}
    assert "Ok" in await update(world, "transfer", {**argument, "memo": 1}, alice)
    icrc1 = {"to": account(bob), "amount": 5, "created_at_time": [world.now]}
    assert await update(world, "icrc1_transfer", icrc1, alice) == {"Ok": 6}
    assert await update(world, "icrc1_transfer", icrc1, alice) == {"Err": {"Duplicate": {"duplicate_of": 6}}}


async def test_icp_is_burned_in_the_minting_account_and_made_by_it(world: SystemWorld) -> None:
    alice = await funded(world)
    supply = await world.query(ICP_LEDGER, "icrc1_total_supply")
    with pytest.raises(Trapped, match="Fee for burning should be zero"):
        await update(world, "transfer", transfer(MINTING_ACCOUNT, ICP), alice)
    burning = transfer(MINTING_ACCOUNT, ICP, fee={"e8s": 0})
    assert "Ok" in await update(world, "transfer", burning, alice)
    assert await world.query(ICP_LEDGER, "icrc1_total_supply") == supply - ICP
    with pytest.raises(Trapped, match=r"Burns lower than 0\.00010000 are not allowed"):
        await update(world, "transfer", {**burning, "amount": {"e8s": 1}}, alice)
    for amount, minimum in ((0, FEE), (FEE - 1, FEE)):
        refused = await update(world, "icrc1_transfer", {"to": account(GOVERNANCE), "amount": amount}, alice)
        assert refused == {"Err": {"BadBurn": {"min_burn_amount": minimum}}}
    minting = {"to": account(alice), "amount": 2 * ICP}
    assert "Ok" in await update(world, "icrc1_transfer", minting, GOVERNANCE)
    assert await balance(world, alice) == 11 * ICP
    too_much = await update(world, "icrc1_transfer", {**minting, "amount": 1 << 64}, GOVERNANCE)
    assert too_much == {"Err": {"InsufficientFunds": {"balance": 0}}}
    (operation,) = (await last_block(world))["transaction"]["operation"]
    assert operation == {"Mint": {"to": address(alice), "amount": {"e8s": 2 * ICP}}}


# ------------------------------------------------------------------------------------ ICRC-2


async def test_a_spender_spends_what_is_approved(world: SystemWorld) -> None:
    alice, bob = await funded(world), somebody()
    end = world.subnet.time_ns() + HOUR
    approval = {"spender": account(bob), "amount": 3 * ICP, "expires_at": [end], "memo": [b"ok"]}
    assert await update(world, "icrc2_approve", approval, alice) == {"Ok": 4}
    (operation,) = (await last_block(world))["transaction"]["operation"]
    assert operation["Approve"]["allowance"] == {"e8s": 3 * ICP}
    assert operation["Approve"]["expires_at"] == [{"timestamp_nanos": end}]
    listed = await world.query(ICP_LEDGER, "get_allowances", {"from_account_id": address(alice).hex()})
    assert [(each["to_spender_id"], each["allowance"]) for each in listed] == [(address(bob).hex(), {"e8s": 3 * ICP})]

    taking = {"from": account(alice), "to": account(bob), "amount": ICP}
    assert "Ok" in await update(world, "icrc2_transfer_from", taking, bob)
    asked = {"account": account(alice), "spender": account(bob)}
    left = 2 * ICP - FEE
    assert await world.query(ICP_LEDGER, "icrc2_allowance", asked) == {"allowance": left, "expires_at": [end]}
    refused = await update(world, "icrc2_transfer_from", {**taking, "amount": 2 * ICP}, bob)
    assert refused == {"Err": {"InsufficientAllowance": {"allowance": left}}}
    (operation,) = (await last_block(world))["transaction"]["operation"]
    assert operation["Transfer"]["spender"] == [address(bob)]

    world.now = end
    refused = await update(world, "icrc2_transfer_from", taking, bob)
    assert refused == {"Err": {"InsufficientAllowance": {"allowance": 0}}}


async def test_an_approval_is_checked_and_taken_back(world: SystemWorld) -> None:
    alice, bob = await funded(world), somebody()
    approval = {"spender": account(bob), "amount": ICP}
    await update(world, "icrc2_approve", approval, alice)
    refused = await update(world, "icrc2_approve", {**approval, "expected_allowance": [0]}, alice)
    assert refused == {"Err": {"AllowanceChanged": {"current_allowance": ICP}}}
    refused = await update(world, "icrc2_approve", {**approval, "expires_at": [world.now]}, alice)
    assert refused == {"Err": {"Expired": {"ledger_time": world.now}}}
    refused = await update(world, "icrc2_approve", {**approval, "fee": [1]}, alice)
    assert refused == {"Err": {"BadFee": {"expected_fee": FEE}}}
    with pytest.raises(Trapped, match="self approval is not allowed"):
        await update(world, "icrc2_approve", {**approval, "spender": account(alice)}, alice)
    assert "Ok" in await update(world, "remove_approval", {"spender": address(bob)}, alice)
    asked = {"account": account(alice), "spender": account(bob)}
    assert (await world.query(ICP_LEDGER, "icrc2_allowance", asked))["allowance"] == 0
    assert await balance(world, alice) == 10 * ICP - 2 * FEE
    await update(world, "icrc2_approve", {**approval, "amount": 1 << 100}, alice)
    assert (await world.query(ICP_LEDGER, "icrc2_allowance", asked))["allowance"] == (1 << 64) - 1


# ------------------------------------------------------------------------------------ blocks


async def test_encoded_blocks_are_a_chain_of_protobuf_messages(world: SystemWorld) -> None:
    world.now = 5
    await update(world, "transfer", transfer(address(GOVERNANCE, subaccount(1)), 2, memo=3), ANONYMOUS)
    answer = await world.query(ICP_LEDGER, "query_encoded_blocks", {"start": 2, "length": 9})
    assert answer["chain_length"] == 4 and answer["first_block_index"] == 2
    before, last = answer["blocks"]

    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2]) + encode_unsigned(len(content)) + content

    source = field(1, field(1, bytes.fromhex(ANONYMOUS_ADDRESS)))
    target = field(2, field(1, address(GOVERNANCE, subaccount(1))))
    sent = source + target + field(3, b"\x08\x02") + field(4, b"\x08\x90\x4e")
    transaction = field(3, sent) + field(4, b"\x08\x03") + field(6, b"\x08\x05")
    parent = field(1, field(1, hashlib.sha256(before).digest()))
    assert last == parent + field(2, b"\x08\x05") + field(3, transaction)
    assert world.certified_data(ICP_LEDGER) == hashlib.sha256(last).digest()
    assert answer["certificate"] == [b"certificate of " + ICP_LEDGER.bytes]


async def test_blocks_are_given_in_ranges(world: SystemWorld) -> None:
    for _ in range(60):
        await funded(world, 1)

    async def lengths(start: int, length: int) -> tuple[int, int]:
        argument = {"start": start, "length": length}
        asked = await world.query(ICP_LEDGER, "query_blocks", argument)
        called = await update(world, "query_blocks", argument, somebody())
        assert called["certificate"] == []
        return len(asked["blocks"]), len(called["blocks"])

    assert await lengths(0, 1000) == (63, 50)
    assert await lengths(60, 1000) == (3, 3)
    assert await lengths(63, 1) == (0, 0)


async def test_the_index_finds_the_transactions_of_an_account(world: SystemWorld) -> None:
    alice, bob = await funded(world), somebody()
    for amount in (1, 2, 3):
        await update(world, "icrc1_transfer", {"to": account(bob), "amount": amount}, alice)
    await update(world, "icrc2_approve", {"spender": account(bob), "amount": ICP}, alice)
    await funded(world)
    assert await world.query(ICP_INDEX, "ledger_id") == ICP_LEDGER
    assert await world.query(ICP_INDEX, "status") == {"num_blocks_synced": 9}
    argument = {"account": account(bob), "max_results": 2}
    found = (await world.query(ICP_INDEX, "get_account_transactions", argument))["Ok"]
    assert found["balance"] == 6 and found["oldest_tx_id"] == [4]
    assert [each["id"] for each in found["transactions"]] == [7, 6]
    approve, sent = (each["transaction"]["operation"] for each in found["transactions"])
    assert approve["Approve"]["spender"] == address(bob).hex()
    assert sent["Transfer"]["amount"] == {"e8s": 3} and sent["Transfer"]["from"] == address(alice).hex()
    rest = {"account_identifier": address(bob).hex(), "start": [6], "max_results": 10}
    found = (await world.query(ICP_INDEX, "get_account_identifier_transactions", rest))["Ok"]
    assert [each["id"] for each in found["transactions"]] == [5, 4]
    assert await world.query(ICP_INDEX, "icrc1_balance_of", account(bob)) == 6
    assert await world.query(ICP_INDEX, "get_account_identifier_balance", address(bob).hex()) == 6
    assert len((await world.query(ICP_INDEX, "get_blocks", {"start": 7, "length": 9}))["blocks"]) == 2


async def test_the_ledger_comes_back_from_its_folder(tmp_path: Any) -> None:
    async with open_world(tmp_path) as world:
        alice = await funded(world)
        block, certified = await last_block(world), world.certified_data(ICP_LEDGER)
    async with open_world(tmp_path) as world:
        assert await last_block(world) == block and world.certified_data(ICP_LEDGER) == certified
        assert await balance(world, alice) == 10 * ICP
        assert await world.query(ICP_LEDGER, "icrc1_total_supply") == 3_000_000_000 * ICP - FEE
