"""cycles-ledger.did, ICRC-1, ICRC-2, ICRC-3: accounts of cycles."""

from __future__ import annotations

from typing import Any

import pytest

from icmigrate.protocol.hash_of_map import hash_of_map
from icmigrate.protocol.principal import ANONYMOUS, MANAGEMENT_CANISTER, Principal
from icmigrate.replica.management.candid_types import SETTING_TYPES
from icmigrate.replica.system_canisters.cycles_ledger import (
    CREATE_CANISTER_MEMO,
    CYCLES_INDEX,
    CYCLES_LEDGER,
    ENDOWMENT,
    FEE,
    PENALIZE_MEMO,
    REFUND_MEMO,
)
from tests.worlds.system_canisters import (
    HOUR,
    SECOND,
    SUBNET,
    SystemWorld,
    Trapped,
    account,
    digest_of,
    open_world,
    somebody,
    subaccount,
)

TRILLION = 10**12
MINUTE = 60 * SECOND
ABSENT = Principal((1 << 40).to_bytes(8, "big") + b"\1\1")


async def update(world: SystemWorld, method: str, argument: dict[str, Any], caller: Principal, cycles: int = 0) -> Any:
    return await world.update(CYCLES_LEDGER, method, argument, caller=caller, cycles=cycles)


async def balance(world: SystemWorld, owner: Principal, sub: bytes | None = None) -> Any:
    return await world.query(CYCLES_LEDGER, "icrc1_balance_of", account(owner, sub))


async def allowance(world: SystemWorld, owner: Principal, spender: Principal) -> Any:
    asked = {"account": account(owner), "spender": account(spender)}
    return await world.query(CYCLES_LEDGER, "icrc2_allowance", asked)


async def approve(world: SystemWorld, owner: Principal, spender: Principal, amount: int, **fields: Any) -> Any:
    given = {name: [value] for name, value in fields.items()}
    return await update(world, "icrc2_approve", {"spender": account(spender), "amount": amount, **given}, owner)


async def blocks(world: SystemWorld) -> list[dict[str, Any]]:
    """All blocks in plain form."""
    found = await world.query(CYCLES_LEDGER, "icrc3_get_blocks", [{"start": 0, "length": 1000}])
    assert [each["id"] for each in found["blocks"]] == list(range(len(found["blocks"])))
    return [plain(each["block"]) for each in found["blocks"]]


def plain(value: dict[str, Any]) -> Any:
    ((kind, content),) = value.items()
    if kind == "Map":
        return {name: plain(field) for name, field in content}
    return [plain(item) for item in content] if kind == "Array" else content


# ------------------------------------------------------------------------------------ ICRC-1


async def test_the_cycles_ledger_tells_its_name_its_fee_and_the_standards_it_follows(world: SystemWorld) -> None:
    expected = {
        "icrc1_name": "Trillion Cycles",
        "icrc1_symbol": "TCYCLES",
        "icrc1_decimals": 12,
        "icrc1_fee": 100_000_000,
        "icrc1_minting_account": [],
        "icrc1_total_supply": 0,
    }
    assert {name: await world.query(CYCLES_LEDGER, name) for name in expected} == expected
    metadata = dict(await world.query(CYCLES_LEDGER, "icrc1_metadata"))
    assert metadata["icrc1:fee"] == {"Nat": FEE} and metadata["icrc1:max_memo_length"] == {"Nat": 32}
    for method in ("icrc1_supported_standards", "icrc10_supported_standards"):
        named = [standard["name"] for standard in await world.query(CYCLES_LEDGER, method)]
        assert named == ["ICRC-1", "ICRC-2", "ICRC-3", "ICRC-10", "ICRC-103", "ICRC-106"]


