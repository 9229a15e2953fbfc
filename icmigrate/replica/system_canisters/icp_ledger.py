"""ledger.did of the ICP ledger: accounts of ICP, by account identifier and by ICRC-1, -2 account.

As on the local networks of the official tools, the anonymous principal and two well-known test accounts hold
a billion ICP each: anybody may transfer from the first. The minting account is that of the governance canister,
which is not there, so nobody mints. Blocks are never archived.
"""

from __future__ import annotations

from collections.abc import Sequence

from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import ANONYMOUS, Principal
from icmigrate.replica.management.candid_types import BLOB, Record, given, optional
from icmigrate.replica.storage.changes import Changes
from icmigrate.replica.system_canisters import icp_blocks, icrc, icrc21, protobuf
from icmigrate.replica.system_canisters import icp_ledger_types as types
from icmigrate.replica.system_canisters.icp_blocks import (
    TOKENS,
    account_identifier,
    checked_identifier,
    identifier_of_text,
)
from icmigrate.replica.system_canisters.icrc import Account
from icmigrate.replica.system_canisters.icrc_ledger import IcrcLedger, Token
from icmigrate.replica.system_canisters.ledger_records import (
    MAX_MEMO_LENGTH,
    NO_ALLOWANCE,
    TRANSACTION_WINDOW,
    Allowance,
    LedgerRecords,
    check_created_at_time,
)
from icmigrate.replica.system_canisters.system_canister import Failure, MethodCall, NativeMethod, Trap, query

ICP_LEDGER = Principal.from_str("ryjl3-tyaaa-aaaaa-aaaba-cai")
ICP_INDEX = Principal.from_str("qhbym-qaaaa-aaaaa-aaafq-cai")
GOVERNANCE = Principal.from_str("rrkah-fqaaa-aaaaa-aaaaq-cai")
MINTING_ACCOUNT = account_identifier(Account(GOVERNANCE))

TRANSFER_FEE = 10_000
"""e8s, of which 10**8 are one ICP."""
INITIAL_AMOUNT = 1_000_000_000 * 10**8
INITIAL_ACCOUNTS = (
    account_identifier(Account(ANONYMOUS)),
    bytes.fromhex("5b315d2f6702cb3a27d826161797d7b2c2e131cd312aece51d4d5574d1247087"),
    bytes.fromhex("2b8fbde99de881f695f279d2a892b1137bfe81a42d7694e064b1be58701e1138"),
)
MAX_TOKENS = (1 << 64) - 1
MAX_BLOCKS_PER_QUERY = 2000
MAX_BLOCKS_PER_CALL = 50
MAX_TAKE_ALLOWANCES = 500

_ICRC_1 = "https://github.com/dfinity/ICRC-1/tree/main/standards"
_ICRC = "https://github.com/dfinity/ICRC/blob/main/ICRCs"
_WG_IDENTITY = "https://github.com/dfinity/wg-identity-authentication/blob/main/topics"
TOKEN = Token(
    "Internet Computer",
    "ICP",
    decimals=8,
    fee=TRANSFER_FEE,
    standards={
        **{name: f"{_ICRC_1}/{name}" for name in ("ICRC-1", "ICRC-2")},
        "ICRC-21": f"{_WG_IDENTITY}/ICRC-21/icrc_21_consent_msg.md",
        **{name: f"{_ICRC}/{name}/{name}.md" for name in ("ICRC-10", "ICRC-106")},
    },
)


