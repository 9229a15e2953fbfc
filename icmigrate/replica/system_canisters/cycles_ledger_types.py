"""cycles-ledger.did: Candid types of what the cycles ledger has beyond ICRC-1 and ICRC-2."""

from __future__ import annotations

from icmigrate.protocol.candid import Types as T
from icmigrate.replica.management.candid_types import BLOB, enumeration
from icmigrate.replica.system_canisters.canister_creation import CREATION_FIELDS
from icmigrate.replica.system_canisters.icrc import ACCOUNT, ALLOWANCE_ERROR, COMMON_ERRORS, FEE_ERROR, GENERIC_ERROR
from icmigrate.replica.system_canisters.system_canister import result

REJECTION_CODE_NAMES = ("NoError", "SysFatal", "SysTransient", "DestinationInvalid", "CanisterReject", "CanisterError")
"""By reject code."""
REJECTION = {
    "rejection_code": enumeration(*REJECTION_CODE_NAMES, "Unknown"),
    "rejection_reason": T.Text,
}
OPT_BLOCK = T.Opt(T.Nat)

DEPOSIT_ARGS = T.Record({"to": ACCOUNT, "memo": T.Opt(BLOB)})
DEPOSIT_RESULT = T.Record({"balance": T.Nat, "block_index": T.Nat})

WITHDRAW_ARGS = T.Record(
    {"amount": T.Nat, "from_subaccount": T.Opt(BLOB), "to": T.Principal, "created_at_time": T.Opt(T.Nat64)}
)
WITHDRAW_FROM_ARGS = T.Record(
    {
        "spender_subaccount": T.Opt(BLOB),
        "from": ACCOUNT,
        "to": T.Principal,
        "amount": T.Nat,
        "created_at_time": T.Opt(T.Nat64),
    }
)
INVALID_RECEIVER = {"InvalidReceiver": T.Record({"receiver": T.Principal})}
WITHDRAW_RESULT = result(
    T.Nat,
    T.Variant(
        {
            **COMMON_ERRORS,
            **FEE_ERROR,
            **INVALID_RECEIVER,
            "FailedToWithdraw": T.Record({"fee_block": OPT_BLOCK, **REJECTION}),
        }
    ),
)
WITHDRAW_FROM_RESULT = result(
    T.Nat,
    T.Variant(
        {
            **COMMON_ERRORS,
            **ALLOWANCE_ERROR,
            **INVALID_RECEIVER,
            "FailedToWithdrawFrom": T.Record(
                {
                    "withdraw_from_block": OPT_BLOCK,
                    "refund_block": OPT_BLOCK,
                    "approval_refund_block": OPT_BLOCK,
                    **REJECTION,
                }
            ),
        }
    ),
)

CREATE_CANISTER_ARGS = T.Record(
    {
        "from_subaccount": T.Opt(BLOB),
        "created_at_time": T.Opt(T.Nat64),
        "amount": T.Nat,
        "creation_args": T.Opt(T.Record(CREATION_FIELDS)),
    }
)
CREATE_CANISTER_FROM_ARGS = T.Record(
    {
        "from": ACCOUNT,
        "spender_subaccount": T.Opt(BLOB),
        "created_at_time": T.Opt(T.Nat64),
        "amount": T.Nat,
        "creation_args": T.Opt(T.Record(CREATION_FIELDS)),
    }
)
CREATE_ERRORS = {
    **COMMON_ERRORS,
    "Duplicate": T.Record({"duplicate_of": T.Nat, "canister_id": T.Opt(T.Principal)}),
}
CREATE_CANISTER_SUCCESS = T.Record({"block_id": T.Nat, "canister_id": T.Principal})
CREATE_CANISTER_RESULT = result(
    CREATE_CANISTER_SUCCESS,
    T.Variant(
        {
            **CREATE_ERRORS,
            "FailedToCreate": T.Record({"fee_block": OPT_BLOCK, "refund_block": OPT_BLOCK, "error": T.Text}),
        }
    ),
)
CREATE_CANISTER_FROM_RESULT = result(
    CREATE_CANISTER_SUCCESS,
    T.Variant(
        {
            **CREATE_ERRORS,
            **ALLOWANCE_ERROR,
            "FailedToCreateFrom": T.Record(
                {
                    "create_from_block": OPT_BLOCK,
                    "refund_block": OPT_BLOCK,
                    "approval_refund_block": OPT_BLOCK,
                    **REJECTION,
                }
            ),
        }
    ),
)

GET_ALLOWANCES_ARGS = T.Record({"from_account": T.Opt(ACCOUNT), "prev_spender": T.Opt(ACCOUNT), "take": T.Opt(T.Nat)})
GET_ALLOWANCES_RESULT = result(
    T.Vec(T.Record({"from_account": ACCOUNT, "to_spender": ACCOUNT, "allowance": T.Nat, "expires_at": T.Opt(T.Nat64)})),
    T.Variant({"AccessDenied": T.Record({"reason": T.Text}), "GenericError": GENERIC_ERROR}),
)