async def test_only_default_accounts_of_users_begin_with_cycles(world: SystemWorld) -> None:
    user, canister = somebody(), world.canister()
    assert await balance(world, user) == await balance(world, user, bytes(32)) == ENDOWMENT
    assert await balance(world, ANONYMOUS) == ENDOWMENT
    assert await balance(world, user, subaccount(1)) == await balance(world, canister) == 0


async def test_a_transfer_takes_amount_and_fee(world: SystemWorld) -> None:
    alice, bob = somebody(), somebody()
    argument = {"to": account(bob, subaccount(7)), "amount": 5, "memo": [b"for you"]}
    assert await update(world, "icrc1_transfer", argument, alice) == {"Ok": 1}
    assert await balance(world, alice) == ENDOWMENT - 5 - FEE
    assert await balance(world, bob, subaccount(7)) == 5
    assert await world.query(CYCLES_LEDGER, "icrc1_total_supply") == ENDOWMENT - FEE
    back = {"from_subaccount": [subaccount(7)], "to": account(alice), "amount": 1}
    assert await update(world, "icrc1_transfer", back, bob) == {"Err": {"InsufficientFunds": {"balance": 5}}}


async def test_a_transfer_to_oneself_costs_the_fee(world: SystemWorld) -> None:
    alice = somebody()
    await update(world, "icrc1_transfer", {"to": account(alice, bytes(32)), "amount": 9}, alice)
    assert await balance(world, alice) == ENDOWMENT - FEE


REFUSED_TRANSFERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"fee": [FEE + 1]}, {"BadFee": {"expected_fee": FEE}}),
    ({"fee": [0]}, {"BadFee": {"expected_fee": FEE}}),
    ({"amount": ENDOWMENT}, {"InsufficientFunds": {"balance": ENDOWMENT}}),
    ({"amount": 1 << 200}, {"InsufficientFunds": {"balance": ENDOWMENT}}),
    ({"amount": ENDOWMENT, "fee": [1]}, {"BadFee": {"expected_fee": FEE}}),  # before the funds
]


@pytest.mark.parametrize(("wrong", "error"), REFUSED_TRANSFERS)
async def test_a_wrong_transfer_is_refused(world: SystemWorld, wrong: dict[str, Any], error: dict[str, Any]) -> None:
    alice, bob = somebody(), somebody()
    argument = {"to": account(bob), "amount": 1, **wrong}
    assert await update(world, "icrc1_transfer", argument, alice) == {"Err": error}
    assert await balance(world, alice) == ENDOWMENT and await blocks(world) == []


async def test_the_management_canister_has_no_account(world: SystemWorld) -> None:
    argument = {"to": account(MANAGEMENT_CANISTER, subaccount(0x2A0)), "amount": 1}
    error = (await update(world, "icrc1_transfer", argument, somebody()))["Err"]["GenericError"]
    assert error["error_code"] == 100_001 and "aaaaa-aa-" in error["message"] and ".2a0 cannot" in error["message"]


@pytest.mark.parametrize("wrong", [{"memo": [bytes(33)]}, {"to": account(somebody(), b"short")}])
async def test_memos_and_subaccounts_have_32_bytes(world: SystemWorld, wrong: dict[str, Any]) -> None:
    argument = {"to": account(somebody()), "amount": 1, "memo": [bytes(32)]}
    with pytest.raises(Trapped):
        await update(world, "icrc1_transfer", {**argument, **wrong}, somebody())
    assert await blocks(world) == []
    assert "Ok" in await update(world, "icrc1_transfer", argument, somebody())


# ------------------------------------------------------------------------------------ deduplication


async def test_the_same_transaction_is_made_once(world: SystemWorld) -> None:
    alice, bob = somebody(), somebody()
    argument = {"to": account(bob), "amount": 5, "created_at_time": [world.now]}
    assert await update(world, "icrc1_transfer", argument, alice) == {"Ok": 2}
    world.now += 23 * HOUR
    assert await update(world, "icrc1_transfer", argument, alice) == {"Err": {"Duplicate": {"duplicate_of": 2}}}
    for other in ({"amount": 6}, {"memo": [b"x"]}, {"fee": [FEE]}, {"created_at_time": [world.now]}):
        assert "Ok" in await update(world, "icrc1_transfer", {**argument, **other}, alice)
    assert await balance(world, bob) == ENDOWMENT + 5 + 6 + 3 * 5