class IcpLedger(IcrcLedger):
    """`ryjl3-tyaaa-aaaaa-aaaba-cai`: accounts of ICP."""

    id = ICP_LEDGER
    token = TOKEN

    def methods(self) -> dict[str, NativeMethod]:
        return {
            **super().methods(),
            "name": query(T.Record({"name": T.Text}), lambda _: {"name": TOKEN.name}),
            "symbol": query(T.Record({"symbol": T.Text}), lambda _: {"symbol": TOKEN.symbol}),
            "decimals": query(T.Record({"decimals": T.Nat32}), lambda _: {"decimals": TOKEN.decimals}),
            "transfer_fee": query(
                T.Record({"transfer_fee": TOKENS}), lambda *_: {"transfer_fee": _tokens(TRANSFER_FEE)}, T.Record({})
            ),
            "account_identifier": query(BLOB, lambda _, account: account_identifier(Account.of(account)), icrc.ACCOUNT),
            "account_balance": query(TOKENS, self._account_balance, T.Record({"account": BLOB})),
            "account_balance_dfx": query(TOKENS, self._account_balance_dfx, T.Record({"account": T.Text})),
            "transfer": NativeMethod((types.TRANSFER_ARGS,), types.TRANSFER_RESULT, self._transfer_tokens),
            "send_dfx": NativeMethod((types.SEND_ARGS,), T.Nat64, self._send_dfx),
            "query_blocks": query(types.QUERY_BLOCKS_RESPONSE, self._query_blocks, types.GET_BLOCKS_ARGS),
            "query_encoded_blocks": query(
                types.QUERY_ENCODED_BLOCKS_RESPONSE, self._query_encoded_blocks, types.GET_BLOCKS_ARGS
            ),
            "tip_of_chain": query(types.TIP_OF_CHAIN_RESPONSE, self._tip_of_chain),
            "archives": query(
                T.Record({"archives": T.Vec(T.Record({"canister_id": T.Principal}))}), lambda _: {"archives": []}
            ),
            "remove_approval": NativeMethod((types.REMOVE_APPROVAL_ARGS,), icrc.APPROVE_RESULT, self._remove_approval),
            "get_allowances": query(types.ALLOWANCES, self._get_allowances, types.GET_ALLOWANCES_ARGS),
            "icrc21_canister_call_consent_message": NativeMethod(
                (icrc21.REQUEST,), icrc21.RESPONSE, self._consent_message
            ),
            "icrc106_get_index_principal": query(icrc.INDEX_PRINCIPAL_RESULT, lambda _: {"Ok": ICP_INDEX}),
            "is_ledger_ready": query(T.Bool, lambda _: True),
        }

    def metadata(self) -> list[tuple[str, Record]]:
        return [*super().metadata(), ("icrc106:index_principal", {"Text": ICP_INDEX.to_str()})]

    def install(self, changes: Changes) -> None:
        for account in INITIAL_ACCOUNTS:
            operation = icp_blocks.mint(account, INITIAL_AMOUNT)
            self._append(changes, icp_blocks.transaction(operation, created_at_time=changes.time_ns), account)
            self.records(changes).credit(account, INITIAL_AMOUNT)

    def account_key(self, account: Account) -> bytes:
        return account_identifier(account)

    # ------------------------------------------------------------------------------------ ICRC-1, ICRC-2

    def transfer(self, call: MethodCall, payer: Account, to: Account, spender: Account | None, record: Record) -> int:
        icrc1_memo, created_at_time = _checked_memo(record), given(record["created_at_time"])
        source, target = account_identifier(payer), account_identifier(to)
        if record["amount"] > MAX_TOKENS:
            raise Failure("InsufficientFunds", balance=self.records(call.changes).balance(source))
        by = None if spender is None else account_identifier(spender)
        if source == MINTING_ACCOUNT and by is not None and target != MINTING_ACCOUNT:
            raise Trap("the minter account cannot delegate mints")
        self.check_fee(record, 0 if MINTING_ACCOUNT in (source, target) else TRANSFER_FEE)
        if target == MINTING_ACCOUNT:
            minimum = min(TRANSFER_FEE, self.records(call.changes).balance(source))
            if record["amount"] < max(minimum, 1):
                raise Failure("BadBurn", min_burn_amount=minimum or TRANSFER_FEE)
        return self.move(call, source, target, record["amount"], 0, icrc1_memo, created_at_time, by)

    def move(
        self,
        call: MethodCall,
        payer: bytes,
        to: bytes,
        amount: int,
        memo: int = 0,
        icrc1_memo: bytes | None = None,
        created_at_time: int | None = None,
        spender: bytes | None = None,
    ) -> int:
        """The block of a transfer, mint or burn (to and from the minting account) of `amount` e8s. Raises Failure."""
        records, fee = self.records(call.changes), 0
        if payer == MINTING_ACCOUNT:
            operation = icp_blocks.mint(to, amount)
        elif to == MINTING_ACCOUNT:
            operation = icp_blocks.burn(payer, amount, spender)
        else:
            fee = TRANSFER_FEE
            operation = icp_blocks.transfer(payer, to, amount, fee, spender)
        transaction = icp_blocks.transaction(operation, memo, icrc1_memo, created_at_time)
        _check_time_and_duplicate(records, transaction, created_at_time, call.now)
        taker = None if spender == payer else spender  # an owner needs no allowance
        if taker is not None and (held := self._held(call, payer, taker).amount) < amount + fee:
            raise Failure("InsufficientAllowance", allowance=held)
        if payer != MINTING_ACCOUNT:
            if (balance := records.balance(payer)) < amount + fee:
                raise Failure("InsufficientFunds", balance=balance)
            records.debit(payer, amount + fee)
            if taker is not None:
                records.use_allowance(payer, taker, amount + fee)
        if to != MINTING_ACCOUNT:
            records.credit(to, amount)
        return self._append(call.changes, transaction, payer, to)

    def approve(self, call: MethodCall, payer: Account, spender: Account, record: Record) -> int:
        return self._approve_identifier(call, payer, account_identifier(spender), record)

    def _approve_identifier(self, call: MethodCall, payer: Account, spender: bytes, record: Record) -> int:
        records, source = self.records(call.changes), account_identifier(payer)
        if source == MINTING_ACCOUNT:
            raise Trap("the minting account cannot delegate mints")
        icrc1_memo, created_at_time = _checked_memo(record), given(record["created_at_time"])
        self.check_fee(record, TRANSFER_FEE)
        amount, expires_at = min(record["amount"], MAX_TOKENS), given(record["expires_at"])
        expected, held = given(record["expected_allowance"]), self._held(call, source, spender).amount
        if expected is not None and expected > MAX_TOKENS:
            raise Failure("AllowanceChanged", current_allowance=held)
        operation = icp_blocks.approve(source, spender, amount, TRANSFER_FEE, expires_at, expected)
        transaction = icp_blocks.transaction(operation, 0, icrc1_memo, created_at_time)
        _check_time_and_duplicate(records, transaction, created_at_time, call.now)
        if (balance := records.balance(source)) < TRANSFER_FEE:
            raise Failure("InsufficientFunds", balance=balance)
        if expires_at is not None and expires_at <= call.now:
            raise Failure("Expired", ledger_time=call.now)
        if expected not in (None, held):
            raise Failure("AllowanceChanged", current_allowance=held)
        records.debit(source, TRANSFER_FEE)
        records.approve(source, spender, Allowance(amount, expires_at))
        return self._append(call.changes, transaction, source, spender)

    def _held(self, call: MethodCall, payer: bytes, spender: bytes) -> Allowance:
        return self.records(call.changes).allowance(payer, spender).at(call.now)

    def _remove_approval(self, call: MethodCall, record: Record) -> Record:
        payer = Account(call.caller, given(record["from_subaccount"]))
        nothing = {
            "amount": NO_ALLOWANCE.amount,
            "expected_allowance": [],
            "expires_at": [],
            "fee": record["fee"],
            "memo": [],
            "created_at_time": [],
        }
        return {"Ok": self._approve_identifier(call, payer, checked_identifier(record["spender"]), nothing)}

    def _get_allowances(self, call: MethodCall, record: Record) -> Sequence[Record]:
        payer = identifier_of_text(record["from_account_id"])
        after = b"".join(identifier_of_text(text) for text in record["prev_spender_id"])
        take = min([MAX_TAKE_ALLOWANCES, *record["take"]])
        return [
            {
                "from_account_id": payer.hex(),
                "to_spender_id": key[len(payer) :].hex(),
                "allowance": _tokens(held.amount),
                "expires_at": optional(held.expires_at),
            }
            for key, allowance in self.records(call.changes).allowances(payer)
            if (held := allowance.at(call.now)).amount and key[len(payer) :] > after
        ][:take]

    # ------------------------------------------------------------------------------------ account identifiers

    def _account_balance(self, call: MethodCall, record: Record) -> Record:
        account = record["account"]
        if len(account) != 32:
            return _tokens(0)
        return _tokens(self.records(call.changes).balance(checked_identifier(account)))

    def _account_balance_dfx(self, call: MethodCall, record: Record) -> Record:
        return _tokens(self.records(call.changes).balance(identifier_of_text(record["account"])))

    def _transfer_tokens(self, call: MethodCall, record: Record) -> Record:
        to, amount, fee = checked_identifier(record["to"]), record["amount"]["e8s"], record["fee"]["e8s"]
        payer = account_identifier(Account(call.caller, given(record["from_subaccount"])))
        created_at_time = given(record["created_at_time"])
        if MINTING_ACCOUNT in (payer, to):
            if fee:
                raise Trap(f"Fee for {'minting' if payer == MINTING_ACCOUNT else 'burning'} should be zero")
            minimum = min(TRANSFER_FEE, self.records(call.changes).balance(payer))
            if to == MINTING_ACCOUNT and amount < minimum:
                raise Trap(f"Burns lower than {_decimal(minimum)} are not allowed")
        elif fee != TRANSFER_FEE:
            raise Failure("BadFee", expected_fee=_tokens(TRANSFER_FEE))
        created = call.now if created_at_time is None else created_at_time["timestamp_nanos"]
        try:
            return {"Ok": self.move(call, payer, to, amount, record["memo"], created_at_time=created)}
        except Failure as failure:
            raise _as_transfer_error(failure) from None

    def _send_dfx(self, call: MethodCall, record: Record) -> int:
        try:
            sent = self._transfer_tokens(call, {**record, "to": identifier_of_text(record["to"])})
        except Failure as failure:
            raise Trap(f"{failure.name}: {failure.content}") from None
        index: int = sent["Ok"]
        return index

    def _consent_message(self, call: MethodCall, request: Record) -> Record:
        explained = icrc21.methods(types.TRANSFER_ARGS)
        return icrc21.consent_message(explained, TOKEN, call.caller, request)

    # ------------------------------------------------------------------------------------ blocks

    def _append(self, changes: Changes, transaction: protobuf.Message, *parties: bytes) -> int:
        records = self.records(changes)
        block = icp_blocks.encode_block(transaction, records.tip_hash(), changes.time_ns)
        digest = icp_blocks.block_hash(block)
        index = records.append(block, digest, (party for party in parties if party != MINTING_ACCOUNT))
        changes.certify(self.id, digest)
        if transaction["created_at_time"] is not None:
            records.remember(icp_blocks.transaction_hash(transaction), index)
        return index

    def _range(self, call: MethodCall, record: Record) -> list[bytes]:
        most = MAX_BLOCKS_PER_CALL if call.is_replicated else MAX_BLOCKS_PER_QUERY
        return self.records(call.changes).blocks(record["start"], min(record["length"], most))

    def _blocks_response(self, call: MethodCall, record: Record, blocks: list[object]) -> Record:
        return {
            "chain_length": self.records(call.changes).length(),
            "certificate": optional(call.certificate),
            "blocks": blocks,
            "first_block_index": record["start"] if blocks else 0,
            "archived_blocks": [],
        }

    def _query_blocks(self, call: MethodCall, record: Record) -> Record:
        blocks = [icp_blocks.decode_block(block) for block in self._range(call, record)]
        return self._blocks_response(call, record, [*blocks])

    def _query_encoded_blocks(self, call: MethodCall, record: Record) -> Record:
        return self._blocks_response(call, record, [*self._range(call, record)])

    def _tip_of_chain(self, call: MethodCall) -> Record:
        length = self.records(call.changes).length()
        return {"certification": optional(call.certificate), "tip_index": length - 1}


