"""ic_ledger.proto, types.proto and ledger.did of the ICP ledger: account identifiers and blocks.

A block is kept and hashed as the protobuf message `Block`; Candid shows it as the record `Block`.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import Any

from icmigrate.protocol.candid import Types as T
from icmigrate.replica.management.candid_types import BLOB, Record, optional
from icmigrate.replica.system_canisters import protobuf
from icmigrate.replica.system_canisters.icrc import Account
from icmigrate.replica.system_canisters.system_canister import Trap

# ------------------------------------------------------------------------------------------ accounts


def account_identifier(account: Account) -> bytes:
    """The address (32 bytes) of an account: the CRC-32 of a SHA-224, and that."""
    digest = hashlib.sha224(b"\x0aaccount-id" + account.owner.bytes + account.effective_subaccount).digest()
    return zlib.crc32(digest).to_bytes(4, "big") + digest


def checked_identifier(address: bytes) -> bytes:
    """The same address. Raises Trap when its checksum is wrong."""
    if len(address) != 32:
        raise Trap(f"Invalid account identifier: a length of 32 bytes was expected, not {len(address)}")
    expected = zlib.crc32(address[4:]).to_bytes(4, "big")
    if address[:4] != expected:
        raise Trap(
            f"Invalid account identifier: Checksum failed for {address.hex()}, "
            f"expected check bytes {expected.hex()} but found {address[:4].hex()}"
        )
    return address


def identifier_of_text(text: str) -> bytes:
    """The address of 64 hexadecimal digits. Raises Trap."""
    try:
        address = bytes.fromhex(text)
    except ValueError as error:
        raise Trap(f"failed to decode call arguments: {error}") from None
    return checked_identifier(address)


# ------------------------------------------------------------------------------------------ protobuf

SCHEMA: protobuf.Schema = {
    "Block": {1: ("parent_hash", "Hash"), 2: ("timestamp", "TimeStamp"), 3: ("transaction", "Transaction")},
    "Transaction": {
        1: ("burn", "Burn"),
        2: ("mint", "Mint"),
        3: ("send", "Send"),
        4: ("memo", "Memo"),
        6: ("created_at_time", "TimeStamp"),
        7: ("icrc1_memo", "Icrc1Memo"),
    },
    "Burn": {1: ("from", "AccountIdentifier"), 3: ("amount", "Tokens"), 4: ("spender", "AccountIdentifier")},
    "Mint": {2: ("to", "AccountIdentifier"), 3: ("amount", "Tokens")},
    "Send": {
        1: ("from", "AccountIdentifier"),
        2: ("to", "AccountIdentifier"),
        3: ("amount", "Tokens"),
        4: ("max_fee", "Tokens"),
        5: ("approve", "Approve"),
        6: ("transfer_from", "TransferFrom"),
    },
    "Approve": {1: ("allowance", "Tokens"), 2: ("expires_at", "TimeStamp"), 3: ("expected_allowance", "Tokens")},
    "TransferFrom": {1: ("spender", "AccountIdentifier")},
    "AccountIdentifier": {1: ("hash", "bytes")},
    "Hash": {1: ("hash", "bytes")},
    "Icrc1Memo": {1: ("memo", "bytes")},
    "Memo": {1: ("memo", "uint64")},
    "TimeStamp": {1: ("timestamp_nanos", "uint64")},
    "Tokens": {1: ("e8s", "uint64")},
}


def _wrapped(field: str, value: object) -> protobuf.Message | None:
    """A message that only wraps one value."""
    return None if value is None else {field: value}


def mint(to: bytes, amount: int) -> protobuf.Message:
    """The operation fields of a `Transaction`; accounts are addresses, amounts e8s."""
    return {"mint": {"to": _wrapped("hash", to), "amount": _wrapped("e8s", amount)}}


def burn(payer: bytes, amount: int, spender: bytes | None) -> protobuf.Message:
    fields = {"from": payer, "spender": spender}
    accounts = {name: _wrapped("hash", account) for name, account in fields.items()}
    return {"burn": {**accounts, "amount": _wrapped("e8s", amount)}}


def send(payer: bytes, to: bytes, amount: int, fee: int, **extension: object) -> protobuf.Message:
    return {
        "send": {
            "from": _wrapped("hash", payer),
            "to": _wrapped("hash", to),
            "amount": _wrapped("e8s", amount),
            "max_fee": _wrapped("e8s", fee),
            **extension,
        }
    }


def transfer(payer: bytes, to: bytes, amount: int, fee: int, spender: bytes | None) -> protobuf.Message:
    return send(payer, to, amount, fee, transfer_from=_wrapped("spender", _wrapped("hash", spender)))


def approve(
    payer: bytes, spender: bytes, allowance: int, fee: int, expires_at: int | None, expected_allowance: int | None
) -> protobuf.Message:
    extension = {
        "allowance": _wrapped("e8s", allowance),
        "expires_at": _wrapped("timestamp_nanos", expires_at),
        "expected_allowance": _wrapped("e8s", expected_allowance),
    }
    return send(payer, spender, 0, fee, approve=extension)


def transaction(
    operation: protobuf.Message, memo: int = 0, icrc1_memo: bytes | None = None, created_at_time: int | None = None
) -> protobuf.Message:
    return {
        **operation,
        "memo": _wrapped("memo", memo),
        "icrc1_memo": _wrapped("memo", icrc1_memo),
        "created_at_time": _wrapped("timestamp_nanos", created_at_time),
    }


def encode_block(transaction: protobuf.Message, parent_hash: bytes | None, timestamp: int) -> bytes:
    block = {
        "parent_hash": _wrapped("hash", parent_hash),
        "timestamp": _wrapped("timestamp_nanos", timestamp),
        "transaction": transaction,
    }
    return protobuf.encode(SCHEMA, "Block", block)


def transaction_hash(transaction: protobuf.Message) -> bytes:
    return hashlib.sha256(protobuf.encode(SCHEMA, "Transaction", transaction)).digest()


def block_hash(encoded: bytes) -> bytes:
    return hashlib.sha256(encoded).digest()


# ------------------------------------------------------------------------------------------ Candid

TOKENS = T.Record({"e8s": T.Nat64})
TIME_STAMP = T.Record({"timestamp_nanos": T.Nat64})


def operation_type(account: Any) -> Any:
    """The variant `Operation` with accounts of this type: blobs in ledger.did, text in index.did."""
    return T.Variant(
        {
            "Mint": T.Record({"to": account, "amount": TOKENS}),
            "Burn": T.Record({"from": account, "spender": T.Opt(account), "amount": TOKENS}),
            "Transfer": T.Record(
                {"from": account, "to": account, "amount": TOKENS, "fee": TOKENS, "spender": T.Opt(account)}
            ),
            "Approve": T.Record(
                {
                    "from": account,
                    "spender": account,
                    "allowance_e8s": T.Int,
                    "allowance": TOKENS,
                    "fee": TOKENS,
                    "expires_at": T.Opt(TIME_STAMP),
                    "expected_allowance": T.Opt(TOKENS),
                }
            ),
        }
    )


BLOCK = T.Record(
    {
        "parent_hash": T.Opt(BLOB),
        "transaction": T.Record(
            {
                "memo": T.Nat64,
                "icrc1_memo": T.Opt(BLOB),
                "operation": T.Opt(operation_type(BLOB)),
                "created_at_time": TIME_STAMP,
            }
        ),
        "timestamp": TIME_STAMP,
    }
)


def decode_block(encoded: bytes) -> Record:
    """The record `Block` of an encoded block."""
    block = protobuf.decode(SCHEMA, "Block", encoded)
    transaction = block["transaction"]
    parent, memo = block.get("parent_hash"), transaction.get("icrc1_memo")
    return {
        "parent_hash": [parent["hash"]] if parent else [],
        "transaction": {
            "memo": transaction["memo"]["memo"],
            "icrc1_memo": [memo["memo"]] if memo else [],
            "operation": [_operation(transaction)],
            "created_at_time": transaction.get("created_at_time", block["timestamp"]),
        },
        "timestamp": block["timestamp"],
    }


def _operation(transaction: protobuf.Message) -> Record:
    match transaction:
        case {"mint": mint}:
            return {"Mint": {"to": mint["to"]["hash"], "amount": mint["amount"]}}
        case {"burn": burn}:
            spender = burn.get("spender")
            fields = {"from": burn["from"]["hash"], "amount": burn["amount"]}
            return {"Burn": {**fields, "spender": [spender["hash"]] if spender else []}}
        case {"send": {"approve": approve} as send}:
            return {
                "Approve": {
                    "from": send["from"]["hash"],
                    "spender": send["to"]["hash"],
                    "allowance_e8s": approve["allowance"]["e8s"],
                    "allowance": approve["allowance"],
                    "fee": send["max_fee"],
                    "expires_at": optional(approve.get("expires_at")),
                    "expected_allowance": optional(approve.get("expected_allowance")),
                }
            }
        case {"send": send}:
            spender = send.get("transfer_from")
            return {
                "Transfer": {
                    "from": send["from"]["hash"],
                    "to": send["to"]["hash"],
                    "amount": send["amount"],
                    "fee": send["max_fee"],
                    "spender": [spender["spender"]["hash"]] if spender else [],
                }
            }
    raise AssertionError("every transaction is a mint, a burn or a send")