async def test_without_a_time_it_is_made_each_time(world: SystemWorld) -> None:
    alice, argument = somebody(), {"to": account(somebody()), "amount": 5}
    assert await update(world, "icrc1_transfer", argument, alice) == {"Ok": 2}
    assert await update(world, "icrc1_transfer", argument, alice) == {"Ok": 3}


@pytest.mark.parametrize(
    ("age", "error"),
    [
        (24 * HOUR + MINUTE, None),
        (24 * HOUR + MINUTE + 1, "TooOld"),
        (-MINUTE, None),
        (-MINUTE - 1, "CreatedInFuture"),
    ],
)
async def test_a_time_lies_in_the_window(world: SystemWorld, age: int, error: str | None) -> None:
    argument = {"to": account(somebody()), "amount": 5, "created_at_time": [world.now - age]}
    answer = await update(world, "icrc1_transfer", argument, somebody())
    assert [*answer.get("Err", {None: 0})] == [error]
    if error == "CreatedInFuture":
        assert answer["Err"][error] == {"ledger_time": world.now}


async def test_what_is_older_than_the_window_is_forgotten(world: SystemWorld) -> None:
    alice, argument = somebody(), {"to": account(somebody()), "amount": 5, "created_at_time": [world.now]}
    assert "Ok" in await update(world, "icrc1_transfer", argument, alice)
    world.now += 25 * HOUR
    assert await update(world, "icrc1_transfer", argument, alice) == {"Err": {"TooOld": None}}


# ------------------------------------------------------------------------------------ ICRC-2


async def test_a_spender_spends_what_is_approved(world: SystemWorld) -> None:
    alice, bob, carol = somebody(), somebody(), somebody()
    assert await approve(world, alice, bob, 10 * FEE) == {"Ok": 1}
    assert await allowance(world, alice, bob) == {"allowance": 10 * FEE, "expires_at": []}
    argument = {"from": account(alice), "to": account(carol), "amount": 4 * FEE}
    assert "Ok" in await update(world, "icrc2_transfer_from", argument, bob)
    assert await allowance(world, alice, bob) == {"allowance": 5 * FEE, "expires_at": []}
    assert await balance(world, alice) == ENDOWMENT - 6 * FEE
    assert await balance(world, bob) == ENDOWMENT and await balance(world, carol) == ENDOWMENT + 4 * FEE
    refused = await update(world, "icrc2_transfer_from", {**argument, "amount": 5 * FEE}, bob)
    assert refused == {"Err": {"InsufficientAllowance": {"allowance": 5 * FEE}}}
    assert "Ok" in await update(world, "icrc2_transfer_from", argument, bob)
    refused = await update(world, "icrc2_transfer_from", argument, bob)
    assert refused == {"Err": {"InsufficientAllowance": {"allowance": 0}}}


async def test_an_allowance_is_of_one_subaccount_of_the_spender(world: SystemWorld) -> None:
    alice, bob = somebody(), somebody()
    argument = {"spender": account(bob, subaccount(1)), "amount": 10 * FEE}
    await update(world, "icrc2_approve", argument, alice)
    taking = {"from": account(alice), "to": account(bob), "amount": FEE}
    assert "Err" in await update(world, "icrc2_transfer_from", taking, bob)
    assert "Ok" in await update(world, "icrc2_transfer_from", {**taking, "spender_subaccount": [subaccount(1)]}, bob)


async def test_an_owner_needs_no_allowance(world: SystemWorld) -> None:
    alice = somebody()
    argument = {"from": account(alice), "to": account(somebody()), "amount": 3}
    assert "Ok" in await update(world, "icrc2_transfer_from", argument, alice)


