"""cmc.did: cycles for ICP, canisters for cycles."""

from __future__ import annotations

from typing import Any

import pytest

from icmigrate.protocol import candid, cbor, hash_tree
from icmigrate.protocol.principal import ANONYMOUS, Principal
from icmigrate.replica.system_canisters.canister_creation import CYCLES_MINTING_CANISTER
from icmigrate.replica.system_canisters.cycles_ledger import CYCLES_LEDGER
from icmigrate.replica.system_canisters.cycles_minting import CONVERSION_RATE
from icmigrate.replica.system_canisters.icp_blocks import account_identifier
from icmigrate.replica.system_canisters.icp_ledger import ICP_LEDGER
from icmigrate.replica.system_canisters.icrc import Account
from tests.worlds.system_canisters import SUBNET, SystemWorld, account, digest_of, open_world, somebody

ICP = 10**8
FEE = 10_000
CYCLES_FEE = 100_000_000
CYCLES_PER_ICP = 3_520_000_000_000
CREATE, TOP_UP, MINT = 0x41455243, 0x50555054, 0x544E494D
ABSENT = Principal((1 << 40).to_bytes(8, "big") + b"\1\1")


async def notify(world: SystemWorld, method: str, argument: dict[str, Any], caller: Principal) -> Any:
    return await world.update(CYCLES_MINTING_CANISTER, method, argument, caller=caller)


async def icp_of(world: SystemWorld, owner: Principal, sub: bytes | None = None) -> int:
    e8s: int = await world.query(ICP_LEDGER, "icrc1_balance_of", account(owner, sub))
    return e8s


def subaccount_of(principal: Principal) -> bytes:
    return (bytes([len(principal.bytes)]) + principal.bytes).ljust(32, b"\0")


async def funded(world: SystemWorld) -> Principal:
    user = somebody()
    giving = {"to": account(user), "amount": 10 * ICP}
    await world.update(ICP_LEDGER, "icrc1_transfer", giving, caller=ANONYMOUS)
    return user


async def pay(world: SystemWorld, payer: Principal, beneficiary: Principal, memo: int, e8s: int = ICP) -> int:
    """The block of a payment to the minting canister."""
    to = account_identifier(Account(CYCLES_MINTING_CANISTER, subaccount_of(beneficiary)))
    argument = {"memo": memo, "amount": {"e8s": e8s}, "fee": {"e8s": FEE}, "to": to}
    index: int = (await world.update(ICP_LEDGER, "transfer", argument, caller=payer))["Ok"]
    return index


async def test_icp_becomes_cycles_in_the_cycles_ledger(world: SystemWorld) -> None:
    alice, sub = await funded(world), bytes(31) + b"\1"
    block, supply = await pay(world, alice, alice, MINT), await world.query(ICP_LEDGER, "icrc1_total_supply")
    argument = {"block_index": block, "to_subaccount": [sub], "deposit_memo": [b"mine"]}
    minted = await notify(world, "notify_mint_cycles", argument, alice)
    held = CYCLES_PER_ICP - CYCLES_FEE
    assert minted == {"Ok": {"block_index": 0, "minted": CYCLES_PER_ICP, "balance": held}}
    assert await world.query(CYCLES_LEDGER, "icrc1_balance_of", account(alice, sub)) == held
    assert await icp_of(world, alice) == 9 * ICP - FEE
    assert await world.query(ICP_LEDGER, "icrc1_total_supply") == supply - ICP
    assert await notify(world, "notify_mint_cycles", argument, alice) == minted
    assert await world.query(CYCLES_LEDGER, "icrc1_balance_of", account(alice, sub)) == held


async def test_icp_tops_up_a_canister_once(world: SystemWorld) -> None:
    alice, canister = await funded(world), world.canister(5)
    argument = {"block_index": await pay(world, alice, canister, TOP_UP), "canister_id": canister}
    assert await notify(world, "notify_top_up", argument, somebody()) == {"Ok": CYCLES_PER_ICP}
    assert await notify(world, "notify_top_up", argument, somebody()) == {"Ok": CYCLES_PER_ICP}
    assert world.cycles_of(canister) == CYCLES_PER_ICP + 5


async def test_icp_creates_a_canister_once(world: SystemWorld) -> None:
    alice = await funded(world)
    argument = {"block_index": await pay(world, alice, alice, CREATE), "controller": alice}
    made = await notify(world, "notify_create_canister", argument, alice)
    canister = world.subnet.state.canisters[made["Ok"]]
    assert canister.settings.controllers == (alice,) and canister.cycles == CYCLES_PER_ICP - 500_000_000_000
    assert await notify(world, "notify_create_canister", argument, alice) == made
    refused = await notify(world, "notify_create_canister", argument, somebody())
    assert refused["Err"]["Other"]["error_code"] == 5


async def test_a_payment_whose_purpose_fails_is_refunded(world: SystemWorld) -> None:
    alice = await funded(world)
    argument = {"block_index": await pay(world, alice, ABSENT, TOP_UP), "canister_id": ABSENT}
    refunded = await notify(world, "notify_top_up", argument, alice)
    error = refunded["Err"]["Refunded"]
    assert error["reason"] == f'Depositing cycles failed with code 3: "Canister {ABSENT.to_str()} not found"'
    assert error["block_index"] == [5]
    # The transfer's fee, the refund's fee, and two fees that are burned.
    assert await icp_of(world, alice) == 10 * ICP - 4 * FEE
    assert await icp_of(world, CYCLES_MINTING_CANISTER, subaccount_of(ABSENT)) == 0
    assert await notify(world, "notify_top_up", argument, alice) == refunded


