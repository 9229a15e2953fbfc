"""ICRC-1 and ICRC-2 of the token standards: accounts, and the Candid types of transfers and approvals."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass

from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import Principal
from icmigrate.replica.management.candid_types import BLOB, Record, given, optional
from icmigrate.replica.system_canisters.system_canister import Trap, result

SUBACCOUNT_LENGTH = 32
DEFAULT_SUBACCOUNT = bytes(SUBACCOUNT_LENGTH)


@dataclass(frozen=True, slots=True, eq=False)
class Account:
    """An owner and a subaccount; none is the same account as the subaccount of zeros."""

    owner: Principal
    subaccount: bytes | None = None

    def __post_init__(self) -> None:
        if self.subaccount is not None and len(self.subaccount) != SUBACCOUNT_LENGTH:
            raise Trap(
                f"failed to decode call arguments: a subaccount has {SUBACCOUNT_LENGTH} bytes, "
                f"not {len(self.subaccount)}"
            )

    @staticmethod
    def of(record: Record) -> Account:
        """The account of an `Account` record."""
        return Account(record["owner"], given(record["subaccount"]))

    @property
    def effective_subaccount(self) -> bytes:
        return self.subaccount or DEFAULT_SUBACCOUNT

    @property
    def key(self) -> bytes:
        """Equal for equal accounts, and sorted as accounts are."""
        return bytes([len(self.owner.bytes)]) + self.owner.bytes + self.effective_subaccount

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Account) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        """Textual encoding of ICRC-1 accounts."""
        if self.effective_subaccount == DEFAULT_SUBACCOUNT:
            return self.owner.to_str()
        checksum = zlib.crc32(self.owner.bytes + self.effective_subaccount).to_bytes(4, "big")
        text = base64.b32encode(checksum).decode().lower().rstrip("=")
        return f"{self.owner.to_str()}-{text}.{self.effective_subaccount.hex().lstrip('0')}"

    def record(self) -> Record:
        return {"owner": self.owner, "subaccount": optional(self.subaccount)}


def account_of_key(key: bytes) -> tuple[Account, bytes]:
    """The account at the beginning of a key, and the rest."""
    end = 1 + key[0]
    return Account(Principal(key[1:end]), key[end : end + SUBACCOUNT_LENGTH]), key[end + SUBACCOUNT_LENGTH :]


# ------------------------------------------------------------------------------------------ Candid types

ACCOUNT = T.Record({"owner": T.Principal, "subaccount": T.Opt(BLOB)})
TIMESTAMP = T.Opt(T.Nat64)
STANDARDS = T.Vec(T.Record({"name": T.Text, "url": T.Text}))
METADATA = T.Vec(T.Tuple(T.Text, T.Variant({"Nat": T.Nat, "Int": T.Int, "Text": T.Text, "Blob": BLOB})))

TRANSFER_ARG = T.Record(
    {
        "from_subaccount": T.Opt(BLOB),
        "to": ACCOUNT,
        "amount": T.Nat,
        "fee": T.Opt(T.Nat),
        "memo": T.Opt(BLOB),
        "created_at_time": TIMESTAMP,
    }
)
TRANSFER_FROM_ARGS = T.Record(
    {
        "spender_subaccount": T.Opt(BLOB),
        "from": ACCOUNT,
        "to": ACCOUNT,
        "amount": T.Nat,
        "fee": T.Opt(T.Nat),
        "memo": T.Opt(BLOB),
        "created_at_time": TIMESTAMP,
    }
)
APPROVE_ARGS = T.Record(
    {
        "from_subaccount": T.Opt(BLOB),
        "spender": ACCOUNT,
        "amount": T.Nat,
        "expected_allowance": T.Opt(T.Nat),
        "expires_at": TIMESTAMP,
        "fee": T.Opt(T.Nat),
        "memo": T.Opt(BLOB),
        "created_at_time": TIMESTAMP,
    }
)
ALLOWANCE_ARGS = T.Record({"account": ACCOUNT, "spender": ACCOUNT})
ALLOWANCE = T.Record({"allowance": T.Nat, "expires_at": TIMESTAMP})

GENERIC_ERROR = T.Record({"error_code": T.Nat, "message": T.Text})
COMMON_ERRORS = {
    "InsufficientFunds": T.Record({"balance": T.Nat}),
    "TooOld": T.Null,
    "CreatedInFuture": T.Record({"ledger_time": T.Nat64}),
    "Duplicate": T.Record({"duplicate_of": T.Nat}),
    "TemporarilyUnavailable": T.Null,
    "GenericError": GENERIC_ERROR,
}
"""The errors of everything that moves tokens."""
FEE_ERROR = {"BadFee": T.Record({"expected_fee": T.Nat})}
ALLOWANCE_ERROR = {"InsufficientAllowance": T.Record({"allowance": T.Nat})}
TRANSFER_ERRORS = {**COMMON_ERRORS, **FEE_ERROR, "BadBurn": T.Record({"min_burn_amount": T.Nat})}

TRANSFER_RESULT = result(T.Nat, T.Variant(TRANSFER_ERRORS))
TRANSFER_FROM_RESULT = result(T.Nat, T.Variant({**TRANSFER_ERRORS, **ALLOWANCE_ERROR}))
APPROVE_RESULT = result(
    T.Nat,
    T.Variant(
        {
            **COMMON_ERRORS,
            **FEE_ERROR,
            "AllowanceChanged": T.Record({"current_allowance": T.Nat}),
            "Expired": T.Record({"ledger_time": T.Nat64}),
        }
    ),
)
INDEX_PRINCIPAL_RESULT = result(
    T.Principal,
    T.Variant({"IndexPrincipalNotSet": T.Null, "GenericError": T.Record({"error_code": T.Nat, "description": T.Text})}),
)