async def test_an_approval_replaces_the_one_before_and_is_checked_against_it(world: SystemWorld) -> None:
    alice, bob = somebody(), somebody()
    await approve(world, alice, bob, 3 * FEE)
    refused = await approve(world, alice, bob, 9 * FEE, expected_allowance=FEE)
    assert refused == {"Err": {"AllowanceChanged": {"current_allowance": 3 * FEE}}}
    assert "Ok" in await approve(world, alice, bob, 2 * FEE, expected_allowance=3 * FEE)
    assert (await allowance(world, alice, bob))["allowance"] == 2 * FEE
    await approve(world, alice, bob, 0)
    assert (await allowance(world, alice, bob))["allowance"] == 0
    await approve(world, alice, bob, 1 << 200)
    assert (await allowance(world, alice, bob))["allowance"] == (1 << 128) - 1
    assert await balance(world, alice) == ENDOWMENT - 4 * FEE


async def test_an_approval_expires(world: SystemWorld) -> None:
    alice, bob = somebody(), somebody()
    past = await approve(world, alice, bob, FEE, expires_at=world.now)
    assert past == {"Err": {"Expired": {"ledger_time": world.now}}}
    end = world.subnet.time_ns() + HOUR
    await approve(world, alice, bob, 5 * FEE, expires_at=end)
    assert await allowance(world, alice, bob) == {"allowance": 5 * FEE, "expires_at": [end]}
    world.now = end
    taking = {"from": account(alice), "to": account(bob), "amount": FEE}
    refused = await update(world, "icrc2_transfer_from", taking, bob)
    assert refused == {"Err": {"InsufficientAllowance": {"allowance": 0}}}


async def test_an_approval_costs_a_fee_and_is_never_of_oneself(world: SystemWorld) -> None:
    alice, bob = somebody(), somebody()
    assert await approve(world, alice, bob, 1, fee=1) == {"Err": {"BadFee": {"expected_fee": FEE}}}
    poor = {"from_subaccount": [subaccount(1)], "spender": account(bob), "amount": 1}
    assert await update(world, "icrc2_approve", poor, alice) == {"Err": {"InsufficientFunds": {"balance": 0}}}
    with pytest.raises(Trapped, match="self approval is not allowed"):
        await approve(world, alice, alice, 1)


async def test_allowances_are_listed(world: SystemWorld) -> None:
    alice = somebody()
    spenders = sorted([somebody() for _ in range(3)], key=lambda principal: principal.bytes)
    for amount, spender in enumerate(spenders, 1):
        await approve(world, alice, spender, amount)

    async def listed(**argument: Any) -> list[int]:
        answer = await world.query(CYCLES_LEDGER, "icrc103_get_allowances", argument, caller=alice)
        return [each["allowance"] for each in answer["Ok"]]

    assert await listed() == [1, 2, 3]
    assert await listed(take=[2]) == [1, 2]
    assert await listed(from_account=[account(alice)], prev_spender=[account(spenders[0])]) == [2, 3]
    assert await listed(from_account=[account(spenders[0])]) == []


# ------------------------------------------------------------------------------------ ICRC-3


async def test_blocks_are_a_chain_that_accounts_for_every_balance(world: SystemWorld) -> None:
    alice, bob = somebody(), somebody()
    await update(world, "icrc1_transfer", {"to": account(bob), "amount": 5, "memo": [b"m"]}, alice)
    await approve(world, bob, alice, 9 * FEE, fee=FEE, created_at_time=world.now)
    minted, bobs, sent, approved = await blocks(world)
    assert "phash" not in minted
    assert minted["tx"] == {"op": "mint", "to": [alice.bytes], "amt": ENDOWMENT, "fee": 0}
    assert bobs["tx"]["to"] == [bob.bytes] and bobs["phash"] == hash_of_map(minted)
    assert sent == {
        "fee": FEE,
        "phash": hash_of_map(bobs),
        "ts": world.now,
        "tx": {"op": "xfer", "from": [alice.bytes], "to": [bob.bytes], "amt": 5, "memo": b"m"},
    }
    assert approved == {
        "phash": hash_of_map(sent),
        "ts": world.now,
        "tx": {
            "op": "approve",
            "from": [bob.bytes],
            "spender": [alice.bytes],
            "amt": 9 * FEE,
            "fee": FEE,
            "ts": world.now,
        },
    }


