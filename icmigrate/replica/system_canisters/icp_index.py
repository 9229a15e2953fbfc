"""index.did of the ICP index canister: the transactions of one account.

It reads the ledger's own blocks, so it is never behind.
"""

from __future__ import annotations

from collections.abc import Callable

from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import Principal
from icmigrate.replica.management.candid_types import BLOB, Record
from icmigrate.replica.management.operations import CanisterOperations
from icmigrate.replica.system_canisters import icp_blocks, icrc
from icmigrate.replica.system_canisters.icp_blocks import TIME_STAMP, account_identifier, identifier_of_text
from icmigrate.replica.system_canisters.icp_ledger import ICP_INDEX, IcpLedger
from icmigrate.replica.system_canisters.icrc import Account
from icmigrate.replica.system_canisters.ledger_records import MAX_RESULTS, LedgerRecords, newest_first
from icmigrate.replica.system_canisters.system_canister import MethodCall, NativeMethod, SystemCanister, query, result

TRANSACTION = T.Record(
    {
        "memo": T.Nat64,
        "icrc1_memo": T.Opt(BLOB),
        "operation": icp_blocks.operation_type(T.Text),
        "created_at_time": T.Opt(TIME_STAMP),
        "timestamp": T.Opt(TIME_STAMP),
    }
)
TRANSACTIONS_RESULT = result(
    T.Record(
        {
            "balance": T.Nat64,
            "transactions": T.Vec(T.Record({"id": T.Nat64, "transaction": TRANSACTION})),
            "oldest_tx_id": T.Opt(T.Nat64),
        }
    ),
    T.Record({"message": T.Text}),
)
BY_IDENTIFIER = T.Record({"account_identifier": T.Text, "start": T.Opt(T.Nat64), "max_results": T.Nat64})
BY_ACCOUNT = T.Record({"account": icrc.ACCOUNT, "start": T.Opt(T.Nat), "max_results": T.Nat})
GET_BLOCKS_REQUEST = T.Record({"start": T.Nat, "length": T.Nat})
GET_BLOCKS_RESPONSE = T.Record({"blocks": T.Vec(BLOB), "chain_length": T.Nat64})


class IcpIndex(SystemCanister):
    """`qhbym-qaaaa-aaaaa-aaafq-cai`: who wants to know what happened to an account asks here."""

    id = ICP_INDEX

    def __init__(
        self, operations: CanisterOperations, data_certificate: Callable[[Principal], bytes], ledger: IcpLedger
    ) -> None:
        self._ledger = ledger
        super().__init__(operations, data_certificate)

    def methods(self) -> dict[str, NativeMethod]:
        return {
            "ledger_id": query(T.Principal, lambda _: self._ledger.id),
            "status": query(T.Record({"num_blocks_synced": T.Nat64}), self._status),
            "get_blocks": query(GET_BLOCKS_RESPONSE, self._get_blocks, GET_BLOCKS_REQUEST),
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

    def _status(self, call: MethodCall) -> Record:
        return {"num_blocks_synced": self._ledger.records(call.changes).length()}

    def _balance(self, call: MethodCall, account: bytes) -> int:
        return self._ledger.records(call.changes).balance(account)

    def _get_blocks(self, call: MethodCall, record: Record) -> Record:
        records = self._ledger.records(call.changes)
        blocks = records.blocks(record["start"], min(record["length"], MAX_RESULTS))
        return {"blocks": blocks, "chain_length": records.length()}

    def _transactions(self, call: MethodCall, account: bytes, record: Record) -> Record:
        """The newest first, beginning before `start`."""
        records = self._ledger.records(call.changes)
        history = records.history(account)
        wanted = newest_first(history, record["start"], record["max_results"])
        return {
            "Ok": {
                "balance": records.balance(account),
                "transactions": [{"id": index, "transaction": _transaction(records, index)} for index in wanted],
                "oldest_tx_id": history[:1],
            }
        }


def _transaction(records: LedgerRecords, index: int) -> Record:
    """The record `Transaction` of a block."""
    (encoded,) = records.blocks(index, 1)
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