async def test_too_little_for_a_canister_is_refunded_but_for_four_fees_more(world: SystemWorld) -> None:
    alice = await funded(world)
    argument = {"block_index": await pay(world, alice, alice, CREATE, ICP // 100), "controller": alice}
    error = (await notify(world, "notify_create_canister", argument, alice))["Err"]["Refunded"]
    assert "Creating a canister requires a fee of 500000000000" in error["reason"]
    assert await icp_of(world, alice) == 10 * ICP - 6 * FEE


async def test_a_memo_without_meaning_is_refunded(world: SystemWorld) -> None:
    alice = await funded(world)
    argument = {"block_index": await pay(world, alice, alice, 0), "deposit_memo": []}
    refunded = await notify(world, "notify_mint_cycles", argument, alice)
    assert "does not correspond to any of the operations" in refunded["Err"]["Refunded"]["reason"]
    assert await icp_of(world, alice) == 10 * ICP - 2 * FEE
    assert await notify(world, "notify_mint_cycles", argument, alice) == refunded
    assert await icp_of(world, alice) == 10 * ICP - 2 * FEE


async def test_an_icrc1_memo_counts_too(world: SystemWorld) -> None:
    alice = await funded(world)
    to = account(CYCLES_MINTING_CANISTER, subaccount_of(alice))
    paying = {"to": to, "amount": ICP, "memo": [MINT.to_bytes(8, "little")]}
    block = (await world.update(ICP_LEDGER, "icrc1_transfer", paying, caller=alice))["Ok"]
    assert "Ok" in await notify(world, "notify_mint_cycles", {"block_index": block}, alice)


async def test_only_the_right_payment_counts(world: SystemWorld) -> None:
    alice, canister = await funded(world), world.canister()

    async def error(block: int) -> str:
        text: str = (await notify(world, "notify_mint_cycles", {"block_index": block}, alice))["Err"][
            "InvalidTransaction"
        ]
        return text

    assert await error(99) == "Block 99 not found"
    assert await error(0) == "Notification transaction must be of type Transfer"
    assert "different than in the notification" in await error(await pay(world, alice, canister, MINT))
    assert await error(await pay(world, alice, alice, TOP_UP)) == (
        f"The memo (TopUp ({TOP_UP})) in the transaction does not match the expected memo "
        f"(MintCycles ({MINT})) for the operation."
    )
    long = {"block_index": 99, "deposit_memo": [bytes(33)]}
    assert (await notify(world, "notify_mint_cycles", long, alice))["Err"]["Other"]["error_code"] == 6


async def test_a_canister_pays_for_another_with_attached_cycles(world: SystemWorld) -> None:
    payer = world.canister()

    async def create(cycles: int, **fields: Any) -> Any:
        return await world.update(CYCLES_MINTING_CANISTER, "create_canister", fields, caller=payer, cycles=cycles)

    made = await create(10**12)
    assert world.left_over == 0
    canister = world.subnet.state.canisters[made["Ok"]]
    assert canister.settings.controllers == (payer,) and canister.cycles == 5 * 10**11
    assert (await create(10**10))["Err"]["Refunded"]["create_error"] == "Insufficient cycles attached."
    assert world.left_over == 10**10
    both = {"subnet_type": ["application"], "subnet_selection": [{"Subnet": {"subnet": SUBNET}}]}
    assert (await create(10**12, **both))["Err"]["Refunded"]["refund_amount"] == world.left_over == 10**12
    elsewhere = await create(10**12, subnet_type=["european"])
    assert elsewhere["Err"]["Refunded"]["refund_amount"] == world.left_over == 10**12 - 100_000_000


async def test_the_conversion_rate_is_certified(world: SystemWorld) -> None:
    for method, label in (
        ("get_icp_xdr_conversion_rate", b"ICP_XDR_CONVERSION_RATE"),
        ("get_average_icp_xdr_conversion_rate", b"AVERAGE_ICP_XDR_CONVERSION_RATE"),
    ):
        answer = await world.query(CYCLES_MINTING_CANISTER, method)
        assert answer["data"]["xdr_permyriad_per_icp"] == 35_200
        assert digest_of(answer["hash_tree"]) == world.certified_data(CYCLES_MINTING_CANISTER)
        tree = hash_tree.from_cbor_value(cbor.loads(answer["hash_tree"]))
        found = hash_tree.lookup(tree, [label])
        assert isinstance(found, hash_tree.Found)
        assert candid.decode(found.value, [CONVERSION_RATE]) == [answer["data"]]


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("get_default_subnets", [SUBNET]),
        ("get_subnet_types_to_subnets", {"data": [["application", [SUBNET]]]}),
        ("get_principals_authorized_to_create_canisters_to_subnets", {"data": []}),
    ],
)
async def test_it_tells_where_canisters_are_created(world: SystemWorld, method: str, answer: object) -> None:
    assert await world.query(CYCLES_MINTING_CANISTER, method) == answer


async def test_a_block_is_paid_out_once_over_a_restart(tmp_path: Any) -> None:
    async with open_world(tmp_path) as world:
        alice, canister = await funded(world), world.canister()
        argument = {"block_index": await pay(world, alice, canister, TOP_UP), "canister_id": canister}
        await notify(world, "notify_top_up", argument, alice)
        rate = await world.query(CYCLES_MINTING_CANISTER, "get_icp_xdr_conversion_rate")
    async with open_world(tmp_path) as world:
        assert await notify(world, "notify_top_up", argument, alice) == {"Ok": CYCLES_PER_ICP}
        assert world.cycles_of(canister) == CYCLES_PER_ICP
        assert await world.query(CYCLES_MINTING_CANISTER, "get_icp_xdr_conversion_rate") == rate
