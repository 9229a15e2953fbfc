"""Interface Specification, "The IC management canister": what is told about canisters, their history and the subnet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.metadata import version

from icmigrate.replica.errors.rejected import Rejected
from icmigrate.replica.management import rejects
from icmigrate.replica.management import settings as management_settings
from icmigrate.replica.management.candid_types import Record, given, optional
from icmigrate.replica.management.management_call import ManagementCall
from icmigrate.replica.state.canister import CanisterStatus, CycleUse
from icmigrate.replica.state.history import CanisterChange, HistoryEntry, UserChange


async def canister_status(call: ManagementCall, record: Record) -> Record:
    canister = call.changes.existing(record["canister_id"])
    is_idle = not canister.contexts and not canister.callbacks
    metrics = (
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
    stats = canister.query_stats
    return {
        "status": {canister.status.value: None},
        "ready_for_migration": canister.status is CanisterStatus.STOPPED and is_idle,
        "version": canister.version,
        "settings": management_settings.definite(canister.settings),
        "module_hash": [canister.module.hash] if canister.module else [],
        "memory_size": canister.memory_size,
        "memory_metrics": {name: getattr(canister, name) for name in metrics},
        "cycles": canister.cycles,
        "reserved_cycles": canister.reserved_cycles,
        "idle_cycles_burned_per_day": call.subnet.fees.idle_per_day(canister),
        "query_stats": {
            "num_calls_total": stats.calls,
            "num_instructions_total": stats.instructions,
            "request_payload_bytes_total": stats.request_bytes,
            "response_payload_bytes_total": stats.response_bytes,
        },
    }


async def canister_metrics(call: ManagementCall, record: Record) -> Record:
    consumed = call.changes.existing(record["canister_id"]).consumed
    return {"cycles_consumed": {use.value: consumed.get(use, 0) for use in CycleUse}}


async def canister_info(call: ManagementCall, record: Record) -> Record:
    canister = call.changes.existing(record["canister_id"])
    wanted = given(record["num_requested_changes"]) or 0
    recent = canister.history[-wanted:] if wanted else ()
    return {
        "total_num_changes": canister.history_total,
        "recent_changes": [_change(entry) for entry in recent],
        "module_hash": [canister.module.hash] if canister.module else [],
        "controllers": list(canister.settings.controllers),
    }


def _change(entry: HistoryEntry) -> Record:
    return {
        "timestamp_nanos": entry.timestamp_nanos,
        "canister_version": entry.canister_version,
        "origin": _origin(entry),
        "details": {entry.kind: _details(entry)},
    }


def _origin(entry: HistoryEntry) -> Record:
    match entry.origin:
        case UserChange(user_id):
            return {"from_user": {"user_id": user_id}}
        case CanisterChange(canister_id, canister_version):
            return {"from_canister": {"canister_id": canister_id, "canister_version": optional(canister_version)}}


def _details(entry: HistoryEntry) -> Record | None:
    match entry.kind:
        case "creation":
            digest = entry.environment_variables_hash
            return {
                "controllers": list(entry.controllers),
                "environment_variables_hash": optional(digest),
            }
        case "code_deployment":
            return {"mode": {entry.mode: None}, "module_hash": entry.module_hash}
        case "controllers_change":
            return {"controllers": list(entry.controllers)}
        case "load_snapshot":
            return {
                "from_canister_id": optional(entry.from_canister_id),
                "snapshot_id": entry.snapshot_id,
                "canister_version": entry.snapshot_version,
                "taken_at_timestamp": entry.taken_at,
                "source": {entry.snapshot_source: None},
            }
    return None


async def canister_metadata(call: ManagementCall, record: Record) -> Record:
    canister = call.changes.existing(record["canister_id"])
    if canister.module is None:
        raise Rejected(rejects.no_metadata_without_module(canister.id))
    is_controller = call.caller in canister.settings.controllers
    for section in canister.module.sections:
        if section.name == record["name"] and (section.is_public or is_controller):
            return {"value": section.content}
    raise Rejected(rejects.metadata_section_not_found(canister.id, record["name"]))


async def fetch_canister_logs(call: ManagementCall, record: Record) -> Record:
    """The `filter`, which the IC has and its specification not yet, asks for a range whose end is exclusive."""
    lines: Sequence[Record] = [
        {"idx": line.idx, "timestamp_nanos": line.timestamp_nanos, "content": line.content}
        for line in call.changes.existing(record["canister_id"]).logs
    ]
    for asked in record["filter"]:
        ((by, wanted),) = asked.items()
        lines = [line for line in lines if wanted["start"] <= line[by.removeprefix("by_")] < wanted["end"]]
    return {"canister_log_records": lines}


async def list_canisters(call: ManagementCall, record: Record) -> Record:
    """For subnet admins, which this subnet does not have."""
    raise Rejected(rejects.not_allowed_to_read(call.caller, "the list of canisters"))


async def raw_rand(call: ManagementCall, record: Record) -> bytes:
    return os.urandom(32)


async def node_metrics_history(call: ManagementCall, record: Record) -> list[Record]:
    """Empty: there are no blocks, so no node's metrics ever change."""
    _own_subnet(call, record)
    return []


async def subnet_info(call: ManagementCall, record: Record) -> Record:
    _own_subnet(call, record)
    return {"replica_version": f"icmigrate-{version('icmigrate')}", "registry_version": 1}


def _own_subnet(call: ManagementCall, record: Record) -> None:
    if record["subnet_id"] != call.subnet.subnet_id:
        raise Rejected(
            rejects.contract_violation(f"Provided target subnet ID {record['subnet_id'].to_str()} does not exist.")
        )
