"""Interface Specification, "The IC management canister", Candid interface: the types that the suite needs.

Written from the specification and not taken from the replica, so that the two check each other. Values are plain:
`opt` is None or the value and may be left out of a record, a variant without payload is its label.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from icmigrate.protocol import candid
from icmigrate.protocol.candid import Type
from icmigrate.protocol.candid import Types as T

BLOB = T.Vec(T.Nat8)
CANISTER = T.Record({"canister_id": T.Principal})
_HASH = T.Record({"hash": BLOB})
_HASHES = T.Vec(_HASH)
_VISIBILITY = T.Variant({"controllers": T.Null, "public": T.Null, "allowed_viewers": T.Vec(T.Principal)})
_VERSION = {"sender_canister_version": T.Opt(T.Nat64)}

SETTINGS = {
    "controllers": T.Vec(T.Principal),
    "compute_allocation": T.Nat,
    "memory_allocation": T.Nat,
    "freezing_threshold": T.Nat,
    "reserved_cycles_limit": T.Nat,
    "minimum_incoming_canister_call_cycles": T.Nat,
    "log_visibility": _VISIBILITY,
    "snapshot_visibility": _VISIBILITY,
    "status_visibility": _VISIBILITY,
    "wasm_memory_limit": T.Nat,
    "wasm_memory_threshold": T.Nat,
    "environment_variables": T.Vec(T.Record({"name": T.Text, "value": T.Text})),
}
_SETTINGS = T.Record({name: T.Opt(type_) for name, type_ in SETTINGS.items()})
_MODE = T.Variant(
    {
        "install": T.Null,
        "reinstall": T.Null,
        "upgrade": T.Opt(
            T.Record(
                {
                    "skip_pre_upgrade": T.Opt(T.Bool),
                    "wasm_memory_persistence": T.Opt(T.Variant({"keep": T.Null, "replace": T.Null})),
                }
            )
        ),
    }
)
_STATUS = T.Record(
    {
        "status": T.Variant({"running": T.Null, "stopping": T.Null, "stopped": T.Null}),
        "ready_for_migration": T.Bool,
        "version": T.Nat64,
        "settings": T.Record(dict(SETTINGS)),
        "module_hash": T.Opt(BLOB),
        "memory_size": T.Nat,
        "memory_metrics": T.Record(
            {
                "wasm_memory_size": T.Nat,
                "stable_memory_size": T.Nat,
                "global_memory_size": T.Nat,
                "wasm_binary_size": T.Nat,
                "custom_sections_size": T.Nat,
                "canister_history_size": T.Nat,
                "wasm_chunk_store_size": T.Nat,
                "snapshots_size": T.Nat,
            }
        ),
        "cycles": T.Nat,
        "reserved_cycles": T.Nat,
        "idle_cycles_burned_per_day": T.Nat,
        "query_stats": T.Record(
            {
                "num_calls_total": T.Nat,
                "num_instructions_total": T.Nat,
                "request_payload_bytes_total": T.Nat,
                "response_payload_bytes_total": T.Nat,
            }
        ),
    }
)
_CHANGE = T.Record(
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
                    {
                        "mode": T.Variant({"install": T.Null, "reinstall": T.Null, "upgrade": T.Null}),
                        "module_hash": BLOB,
                    }
                ),
                "load_snapshot": T.Record(
                    {
                        "from_canister_id": T.Opt(T.Principal),
                        "snapshot_id": BLOB,
                        "canister_version": T.Nat64,
                        "taken_at_timestamp": T.Nat64,
                        "source": T.Variant({"taken_from_canister": T.Reserved, "metadata_upload": T.Reserved}),
                    }
                ),
                "controllers_change": T.Record({"controllers": T.Vec(T.Principal)}),
            }
        ),
    }
)
_INFO = T.Record(
    {
        "total_num_changes": T.Nat64,
        "recent_changes": T.Vec(_CHANGE),
        "module_hash": T.Opt(BLOB),
        "controllers": T.Vec(T.Principal),
    }
)
_SNAPSHOT = T.Record({"id": BLOB, "taken_at_timestamp": T.Nat64, "total_size": T.Nat64})
_ONE_SNAPSHOT = T.Record({"canister_id": T.Principal, "snapshot_id": BLOB})
_LOGS = T.Record(
    {"canister_log_records": T.Vec(T.Record({"idx": T.Nat64, "timestamp_nanos": T.Nat64, "content": BLOB}))}
)
_GLOBALS = T.Vec(T.Variant({"i32": T.Int32, "i64": T.Int64, "f32": T.Float32, "f64": T.Float64, "v128": T.Nat}))
_TIMER = T.Opt(T.Variant({"inactive": T.Null, "active": T.Nat64}))
_HOOK = T.Opt(T.Variant({"condition_not_satisfied": T.Null, "ready": T.Null, "executed": T.Null}))
_RANGE = T.Record({"offset": T.Nat64, "size": T.Nat64})
_OFFSET = T.Record({"offset": T.Nat64})
_CONSUMED = T.Record(
    {
        name: T.Nat
        for name in (
            "memory",
            "compute_allocation",
            "ingress_induction",
            "instructions",
            "request_and_response_transmission",
            "uninstall",
            "canister_creation",
            "http_outcalls",
            "burned_cycles",
        )
    }
)

METHODS: dict[str, tuple[Type, Type]] = {
    "create_canister": (T.Record({"settings": T.Opt(_SETTINGS), **_VERSION}), CANISTER),
    "provisional_create_canister_with_cycles": (
        T.Record({"amount": T.Opt(T.Nat), "settings": T.Opt(_SETTINGS), "specified_id": T.Opt(T.Principal)}),
        CANISTER,
    ),
    "provisional_top_up_canister": (T.Record({"canister_id": T.Principal, "amount": T.Nat}), None),
    "update_settings": (T.Record({"canister_id": T.Principal, "settings": _SETTINGS, **_VERSION}), None),
    "install_code": (
        T.Record({"mode": _MODE, "canister_id": T.Principal, "wasm_module": BLOB, "arg": BLOB, **_VERSION}),
        None,
    ),
    "install_chunked_code": (
        T.Record(
            {
                "mode": _MODE,
                "target_canister": T.Principal,
                "store_canister": T.Opt(T.Principal),
                "chunk_hashes_list": _HASHES,
                "wasm_module_hash": BLOB,
                "arg": BLOB,
                **_VERSION,
            }
        ),
        None,
    ),
    "uninstall_code": (T.Record({"canister_id": T.Principal, **_VERSION}), None),
    "upload_chunk": (T.Record({"canister_id": T.Principal, "chunk": BLOB}), _HASH),
    "stored_chunks": (CANISTER, _HASHES),
    "clear_chunk_store": (CANISTER, None),
    "start_canister": (CANISTER, None),
    "stop_canister": (CANISTER, None),
    "delete_canister": (CANISTER, None),
    "canister_status": (CANISTER, _STATUS),
    "canister_metrics": (CANISTER, T.Record({"cycles_consumed": _CONSUMED})),
    "canister_info": (
        T.Record({"canister_id": T.Principal, "num_requested_changes": T.Opt(T.Nat64)}),
        _INFO,
    ),
    "canister_metadata": (T.Record({"canister_id": T.Principal, "name": T.Text}), T.Record({"value": BLOB})),
    "deposit_cycles": (CANISTER, None),
    "raw_rand": (None, BLOB),
    "take_canister_snapshot": (
        T.Record(
            {
                "canister_id": T.Principal,
                "replace_snapshot": T.Opt(BLOB),
                "uninstall_code": T.Opt(T.Bool),
                **_VERSION,
            }
        ),
        _SNAPSHOT,
    ),
    "load_canister_snapshot": (
        T.Record({"canister_id": T.Principal, "snapshot_id": BLOB, **_VERSION}),
        None,
    ),
    "list_canister_snapshots": (CANISTER, T.Vec(_SNAPSHOT)),
    "delete_canister_snapshot": (_ONE_SNAPSHOT, None),
    "read_canister_snapshot_metadata": (
        _ONE_SNAPSHOT,
        T.Record(
            {
                "source": T.Variant({"taken_from_canister": T.Reserved, "metadata_upload": T.Reserved}),
                "taken_at_timestamp": T.Nat64,
                "wasm_module_size": T.Nat64,
                "globals": _GLOBALS,
                "wasm_memory_size": T.Nat64,
                "stable_memory_size": T.Nat64,
                "wasm_chunk_store": _HASHES,
                "canister_version": T.Nat64,
                "certified_data": BLOB,
                "global_timer": _TIMER,
                "on_low_wasm_memory_hook_status": _HOOK,
            }
        ),
    ),
    "read_canister_snapshot_data": (
        T.Record(
            {
                "canister_id": T.Principal,
                "snapshot_id": BLOB,
                "kind": T.Variant(
                    {
                        "wasm_module": _RANGE,
                        "wasm_memory": _RANGE,
                        "stable_memory": _RANGE,
                        "wasm_chunk": _HASH,
                    }
                ),
            }
        ),
        T.Record({"chunk": BLOB}),
    ),
    "upload_canister_snapshot_metadata": (
        T.Record(
            {
                "canister_id": T.Principal,
                "replace_snapshot": T.Opt(BLOB),
                "wasm_module_size": T.Nat64,
                "globals": _GLOBALS,
                "wasm_memory_size": T.Nat64,
                "stable_memory_size": T.Nat64,
                "certified_data": BLOB,
                "global_timer": _TIMER,
                "on_low_wasm_memory_hook_status": _HOOK,
            }
        ),
        T.Record({"snapshot_id": BLOB}),
    ),
    "upload_canister_snapshot_data": (
        T.Record(
            {
                "canister_id": T.Principal,
                "snapshot_id": BLOB,
                "chunk": BLOB,
                "kind": T.Variant(
                    {
                        "wasm_module": _OFFSET,
                        "wasm_memory": _OFFSET,
                        "stable_memory": _OFFSET,
                        "wasm_chunk": T.Null,
                    }
                ),
            }
        ),
        None,
    ),
    "fetch_canister_logs": (CANISTER, _LOGS),
    "node_metrics_history": (
        T.Record({"subnet_id": T.Principal, "start_at_timestamp_nanos": T.Nat64}),
        T.Vec(
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
        ),
    ),
    "subnet_info": (
        T.Record({"subnet_id": T.Principal}),
        T.Record({"replica_version": T.Text, "registry_version": T.Nat64}),
    ),
    "list_canisters": (
        None,
        T.Record({"canisters": T.Vec(T.Record({"start": T.Principal, "end": T.Principal}))}),
    ),
}
"""Argument and result of each method; None where there is none."""


def encode(method: str, argument: Mapping[str, Any] | None = None) -> bytes:
    """The argument of a method, in Candid."""
    type_ = METHODS[method][0]
    if type_ is None:
        return candid.encode([], [])
    return candid.encode([type_], [_from_plain(type_, argument or {})])


def decode(method: str, reply: bytes) -> Any:
    """The result of a method, None if it has none."""
    type_ = METHODS[method][1]
    if type_ is None:
        assert candid.decode(reply, []) == []
        return None
    return _to_plain(type_, candid.decode(reply, [type_])[0])


def _from_plain(type_: Type, value: Any) -> Any:
    match type(type_).__name__:
        case "OptClass":
            return [] if value is None else [_from_plain(type_._type, value)]
        case "VecClass" if not isinstance(value, bytes):
            return [_from_plain(type_._type, item) for item in value]
        case "RecordClass":
            return {name: _from_plain(field, value.get(name)) for name, field in type_._fields.items()}
        case "VariantClass" if isinstance(value, str):
            return {value: [] if type(type_._fields[value]).__name__ == "OptClass" else None}
        case "VariantClass":
            return {name: _from_plain(type_._fields[name], payload) for name, payload in value.items()}
    return value


def _to_plain(type_: Type, value: Any) -> Any:
    match type(type_).__name__:
        case "OptClass":
            return _to_plain(type_._type, value[0]) if value else None
        case "VecClass" if not isinstance(value, bytes):
            return [_to_plain(type_._type, item) for item in value]
        case "RecordClass":
            return {name: _to_plain(field, value[name]) for name, field in type_._fields.items()}
        case "VariantClass":
            ((name, payload),) = value.items()
            empty = type(type_._fields[name]).__name__ in ("NullClass", "ReservedClass")
            return name if empty else {name: _to_plain(type_._fields[name], payload)}
    return value
