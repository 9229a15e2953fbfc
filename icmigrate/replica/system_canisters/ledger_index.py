"""index-ng.did and index.did: what the index canisters of the ICP and the cycles ledger have in common.

An index reads its ledger's own blocks, so it is never behind.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import Principal
from icmigrate.replica.management.candid_types import Record, Type
from icmigrate.replica.management.operations import CanisterOperations
from icmigrate.replica.system_canisters.icrc_ledger import IcrcLedger
from icmigrate.replica.system_canisters.ledger_records import MAX_RESULTS, newest_first
from icmigrate.replica.system_canisters.system_canister import (
    MethodCall,
    NativeMethod,
    SystemCanister,
    query,
    result,
)

GET_BLOCKS_REQUEST = T.Record({"start": T.Nat, "length": T.Nat})


def transactions_result(number: Type, transaction: Type) -> Type:
    """What the methods that list the transactions of an account answer with."""
    found = {
        "balance": number,
        "transactions": T.Vec(T.Record({"id": number, "transaction": transaction})),
        "oldest_tx_id": T.Opt(number),
    }
    return result(T.Record(found), T.Record({"message": T.Text}))


class LedgerIndex(SystemCanister):
    """The index of one ledger. How a block and its transaction are shown differs between ledgers."""

    number: Type
    """The type of amounts and of counts of blocks."""
    shown_block: Type

    def __init__(
        self, operations: CanisterOperations, data_certificate: Callable[[Principal], bytes], ledger: IcrcLedger
    ) -> None:
        self._ledger = ledger
        super().__init__(operations, data_certificate)

    def methods(self) -> dict[str, NativeMethod]:
        blocks = T.Record({"blocks": T.Vec(self.shown_block), "chain_length": T.Nat64})
        return {
            "ledger_id": query(T.Principal, lambda _: self._ledger.id),
            "status": query(T.Record({"num_blocks_synced": self.number}), self._status),
            "get_blocks": query(blocks, self._get_blocks, GET_BLOCKS_REQUEST),
        }

    @abstractmethod
    def show_block(self, encoded: bytes) -> object:
        """A block as `get_blocks` answers it."""

    @abstractmethod
    def show_transaction(self, encoded: bytes) -> Record:
        """The transaction of a block as the record `Transaction`."""

    def _status(self, call: MethodCall) -> Record:
        return {"num_blocks_synced": self._ledger.records(call.changes).length()}

    def _get_blocks(self, call: MethodCall, record: Record) -> Record:
        records = self._ledger.records(call.changes)
        blocks = records.blocks(record["start"], min(record["length"], MAX_RESULTS))
        return {"blocks": [self.show_block(block) for block in blocks], "chain_length": records.length()}

    def transactions(self, call: MethodCall, account: bytes, balance: int, record: Record) -> Record:
        """Those of an account, the newest first, beginning before `start`; `balance` is the account's."""
        records = self._ledger.records(call.changes)
        history = records.history(account)
        wanted = newest_first(history, record["start"], record["max_results"])
        shown = [
            {"id": index, "transaction": self.show_transaction(block)}
            for index in wanted
            for block in records.blocks(index, 1)
        ]
        return {"Ok": {"balance": balance, "transactions": shown, "oldest_tx_id": history[:1]}}
