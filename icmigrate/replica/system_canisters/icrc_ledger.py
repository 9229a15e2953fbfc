"""ICRC-1 and ICRC-2 of the token standards: the methods that every ledger has."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from icmigrate.protocol.candid import Types as T
from icmigrate.replica.management.candid_types import Record, given, optional
from icmigrate.replica.storage.changes import Changes
from icmigrate.replica.system_canisters import icrc
from icmigrate.replica.system_canisters.icrc import Account
from icmigrate.replica.system_canisters.ledger_records import Allowance, LedgerRecords
from icmigrate.replica.system_canisters.system_canister import (
    Failure,
    MethodCall,
    NativeMethod,
    SystemCanister,
    Trap,
    query,
)


@dataclass(frozen=True, slots=True)
class Token:
    """What a ledger says about its token. Amounts and fee are in its smallest units."""

    name: str
    symbol: str
    decimals: int
    fee: int
    standards: dict[str, str]
    """Names of the supported standards and where they are written."""


class IcrcLedger(SystemCanister):
    """A ledger: the table of ICRC-1 and ICRC-2. How transactions are judged and noted differs between ledgers."""

    token: Token

    def methods(self) -> dict[str, NativeMethod]:
        token = self.token
        standards = [{"name": name, "url": url} for name, url in token.standards.items()]
        return {
            "icrc1_name": query(T.Text, lambda _: token.name),
            "icrc1_symbol": query(T.Text, lambda _: token.symbol),
            "icrc1_decimals": query(T.Nat8, lambda _: token.decimals),
            "icrc1_fee": query(T.Nat, lambda _: token.fee),
            "icrc1_metadata": query(icrc.METADATA, lambda _: self.metadata()),
            "icrc1_minting_account": query(T.Opt(icrc.ACCOUNT), lambda _: []),
            "icrc1_supported_standards": query(icrc.STANDARDS, lambda _: standards),
            "icrc10_supported_standards": query(icrc.STANDARDS, lambda _: standards),
            "icrc1_total_supply": query(T.Nat, lambda call: self.records(call.changes).total_supply()),
            "icrc1_balance_of": query(T.Nat, self._balance_of, icrc.ACCOUNT),
            "icrc1_transfer": NativeMethod((icrc.TRANSFER_ARG,), icrc.TRANSFER_RESULT, self._transfer),
            "icrc2_transfer_from": NativeMethod(
                (icrc.TRANSFER_FROM_ARGS,), icrc.TRANSFER_FROM_RESULT, self._transfer_from
            ),
            "icrc2_approve": NativeMethod((icrc.APPROVE_ARGS,), icrc.APPROVE_RESULT, self._approve),
            "icrc2_allowance": query(icrc.ALLOWANCE, self._allowance, icrc.ALLOWANCE_ARGS),
        }

    def metadata(self) -> list[tuple[str, Record]]:
        """What `icrc1_metadata` answers."""
        token = self.token
        return [
            ("icrc1:decimals", {"Nat": token.decimals}),
            ("icrc1:name", {"Text": token.name}),
            ("icrc1:symbol", {"Text": token.symbol}),
            ("icrc1:fee", {"Nat": token.fee}),
        ]

    def records(self, changes: Changes) -> LedgerRecords:
        return LedgerRecords(changes, self.id)

    # ------------------------------------------------------------------------------------ of each ledger

    @abstractmethod
    def account_key(self, account: Account) -> bytes:
        """Under what the records knows an account."""

    def balance(self, records: LedgerRecords, account: Account) -> int:
        return records.balance(self.account_key(account))

    @abstractmethod
    def transfer(self, call: MethodCall, payer: Account, to: Account, spender: Account | None, record: Record) -> int:
        """The block of a transfer, which `spender` asked for if it is not the payer. Raises Failure."""

    @abstractmethod
    def approve(self, call: MethodCall, payer: Account, spender: Account, record: Record) -> int:
        """The block of an approval. Raises Failure."""

    # ------------------------------------------------------------------------------------ methods

    def _balance_of(self, call: MethodCall, account: Record) -> int:
        return self.balance(self.records(call.changes), Account.of(account))

    def _transfer(self, call: MethodCall, record: Record) -> Record:
        payer = Account(call.caller, given(record["from_subaccount"]))
        return {"Ok": self.transfer(call, payer, Account.of(record["to"]), None, record)}

    def _transfer_from(self, call: MethodCall, record: Record) -> Record:
        spender = Account(call.caller, given(record["spender_subaccount"]))
        payer, to = Account.of(record["from"]), Account.of(record["to"])
        return {"Ok": self.transfer(call, payer, to, spender, record)}

    def _approve(self, call: MethodCall, record: Record) -> Record:
        payer = Account(call.caller, given(record["from_subaccount"]))
        spender = Account.of(record["spender"])
        if payer.owner == spender.owner:
            raise Trap("self approval is not allowed")
        return {"Ok": self.approve(call, payer, spender, record)}

    def _allowance(self, call: MethodCall, record: Record) -> Record:
        allowance = self.allowance(call, Account.of(record["account"]), Account.of(record["spender"]))
        return {"allowance": allowance.amount, "expires_at": optional(allowance.expires_at)}

    def allowance(self, call: MethodCall, account: Account, spender: Account) -> Allowance:
        """What the spender may take now."""
        records = self.records(call.changes)
        return records.allowance(self.account_key(account), self.account_key(spender)).at(call.now)

    def check_fee(self, record: Record, expected: int) -> None:
        """A fee that is given has to be the right one."""
        if record["fee"] not in ([], [expected]):
            raise Failure("BadFee", expected_fee=expected)
