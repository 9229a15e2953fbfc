"""index.did of the ICP index canister: the transactions of one account."""

from __future__ import annotations

from icmigrate.protocol.candid import Types as T
from icmigrate.replica.management.candid_types import BLOB, Record
from icmigrate.replica.system_canisters import icp_blocks, icrc
from icmigrate.replica.system_canisters.icp_blocks import TIME_STAMP, account_identifier, identifier_of_text
from icmigrate.replica.system_canisters.icp_ledger import ICP_INDEX
from icmigrate.replica.system_canisters.icrc import Account
from icmigrate.replica.system_canisters.ledger_index import LedgerIndex, transactions_result
from icmigrate.replica.system_canisters.system_canister import MethodCall, NativeMethod, query

TRANSACTION = T.Record(
    {
        "memo": T.Nat64,
        "icrc1_memo": T.Opt(BLOB),
        "operation": icp_blocks.operation_type(T.Text),
        "created_at_time": T.Opt(TIME_STAMP),
        "timestamp": T.Opt(TIME_STAMP),
    }
)
TRANSACTIONS_RESULT = transactions_result(T.Nat64, TRANSACTION)
BY_IDENTIFIER = T.Record({"account_identifier": T.Text, "start": T.Opt(T.Nat64), "max_results": T.Nat64})
BY_ACCOUNT = T.Record({"account": icrc.ACCOUNT, "start": T.Opt(T.Nat), "max_results": T.Nat})


class IcpIndex(LedgerIndex):
    """`qhbym-qaaaa-aaaaa-aaafq-cai`: who wants to know what happened to an account asks here."""

    id = ICP_INDEX
    number = T.Nat64
    shown_block = BLOB

    def methods(self) -> dict[str, NativeMethod]:
        return {
            **super().methods(),
            "get_account_identifier_balance": query(
                T.Nat64, lambda call, text: self._balance(call, identifier_of_text(text)), T.Text
            ),
            "icrc1_balance_of": query(
                T.Nat64,
                lambda call, record: self._balance(call, account_identifier(Account.of(record))),
                icrc.ACCOUNT,
            ),
            "get_account_identifier_transactions": query(
                TRANSACTIONS_RESULT,
                lambda call, record: self._transactions(call, identifier_of_text(record["account_identifier"]), record),
                BY_IDENTIFIER,
            ),
            "get_account_transactions": query(
                TRANSACTIONS_RESULT,
                lambda call, record: self._transactions(
                    call, account_identifier(Account.of(record["account"])), record
                ),
                BY_ACCOUNT,
            ),
        }

    def _balance(self, call: MethodCall, account: bytes) -> int:
        return self._ledger.records(call.changes).balance(account)

    def _transactions(self, call: MethodCall, account: bytes, record: Record) -> Record:
        return self.transactions(call, account, self._balance(call, account), record)

    def show_block(self, encoded: bytes) -> object:
        return encoded

    def show_transaction(self, encoded: bytes) -> Record:
        block = icp_blocks.decode_block(encoded)
        ((operation, fields),) = block["transaction"]["operation"][0].items()
        return {
            **block["transaction"],
            "operation": {operation: {name: _as_text(value) for name, value in fields.items()}},
            "created_at_time": [block["transaction"]["created_at_time"]],
            "timestamp": [block["timestamp"]],
        }


def _as_text(value: object) -> object:
    """An account as index.did writes it; other fields as they are."""
    match value:
        case bytes():
            return value.hex()
        case [bytes(account)]:
            return [account.hex()]
    return value
