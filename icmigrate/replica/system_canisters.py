"""Cycles ledger and cycles minting canister, as far as tools need them to create and fund canisters locally.

Official tools create canisters through these two and ask for them at their mainnet ids, so the replica answers
in their place. Locally cycles cost nothing: an account that was never used holds `INITIAL_BALANCE`. There is
no ICP ledger, so nothing that converts ICP is here; nor are approvals and blocks (ICRC-2, ICRC-3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from icmigrate.protocol import candid
from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import Principal
from icmigrate.replica import faults, management_settings, refusals
from icmigrate.replica.changes import Changes
from icmigrate.replica.management_types import BLOB, CANISTER_SETTINGS, Type
from icmigrate.replica.native import NativeCall
from icmigrate.replica.replica import Replica
from icmigrate.replica.state import (
    CanisterChange,
    Refused,
    Reply,
    Response,
    Settings,
    SystemOrigin,
)

CYCLES_MINTING_CANISTER = Principal.from_str("rkp4c-7iaaa-aaaaa-aaaca-cai")
CYCLES_LEDGER = Principal.from_str("um5iw-rqaaa-aaaaq-qaaba-cai")

INITIAL_BALANCE = 1_000_000_000_000_000_000
"""Cycles in an account that was never used: a million times 10**12."""
FEE = 100_000_000
"""Cycles that every transaction costs."""
DECIMALS = 12

Record = Mapping[str, Any]


@dataclass(frozen=True)
class NativeMethod:
    """One method of a native canister: its Candid types and what it does with caller, transaction and arguments."""

    arguments: tuple[Type, ...]
    result: Type
    run: Callable[[NativeCall, Changes, list[Any]], object]
    is_query: bool = False
    target: str | None = None
    """The field of the argument that names the canister to be worked on."""


class TableCanister:
    """A native canister that is a table of methods."""

    id: Principal

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def methods(self) -> Mapping[str, NativeMethod]:
        raise NotImplementedError

    def target(self, method_name: str, arg: bytes) -> Principal | None:
        method = self.methods().get(method_name)
        if method is None or method.target is None:
            return None
        try:
            (record,) = candid.decode(arg, list(method.arguments))
        except candid.CandidError:
            return None
        target = record[method.target] if isinstance(record, dict) else None
        return target if isinstance(target, Principal) else None

    async def execute(self, call: NativeCall, changes: Changes) -> Response:
        return self._run(call, changes, self.methods().get(call.method_name), "update")

    async def query(self, caller: Principal, method_name: str, arg: bytes) -> Response:
        method = self.methods().get(method_name)
        call = NativeCall(SystemOrigin(), caller, method_name, arg)
        changes = Changes(self._replica.state, self._replica.time_ns())
        return self._run(call, changes, method if method and method.is_query else None, "query")

    def _run(self, call: NativeCall, changes: Changes, method: NativeMethod | None, kind: str) -> Response:
        if method is None:
            return faults.MethodNotFound(kind, call.method_name).reject(self.id)
        try:
            arguments = candid.decode(call.arg, list(method.arguments))
        except candid.CandidError as error:
            return faults.CalledTrap(f"failed to decode call arguments: {error}").reject(self.id)
        return Reply(candid.encode([method.result], [method.run(call, changes, arguments)]))


# ------------------------------------------------------------------------------------- cycles minting


class CyclesMinting(TableCanister):
    """`rkp4c-7iaaa-aaaaa-aaaca-cai`: tells where canisters are created."""

    id = CYCLES_MINTING_CANISTER

    def methods(self) -> Mapping[str, NativeMethod]:
        subnet_id = self._replica.subnet_id
        by_type = T.Record({"data": T.Vec(T.Tuple(T.Text, T.Vec(T.Principal)))})
        return {
            "get_default_subnets": NativeMethod((), T.Vec(T.Principal), lambda *_: [subnet_id], is_query=True),
            "get_subnet_types_to_subnets": NativeMethod(
                (), by_type, lambda *_: {"data": [("application", [subnet_id])]}, is_query=True
            ),
        }


# ------------------------------------------------------------------------------------- cycles ledger

ACCOUNT = T.Record({"owner": T.Principal, "subaccount": T.Opt(BLOB)})
GENERIC_ERROR = T.Record({"message": T.Text, "error_code": T.Nat})
DEPOSIT = T.Record({"to": ACCOUNT, "memo": T.Opt(BLOB)})
DEPOSITED = T.Record({"balance": T.Nat, "block_index": T.Nat})
TRANSFER = T.Record(
    {
        "from_subaccount": T.Opt(BLOB),
        "to": ACCOUNT,
        "amount": T.Nat,
        "fee": T.Opt(T.Nat),
        "memo": T.Opt(BLOB),
        "created_at_time": T.Opt(T.Nat64),
    }
)
TRANSFERRED = T.Variant(
    {
        "Ok": T.Nat,
        "Err": T.Variant(
            {
                "BadFee": T.Record({"expected_fee": T.Nat}),
                "InsufficientFunds": T.Record({"balance": T.Nat}),
                "GenericError": GENERIC_ERROR,
            }
        ),
    }
)
WITHDRAW = T.Record(
    {
        "amount": T.Nat,
        "from_subaccount": T.Opt(BLOB),
        "to": T.Principal,
        "created_at_time": T.Opt(T.Nat64),
    }
)
WITHDRAWN = T.Variant(
    {
        "Ok": T.Nat,
        "Err": T.Variant(
            {
                "InsufficientFunds": T.Record({"balance": T.Nat}),
                "InvalidReceiver": T.Record({"receiver": T.Principal}),
                "GenericError": GENERIC_ERROR,
            }
        ),
    }
)
SUBNET_SELECTION = T.Variant(
    {
        "Subnet": T.Record({"subnet": T.Principal}),
        "Filter": T.Record({"subnet_type": T.Opt(T.Text)}),
    }
)
CREATE = T.Record(
    {
        "from_subaccount": T.Opt(BLOB),
        "created_at_time": T.Opt(T.Nat64),
        "amount": T.Nat,
        "creation_args": T.Opt(
            T.Record({"settings": T.Opt(CANISTER_SETTINGS), "subnet_selection": T.Opt(SUBNET_SELECTION)})
        ),
    }
)
CREATED = T.Variant(
    {
        "Ok": T.Record({"block_id": T.Nat, "canister_id": T.Principal}),
        "Err": T.Variant(
            {
                "InsufficientFunds": T.Record({"balance": T.Nat}),
                "FailedToCreate": T.Record({"fee_block": T.Opt(T.Nat), "refund_block": T.Opt(T.Nat), "error": T.Text}),
                "GenericError": GENERIC_ERROR,
            }
        ),
    }
)


class CyclesLedger(TableCanister):
    """`um5iw-rqaaa-aaaaq-qaaba-cai`: accounts of cycles; creates and tops up canisters from them."""

    id = CYCLES_LEDGER

    def methods(self) -> Mapping[str, NativeMethod]:
        return {
            "icrc1_balance_of": NativeMethod(
                (ACCOUNT,), T.Nat, lambda _, changes, given: _balance(changes, given[0]), is_query=True
            ),
            "icrc1_fee": NativeMethod((), T.Nat, lambda *_: FEE, is_query=True),
            "icrc1_decimals": NativeMethod((), T.Nat8, lambda *_: DECIMALS, is_query=True),
            "icrc1_symbol": NativeMethod((), T.Text, lambda *_: "TCYCLES", is_query=True),
            "icrc1_name": NativeMethod((), T.Text, lambda *_: "Trillion Cycles", is_query=True),
            "icrc1_transfer": NativeMethod((TRANSFER,), TRANSFERRED, self._transfer),
            "deposit": NativeMethod((DEPOSIT,), DEPOSITED, self._deposit),
            "withdraw": NativeMethod((WITHDRAW,), WITHDRAWN, self._withdraw, target="to"),
            "create_canister": NativeMethod((CREATE,), CREATED, self._create_canister),
        }

    def _deposit(self, call: NativeCall, changes: Changes, given: list[Any]) -> Record:
        amount = call.accept(call.cycles)
        if amount < FEE:
            raise Refused(faults.CalledTrap(f"deposit amount is insufficient: {amount} < {FEE}").reject(self.id))
        balance = _balance(changes, given[0]["to"]) + amount
        _set_balance(changes, given[0]["to"], balance)
        return {"balance": balance, "block_index": _next_block(changes)}

    def _transfer(self, call: NativeCall, changes: Changes, given: list[Any]) -> Record:
        (transfer,) = given
        if transfer["fee"] not in ([], [FEE]):
            return {"Err": {"BadFee": {"expected_fee": FEE}}}
        payer = _account(call.caller, transfer["from_subaccount"])
        balance = _debit(changes, payer, transfer["amount"])
        if balance is not None:
            return {"Err": {"InsufficientFunds": {"balance": balance}}}
        _set_balance(changes, transfer["to"], _balance(changes, transfer["to"]) + transfer["amount"])
        return {"Ok": _next_block(changes)}

    def _withdraw(self, call: NativeCall, changes: Changes, given: list[Any]) -> Record:
        (withdrawal,) = given
        if changes.canister(withdrawal["to"]) is None:
            return {"Err": {"InvalidReceiver": {"receiver": withdrawal["to"]}}}
        payer = _account(call.caller, withdrawal["from_subaccount"])
        balance = _debit(changes, payer, withdrawal["amount"])
        if balance is not None:
            return {"Err": {"InsufficientFunds": {"balance": balance}}}
        self._replica.deposit_cycles(changes, withdrawal["to"], withdrawal["amount"])
        return {"Ok": _next_block(changes)}

    def _create_canister(self, call: NativeCall, changes: Changes, given: list[Any]) -> Record:
        (creation,) = given
        amount, required = creation["amount"], self._replica.fees.canister_creation
        if amount < required:
            reject = refusals.insufficient_cycles_for_create_canister(amount, required)
            return _failed_to_create(reject.message)
        settings = Settings(controllers=(call.caller,))
        for arguments in creation["creation_args"]:
            for given_settings in arguments["settings"]:
                settings = management_settings.updated(settings, given_settings, self._replica.limits)
            for selection in arguments["subnet_selection"]:
                subnet = selection.get("Subnet", {"subnet": self._replica.subnet_id})["subnet"]
                if subnet != self._replica.subnet_id:
                    return _failed_to_create(f"Subnet {subnet.to_str()} does not exist")
        balance = _debit(changes, _account(call.caller, creation["from_subaccount"]), amount)
        if balance is not None:
            return {"Err": {"InsufficientFunds": {"balance": balance}}}
        # On the IC it is the minting canister that creates the canister.
        origin = CanisterChange(CYCLES_MINTING_CANISTER)
        canister_id = self._replica.create_canister(changes, settings, amount - required, origin)
        return {"Ok": {"block_id": _next_block(changes), "canister_id": canister_id}}


def _failed_to_create(error: str) -> Record:
    return {"Err": {"FailedToCreate": {"fee_block": [], "refund_block": [], "error": error}}}


# Records: the balance of an account as decimal text, and the number of the next block.
_NAMESPACE = "cycles_ledger"
_BLOCKS = b"blocks"


def _account(owner: Principal, subaccount: list[bytes]) -> Record:
    return {"owner": owner, "subaccount": subaccount}


def _key(account: Record) -> bytes:
    """ICRC-1: no subaccount is the subaccount of zeros."""
    subaccount = account["subaccount"][0] if account["subaccount"] else bytes(32)
    owner: bytes = account["owner"].bytes
    return b"account:" + subaccount.rjust(32, b"\0") + owner


def _balance(changes: Changes, account: Record) -> int:
    stored = changes.native_get(_NAMESPACE, _key(account))
    return INITIAL_BALANCE if stored is None else int(stored)


def _set_balance(changes: Changes, account: Record, balance: int) -> None:
    changes.native_put(_NAMESPACE, _key(account), b"%d" % balance)


def _debit(changes: Changes, account: Record, amount: int) -> int | None:
    """Takes amount and fee from an account; its balance instead when that is too small."""
    balance = _balance(changes, account)
    if balance < amount + FEE:
        return balance
    _set_balance(changes, account, balance - amount - FEE)
    return None


def _next_block(changes: Changes) -> int:
    block = int(changes.native_get(_NAMESPACE, _BLOCKS) or b"0")
    changes.native_put(_NAMESPACE, _BLOCKS, b"%d" % (block + 1))
    return block
