"""ICRC-3 of the token standards: blocks as generic values, their hash, and the certificate of the last one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from icmigrate.protocol import candid, cbor, hash_tree, leb128
from icmigrate.protocol.candid import Types as T
from icmigrate.replica.management.candid_types import BLOB, Record

Value = bytes | str | int | list["Value"] | dict[str, "Value"]
"""A generic value as Python has it. Its hash is that of `hash_of_map`."""

VALUE = T.Rec()
VALUE.fill(
    T.Variant(
        {
            "Int": T.Int,
            "Map": T.Vec(T.Tuple(T.Text, VALUE)),
            "Nat": T.Nat,
            "Nat64": T.Nat64,
            "Blob": BLOB,
            "Text": T.Text,
            "Array": T.Vec(VALUE),
        }
    )
)
GET_ARCHIVES_ARGS = T.Record({"from": T.Opt(T.Principal)})
GET_ARCHIVES_RESULT = T.Vec(T.Record({"canister_id": T.Principal, "start": T.Nat, "end": T.Nat}))
GET_BLOCKS_ARGS = T.Vec(T.Record({"start": T.Nat, "length": T.Nat}))
# The callback of archived blocks answers with this same type; there are none.
GET_BLOCKS_RESULT = T.Record(
    {
        "log_length": T.Nat,
        "blocks": T.Vec(T.Record({"id": T.Nat, "block": VALUE})),
        "archived_blocks": T.Vec(T.Record({"args": GET_BLOCKS_ARGS, "callback": T.Func([], [], ["query"])})),
    }
)
DATA_CERTIFICATE = T.Opt(T.Record({"certificate": BLOB, "hash_tree": BLOB}))
SUPPORTED_BLOCK_TYPES = T.Vec(T.Record({"block_type": T.Text, "url": T.Text}))


def to_candid(value: Value) -> Record:
    """The `Value` variant."""
    match value:
        case bytes():
            return {"Blob": value}
        case str():
            return {"Text": value}
        case int():
            return {"Nat": value}
        case Mapping():
            return {"Map": [(name, to_candid(field)) for name, field in sorted(value.items())]}
        case _:
            return {"Array": [to_candid(item) for item in value]}


def encode(value: Value) -> bytes:
    """How a ledger keeps a block: its `Value` in Candid."""
    return candid.encode([VALUE], [to_candid(value)])


def decode(encoded: bytes) -> Value:
    """The block that `encode` made this of."""
    value: Any = candid.decode(encoded, [VALUE])[0]
    return from_candid(value)


def from_candid(value: Record) -> Value:
    """The value of a `Value` variant."""
    ((kind, content),) = value.items()
    match kind:
        case "Map":
            return {name: from_candid(field) for name, field in content}
        case "Array":
            return [from_candid(item) for item in content]
    plain: Value = content
    return plain


def tip_tree(length: int, tip_hash: bytes | None) -> hash_tree.HashTree:
    """The tree whose root hash is the ledger's certified data: index and hash of the last block."""
    if tip_hash is None:
        return hash_tree.EMPTY
    return hash_tree.build({b"last_block_index": leb128.encode_unsigned(length - 1), b"last_block_hash": tip_hash})


def encoded(tree: hash_tree.HashTree) -> bytes:
    return cbor.dumps(hash_tree.to_cbor_value(tree))
