"""ICRC-21, "Canister call consent messages": what a person is shown before they sign a call to the ICP ledger.

A message is a list of entries, one table for each method; the two kinds of display show the same entries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

from icmigrate.protocol import candid
from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import ANONYMOUS, Principal
from icmigrate.replica.management.candid_types import BLOB, Record, Type, enumeration, given
from icmigrate.replica.system_canisters import icrc
from icmigrate.replica.system_canisters.icp_blocks import account_identifier, checked_identifier
from icmigrate.replica.system_canisters.icrc import Account
from icmigrate.replica.system_canisters.icrc_ledger import Token
from icmigrate.replica.system_canisters.system_canister import Failure, Trap, result

MAX_ARGUMENT = 500
"""Bytes of an argument that a message is made for."""

METADATA = T.Record({"language": T.Text, "utc_offset_minutes": T.Opt(T.Int16)})
REQUEST = T.Record(
    {
        "method": T.Text,
        "arg": BLOB,
        "user_preferences": T.Record(
            {"metadata": METADATA, "device_spec": T.Opt(enumeration("GenericDisplay", "FieldsDisplay"))}
        ),
    }
)
VALUE = T.Variant(
    {
        "TokenAmount": T.Record({"decimals": T.Nat8, "amount": T.Nat64, "symbol": T.Text}),
        "TimestampSeconds": T.Record({"amount": T.Nat64}),
        "DurationSeconds": T.Record({"amount": T.Nat64}),
        "Text": T.Record({"content": T.Text}),
    }
)
FIELDS_DISPLAY = T.Record({"intent": T.Text, "fields": T.Vec(T.Tuple(T.Text, VALUE))})
CONSENT_MESSAGE = T.Variant({"GenericDisplayMessage": T.Text, "FieldsDisplayMessage": FIELDS_DISPLAY})
ERROR_INFO = T.Record({"description": T.Text})
RESPONSE = result(
    T.Record({"consent_message": CONSENT_MESSAGE, "metadata": METADATA}),
    T.Variant(
        {
            "UnsupportedCanisterCall": ERROR_INFO,
            "ConsentMessageUnavailable": ERROR_INFO,
            "InsufficientPayment": ERROR_INFO,
            "GenericError": T.Record({"error_code": T.Nat, "description": T.Text}),
        }
    ),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to know: as a field with a value (ICRC-21 `Value`), and as Markdown."""

    name: str
    value: Record
    markdown: str


Messages = tuple[str, str, list[Entry]]
"""Intent, what it means, and the entries."""


class Writer:
    """Makes entries for one token, one caller and the caller's time zone."""

    def __init__(self, token: Token, caller: Principal, utc_offset_minutes: int) -> None:
        self._token = token
        self._caller = caller
        self._zone = timezone(timedelta(minutes=utc_offset_minutes))

    # ------------------------------------------------------------------------------------ messages

    def transfer(self, record: Record) -> Messages:
        """Of `icrc1_transfer`."""
        payer = Account(self._caller, given(record["from_subaccount"]))
        return self._send(str(payer), str(Account.of(record["to"])), record["amount"], self._memo(record))

    def transfer_tokens(self, record: Record) -> Messages:
        """Of `transfer`, which knows accounts by identifier."""
        payer = account_identifier(Account(self._caller, given(record["from_subaccount"]))).hex()
        memo = self._text("Memo", str(record["memo"]))
        return self._send(payer, checked_identifier(record["to"]).hex(), record["amount"]["e8s"], [memo])

    def _send(self, payer: str, to: str, amount: int, memo: list[Entry]) -> Messages:
        entries = [*self._own("From", payer), self._amount("Amount", amount), self._text("To", to), self._fees(), *memo]
        return f"Send {self._token.name}", "You are approving a transfer of funds from your account.", entries

    def transfer_from(self, record: Record) -> Messages:
        """Of `icrc2_transfer_from`."""
        spender = Account(self._caller, given(record["spender_subaccount"]))
        entries = [
            self._text("From", str(Account.of(record["from"]))),
            self._amount("Amount", record["amount"]),
            *self._own("Spender", str(spender)),
            self._text("To", str(Account.of(record["to"]))),
            self._fees(),
            *self._memo(record),
        ]
        meaning = "You are approving a transfer of funds from a withdrawal account."
        return f"Spend {self._token.name}", meaning, entries

    def approve(self, record: Record) -> Messages:
        """Of `icrc2_approve`."""
        payer = str(Account(self._caller, given(record["from_subaccount"])))
        limit = "This is the withdrawal limit that will apply upon approval."
        in_effect = "Until approval, this allowance remains in effect."
        entries = [
            *self._own("From", payer),
            self._text("Approve to spender", str(Account.of(record["spender"]))),
            self._amount("Requested allowance", record["amount"], limit),
            *(self._amount("Existing allowance", held, in_effect) for held in record["expected_allowance"]),
            self._expiration(given(record["expires_at"])),
            self._amount("Approval fees", self._token.fee, "Charged for processing the approval."),
            *self._own("Fees paid by", payer),
            *self._memo(record),
        ]
        meaning = "You are authorizing another address to withdraw funds from your account."
        return "Approve spending", meaning, entries

    # ------------------------------------------------------------------------------------ entries

    def _text(self, name: str, content: str) -> Entry:
        return Entry(name, {"Text": {"content": content}}, f"**{name}:**\n`{content}`")

    def _own(self, name: str, account: str) -> list[Entry]:
        """An account of the caller, unless the caller is not known yet."""
        return [] if self._caller == ANONYMOUS else [self._text(name, account)]

    def _amount(self, name: str, amount: int, note: str = "") -> Entry:
        if amount >= 1 << 64:
            raise Failure("GenericError", error_code=500, description="Failed to convert tokens to u64")
        token = self._token
        shown = f"{Decimal(amount).scaleb(-token.decimals).normalize():f}"
        markdown = f"**{name}:** `{shown} {token.symbol}`"
        value = {"TokenAmount": {"decimals": token.decimals, "amount": amount, "symbol": token.symbol}}
        return Entry(name, value, f"{markdown}\n{note}" if note else markdown)

    def _fees(self) -> Entry:
        return self._amount("Fees", self._token.fee, "Charged for processing the transfer.")

    def _expiration(self, expires_at: int | None) -> Entry:
        name = "Approval expiration"
        if expires_at is None:
            never = "This approval does not have an expiration."
            return Entry(name, {"Text": {"content": never}}, f"**{name}:**\n{never}")
        seconds = expires_at // 10**9
        try:
            shown = format_datetime(datetime.fromtimestamp(seconds, UTC).astimezone(self._zone))
        except (OverflowError, ValueError):
            shown = f"Invalid timestamp: {expires_at}"
        return Entry(name, {"TimestampSeconds": {"amount": seconds}}, f"**{name}:**\n{shown}")

    def _memo(self, record: Record) -> list[Entry]:
        """Text if it is UTF-8, else hexadecimal digits."""
        entries = []
        for memo in record["memo"]:
            try:
                entries.append(self._text("Memo", memo.decode()))
            except UnicodeDecodeError:
                entries.append(self._text("Memo", memo.hex()))
        return entries