async def test_the_last_block_is_certified(world: SystemWorld) -> None:
    assert await world.query(CYCLES_LEDGER, "icrc3_get_archives", {}) == []
    await update(world, "icrc1_transfer", {"to": account(somebody()), "amount": 5}, somebody())
    (tip,) = await world.query(CYCLES_LEDGER, "icrc3_get_tip_certificate")
    assert tip["certificate"] == b"certificate of " + CYCLES_LEDGER.bytes
    assert digest_of(tip["hash_tree"]) == world.certified_data(CYCLES_LEDGER)
    assert hash_of_map((await blocks(world))[-1]) in tip["hash_tree"]
    assert await world.update(CYCLES_LEDGER, "icrc3_get_tip_certificate", caller=somebody()) == []


async def test_blocks_are_given_in_ranges(world: SystemWorld) -> None:
    alice = somebody()
    for _ in range(60):
        await update(world, "icrc1_transfer", {"to": account(alice), "amount": 1}, alice)

    async def ids(*ranges: tuple[int, int]) -> list[int]:
        asked = [{"start": start, "length": length} for start, length in ranges]
        found = await world.query(CYCLES_LEDGER, "icrc3_get_blocks", asked)
        assert found["log_length"] == 61 and found["archived_blocks"] == []
        return [block["id"] for block in found["blocks"]]

    assert await ids((0, 100)) == list(range(50))
    assert await ids((58, 100), (3, 2)) == [58, 59, 60, 3, 4]
    assert await ids((61, 1), (1 << 100, 1 << 100)) == []


async def test_block_types_are_named(world: SystemWorld) -> None:
    named = await world.query(CYCLES_LEDGER, "icrc3_supported_block_types")
    assert [each["block_type"] for each in named] == ["1burn", "1mint", "2xfer", "2approve"]


