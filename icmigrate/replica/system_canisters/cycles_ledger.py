"""cycles-ledger.did, INTERFACE_SPECIFICATION.md of the cycles ledger: accounts of cycles.

Checks come in the order of the real ledger, which decides what a wrong call is told. What differs: cycles cost
nothing locally, so every user's default account holds `ENDOWMENT` before its first transaction; the block that
mints it is written then, so that the chain of blocks accounts for every balance.
"""

from __future__ import annotations

from dataclasses import dataclass

from icmigrate.protocol import cbor
from icmigrate.protocol.hash_of_map import hash_of_map
from icmigrate.protocol.principal import ANONYMOUS, MAX_LENGTH, SELF_AUTHENTICATING, Principal
from icmigrate.replica.errors.rejected import Rejected
from icmigrate.replica.management.candid_types import Record, given, optional
from icmigrate.replica.state.responses import RejectCode
from icmigrate.replica.system_canisters import cycles_ledger_types as types
from icmigrate.replica.system_canisters import icrc, icrc3
from icmigrate.replica.system_canisters.canister_creation import (
    BAD_REQUEST_PENALTY,
    MINIMUM_CYCLES,
    CreationFailed,
    create_canister,
)
from icmigrate.replica.system_canisters.cycles_transactions import (
    ZERO_AMOUNT,
    Transaction,
    check_duplicate,
    check_memo_and_time,
    check_owners,
    generic_error,
    transaction_of,
)
from icmigrate.replica.system_canisters.icrc import DEFAULT_SUBACCOUNT, Account, account_of_key
from icmigrate.replica.system_canisters.icrc3 import Value
from icmigrate.replica.system_canisters.icrc_ledger import IcrcLedger, Token
from icmigrate.replica.system_canisters.ledger_records import MAX_MEMO_LENGTH, Allowance, LedgerRecords
from icmigrate.replica.system_canisters.system_canister import Failure, MethodCall, NativeMethod, Trap, query

CYCLES_LEDGER = Principal.from_str("um5iw-rqaaa-aaaaq-qaaba-cai")
CYCLES_INDEX = Principal.from_str("ul4oc-4iaaa-aaaaq-qaabq-cai")

ENDOWMENT = 1_000_000_000_000_000_000
"""Cycles that a user's default account begins with: a million times 10**12."""
FEE = 100_000_000
"""Cycles that every transaction costs."""
MAX_AMOUNT = (1 << 128) - 1
MAX_BLOCKS_PER_REQUEST = 50
MAX_TAKE_ALLOWANCES = 500

PENALIZE_MEMO = b"\xff" * 32
CREATE_CANISTER_MEMO = b"\xfe" * 32
REFUND_MEMO = b"\xfd" * 32

_ICRC_1 = "https://github.com/dfinity/ICRC-1/blob/main/standards"
_ICRC = "https://github.com/dfinity/ICRC/blob/main/ICRCs"
TOKEN = Token(
    "Trillion Cycles",
    "TCYCLES",
    decimals=12,
    fee=FEE,
    standards={
        **{name: f"{_ICRC_1}/{name}/README.md" for name in ("ICRC-1", "ICRC-2", "ICRC-3")},
        **{name: f"{_ICRC}/{name}/{name}.md" for name in ("ICRC-10", "ICRC-103", "ICRC-106")},
    },
)
BLOCK_TYPES = {"1burn": "ICRC-1", "1mint": "ICRC-1", "2xfer": "ICRC-2", "2approve": "ICRC-2"}


@dataclass(frozen=True, slots=True)
class Burn:
    """Cycles taken out of an account for something that may fail and be refunded."""

    index: int
    transaction: Transaction
    payer: Account
    spender: Account | None
    expires_at: int | None
    """Of the allowance that was used."""