def _tokens(e8s: int) -> Record:
    return {"e8s": e8s}


def _decimal(e8s: int) -> str:
    """As the ledger writes amounts in texts."""
    return f"{e8s // 10**8}.{e8s % 10**8:08}"


def _checked_memo(record: Record) -> bytes | None:
    memo: bytes | None = given(record["memo"])
    if memo is not None and len(memo) > MAX_MEMO_LENGTH:
        raise Trap("the memo field is too large")
    return memo


def _check_time_and_duplicate(
    records: LedgerRecords, transaction: protobuf.Message, created_at_time: int | None, now: int
) -> None:
    check_created_at_time(created_at_time, now)
    known = None if created_at_time is None else records.remembered(icp_blocks.transaction_hash(transaction))
    if known is not None:
        raise Failure("Duplicate", duplicate_of=known[0])


def _as_transfer_error(failure: Failure) -> Failure:
    """The `TransferError` of method `transfer` for one of ICRC-1."""
    match failure.name, failure.content:
        case "TooOld", _:
            return Failure("TxTooOld", allowed_window_nanos=TRANSACTION_WINDOW)
        case "CreatedInFuture", _:
            return Failure("TxCreatedInFuture")
        case "Duplicate", content:
            return Failure("TxDuplicate", content)
        case "InsufficientFunds", {"balance": balance}:
            return Failure("InsufficientFunds", balance=_tokens(balance))
    return failure
