"""ICRC-21: what a person is shown before they sign a call to the ICP ledger."""

from __future__ import annotations

from typing import Any

import pytest

from icmigrate.protocol import candid
from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import ANONYMOUS, Principal
from icmigrate.replica.system_canisters import icrc
from icmigrate.replica.system_canisters.icp_blocks import account_identifier
from icmigrate.replica.system_canisters.icp_ledger import ICP_LEDGER
from icmigrate.replica.system_canisters.icp_ledger_types import TRANSFER_ARGS
from icmigrate.replica.system_canisters.icrc import Account
from tests.replica.http.client import encode
from tests.worlds.system_canisters import SystemWorld, account, somebody, subaccount

ICP = 10**8
ALICE, BOB = somebody(), somebody()
ARGUMENTS = {
    "icrc1_transfer": icrc.TRANSFER_ARG,
    "icrc2_approve": icrc.APPROVE_ARGS,
    "icrc2_transfer_from": icrc.TRANSFER_FROM_ARGS,
    "transfer": TRANSFER_ARGS,
}


async def shown(
    world: SystemWorld,
    method: str,
    argument: dict[str, Any] | bytes,
    *,
    caller: Principal = ALICE,
    device: str = "GenericDisplay",
    offset: int | None = None,
) -> Any:
    arg = argument if isinstance(argument, bytes) else encode(ARGUMENTS[method], argument)
    metadata = {"language": "de", "utc_offset_minutes": [] if offset is None else [offset]}
    preferences = {"metadata": metadata, "device_spec": [{device: None}]}
    request = {"method": method, "arg": arg, "user_preferences": preferences}
    return await world.update(ICP_LEDGER, "icrc21_canister_call_consent_message", request, caller=caller)


async def text(world: SystemWorld, method: str, argument: dict[str, Any], **options: Any) -> str:
    answer = (await shown(world, method, argument, **options))["Ok"]
    assert answer["metadata"]["language"] == "en"
    message: str = answer["consent_message"]["GenericDisplayMessage"]
    return message


async def test_a_transfer_is_told(world: SystemWorld) -> None:
    argument = {"to": account(BOB, subaccount(1)), "amount": 3 * ICP // 2, "memo": [b"rent"]}
    assert await text(world, "icrc1_transfer", argument) == (
        "# Send Internet Computer\n\n"
        "You are approving a transfer of funds from your account.\n\n"
        f"**From:**\n`{ALICE.to_str()}`\n\n"
        "**Amount:** `1.5 ICP`\n\n"
        f"**To:**\n`{Account(BOB, subaccount(1))}`\n\n"
        "**Fees:** `0.0001 ICP`\nCharged for processing the transfer.\n\n"
        "**Memo:**\n`rent`"
    )
    unsigned = await text(world, "icrc1_transfer", {**argument, "memo": [b"\xff\x00"]}, caller=ANONYMOUS)
    assert "**From:**" not in unsigned and unsigned.endswith("`ff00`")


async def test_a_transfer_to_an_account_identifier_is_told(world: SystemWorld) -> None:
    to = account_identifier(Account(BOB))
    argument = {"memo": 7, "amount": {"e8s": 20 * ICP}, "fee": {"e8s": 10_000}, "to": to}
    message = await text(world, "transfer", argument)
    assert f"**To:**\n`{to.hex()}`" in message and "`20 ICP`" in message and message.endswith("**Memo:**\n`7`")
    assert account_identifier(Account(ALICE)).hex() in message


async def test_an_approval_is_told(world: SystemWorld) -> None:
    argument = {"spender": account(BOB), "amount": 1, "expected_allowance": [ICP], "expires_at": [10**18]}
    assert await text(world, "icrc2_approve", argument, offset=120) == (
        "# Approve spending\n\n"
        "You are authorizing another address to withdraw funds from your account.\n\n"
        f"**From:**\n`{ALICE.to_str()}`\n\n"
        f"**Approve to spender:**\n`{BOB.to_str()}`\n\n"
        "**Requested allowance:** `0.00000001 ICP`\nThis is the withdrawal limit that will apply upon approval.\n\n"
        "**Existing allowance:** `1 ICP`\nUntil approval, this allowance remains in effect.\n\n"
        "**Approval expiration:**\nSun, 09 Sep 2001 03:46:40 +0200\n\n"
        "**Approval fees:** `0.0001 ICP`\nCharged for processing the approval.\n\n"
        f"**Fees paid by:**\n`{ALICE.to_str()}`"
    )
    forever = await text(world, "icrc2_approve", {"spender": account(BOB), "amount": ICP})
    assert "This approval does not have an expiration." in forever


async def test_a_small_display_gets_fields(world: SystemWorld) -> None:
    argument = {"from": account(BOB), "to": account(ALICE), "amount": ICP}
    answer = await shown(world, "icrc2_transfer_from", argument, device="FieldsDisplay")
    message = answer["Ok"]["consent_message"]["FieldsDisplayMessage"]
    assert message["intent"] == "Spend Internet Computer"
    assert [*dict(message["fields"])] == ["From", "Amount", "Spender", "To", "Fees"]
    assert dict(message["fields"])["Amount"] == {"TokenAmount": {"decimals": 8, "amount": ICP, "symbol": "ICP"}}
    approval = {"spender": account(BOB), "amount": 1, "expires_at": [5 * 10**9]}
    answer = await shown(world, "icrc2_approve", approval, device="FieldsDisplay")
    fields = dict(answer["Ok"]["consent_message"]["FieldsDisplayMessage"]["fields"])
    assert fields["Approval expiration"] == {"TimestampSeconds": {"amount": 5}}


@pytest.mark.parametrize(
    ("method", "argument", "error"),
    [
        ("icrc1_burn", b"", "not supported: icrc1_burn"),
        ("icrc1_transfer", bytes(501), "too large"),
        ("icrc1_transfer", b"nonsense", "Failed to decode TransferArg"),
        ("icrc1_transfer", candid.encode([T.Text], ["x"]), "Failed to decode TransferArg"),
        ("icrc1_transfer", {"to": account(BOB, b"short"), "amount": 1}, "Failed to decode TransferArg"),
        (
            "icrc1_transfer",
            {"to": account(BOB), "amount": 1, "fee": [1]},
            "The fee specified in the arguments (1) is different than the ledger fee (10_000)",
        ),
    ],
)
async def test_what_cannot_be_told_is_refused(world: SystemWorld, method: str, argument: Any, error: str) -> None:
    refused = (await shown(world, method, argument))["Err"]["UnsupportedCanisterCall"]
    assert error in refused["description"]
