"""index-ng.did of the ICRC index canister, here the cycles ledger's: the transactions of one account."""

from __future__ import annotations

from typing import Any

from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import Principal
from icmigrate.replica.management.candid_types import BLOB, Record, optional
from icmigrate.replica.system_canisters import icrc, icrc3
from icmigrate.replica.system_canisters.cycles_ledger import CYCLES_INDEX
from icmigrate.replica.system_canisters.icrc import DEFAULT_SUBACCOUNT, SUBACCOUNT_LENGTH, Account
from icmigrate.replica.system_canisters.ledger_index import LedgerIndex, transactions_result
from icmigrate.replica.system_canisters.ledger_records import MAX_RESULTS
from icmigrate.replica.system_canisters.system_canister import MethodCall, NativeMethod, query

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
LIST_SUBACCOUNTS_ARGS = T.Record({"owner": T.Principal, "start": T.Opt(BLOB)})


class CyclesIndex(LedgerIndex):
    """`ul4oc-4iaaa-aaaaq-qaabq-cai`: who wants to know what happened to an account of cycles asks here."""

    id = CYCLES_INDEX
    number = T.Nat
    shown_block = icrc3.VALUE

    def methods(self) -> dict[str, NativeMethod]:
        ranges = T.Record({"ranges": T.Vec(T.Tuple(icrc.ACCOUNT, T.Vec(T.Tuple(T.Nat, T.Nat))))})
        transactions = transactions_result(T.Nat, TRANSACTION)
        return {
            **super().methods(),
            "get_fee_collectors_ranges": query(ranges, lambda _: {"ranges": []}),
            "icrc1_balance_of": query(T.Nat, self._balance_of, icrc.ACCOUNT),
            "list_subaccounts": query(T.Vec(BLOB), self._list_subaccounts, LIST_SUBACCOUNTS_ARGS),
            "get_account_transactions": query(
                transactions, self._get_account_transactions, GET_ACCOUNT_TRANSACTIONS_ARGS
            ),
        }

    def _balance_of(self, call: MethodCall, record: Record) -> int:
        return self._ledger.balance(self._ledger.records(call.changes), Account.of(record))

    def _list_subaccounts(self, call: MethodCall, record: Record) -> list[bytes]:
        """Those that ever had a balance, after `start`."""
        of_owner = Account(record["owner"]).key[: -len(DEFAULT_SUBACCOUNT)]
        accounts = self._ledger.records(call.changes).accounts(of_owner)
        subaccounts = [key[-SUBACCOUNT_LENGTH:] for key in accounts]
        return [each for each in subaccounts if all(each > start for start in record["start"])][:MAX_RESULTS]

    def _get_account_transactions(self, call: MethodCall, record: Record) -> Record:
        balance = self._balance_of(call, record["account"])
        return self.transactions(call, Account.of(record["account"]).key, balance, record)

    def show_block(self, encoded: bytes) -> object:
        return icrc3.to_candid(icrc3.decode(encoded))

    def show_transaction(self, encoded: bytes) -> Record:
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


def _account(parts: list[bytes]) -> Account:
    """The account that a block writes as owner and subaccount."""
    return Account(Principal(parts[0]), *parts[1:])
