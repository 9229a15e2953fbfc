"""Interface Specification, "The IC management canister", Candid types (ic.did).

Only what the methods of `method_table.py` read and write. Beyond ic.did stand the fields that the strict
decoders of official clients demand: `log_memory_limit` in the settings and `log_memory_store_size` in the
memory metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from icmigrate.protocol.candid import Types as T
from icmigrate.replica.state.canister import CycleUse

Type = Any
"""A Candid type object of ic-py."""
Record = Mapping[str, Any]
"""A decoded Candid record: `opt` is a list of none or one, a variant a dict of one."""


def optional(value: object) -> list[Any]:
    """The `opt` of a value that may be None."""
    return [] if value is None else [value]


def given(value: list[Any]) -> Any:
    """What a decoded `opt` holds, or None."""
    return value[0] if value else None


def enumeration(*labels: str) -> Type:
    """A variant whose alternatives carry nothing."""
    return T.Variant({label: T.Null for label in labels})


BLOB = T.Vec(T.Nat8)
HASH = T.Record({"hash": BLOB})

VISIBILITY = T.Variant({"controllers": T.Null, "public": T.Null, "allowed_viewers": T.Vec(T.Principal)})
ENVIRONMENT_VARIABLE = T.Record({"name": T.Text, "value": T.Text})

SETTING_TYPES: dict[str, Type] = {
    "controllers": T.Vec(T.Principal),
    "compute_allocation": T.Nat,
    "memory_allocation": T.Nat,
    "freezing_threshold": T.Nat,
    "reserved_cycles_limit": T.Nat,
    "minimum_incoming_canister_call_cycles": T.Nat,
    "log_visibility": VISIBILITY,
    "snapshot_visibility": VISIBILITY,
    "status_visibility": VISIBILITY,
    "log_memory_limit": T.Nat,
    "wasm_memory_limit": T.Nat,
    "wasm_memory_threshold": T.Nat,
    "environment_variables": T.Vec(ENVIRONMENT_VARIABLE),
}
CANISTER_SETTINGS = T.Record({name: T.Opt(type_) for name, type_ in SETTING_TYPES.items()})
DEFINITE_CANISTER_SETTINGS = T.Record(SETTING_TYPES)

CANISTER = T.Record({"canister_id": T.Principal})
CANISTER_BY_SENDER = T.Record({"canister_id": T.Principal, "sender_canister_version": T.Opt(T.Nat64)})
CREATED = CANISTER

CREATE_CANISTER = T.Record({"settings": T.Opt(CANISTER_SETTINGS), "sender_canister_version": T.Opt(T.Nat64)})
PROVISIONAL_CREATE = T.Record(
    {
        "amount": T.Opt(T.Nat),
        "settings": T.Opt(CANISTER_SETTINGS),
        "specified_id": T.Opt(T.Principal),
        "sender_canister_version": T.Opt(T.Nat64),
    }
)
PROVISIONAL_TOP_UP = T.Record({"canister_id": T.Principal, "amount": T.Nat})
UPDATE_SETTINGS = T.Record(
    {
        "canister_id": T.Principal,
        "settings": CANISTER_SETTINGS,
        "sender_canister_version": T.Opt(T.Nat64),
    }
)

INSTALL_MODE = T.Variant(
    {
        "install": T.Null,
        "reinstall": T.Null,
        "upgrade": T.Opt(
            T.Record(
                {
                    "skip_pre_upgrade": T.Opt(T.Bool),
                    "wasm_memory_persistence": T.Opt(enumeration("keep", "replace")),
                }
            )
        ),
    }
)
INSTALL_CODE = T.Record(
    {
        "mode": INSTALL_MODE,
        "canister_id": T.Principal,
        "wasm_module": BLOB,
        "arg": BLOB,
        "sender_canister_version": T.Opt(T.Nat64),
    }
)
INSTALL_CHUNKED_CODE = T.Record(
    {
        "mode": INSTALL_MODE,
        "target_canister": T.Principal,
        "store_canister": T.Opt(T.Principal),
        "chunk_hashes_list": T.Vec(HASH),
        "wasm_module_hash": BLOB,
        "arg": BLOB,
        "sender_canister_version": T.Opt(T.Nat64),
    }
)
UPLOAD_CHUNK = T.Record({"canister_id": T.Principal, "chunk": BLOB})

CANISTER_STATUS = T.Record(
    {
        "status": enumeration("running", "stopping", "stopped"),
        "ready_for_migration": T.Bool,
        "version": T.Nat64,
        "settings": DEFINITE_CANISTER_SETTINGS,
        "module_hash": T.Opt(BLOB),
        "memory_size": T.Nat,
        "memory_metrics": T.Record(
            {
                name: T.Nat
                for name in (
                    "wasm_memory_size",
                    "stable_memory_size",
                    "global_memory_size",
                    "wasm_binary_size",
                    "custom_sections_size",
                    "canister_history_size",
                    "wasm_chunk_store_size",
                    "snapshots_size",
                    "log_memory_store_size",
                )
            }
        ),
        "cycles": T.Nat,
        "reserved_cycles": T.Nat,
        "idle_cycles_burned_per_day": T.Nat,
        "query_stats": T.Record(
            {
                name: T.Nat
                for name in (
                    "num_calls_total",
                    "num_instructions_total",
                    "request_payload_bytes_total",
                    "response_payload_bytes_total",
                )
            }
        ),
    }
)

CANISTER_METRICS = T.Record({"cycles_consumed": T.Record({use.value: T.Nat for use in CycleUse})})

CANISTER_INFO = T.Record({"canister_id": T.Principal, "num_requested_changes": T.Opt(T.Nat64)})
SNAPSHOT_SOURCE = T.Variant({"taken_from_canister": T.Reserved, "metadata_upload": T.Reserved})
CHANGE = T.Record(
    {
        "timestamp_nanos": T.Nat64,
        "canister_version": T.Nat64,
        "origin": T.Variant(
            {
                "from_user": T.Record({"user_id": T.Principal}),
                "from_canister": T.Record({"canister_id": T.Principal, "canister_version": T.Opt(T.Nat64)}),
            }
        ),
        "details": T.Variant(
            {
                "creation": T.Record({"controllers": T.Vec(T.Principal), "environment_variables_hash": T.Opt(BLOB)}),
                "code_uninstall": T.Null,
                "code_deployment": T.Record(
                    {"mode": enumeration("install", "reinstall", "upgrade"), "module_hash": BLOB}
                ),
                "load_snapshot": T.Record(
                    {
                        "from_canister_id": T.Opt(T.Principal),
                        "snapshot_id": BLOB,
                        "canister_version": T.Nat64,
                        "taken_at_timestamp": T.Nat64,
                        "source": SNAPSHOT_SOURCE,
                    }
                ),
                "controllers_change": T.Record({"controllers": T.Vec(T.Principal)}),
            }
        ),
    }
)
CANISTER_INFO_RESULT = T.Record(
    {
        "total_num_changes": T.Nat64,
        "recent_changes": T.Vec(CHANGE),
        "module_hash": T.Opt(BLOB),
        "controllers": T.Vec(T.Principal),
    }
)
CANISTER_METADATA = T.Record({"canister_id": T.Principal, "name": T.Text})
CANISTER_METADATA_RESULT = T.Record({"value": BLOB})

SNAPSHOT = T.Record({"id": BLOB, "taken_at_timestamp": T.Nat64, "total_size": T.Nat64})
TAKE_SNAPSHOT = T.Record(
    {
        "canister_id": T.Principal,
        "replace_snapshot": T.Opt(BLOB),
        "uninstall_code": T.Opt(T.Bool),
        "sender_canister_version": T.Opt(T.Nat64),
    }
)
LOAD_SNAPSHOT = T.Record(
    {
        "canister_id": T.Principal,
        "snapshot_id": BLOB,
        "sender_canister_version": T.Opt(T.Nat64),
    }
)
SNAPSHOT_OF_CANISTER = T.Record({"canister_id": T.Principal, "snapshot_id": BLOB})

GLOBAL_VALUE = T.Variant({"i32": T.Int32, "i64": T.Int64, "f32": T.Float32, "f64": T.Float64, "v128": T.Nat})
GLOBAL_TIMER = T.Variant({"inactive": T.Null, "active": T.Nat64})
LOW_WASM_MEMORY_HOOK = enumeration("condition_not_satisfied", "ready", "executed")
_SNAPSHOT_CONTENT: dict[str, Type] = {
    "wasm_module_size": T.Nat64,
    "globals": T.Vec(GLOBAL_VALUE),
    "wasm_memory_size": T.Nat64,
    "stable_memory_size": T.Nat64,
    "certified_data": BLOB,
    "global_timer": T.Opt(GLOBAL_TIMER),
    "on_low_wasm_memory_hook_status": T.Opt(LOW_WASM_MEMORY_HOOK),
}
SNAPSHOT_METADATA = T.Record(
    {
        "source": SNAPSHOT_SOURCE,
        "taken_at_timestamp": T.Nat64,
        "wasm_chunk_store": T.Vec(HASH),
        "canister_version": T.Nat64,
        **_SNAPSHOT_CONTENT,
    }
)
UPLOAD_SNAPSHOT_METADATA = T.Record({"canister_id": T.Principal, "replace_snapshot": T.Opt(BLOB), **_SNAPSHOT_CONTENT})
UPLOADED_SNAPSHOT = T.Record({"snapshot_id": BLOB})
_SLICE = T.Record({"offset": T.Nat64, "size": T.Nat64})
_OFFSET = T.Record({"offset": T.Nat64})
READ_SNAPSHOT_DATA = T.Record(
    {
        "canister_id": T.Principal,
        "snapshot_id": BLOB,
        "kind": T.Variant(
            {
                "wasm_module": _SLICE,
                "wasm_memory": _SLICE,
                "stable_memory": _SLICE,
                "wasm_chunk": HASH,
            }
        ),
    }
)
SNAPSHOT_DATA = T.Record({"chunk": BLOB})
UPLOAD_SNAPSHOT_DATA = T.Record(
    {
        "canister_id": T.Principal,
        "snapshot_id": BLOB,
        "kind": T.Variant(
            {
                "wasm_module": _OFFSET,
                "wasm_memory": _OFFSET,
                "stable_memory": _OFFSET,
                "wasm_chunk": T.Null,
            }
        ),
        "chunk": BLOB,
    }
)

_RANGE = T.Record({"start": T.Nat64, "end": T.Nat64})
FETCH_CANISTER_LOGS = T.Record(
    {"canister_id": T.Principal, "filter": T.Opt(T.Variant({"by_idx": _RANGE, "by_timestamp_nanos": _RANGE}))}
)
CANISTER_LOGS = T.Record(
    {"canister_log_records": T.Vec(T.Record({"idx": T.Nat64, "timestamp_nanos": T.Nat64, "content": BLOB}))}
)
CANISTER_RANGES = T.Record({"canisters": T.Vec(T.Record({"start": T.Principal, "end": T.Principal}))})
NODE_METRICS_HISTORY = T.Record({"subnet_id": T.Principal, "start_at_timestamp_nanos": T.Nat64})
NODE_METRICS = T.Vec(
    T.Record(
        {
            "timestamp_nanos": T.Nat64,
            "node_metrics": T.Vec(
                T.Record(
                    {
                        "node_id": T.Principal,
                        "num_blocks_proposed_total": T.Nat64,
                        "num_block_failures_total": T.Nat64,
                    }
                )
            ),
        }
    )
)
SUBNET = T.Record({"subnet_id": T.Principal})
SUBNET_INFO = T.Record({"replica_version": T.Text, "registry_version": T.Nat64})
