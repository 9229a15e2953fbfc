"""cycles-ledger.did, ICRC-3: transactions of the cycles ledger as its blocks have them, and what makes them valid."""

from __future__ import annotations

from icmigrate.protocol.hash_of_map import hash_of_map
from icmigrate.protocol.principal import MANAGEMENT_CANISTER
from icmigrate.replica.management.candid_types import Record, given, optional
from icmigrate.replica.system_canisters.icrc import Account
from icmigrate.replica.system_canisters.icrc3 import Value
from icmigrate.replica.system_canisters.ledger_records import (
    MAX_MEMO_LENGTH,
    PERMITTED_DRIFT,
    TRANSACTION_WINDOW,
    LedgerRecords,
    check_created_at_time,
)
from icmigrate.replica.system_canisters.system_canister import Failure, Trap

DENIED_OWNER, ZERO_AMOUNT = 100_001, 100_002
"""Codes of GenericError."""

Transaction = dict[str, Value]
"""The `tx` of a block."""

TRANSACTION_FIELDS = {
    "fee": "fee",
    "memo": "memo",
    "ts": "created_at_time",
    "expected_allowance": "expected_allowance",
    "expires_at": "expires_at",
}
"""Optional fields of a `tx`, and of the arguments that they come from."""


def transaction_of(
    operation: str,
    record: Record,
    *,
    payer: Account | None = None,
    to: Account | None = None,
    spender: Account | None = None,
) -> Transaction:
    """The transaction that a record of arguments asks for."""
    transaction: Transaction = {"op": operation, "amt": record["amount"]}
    for name, account in (("from", payer), ("to", to), ("spender", spender)):
        if account is not None:
            transaction[name] = [account.owner.bytes, *optional(account.subaccount)]
    for name, argument in TRANSACTION_FIELDS.items():
        if (value := given(record.get(argument, []))) is not None:
            transaction[name] = value
    return transaction


def check_duplicate(records: LedgerRecords, transaction: Transaction, now: int) -> None:
    """Refuses what is in a block already. Only transactions with a time are remembered, and as long as it counts."""
    created_at_time = transaction.get("ts")
    if not isinstance(created_at_time, int) or created_at_time + TRANSACTION_WINDOW + PERMITTED_DRIFT < now:
        return
    known = records.remembered(hash_of_map(transaction))
    if known is not None:
        raise Failure("Duplicate", duplicate_of=known[0], canister_id=optional(known[1]))


def check_memo_and_time(transaction: Transaction, now: int) -> None:
    memo, created_at_time = transaction.get("memo"), transaction.get("ts")
    if isinstance(memo, bytes) and len(memo) > MAX_MEMO_LENGTH:
        raise Trap(f"memo length exceeds the maximum of {MAX_MEMO_LENGTH} bytes")
    if isinstance(created_at_time, int):
        check_created_at_time(created_at_time, now, grace=PERMITTED_DRIFT)


def check_owners(what: str, *accounts: Account | None) -> None:
    """The management canister has no accounts."""
    for account in accounts:
        if account is not None and account.owner == MANAGEMENT_CANISTER:
            raise generic_error(DENIED_OWNER, f"Owner of the account {account} cannot be part of {what}")


def generic_error(code: int, message: str) -> Failure:
    return Failure("GenericError", error_code=code, message=message)
