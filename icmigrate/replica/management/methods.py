"""Interface Specification, "The IC management canister": lifecycle, code, settings and information.

One function a method, called with the decoded argument after the caller was authorized; what it returns is
encoded as the result. Errors are raised as Rejected.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from importlib.metadata import version

from icmigrate.protocol.hash_of_map import hash_of_map
from icmigrate.replica.errors import system_rejects
from icmigrate.replica.errors.rejected import Rejected
from icmigrate.replica.management import rejects
from icmigrate.replica.management import settings as management_settings
from icmigrate.replica.management.context import Context, Record, optional
from icmigrate.replica.state.canister import CanisterStatus, CycleUse
from icmigrate.replica.state.history import CanisterChange, HistoryEntry, UserChange
from icmigrate.replica.state.settings import CREATED_WASM_MEMORY_LIMIT, Settings
from icmigrate.replica.subnet.native_canister import Deferred

# ------------------------------------------------------------------------------------------- creation


async def create_canister(context: Context, record: Record) -> Record:
    required = context.subnet.fees.canister_creation
    sent = context.call.cycles
    if sent < required:
        raise Rejected(rejects.insufficient_cycles_for_create_canister(sent, required))
    settings = _initial_settings(context, record, CREATED_WASM_MEMORY_LIMIT)
    context.call.accept(sent)
    origin = context.change_origin(record)
    canister_id = context.canisters.create_canister(
        context.changes, settings, sent - required, origin, variables_hash=_variables_hash(record)
    )
    made = context.changes.existing(canister_id)
    context.changes.put(made.consuming(CycleUse.CANISTER_CREATION, required))
    return {"canister_id": canister_id}


async def provisional_create_canister_with_cycles(context: Context, record: Record) -> Record:
    amount = optional(record["amount"])
    canister_id = context.canisters.create_canister(
        context.changes,
        _initial_settings(context, record),
        context.subnet.fees.default_provisional_balance if amount is None else amount,
        context.change_origin(record),
        optional(record["specified_id"]),
        variables_hash=_variables_hash(record),
    )
    return {"canister_id": canister_id}


def _variables_hash(record: Record) -> bytes | None:
    """What the history tells about the environment variables, if any list of them was given."""
    for settings in record["settings"]:
        for variables in settings["environment_variables"]:
            return hash_of_map({variable["name"]: variable["value"] for variable in variables})
    return None


def _initial_settings(context: Context, record: Record, wasm_memory_limit: int = 0) -> Settings:
    settings = Settings(controllers=(context.caller,), wasm_memory_limit=wasm_memory_limit)
    for given in record["settings"]:
        settings = management_settings.updated(settings, given, context.subnet.limits)
    return settings


async def update_settings(context: Context, record: Record) -> None:
    canister = context.changes.existing(record["canister_id"])
    settings = management_settings.updated(canister.settings, record["settings"], context.subnet.limits)
    if settings.reserved_cycles_limit < canister.reserved_cycles:
        raise Rejected(
            rejects.reserved_cycles_limit_is_too_low(canister.reserved_cycles, settings.reserved_cycles_limit)
        )
    by = context.change_origin(record) if record["settings"]["controllers"] else None
    context.canisters.update_settings(context.changes, canister.id, settings, by)


# ------------------------------------------------------------------------------------------- code


async def upload_chunk(context: Context, record: Record) -> Record:
    return {"hash": context.canisters.put_chunk(context.changes, record["canister_id"], record["chunk"])}


async def clear_chunk_store(context: Context, record: Record) -> None:
    context.canisters.clear_chunks(context.changes, record["canister_id"])


async def stored_chunks(context: Context, record: Record) -> list[Record]:
    return [{"hash": digest} for digest in context.changes.existing(record["canister_id"]).chunks]


async def install_code(context: Context, record: Record) -> None:
    await _install(context, record, "canister_id", record["wasm_module"])


async def install_chunked_code(context: Context, record: Record) -> None:
    store_id = optional(record["store_canister"]) or record["target_canister"]
    store = context.changes.canister(store_id)
    if store is None:
        raise Rejected(system_rejects.not_found(store_id))
    if context.caller != store_id and context.caller not in store.settings.controllers:
        raise Rejected(rejects.invalid_controller(store_id, store.settings.controllers, context.caller))
    chunks: list[bytes] = []
    for item in record["chunk_hashes_list"]:
        digest = item["hash"]
        if len(digest) != 32:
            raise Rejected(rejects.wasm_chunk_store_error("Chunk hash is invalid. The length is not 32"))
        chunk = context.canisters.read_chunk(store_id, digest) if digest in store.chunks else None
        if chunk is None:
            raise Rejected(rejects.wasm_chunk_store_error(f"Chunk hash {list(digest)} was not found"))
        chunks.append(chunk)
    module = b"".join(chunks)
    digest = hashlib.sha256(module).digest()
    if digest != record["wasm_module_hash"]:
        raise Rejected(
            rejects.wasm_chunk_store_error(
                f"Wasm module hash {list(digest)} does not match given hash "
                f"WasmHash({list(record['wasm_module_hash'])})"
            )
        )
    await _install(context, record, "target_canister", module)


async def _install(context: Context, record: Record, target: str, module: bytes) -> None:
    ((mode, options),) = record["mode"].items()
    upgrade = optional(options) if mode == "upgrade" else None
    persistence = optional(upgrade["wasm_memory_persistence"]) if upgrade else None
    await context.canisters.install_code(
        context.changes,
        record[target],
        mode,
        module,
        record["arg"],
        context.caller,
        context.change_origin(record),
        skip_pre_upgrade=bool(upgrade and optional(upgrade["skip_pre_upgrade"])),
        wasm_memory_persistence=next(iter(persistence)) if persistence else None,
    )


async def uninstall_code(context: Context, record: Record) -> None:
    context.canisters.uninstall_code(context.changes, record["canister_id"], context.change_origin(record))


# ------------------------------------------------------------------------------------------- lifecycle


async def start_canister(context: Context, record: Record) -> None:
    context.canisters.start_canister(context.changes, record["canister_id"])


async def stop_canister(context: Context, record: Record) -> Deferred | None:
    return context.canisters.stop_canister(context.changes, record["canister_id"], context.call)


async def delete_canister(context: Context, record: Record) -> None:
    if record["canister_id"] == context.caller:
        raise Rejected(rejects.delete_canister_self(context.caller))
    context.canisters.delete_canister(context.changes, record["canister_id"])


# ------------------------------------------------------------------------------------------- cycles


async def deposit_cycles(context: Context, record: Record) -> None:
    amount = context.call.accept(context.call.cycles)
    context.canisters.deposit_cycles(context.changes, record["canister_id"], amount)


async def provisional_top_up_canister(context: Context, record: Record) -> None:
    context.canisters.deposit_cycles(context.changes, record["canister_id"], record["amount"])


# ------------------------------------------------------------------------------------------- information


async def canister_status(context: Context, record: Record) -> Record:
    canister = context.changes.existing(record["canister_id"])
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
        "idle_cycles_burned_per_day": context.subnet.fees.idle_per_day(canister),
        "query_stats": {
            "num_calls_total": stats.calls,
            "num_instructions_total": stats.instructions,
            "request_payload_bytes_total": stats.request_bytes,
            "response_payload_bytes_total": stats.response_bytes,
        },
    }


async def canister_metrics(context: Context, record: Record) -> Record:
    consumed = context.changes.existing(record["canister_id"]).consumed
    return {"cycles_consumed": {use.value: consumed.get(use, 0) for use in CycleUse}}


async def canister_info(context: Context, record: Record) -> Record:
    canister = context.changes.existing(record["canister_id"])
    wanted = optional(record["num_requested_changes"]) or 0
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
            given = [] if canister_version is None else [canister_version]
            return {"from_canister": {"canister_id": canister_id, "canister_version": given}}


def _details(entry: HistoryEntry) -> Record | None:
    match entry.kind:
        case "creation":
            digest = entry.environment_variables_hash
            return {
                "controllers": list(entry.controllers),
                "environment_variables_hash": [] if digest is None else [digest],
            }
        case "code_deployment":
            return {"mode": {entry.mode: None}, "module_hash": entry.module_hash}
        case "controllers_change":
            return {"controllers": list(entry.controllers)}
        case "load_snapshot":
            return {
                "from_canister_id": [] if entry.from_canister_id is None else [entry.from_canister_id],
                "snapshot_id": entry.snapshot_id,
                "canister_version": entry.snapshot_version,
                "taken_at_timestamp": entry.taken_at,
                "source": {entry.snapshot_source: None},
            }
    return None


async def canister_metadata(context: Context, record: Record) -> Record:
    canister = context.changes.existing(record["canister_id"])
    if canister.module is None:
        raise Rejected(rejects.no_metadata_without_module(canister.id))
    is_controller = context.caller in canister.settings.controllers
    for section in canister.module.sections:
        if section.name == record["name"] and (section.is_public or is_controller):
            return {"value": section.content}
    raise Rejected(rejects.metadata_section_not_found(canister.id, record["name"]))


async def fetch_canister_logs(context: Context, record: Record) -> Record:
    """The `filter`, which the IC has and its specification not yet, asks for a range whose end is exclusive."""
    lines: Sequence[Record] = [
        {"idx": line.idx, "timestamp_nanos": line.timestamp_nanos, "content": line.content}
        for line in context.changes.existing(record["canister_id"]).logs
    ]
    for given in record["filter"]:
        ((by, wanted),) = given.items()
        lines = [line for line in lines if wanted["start"] <= line[by.removeprefix("by_")] < wanted["end"]]
    return {"canister_log_records": lines}


async def list_canisters(context: Context, record: Record) -> Record:
    """For subnet admins, which this subnet does not have."""
    raise Rejected(rejects.not_allowed_to_read(context.caller, "the list of canisters"))


async def raw_rand(context: Context, record: Record) -> bytes:
    return os.urandom(32)


async def node_metrics_history(context: Context, record: Record) -> list[Record]:
    """Empty: there are no blocks, so no node's metrics ever change."""
    _own_subnet(context, record)
    return []


async def subnet_info(context: Context, record: Record) -> Record:
    _own_subnet(context, record)
    return {"replica_version": f"icmigrate-{version('icmigrate')}", "registry_version": 1}


def _own_subnet(context: Context, record: Record) -> None:
    if record["subnet_id"] != context.subnet.subnet_id:
        raise Rejected(
            rejects.contract_violation(f"Provided target subnet ID {record['subnet_id'].to_str()} does not exist.")
        )