async def test_the_index_finds_the_transactions_of_an_account(world: SystemWorld) -> None:
    alice, bob = somebody(), somebody()
    await update(world, "deposit", {"to": account(bob, subaccount(2)), "memo": [b"in"]}, bob, cycles=TRILLION)
    for amount in (1, 2, 3):
        sent = {"to": account(bob, subaccount(1)), "amount": amount, "created_at_time": [world.now]}
        await update(world, "icrc1_transfer", sent, alice)
    await approve(world, alice, bob, 9 * FEE, expires_at=world.now + HOUR)
    taking = {"from": account(alice), "to": account(bob, subaccount(2)), "amount": FEE}
    await update(world, "icrc2_transfer_from", taking, bob)
    await update(world, "withdraw", {"to": world.canister(), "amount": FEE}, alice)
    assert await world.query(CYCLES_LEDGER, "icrc106_get_index_principal") == {"Ok": CYCLES_INDEX}
    assert await world.query(CYCLES_INDEX, "ledger_id") == CYCLES_LEDGER
    assert await world.query(CYCLES_INDEX, "status") == {"num_blocks_synced": 8}

    async def found(owner: Principal, sub: bytes | None = None, **fields: Any) -> Any:
        argument = {"account": account(owner, sub), "max_results": 10, **fields}
        return (await world.query(CYCLES_INDEX, "get_account_transactions", argument))["Ok"]

    alices = await found(alice)
    assert alices["balance"] == await balance(world, alice) and alices["oldest_tx_id"] == [1]
    kinds = {each["id"]: each["transaction"]["kind"] for each in alices["transactions"]}
    assert [*kinds] == [7, 6, 5, 4, 3, 2, 1]
    assert [*kinds.values()] == ["burn", "transfer", "approve", "transfer", "transfer", "transfer", "mint"]
    approval, taken = alices["transactions"][2]["transaction"], alices["transactions"][1]["transaction"]
    assert approval["approve"][0]["spender"] == account(bob)
    assert approval["approve"][0]["expires_at"] == [world.now + HOUR] and approval["transfer"] == []
    assert taken["transfer"][0]["spender"] == [account(bob)] and taken["transfer"][0]["fee"] == [FEE]
    page = await found(bob, subaccount(1), start=[4], max_results=1)
    (shown,) = page["transactions"]
    assert shown["id"] == 3 and shown["transaction"]["transfer"][0]["amount"] == 2
    assert shown["transaction"]["timestamp"] == world.now == shown["transaction"]["transfer"][0]["created_at_time"][0]
    assert page["balance"] == 6 and page["oldest_tx_id"] == [2]
    (minted, _) = reversed((await found(bob, subaccount(2)))["transactions"])
    assert minted["transaction"]["mint"][0]["memo"] == [b"in"]

    assert await world.query(CYCLES_INDEX, "icrc1_balance_of", account(bob, subaccount(1))) == 6
    listed = {"owner": bob}
    assert await world.query(CYCLES_INDEX, "list_subaccounts", listed) == [subaccount(1), subaccount(2)]
    assert await world.query(CYCLES_INDEX, "list_subaccounts", {**listed, "start": [subaccount(1)]}) == [subaccount(2)]
    blocks_of_index = await world.query(CYCLES_INDEX, "get_blocks", {"start": 6, "length": 9})
    assert [plain(block) for block in blocks_of_index["blocks"]] == (await blocks(world))[6:]


# ------------------------------------------------------------------------------------ cycles in and out


async def test_attached_cycles_are_deposited(world: SystemWorld) -> None:
    canister = world.canister()
    argument = {"to": account(canister, subaccount(1)), "memo": [b"in"]}
    answer = await update(world, "deposit", argument, canister, cycles=TRILLION)
    assert answer == {"balance": TRILLION - FEE, "block_index": 0} and world.left_over == 0
    (block,) = await blocks(world)
    assert block["fee"] == 0
    assert block["tx"] == {
        "op": "mint",
        "to": [canister.bytes, subaccount(1)],
        "amt": TRILLION - FEE,
        "fee": FEE,
        "memo": b"in",
    }


@pytest.mark.parametrize("cycles", [0, FEE - 1, FEE])
async def test_a_deposit_is_more_than_the_fee(world: SystemWorld, cycles: int) -> None:
    with pytest.raises(Trapped):
        await update(world, "deposit", {"to": account(somebody())}, world.canister(), cycles=cycles)


async def test_cycles_are_withdrawn_into_a_canister(world: SystemWorld) -> None:
    alice, canister = somebody(), world.canister(5)
    argument = {"to": canister, "amount": TRILLION, "created_at_time": [world.now]}
    assert await update(world, "withdraw", argument, alice) == {"Ok": 1}
    assert world.cycles_of(canister) == TRILLION + 5
    assert await balance(world, alice) == ENDOWMENT - TRILLION - FEE
    assert (await blocks(world))[1]["tx"]["memo"] == b"\x81\x4a" + canister.bytes
    assert await update(world, "withdraw", argument, alice) == {"Err": {"Duplicate": {"duplicate_of": 1}}}
    assert world.cycles_of(canister) == TRILLION + 5


