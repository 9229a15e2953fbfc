"""ledger.did of the ICP ledger: Candid types of what it has beyond ICRC-1 and ICRC-2."""

from __future__ import annotations

from icmigrate.protocol.candid import Types as T
from icmigrate.replica.management.candid_types import BLOB, Type
from icmigrate.replica.system_canisters.icp_blocks import BLOCK, TIME_STAMP, TOKENS
from icmigrate.replica.system_canisters.system_canister import result

_TRANSFER_FIELDS = {
    "memo": T.Nat64,
    "amount": TOKENS,
    "fee": TOKENS,
    "from_subaccount": T.Opt(BLOB),
    "to": BLOB,
    "created_at_time": T.Opt(TIME_STAMP),
}
TRANSFER_ARGS = T.Record(_TRANSFER_FIELDS)
SEND_ARGS = T.Record({**_TRANSFER_FIELDS, "to": T.Text})
TRANSFER_RESULT = result(
    T.Nat64,
    T.Variant(
        {
            "BadFee": T.Record({"expected_fee": TOKENS}),
            "InsufficientFunds": T.Record({"balance": TOKENS}),
            "TxTooOld": T.Record({"allowed_window_nanos": T.Nat64}),
            "TxCreatedInFuture": T.Null,
            "TxDuplicate": T.Record({"duplicate_of": T.Nat64}),
        }
    ),
)
GET_BLOCKS_ARGS = T.Record({"start": T.Nat64, "length": T.Nat64})
QUERY_ARCHIVE_ERROR = T.Variant(
    {
        "BadFirstBlockIndex": T.Record({"requested_index": T.Nat64, "first_valid_index": T.Nat64}),
        "Other": T.Record({"error_code": T.Nat64, "error_message": T.Text}),
    }
)


def _query_blocks_response(block: Type, block_range: Type) -> Type:
    archive = T.Func([GET_BLOCKS_ARGS], [result(block_range, QUERY_ARCHIVE_ERROR)], ["query"])
    return T.Record(
        {
            "chain_length": T.Nat64,
            "certificate": T.Opt(BLOB),
            "blocks": T.Vec(block),
            "first_block_index": T.Nat64,
            "archived_blocks": T.Vec(T.Record({"start": T.Nat64, "length": T.Nat64, "callback": archive})),
        }
    )


QUERY_BLOCKS_RESPONSE = _query_blocks_response(BLOCK, T.Record({"blocks": T.Vec(BLOCK)}))
QUERY_ENCODED_BLOCKS_RESPONSE = _query_blocks_response(BLOB, T.Vec(BLOB))
TIP_OF_CHAIN_RESPONSE = T.Record({"certification": T.Opt(BLOB), "tip_index": T.Nat64})
REMOVE_APPROVAL_ARGS = T.Record({"from_subaccount": T.Opt(BLOB), "spender": BLOB, "fee": T.Opt(T.Nat)})
GET_ALLOWANCES_ARGS = T.Record({"from_account_id": T.Text, "prev_spender_id": T.Opt(T.Text), "take": T.Opt(T.Nat64)})
ALLOWANCES = T.Vec(
    T.Record({"from_account_id": T.Text, "to_spender_id": T.Text, "allowance": TOKENS, "expires_at": T.Opt(T.Nat64)})
)
