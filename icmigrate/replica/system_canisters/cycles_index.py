"""index-ng.did of the ICRC index canister, here the cycles ledger's: the transactions of one account.

It reads the ledger's own blocks, so it is never behind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import Principal
from icmigrate.replica.management.candid_types import BLOB, Record, optional
from icmigrate.replica.management.operations import CanisterOperations
from icmigrate.replica.system_canisters import icrc, icrc3
from icmigrate.replica.system_canisters.cycles_ledger import CYCLES_INDEX, CyclesLedger
from icmigrate.replica.system_canisters.icrc import DEFAULT_SUBACCOUNT, SUBACCOUNT_LENGTH, Account
from icmigrate.replica.system_canisters.ledger_records import MAX_RESULTS, LedgerRecords, newest_first
from icmigrate.replica.system_canisters.system_canister import MethodCall, NativeMethod, SystemCanister, query, result

KINDS = {"mint": "mint", "burn": "burn", "xfer": "transfer", "approve": "approve"}
"""By `op` of a block's transaction, the field of `Transaction` that shows it."""

_COMMON = {
    "amount": T.Nat,
    "fee": T.Opt(T.Nat),
    "memo": T.Opt(BLOB),
    "created_at_time": T.Opt(T.Nat64),
}
_FROM, _TO, _SPENDER = {"from": icrc.ACCOUNT}, {"to": icrc.ACCOUNT}, {"spender": T.Opt(icrc.ACCOUNT)}
TRANSACTION = T.Record(
    {
        "kind": T.Text,
        "timestamp": T.Nat64,
        "mint": T.Opt(T.Record({**_COMMON, **_TO})),
        "burn": T.Opt(T.Record({**_COMMON, **_FROM, **_SPENDER})),
        "transfer": T.Opt(T.Record({**_COMMON, **_FROM, **_TO, **_SPENDER})),
        "approve": T.Opt(
            T.Record(
                {
                    **_COMMON,
                    **_FROM,
                    "spender": icrc.ACCOUNT,
                    "expected_allowance": T.Opt(T.Nat),
                    "expires_at": T.Opt(T.Nat64),
                }
            )
        ),
    }
)
GET_ACCOUNT_TRANSACTIONS_ARGS = T.Record({"account": icrc.ACCOUNT, "start": T.Opt(T.Nat), "max_results": T.Nat})
GET_TRANSACTIONS_RESULT = result(
    T.Record(
        {
            "balance": T.Nat,
            "transactions": T.Vec(T.Record({"id": T.Nat, "transaction": TRANSACTION})),
            "oldest_tx_id": T.Opt(T.Nat),
        }
    ),
    T.Record({"message": T.Text}),
)
GET_BLOCKS_REQUEST = T.Record({"start": T.Nat, "length": T.Nat})
GET_BLOCKS_RESPONSE = T.Record({"chain_length": T.Nat64, "blocks": T.Vec(icrc3.VALUE)})
LIST_SUBACCOUNTS_ARGS = T.Record({"owner": T.Principal, "start": T.Opt(BLOB)})


class CyclesIndex(SystemCanister):
    """`ul4oc-4iaaa-aaaaq-qaabq-cai`: who wants to know what happened to an account of cycles asks here."""

    id = CYCLES_INDEX

    def __init__(
        self, operations: CanisterOperations, data_certificate: Callable[[Principal], bytes], ledger: CyclesLedger
    ) -> None:
        self._ledger = ledger
        super().__init__(operations, data_certificate)

    def methods(self) -> dict[str, NativeMethod]:
        ranges = T.Record({"ranges": T.Vec(T.Tuple(icrc.ACCOUNT, T.Vec(T.Tuple(T.Nat, T.Nat))))})
        return {
            "ledger_id": query(T.Principal, lambda _: self._ledger.id),
            "status": query(T.Record({"num_blocks_synced": T.Nat}), self._status),
            "get_blocks": query(GET_BLOCKS_RESPONSE, self._get_blocks, GET_BLOCKS_REQUEST),
            "get_fee_collectors_ranges": query(ranges, lambda _: {"ranges": []}),
            "icrc1_balance_of": query(T.Nat, self._balance_of, icrc.ACCOUNT),
            "list_subaccounts": query(T.Vec(BLOB), self._list_subaccounts, LIST_SUBACCOUNTS_ARGS),
            "get_account_transactions": query(
                GET_TRANSACTIONS_RESULT, self._get_account_transactions, GET_ACCOUNT_TRANSACTIONS_ARGS
            ),
        }

    def _status(self, call: MethodCall) -> Record:
        return {"num_blocks_synced": self._ledger.records(call.changes).length()}

    def _balance_of(self, call: MethodCall, record: Record) -> int:
        return self._ledger.balance(self._ledger.records(call.changes), Account.of(record))

    def _get_blocks(self, call: MethodCall, record: Record) -> Record:
        records = self._ledger.records(call.changes)
        blocks = records.blocks(record["start"], min(record["length"], MAX_RESULTS))
        return {
            "chain_length": records.length(),
            "blocks": [icrc3.to_candid(icrc3.decode(block)) for block in blocks],
        }

    def _list_subaccounts(self, call: MethodCall, record: Record) -> list[bytes]:
        """Those that ever had a balance, after `start`."""
        of_owner = Account(record["owner"]).key[: -len(DEFAULT_SUBACCOUNT)]
        accounts = self._ledger.records(call.changes).accounts(of_owner)
        subaccounts = [key[-SUBACCOUNT_LENGTH:] for key in accounts]
        return [each for each in subaccounts if all(each > start for start in record["start"])][:MAX_RESULTS]

    def _get_account_transactions(self, call: MethodCall, record: Record) -> Record:
        records, account = self._ledger.records(call.changes), Account.of(record["account"])
        history = records.history(account.key)
        wanted = newest_first(history, record["start"], record["max_results"])
        return {
            "Ok": {
                "balance": self._ledger.balance(records, account),
                "transactions": [{"id": index, "transaction": _transaction(records, index)} for index in wanted],
                "oldest_tx_id": history[:1],
            }
        }


def _account(parts: list[bytes]) -> Account:
    """The account that a block writes as owner and subaccount."""
    return Account(Principal(parts[0]), *parts[1:])


def _transaction(records: LedgerRecords, index: int) -> Record:
    """The record `Transaction` of a block."""
    (encoded,) = records.blocks(index, 1)
    block: Any = icrc3.decode(encoded)
    fields = block["tx"]
    kind = KINDS[fields["op"]]
    accounts = {name: _account(fields[name]).record() for name in ("from", "to", "spender") if name in fields}
    content = {
        **accounts,
        "amount": fields["amt"],
        "fee": optional(fields.get("fee", block.get("fee"))),
        "memo": optional(fields.get("memo")),
        "created_at_time": optional(fields.get("ts")),
        "expected_allowance": optional(fields.get("expected_allowance")),
        "expires_at": optional(fields.get("expires_at")),
    }
    if kind != "approve":
        content["spender"] = optional(accounts.get("spender"))
    shown = {name: [content] if name == kind else [] for name in KINDS.values()}
    return {**shown, "kind": kind, "timestamp": block["ts"]}