async def test_a_withdrawal_to_nobody_is_refunded_but_for_fees(world: SystemWorld) -> None:
    alice = somebody()
    (failed,) = (await update(world, "withdraw", {"to": ABSENT, "amount": 10 * FEE}, alice))["Err"].items()
    assert failed[0] == "FailedToWithdraw"
    assert failed[1]["fee_block"] == [2] and failed[1]["rejection_code"] == {"DestinationInvalid": None}
    assert ABSENT.to_str() in failed[1]["rejection_reason"]
    assert await balance(world, alice) == ENDOWMENT - 2 * FEE
    assert (await blocks(world))[2]["tx"] == {
        "op": "mint",
        "to": [alice.bytes],
        "amt": 9 * FEE,
        "fee": 0,
        "memo": PENALIZE_MEMO,
    }


async def test_only_canisters_can_be_paid_and_with_something(world: SystemWorld) -> None:
    alice, bob = somebody(), somebody()
    refused = await update(world, "withdraw", {"to": bob, "amount": 1}, alice)
    assert refused == {"Err": {"InvalidReceiver": {"receiver": bob}}}
    refused = await update(world, "withdraw", {"to": world.canister(), "amount": 0}, alice)
    assert refused["Err"]["GenericError"]["error_code"] == 100_002
    refused = await update(world, "withdraw", {"to": world.canister(), "amount": ENDOWMENT}, alice)
    assert refused == {"Err": {"InsufficientFunds": {"balance": ENDOWMENT}}}


async def test_a_spender_withdraws(world: SystemWorld) -> None:
    alice, bob, canister = somebody(), somebody(), world.canister()
    argument = {"from": account(alice), "to": canister, "amount": 4 * FEE}
    refused = await update(world, "withdraw_from", argument, bob)
    assert refused == {"Err": {"InsufficientAllowance": {"allowance": 0}}}
    await approve(world, alice, bob, 10 * FEE)
    assert "Ok" in await update(world, "withdraw_from", argument, bob)
    assert world.cycles_of(canister) == 4 * FEE
    assert (await allowance(world, alice, bob))["allowance"] == 5 * FEE


async def test_a_spenders_failed_withdrawal_gives_the_allowance_back_too(world: SystemWorld) -> None:
    alice, bob, end = somebody(), somebody(), world.now + HOUR
    await approve(world, alice, bob, 20 * FEE, expires_at=end)
    argument = {"from": account(alice), "to": ABSENT, "amount": 10 * FEE}
    failed = (await update(world, "withdraw_from", argument, bob))["Err"]["FailedToWithdrawFrom"]
    assert failed["withdraw_from_block"] == [2]
    assert failed["refund_block"] == [3] and failed["approval_refund_block"] == [4]
    # Of 20 fees 11 were used; 8 come back, less what refund and approval cost.
    assert await allowance(world, alice, bob) == {"allowance": (20 - 11 + 8) * FEE, "expires_at": [end]}
    assert await balance(world, alice) == ENDOWMENT - 4 * FEE


# ------------------------------------------------------------------------------------ canisters


async def test_a_canister_is_created_once_for_a_transaction(world: SystemWorld) -> None:
    alice = somebody()
    argument = {"amount": 2 * TRILLION, "created_at_time": [world.now]}
    made = (await update(world, "create_canister", argument, alice))["Ok"]
    canister = world.subnet.state.canisters[made["canister_id"]]
    assert canister.settings.controllers == (alice,) and canister.cycles == 15 * TRILLION // 10
    assert await balance(world, alice) == ENDOWMENT - 2 * TRILLION - FEE
    again = (await update(world, "create_canister", argument, alice))["Err"]["Duplicate"]
    assert again == {"duplicate_of": made["block_id"], "canister_id": [made["canister_id"]]}
    assert (await blocks(world))[1]["tx"]["memo"] == CREATE_CANISTER_MEMO


