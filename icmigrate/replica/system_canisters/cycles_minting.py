"""cmc.did of the cycles minting canister: cycles for ICP, and canisters for cycles.

ICP is sent to the subaccount of this canister that belongs to who or what shall get the cycles, with a memo that
says what for; the notification names the block. A block is paid out once: the same notification gets the same
answer again. The exchange rate is a constant, the one that the local networks of the official tools have.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any

from icmigrate.protocol import candid, hash_tree
from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import Principal
from icmigrate.replica.errors.rejected import Rejected
from icmigrate.replica.management.candid_types import BLOB, Record, Type, given, optional
from icmigrate.replica.management.operations import CanisterOperations
from icmigrate.replica.storage.changes import Changes
from icmigrate.replica.system_canisters import canister_creation, icp_blocks, icrc3
from icmigrate.replica.system_canisters.canister_creation import (
    BAD_REQUEST_PENALTY,
    CREATION_FIELDS,
    CYCLES_MINTING_CANISTER,
    MINIMUM_CYCLES,
    SUBNET_TYPE,
    CreationFailed,
)
from icmigrate.replica.system_canisters.cycles_ledger import CyclesLedger
from icmigrate.replica.system_canisters.icp_ledger import MINTING_ACCOUNT, TRANSFER_FEE, IcpLedger
from icmigrate.replica.system_canisters.icrc import SUBACCOUNT_LENGTH, Account
from icmigrate.replica.system_canisters.ledger_records import MAX_MEMO_LENGTH
from icmigrate.replica.system_canisters.system_canister import (
    Failure,
    MethodCall,
    NativeMethod,
    SystemCanister,
    Trap,
    query,
    result,
)

XDR_PERMYRIAD_PER_ICP = 35_200
"""So many ten-thousandths of an XDR is one ICP; an XDR is 10**12 cycles."""
CYCLES_PER_E8 = XDR_PERMYRIAD_PER_ICP

MEMOS = {0x41455243: "CreateCanister", 0x50555054: "TopUp", 0x544E494D: "MintCycles"}
"""Memos of transfers and what they ask for."""
CREATE_CANISTER, TOP_UP, MINT_CYCLES = MEMOS
REFUND_FEES = {CREATE_CANISTER: 4 * TRANSFER_FEE, TOP_UP: 2 * TRANSFER_FEE, MINT_CYCLES: 2 * TRANSFER_FEE}
"""e8s that are kept when the purpose fails."""

RATE_LABEL, AVERAGE_RATE_LABEL = b"ICP_XDR_CONVERSION_RATE", b"AVERAGE_ICP_XDR_CONVERSION_RATE"


class NotifyErrorCode(IntEnum):
    """Codes of `NotifyError.Other`."""

    BAD_SUBNET_SELECTION = 4
    UNAUTHORIZED = 5
    DEPOSIT_MEMO_TOO_LONG = 6


# ------------------------------------------------------------------------------------------ Candid types

CREATE_CANISTER_ARG = {**CREATION_FIELDS, "subnet_type": T.Opt(T.Text)}
CREATE_CANISTER_RESULT = result(
    T.Principal, T.Variant({"Refunded": T.Record({"refund_amount": T.Nat, "create_error": T.Text})})
)
NOTIFY_ERROR = T.Variant(
    {
        "Refunded": T.Record({"reason": T.Text, "block_index": T.Opt(T.Nat64)}),
        "Processing": T.Null,
        "TransactionTooOld": T.Nat64,
        "InvalidTransaction": T.Text,
        "Other": T.Record({"error_code": T.Nat64, "error_message": T.Text}),
    }
)
NOTIFY_TOP_UP_ARG = T.Record({"block_index": T.Nat64, "canister_id": T.Principal})
NOTIFY_CREATE_CANISTER_ARG = T.Record({"block_index": T.Nat64, "controller": T.Principal, **CREATE_CANISTER_ARG})
NOTIFY_MINT_CYCLES_ARG = T.Record({"block_index": T.Nat64, "to_subaccount": T.Opt(BLOB), "deposit_memo": T.Opt(BLOB)})
NOTIFY_RESULTS = {
    TOP_UP: result(T.Nat, NOTIFY_ERROR),
    CREATE_CANISTER: result(T.Principal, NOTIFY_ERROR),
    MINT_CYCLES: result(T.Record({"block_index": T.Nat, "minted": T.Nat, "balance": T.Nat}), NOTIFY_ERROR),
}
CONVERSION_RATE = T.Record({"timestamp_seconds": T.Nat64, "xdr_permyriad_per_icp": T.Nat64})
CONVERSION_RATE_RESPONSE = T.Record({"data": CONVERSION_RATE, "hash_tree": BLOB, "certificate": BLOB})


def _subnets_by(key: Type) -> Type:
    return T.Record({"data": T.Vec(T.Tuple(key, T.Vec(T.Principal)))})


class CyclesMinting(SystemCanister):
    """`rkp4c-7iaaa-aaaaa-aaaca-cai`: makes cycles of ICP."""

    id = CYCLES_MINTING_CANISTER

    def __init__(
        self,
        operations: CanisterOperations,
        data_certificate: Callable[[Principal], bytes],
        icp_ledger: IcpLedger,
        cycles_ledger: CyclesLedger,
    ) -> None:
        self._icp_ledger = icp_ledger
        self._cycles_ledger = cycles_ledger
        super().__init__(operations, data_certificate)

    def methods(self) -> dict[str, NativeMethod]:
        subnet_id = self._operations.subnet.subnet_id
        by_type = {"data": [(SUBNET_TYPE, [subnet_id])]}
        return {
            "create_canister": NativeMethod(
                (T.Record(CREATE_CANISTER_ARG),), CREATE_CANISTER_RESULT, self._create_canister
            ),
            "notify_top_up": NativeMethod(
                (NOTIFY_TOP_UP_ARG,), NOTIFY_RESULTS[TOP_UP], self._notify_top_up, target="canister_id"
            ),
            "notify_create_canister": NativeMethod(
                (NOTIFY_CREATE_CANISTER_ARG,), NOTIFY_RESULTS[CREATE_CANISTER], self._notify_create_canister
            ),
            "notify_mint_cycles": NativeMethod(
                (NOTIFY_MINT_CYCLES_ARG,), NOTIFY_RESULTS[MINT_CYCLES], self._notify_mint_cycles
            ),
            "get_icp_xdr_conversion_rate": query(CONVERSION_RATE_RESPONSE, self._conversion_rate(RATE_LABEL)),
            "get_average_icp_xdr_conversion_rate": query(
                CONVERSION_RATE_RESPONSE, self._conversion_rate(AVERAGE_RATE_LABEL)
            ),
            "get_default_subnets": query(T.Vec(T.Principal), lambda _: [subnet_id]),
            "get_subnet_types_to_subnets": query(_subnets_by(T.Text), lambda _: by_type),
            "get_principals_authorized_to_create_canisters_to_subnets": query(
                _subnets_by(T.Principal), lambda _: {"data": []}
            ),
            "get_build_metadata": query(T.Text, lambda _: "name: cycles-minting-canister"),
        }

    # ------------------------------------------------------------------------------------ exchange rate

    def install(self, changes: Changes) -> None:
        rate = candid.encode(
            [CONVERSION_RATE],
            [{"timestamp_seconds": changes.time_ns // 10**9, "xdr_permyriad_per_icp": XDR_PERMYRIAD_PER_ICP}],
        )
        changes.native_put(self.id.to_str(), RATE_LABEL, rate)
        changes.certify(self.id, self._rates(changes).hash)

    def _rates(self, changes: Changes) -> hash_tree.HashTree:
        rate = changes.native_get(self.id.to_str(), RATE_LABEL) or b""
        return hash_tree.build({RATE_LABEL: rate, AVERAGE_RATE_LABEL: rate})

    def _conversion_rate(self, label: bytes) -> Callable[[MethodCall], Record]:
        def run(call: MethodCall) -> Record:
            tree = hash_tree.prune(self._rates(call.changes), [[label]])
            encoded = hash_tree.lookup(tree, [label])
            assert isinstance(encoded, hash_tree.Found)
            (rate,) = candid.decode(encoded.value, [CONVERSION_RATE])
            return {"data": rate, "hash_tree": icrc3.encoded(tree), "certificate": call.certificate or b""}

        return run

    # ------------------------------------------------------------------------------------ paid with cycles

    def _create_canister(self, call: MethodCall, record: Record) -> Record:
        attached = call.received.cycles
        if attached < MINIMUM_CYCLES:
            raise Failure("Refunded", refund_amount=attached, create_error="Insufficient cycles attached.")
        try:
            selection = _subnet_selection(record)
        except CreationFailed as error:
            raise Failure("Refunded", refund_amount=attached, create_error=str(error)) from None
        try:
            made = self._create(call, call.caller, attached, record, selection)
        except CreationFailed as error:
            call.received.accept(BAD_REQUEST_PENALTY)
            raise Failure("Refunded", refund_amount=call.received.cycles, create_error=str(error)) from None
        call.received.accept(attached)
        return {"Ok": made}

    def _create(
        self, call: MethodCall, creator: Principal, cycles: int, record: Record, selection: Record | None
    ) -> Principal:
        return canister_creation.create_canister(
            self._operations, call.changes, creator, cycles, record["settings"], selection
        )

    # ------------------------------------------------------------------------------------ paid with ICP

    def _notify_top_up(self, call: MethodCall, record: Record) -> Record:
        canister_id = record["canister_id"]

        def top_up(cycles: int) -> object:
            try:
                self._operations.deposit_cycles(call.changes, canister_id, cycles)
            except Rejected as rejected:
                reject = rejected.reject
                raise _PurposeFailed(
                    f'Depositing cycles failed with code {reject.code.value}: "{reject.message}"'
                ) from None
            return cycles

        return self._pay_out(call, record["block_index"], TOP_UP, canister_id, top_up)

    def _notify_mint_cycles(self, call: MethodCall, record: Record) -> Record:
        to = Account(call.caller, given(record["to_subaccount"]))
        memo = given(record["deposit_memo"])
        if memo is not None and len(memo) > MAX_MEMO_LENGTH:
            raise _other(
                NotifyErrorCode.DEPOSIT_MEMO_TOO_LONG,
                f"Memo length {len(memo)} exceeds the maximum length of {MAX_MEMO_LENGTH}",
            )

        def mint(cycles: int) -> object:
            try:
                deposited = self._cycles_ledger.deposit(call, to, cycles, memo)
            except Trap as trap:
                raise _PurposeFailed(f'Cycles ledger rejected deposit call with code 5: "{trap}"') from None
            return {**deposited, "minted": cycles}

        return self._pay_out(call, record["block_index"], MINT_CYCLES, call.caller, mint)

    def _notify_create_canister(self, call: MethodCall, record: Record) -> Record:
        creator = record["controller"]
        if call.caller != creator:
            raise _other(
                NotifyErrorCode.UNAUTHORIZED,
                f"{call.caller.to_str()} is not authorized to call notify_create_canister on behalf of "
                f"{creator.to_str()}. (Do not retry, because the same result will occur.)",
            )
        try:
            selection = _subnet_selection(record)
        except CreationFailed as error:
            raise _other(NotifyErrorCode.BAD_SUBNET_SELECTION, str(error)) from None

        def create(cycles: int) -> object:
            try:
                return self._create(call, creator, cycles, record, selection)
            except CreationFailed as error:
                raise _PurposeFailed(str(error)) from None

        return self._pay_out(call, record["block_index"], CREATE_CANISTER, creator, create)

    def _pay_out(
        self, call: MethodCall, block_index: int, memo: int, beneficiary: Principal, purpose: Callable[[int], object]
    ) -> Record:
        """Gives the cycles that a block paid for to `purpose`, then burns the ICP; refunds it when that fails."""
        subaccount = _subaccount_of(beneficiary)
        payer, e8s = self._payment(call, block_index, subaccount, memo)
        before: Record | None = self._remembered(call, block_index, NOTIFY_RESULTS[memo])
        if before is not None:
            return before
        try:
            answer: Record = {"Ok": purpose(e8s * CYCLES_PER_E8)}
            self._burn(call, subaccount, e8s)
        except _PurposeFailed as failure:
            refund = self._refund(call, subaccount, payer, e8s, REFUND_FEES[memo])
            answer = {"Err": {"Refunded": {"reason": str(failure), "block_index": optional(refund)}}}
        self._remember(call, block_index, NOTIFY_RESULTS[memo], answer)
        return answer

    def _payment(self, call: MethodCall, block_index: int, subaccount: bytes, memo: int) -> tuple[bytes, int]:
        """Who paid, and how much (e8s), if the block is a transfer for this purpose. Raises Failure."""
        encoded = self._icp_ledger.records(call.changes).block(block_index)
        if encoded is None:
            raise Failure("InvalidTransaction", f"Block {block_index} not found")
        transaction = icp_blocks.decode_block(encoded)["transaction"]
        transfer = transaction["operation"][0].get("Transfer")
        if transfer is None:
            raise Failure("InvalidTransaction", "Notification transaction must be of type Transfer")
        if transfer["to"] != self._account(subaccount):
            raise Failure(
                "InvalidTransaction",
                f"Destination account in the block ({transfer['to'].hex()}) different than in the notification "
                f"({subaccount.hex()})",
            )
        payer, e8s, observed = transfer["from"], transfer["amount"]["e8s"], _memo(transaction)
        if observed not in MEMOS:
            raise self._automatic_refund(call, block_index, subaccount, payer, e8s, observed)
        if observed != memo:
            raise Failure(
                "InvalidTransaction",
                f"The memo ({MEMOS[observed]} ({observed})) in the transaction does not match the expected memo "
                f"({MEMOS[memo]} ({memo})) for the operation.",
            )
        return payer, e8s

    def _automatic_refund(
        self, call: MethodCall, block_index: int, subaccount: bytes, payer: bytes, e8s: int, memo: int
    ) -> Failure:
        """Sends ICP back that came with a memo of no meaning, once; the error that tells so."""
        before = self._remembered(call, block_index, T.Opt(T.Nat64))
        if before is None:
            refund = self._refund(call, subaccount, payer, e8s, 0)
            self._remember(call, block_index, T.Opt(T.Nat64), optional(refund))
        else:
            refund = given(before)
        reason = (
            f"Memo (0x{memo:06X}) in the incoming ICP transfer does not correspond to any of the operations that "
            "the Cycles Minting canister offers."
        )
        return Failure("Refunded", reason=reason, block_index=optional(refund))

    # A block has one purpose, which its memo says; so what it was answered with is of one type.

    def _remember(self, call: MethodCall, block_index: int, type_: Type, answer: object) -> None:
        value = candid.encode([type_], [answer])
        call.changes.native_put(self.id.to_str(), b"block%d" % block_index, value)

    def _remembered(self, call: MethodCall, block_index: int, type_: Type) -> Any:
        """What a notification of this block was answered with before, or None."""
        value = call.changes.native_get(self.id.to_str(), b"block%d" % block_index)
        return None if value is None else candid.decode(value, [type_])[0]

    # ------------------------------------------------------------------------------------ the ICP

    def _account(self, subaccount: bytes) -> bytes:
        return icp_blocks.account_identifier(Account(self.id, subaccount))

    def _burn(self, call: MethodCall, subaccount: bytes, e8s: int) -> None:
        """Less than a fee cannot be burned and stays where it is."""
        if e8s >= TRANSFER_FEE:
            account = self._account(subaccount)
            self._icp_ledger.move(call, account, MINTING_ACCOUNT, e8s, created_at_time=call.now)

    def _refund(self, call: MethodCall, subaccount: bytes, to: bytes, e8s: int, fee: int) -> int | None:
        """Sends back what is left after both fees and burns `fee`; burns all when nothing is left."""
        left = e8s - TRANSFER_FEE - fee
        if left <= 0:
            self._burn(call, subaccount, e8s)
            return None
        account = self._account(subaccount)
        index = self._icp_ledger.move(call, account, to, left, created_at_time=call.now)
        self._burn(call, subaccount, fee)
        return index


class _PurposeFailed(Exception):
    """The cycles could not be used as asked for."""


def _other(code: NotifyErrorCode, message: str) -> Failure:
    return Failure("Other", error_code=code.value, error_message=message)


def _subaccount_of(principal: Principal) -> bytes:
    """The subaccount that belongs to a principal: its length and its bytes."""
    return (bytes([len(principal.bytes)]) + principal.bytes).ljust(SUBACCOUNT_LENGTH, b"\0")


def _memo(transaction: Record) -> int:
    """The memo, or an ICRC-1 memo of 8 bytes read as one."""
    if transaction["memo"]:
        return int(transaction["memo"])
    icrc1_memo = given(transaction["icrc1_memo"])
    return int.from_bytes(icrc1_memo, "little") if icrc1_memo is not None and len(icrc1_memo) == 8 else 0


def _subnet_selection(record: Record) -> Record | None:
    """Where to create a canister; `subnet_type` is the older way to say it. Raises CreationFailed."""
    subnet_type, selection = record["subnet_type"], given(record["subnet_selection"])
    if subnet_type and selection is not None:
        raise CreationFailed("Cannot specify subnet_type and subnet_selection at the same time.")
    return {"Filter": {"subnet_type": subnet_type}} if subnet_type else selection