@dataclass(frozen=True, slots=True)
class Explained:
    """A method that has messages: the type of its argument, its name, and who writes the message."""

    argument: Type
    argument_name: str
    write: Callable[[Writer, Record], Messages]


def methods(transfer_args: Type) -> Mapping[str, Explained]:
    """The methods that are explained; `transfer_args` is the type of the argument of `transfer`."""
    return {
        "icrc1_transfer": Explained(icrc.TRANSFER_ARG, "TransferArg", Writer.transfer),
        "icrc2_approve": Explained(icrc.APPROVE_ARGS, "ApproveArgs", Writer.approve),
        "icrc2_transfer_from": Explained(icrc.TRANSFER_FROM_ARGS, "TransferFromArgs", Writer.transfer_from),
        "transfer": Explained(transfer_args, "TransferArgs", Writer.transfer_tokens),
    }


def consent_message(explained: Mapping[str, Explained], token: Token, caller: Principal, request: Record) -> Record:
    """The answer to `icrc21_canister_call_consent_message`. Raises Failure. Always in English."""
    preferences = request["user_preferences"]
    method, offset = explained.get(request["method"]), preferences["metadata"]["utc_offset_minutes"]
    if method is None:
        raise _unsupported(
            f"The function provided is not supported: {request['method']}.\n "
            f"Supported functions for ICRC-21 are: {', '.join(explained)}."
        )
    if len(request["arg"]) > MAX_ARGUMENT:
        raise _unsupported(f"The argument size is too large. The maximum allowed size is {MAX_ARGUMENT} bytes.")
    try:
        argument: Any = candid.decode(request["arg"], [method.argument])[0]
        _check_fee(argument["fee"], token.fee)
        intent, meaning, entries = method.write(Writer(token, caller, given(offset) or 0), argument)
    except (candid.CandidError, Trap) as error:
        raise _unsupported(f"Failed to decode {method.argument_name}: {error}") from None
    message: Record
    if given(preferences["device_spec"]) == {"FieldsDisplay": None}:
        fields = [(entry.name, entry.value) for entry in entries]
        message = {"FieldsDisplayMessage": {"intent": intent, "fields": fields}}
    else:
        paragraphs = [f"# {intent}", meaning, *(entry.markdown for entry in entries)]
        message = {"GenericDisplayMessage": "\n\n".join(paragraphs)}
    return {"Ok": {"consent_message": message, "metadata": {"language": "en", "utc_offset_minutes": offset}}}


def _check_fee(fee: Any, expected: int) -> None:
    """`fee` is an `opt nat`, or `Tokens`."""
    fees = [fee["e8s"]] if isinstance(fee, dict) else fee
    if fees not in ([], [expected]):
        raise _unsupported(
            f"The fee specified in the arguments ({fees[0]:_}) is different than the ledger fee ({expected:_})"
        )


def _unsupported(description: str) -> Failure:
    return Failure("UnsupportedCanisterCall", description=description)