async def test_a_creation_chooses_settings_and_subnet(world: SystemWorld) -> None:
    alice, bob = somebody(), somebody()
    settings = {"controllers": [[alice, bob]], "freezing_threshold": [9]}
    creation = {
        "settings": [{**{name: [] for name in SETTING_TYPES}, **settings}],
        "subnet_selection": [{"Subnet": {"subnet": SUBNET}}],
    }
    argument = {"amount": TRILLION, "creation_args": [creation]}
    made = (await update(world, "create_canister", argument, alice))["Ok"]
    chosen = world.subnet.state.canisters[made["canister_id"]].settings
    assert set(chosen.controllers) == {alice, bob} and chosen.freezing_threshold == 9


FAILED_CREATIONS: list[tuple[int, dict[str, Any], str, int]] = [
    (10 * FEE, {}, "Insufficient cycles attached.", 2 * FEE),
    (4 * TRILLION // 10, {}, "Creating a canister requires a fee of 500000000000", 3 * FEE),
    (TRILLION, {"Subnet": {"subnet": somebody()}}, "does not exist or", 3 * FEE),
    (TRILLION, {"Filter": {"subnet_type": ["european"]}}, "subnet type european does not exist", 3 * FEE),
]


@pytest.mark.parametrize(("amount", "selection", "text", "cost"), FAILED_CREATIONS)
async def test_a_failed_creation_is_refunded_but_for_fees(
    world: SystemWorld, amount: int, selection: dict[str, Any], text: str, cost: int
) -> None:
    alice, before = somebody(), len(world.subnet.state.canisters)
    creation = [{"settings": [], "subnet_selection": [selection]}] if selection else []
    failed = (await update(world, "create_canister", {"amount": amount, "creation_args": creation}, alice))["Err"]
    assert text in failed["FailedToCreate"]["error"]
    assert failed["FailedToCreate"]["fee_block"] == [1] and failed["FailedToCreate"]["refund_block"] == [2]
    assert (await blocks(world))[2]["tx"]["memo"] == REFUND_MEMO
    assert await balance(world, alice) == ENDOWMENT - cost
    assert len(world.subnet.state.canisters) == before


async def test_a_spender_creates_a_canister_of_its_own(world: SystemWorld) -> None:
    alice, bob = somebody(), somebody()
    argument = {"from": account(alice), "amount": TRILLION}
    refused = await update(world, "create_canister_from", argument, bob)
    assert refused == {"Err": {"InsufficientAllowance": {"allowance": 0}}}
    await approve(world, alice, bob, 3 * TRILLION)
    made = (await update(world, "create_canister_from", argument, bob))["Ok"]
    assert world.subnet.state.canisters[made["canister_id"]].settings.controllers == (bob,)
    failed = (await update(world, "create_canister_from", {**argument, "amount": 10 * FEE}, bob))["Err"]
    assert failed["FailedToCreateFrom"]["rejection_code"] == {"CanisterError": None}
    assert failed["FailedToCreateFrom"]["approval_refund_block"] != []


async def test_the_ledger_comes_back_from_its_folder(tmp_path: Any) -> None:
    alice, bob = somebody(), somebody()
    async with open_world(tmp_path) as world:
        sent = {"to": account(bob), "amount": 5, "created_at_time": [world.now]}
        await update(world, "icrc1_transfer", sent, alice)
        await approve(world, alice, bob, 7)
        chain, certified = await blocks(world), world.certified_data(CYCLES_LEDGER)
    async with open_world(tmp_path) as world:
        assert await blocks(world) == chain and world.certified_data(CYCLES_LEDGER) == certified
        assert await balance(world, bob) == ENDOWMENT + 5
        assert (await allowance(world, alice, bob))["allowance"] == 7
        asked = {"account": account(bob), "max_results": 9}
        found = (await world.query(CYCLES_INDEX, "get_account_transactions", asked))["Ok"]
        assert [each["id"] for each in found["transactions"]] == [2, 1]
        assert "Duplicate" in (await update(world, "icrc1_transfer", sent, alice))["Err"]