class CyclesLedger(IcrcLedger):
    """`um5iw-rqaaa-aaaaq-qaaba-cai`: accounts of cycles; creates and tops up canisters from them."""

    id = CYCLES_LEDGER
    token = TOKEN

    def methods(self) -> dict[str, NativeMethod]:
        block_types = [{"block_type": name, "url": TOKEN.standards[standard]} for name, standard in BLOCK_TYPES.items()]
        return {
            **super().methods(),
            "icrc3_get_blocks": query(icrc3.GET_BLOCKS_RESULT, self._get_blocks, icrc3.GET_BLOCKS_ARGS),
            "icrc3_get_archives": query(icrc3.GET_ARCHIVES_RESULT, lambda *_: [], icrc3.GET_ARCHIVES_ARGS),
            "icrc3_get_tip_certificate": query(icrc3.DATA_CERTIFICATE, self._get_tip_certificate),
            "icrc3_supported_block_types": query(icrc3.SUPPORTED_BLOCK_TYPES, lambda _: block_types),
            "icrc103_get_allowances": query(
                types.GET_ALLOWANCES_RESULT, self._get_allowances, types.GET_ALLOWANCES_ARGS
            ),
            "icrc106_get_index_principal": query(icrc.INDEX_PRINCIPAL_RESULT, lambda _: {"Ok": CYCLES_INDEX}),
            "deposit": NativeMethod((types.DEPOSIT_ARGS,), types.DEPOSIT_RESULT, self._deposit),
            "withdraw": NativeMethod((types.WITHDRAW_ARGS,), types.WITHDRAW_RESULT, self._withdraw, target="to"),
            "withdraw_from": NativeMethod(
                (types.WITHDRAW_FROM_ARGS,), types.WITHDRAW_FROM_RESULT, self._withdraw_from, target="to"
            ),
            "create_canister": NativeMethod(
                (types.CREATE_CANISTER_ARGS,), types.CREATE_CANISTER_RESULT, self._create_canister
            ),
            "create_canister_from": NativeMethod(
                (types.CREATE_CANISTER_FROM_ARGS,), types.CREATE_CANISTER_FROM_RESULT, self._create_canister_from
            ),
        }

    def metadata(self) -> list[tuple[str, Record]]:
        return [
            *super().metadata(),
            ("icrc1:max_memo_length", {"Nat": MAX_MEMO_LENGTH}),
            ("dfn:max_blocks_per_request", {"Nat": MAX_BLOCKS_PER_REQUEST}),
            ("icrc106:index_principal", {"Text": CYCLES_INDEX.to_str()}),
            ("dfn:index_id", {"Blob": CYCLES_INDEX.bytes}),
        ]

    # ------------------------------------------------------------------------------------ accounts

    def account_key(self, account: Account) -> bytes:
        return account.key

    def balance(self, records: LedgerRecords, account: Account) -> int:
        return records.balance(account.key) if records.has_account(account.key) else _endowment(account)

    # ------------------------------------------------------------------------------------ ICRC-1, ICRC-2

    def transfer(self, call: MethodCall, payer: Account, to: Account, spender: Account | None, record: Record) -> int:
        records, amount = self.records(call.changes), record["amount"]
        transaction = transaction_of("xfer", record, payer=payer, to=to, spender=spender)
        check_duplicate(records, transaction, call.now)
        check_owners("transactions", payer, to, spender)
        self.check_fee(record, FEE)
        self._check_allowance(call, payer, spender, amount + FEE)
        self._check_funds(records, payer, amount + FEE)
        check_memo_and_time(transaction, call.now)
        index = self._append(call, transaction, None if record["fee"] else FEE, payer, to)
        self._take(records, payer, spender, amount + FEE)
        records.credit(to.key, amount)
        return index

    def approve(self, call: MethodCall, payer: Account, spender: Account, record: Record) -> int:
        records, allowance = self.records(call.changes), self.allowance(call, payer, spender).amount
        record = {**record, "amount": min(record["amount"], MAX_AMOUNT)}
        expires_at = given(record["expires_at"])
        transaction = transaction_of("approve", record, payer=payer, spender=spender)
        check_duplicate(records, transaction, call.now)
        check_owners("approvals", payer, spender)
        if record["expected_allowance"] not in ([], [allowance]):
            raise Failure("AllowanceChanged", current_allowance=allowance)
        self.check_fee(record, FEE)
        self._check_funds(records, payer, FEE)
        if expires_at is not None and expires_at <= call.now:
            raise Failure("Expired", ledger_time=call.now)
        check_memo_and_time(transaction, call.now)
        index = self._append(call, transaction, None if record["fee"] else FEE, payer)
        records.approve(payer.key, spender.key, Allowance(record["amount"], expires_at))
        records.debit(payer.key, FEE)
        return index

    def _check_funds(self, records: LedgerRecords, payer: Account, needed: int) -> None:
        balance = self.balance(records, payer)
        if balance < needed:
            raise Failure("InsufficientFunds", balance=balance)

    def _check_allowance(self, call: MethodCall, payer: Account, spender: Account | None, needed: int) -> None:
        """The owner may spend without an allowance, also by the methods for spenders."""
        if spender is None or spender == payer:
            return
        allowance = self.allowance(call, payer, spender).amount
        if allowance < needed:
            raise Failure("InsufficientAllowance", allowance=allowance)

    def _take(self, records: LedgerRecords, payer: Account, spender: Account | None, amount: int) -> None:
        if spender is not None and spender != payer:
            records.use_allowance(payer.key, spender.key, amount)
        records.debit(payer.key, amount)

    # ------------------------------------------------------------------------------------ blocks

    def _append(self, call: MethodCall, transaction: Transaction, fee: int | None, *accounts: Account) -> int:
        """Writes a block; before it those that mint what its accounts begin with."""
        records = self.records(call.changes)
        for account in accounts:
            amount = _endowment(account)
            if amount and not records.has_account(account.key):
                minting = transaction_of("mint", {"amount": amount}, to=account)
                self._write(call, records, {**minting, "fee": 0}, 0, account)
                records.credit(account.key, amount)
        index = self._write(call, records, transaction, fee, *accounts)
        if "ts" in transaction:
            records.remember(hash_of_map(transaction), index)
        return index

    def _write(
        self, call: MethodCall, records: LedgerRecords, transaction: Transaction, fee: int | None, *parties: Account
    ) -> int:
        block: dict[str, Value] = {"tx": transaction, "ts": call.now}
        if (parent := records.tip_hash()) is not None:
            block["phash"] = parent
        if fee is not None:
            block["fee"] = fee
        index = records.append(icrc3.encode(block), hash_of_map(block), (party.key for party in parties))
        call.changes.certify(self.id, icrc3.tip_tree(records.length(), records.tip_hash()).hash)
        return index

    def _get_blocks(self, call: MethodCall, ranges: list[Record]) -> Record:
        records = self.records(call.changes)
        blocks: list[Record] = []
        for wanted in ranges:
            length = min(wanted["length"], MAX_BLOCKS_PER_REQUEST - len(blocks))
            found = records.blocks(wanted["start"], length)
            for index, block in enumerate(found, wanted["start"]):
                blocks.append({"id": index, "block": icrc3.to_candid(icrc3.decode(block))})
        return {"log_length": records.length(), "blocks": blocks, "archived_blocks": []}

    def _get_tip_certificate(self, call: MethodCall) -> list[Record]:
        records = self.records(call.changes)
        tree = icrc3.encoded(icrc3.tip_tree(records.length(), records.tip_hash()))
        return [{"certificate": certificate, "hash_tree": tree} for certificate in optional(call.certificate)]

    def _get_allowances(self, call: MethodCall, record: Record) -> Record:
        start = Account.of(given(record["from_account"]) or {"owner": call.caller, "subaccount": []})
        previous = given(record["prev_spender"])
        after = start.key + (Account.of(previous).key if previous else b"")
        take = min([MAX_TAKE_ALLOWANCES, *record["take"]])
        allowances = []
        for key, allowance in self.records(call.changes).allowances(start.key[: -len(DEFAULT_SUBACCOUNT)]):
            if key > after and (held := allowance.at(call.now)).amount:
                payer, rest = account_of_key(key)
                allowances.append(
                    {
                        "from_account": payer.record(),
                        "to_spender": account_of_key(rest)[0].record(),
                        "allowance": held.amount,
                        "expires_at": optional(held.expires_at),
                    }
                )
        return {"Ok": allowances[:take]}

    # ------------------------------------------------------------------------------------ cycles in

    def deposit(self, call: MethodCall, to: Account, amount: int, memo: bytes | None) -> Record:
        """Mints for cycles that were given; the result of `deposit`. Raises Trap."""
        if amount < FEE:
            raise Trap(f"The requested amount {amount} to be deposited is less than the cycles ledger fee: {FEE}")
        if amount == FEE:
            raise Trap(f"Cannot deposit 0 cycles (amount: {amount}, cycles ledger fee: {FEE})")
        index = self._mint(call, to, amount - FEE, memo, FEE)
        return {"balance": self.records(call.changes).balance(to.key), "block_index": index}

    def _mint(self, call: MethodCall, to: Account, amount: int, memo: bytes | None, fee: int) -> int:
        transaction = transaction_of("mint", {"amount": amount, "fee": [fee], "memo": optional(memo)}, to=to)
        check_memo_and_time(transaction, call.now)
        index = self._append(call, transaction, 0, to)
        self.records(call.changes).credit(to.key, amount)
        return index

    def _deposit(self, call: MethodCall, record: Record) -> Record:
        amount = call.received.accept(call.received.cycles)
        return self.deposit(call, Account.of(record["to"]), amount, given(record["memo"]))

    # ------------------------------------------------------------------------------------ cycles out

    def _burn(self, call: MethodCall, payer: Account, spender: Account | None, record: Record, memo: bytes) -> Burn:
        records, amount = self.records(call.changes), record["amount"]
        burning = {**record, "memo": [memo]}
        transaction = transaction_of("burn", burning, payer=payer, spender=spender)
        check_duplicate(records, transaction, call.now)
        self._check_allowance(call, payer, spender, amount + FEE)
        self._check_funds(records, payer, amount + FEE)
        check_memo_and_time(transaction, call.now)
        used = None if spender is None else self.allowance(call, payer, spender).expires_at
        index = self._append(call, transaction, FEE, payer)
        self._take(records, payer, spender, amount + FEE)
        return Burn(index, transaction, payer, spender, used)

    def _refund(self, call: MethodCall, burn: Burn, returned: int, memo: bytes) -> tuple[int | None, int | None]:
        """Gives back what is left after the fee of each block; the blocks of refund and renewed approval."""
        amount = returned - FEE
        if amount <= 0:
            return None, None
        refund = self._mint(call, burn.payer, amount, memo, 0)
        if burn.spender is None or burn.spender == burn.payer or amount <= FEE:
            return refund, None
        held = self.allowance(call, burn.payer, burn.spender)
        renewed = {
            "amount": held.amount + amount - FEE,
            "expected_allowance": [],
            "expires_at": optional(held.expires_at or burn.expires_at),
            "fee": [],
            "memo": [PENALIZE_MEMO],
            "created_at_time": [],
        }
        return refund, self.approve(call, burn.payer, burn.spender, renewed)

    def _withdraw(self, call: MethodCall, record: Record) -> Record:
        payer = Account(call.caller, given(record["from_subaccount"]))
        return self._withdraw_by(call, payer, None, record, "FailedToWithdraw")

    def _withdraw_from(self, call: MethodCall, record: Record) -> Record:
        spender = Account(call.caller, given(record["spender_subaccount"]))
        return self._withdraw_by(call, Account.of(record["from"]), spender, record, "FailedToWithdrawFrom")

    def _withdraw_by(
        self, call: MethodCall, payer: Account, spender: Account | None, record: Record, failed: str
    ) -> Record:
        to, amount = record["to"], record["amount"]
        if _is_self_authenticating(to):
            raise Failure("InvalidReceiver", receiver=to)
        if amount == 0:
            raise generic_error(ZERO_AMOUNT, "The withdraw_from 0 cycles is not possible")
        burn = self._burn(call, payer, spender, record, _withdraw_memo(to))
        try:
            self._operations.deposit_cycles(call.changes, to, amount)
        except Rejected as rejected:
            reject = rejected.reject
            return self._failed(call, failed, burn, amount, PENALIZE_MEMO, reject.code, reject.message)
        return {"Ok": burn.index}

    def _create_canister(self, call: MethodCall, record: Record) -> Record:
        payer = Account(call.caller, given(record["from_subaccount"]))
        return self._create_by(call, payer, None, record, "FailedToCreate")

    def _create_canister_from(self, call: MethodCall, record: Record) -> Record:
        spender = Account(call.caller, given(record["spender_subaccount"]))
        return self._create_by(call, Account.of(record["from"]), spender, record, "FailedToCreateFrom")

    def _create_by(
        self, call: MethodCall, payer: Account, spender: Account | None, record: Record, failed: str
    ) -> Record:
        amount, creation = record["amount"], given(record["creation_args"])
        settings, selection = (creation["settings"], given(creation["subnet_selection"])) if creation else ([], None)
        burn = self._burn(call, payer, spender, record, CREATE_CANISTER_MEMO)
        returned, error = amount, "Insufficient cycles attached."
        if amount >= MINIMUM_CYCLES:
            try:
                made = create_canister(self._operations, call.changes, call.caller, amount, settings, selection)
            except CreationFailed as failure:
                returned, error = amount - BAD_REQUEST_PENALTY, str(failure)
            else:
                if "ts" in burn.transaction:
                    self.records(call.changes).remember(hash_of_map(burn.transaction), burn.index, made)
                return {"Ok": {"block_id": burn.index, "canister_id": made}}
        return self._failed(call, failed, burn, returned, REFUND_MEMO, RejectCode.CANISTER_ERROR, error)

    def _failed(
        self, call: MethodCall, name: str, burn: Burn, returned: int, memo: bytes, code: RejectCode, reason: str
    ) -> Record:
        """The `Err` of a burn whose purpose failed; each of the four errors takes its own of these fields."""
        refund, approval_refund = self._refund(call, burn, returned, memo)
        of_creation = name.startswith("FailedToCreate")
        fields = {
            "withdraw_from_block": [burn.index],
            "create_from_block": [burn.index],
            "fee_block": [burn.index] if of_creation else optional(refund),
            "refund_block": optional(refund),
            "approval_refund_block": optional(approval_refund),
            "rejection_code": {types.REJECTION_CODE_NAMES[code]: None},
            "rejection_reason": reason,
            "error": reason,
        }
        return {"Err": {name: fields}}


def _is_self_authenticating(principal: Principal) -> bool:
    return len(principal.bytes) == MAX_LENGTH and principal.bytes.endswith(SELF_AUTHENTICATING)


def _endowment(account: Account) -> int:
    """What an account holds before its first transaction."""
    is_user = _is_self_authenticating(account.owner) or account.owner == ANONYMOUS
    return ENDOWMENT if is_user and account.effective_subaccount == DEFAULT_SUBACCOUNT else 0


def _withdraw_memo(receiver: Principal) -> bytes:
    """CBOR: an array of the receiver's bytes."""
    return cbor.dumps([receiver.bytes]).removeprefix(cbor.SELF_DESCRIBE)
