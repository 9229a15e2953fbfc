"""Interface Specification, "IC method take_canister_snapshot" and the other snapshot methods."""

from __future__ import annotations

from icmigrate.replica.errors.canister_errors import InvalidModule
from icmigrate.replica.errors.rejected import Rejected
from icmigrate.replica.management import rejects, snapshot_globals
from icmigrate.replica.management.candid_types import Record, given
from icmigrate.replica.management.management_call import ManagementCall
from icmigrate.replica.state.canister import Snapshot
from icmigrate.replica.state.code import WASM_PAGE, InstalledModule
from icmigrate.replica.wasm import binary as wasm_binary
from icmigrate.replica.wasm.validation import unpack

MAX_SLICE = 2_000_000
"""Bytes that read_canister_snapshot_data gives at once."""


async def take_canister_snapshot(call: ManagementCall, record: Record) -> Record:
    snapshot = await call.snapshots.take(
        call.changes,
        record["canister_id"],
        replace=given(record["replace_snapshot"]),
        uninstall_code=bool(given(record["uninstall_code"])),
        origin=call.change_origin(record),
    )
    return _summary(snapshot)


async def load_canister_snapshot(call: ManagementCall, record: Record) -> None:
    canister_id, snapshot_id = record["canister_id"], record["snapshot_id"]
    source = call.snapshots.owner(canister_id, snapshot_id)
    if call.caller not in call.changes.existing(source).settings.controllers:
        raise Rejected(rejects.snapshot_not_controller(canister_id, snapshot_id, call.caller))
    await call.snapshots.load(call.changes, canister_id, source, snapshot_id, call.change_origin(record))


async def list_canister_snapshots(call: ManagementCall, record: Record) -> list[Record]:
    snapshots = call.changes.existing(record["canister_id"]).snapshots
    return [_summary(snapshot) for snapshot in snapshots.values()]


async def delete_canister_snapshot(call: ManagementCall, record: Record) -> None:
    snapshot = _existing(call, record)
    call.snapshots.delete(call.changes, record["canister_id"], snapshot.id)


async def read_canister_snapshot_metadata(call: ManagementCall, record: Record) -> Record:
    snapshot = _existing(call, record)
    timer = snapshot.global_timer
    hook = snapshot.on_low_wasm_memory
    return {
        "source": {snapshot.source: None},
        "taken_at_timestamp": snapshot.taken_at,
        "wasm_module_size": snapshot.module.size if snapshot.module else 0,
        "globals": _globals(call, snapshot),
        "wasm_memory_size": snapshot.heap_pages * WASM_PAGE,
        "stable_memory_size": snapshot.stable_pages * WASM_PAGE,
        "wasm_chunk_store": [{"hash": digest} for digest, _ in snapshot.chunks],
        "canister_version": snapshot.canister_version,
        "certified_data": snapshot.certified_data,
        "global_timer": [] if timer is None else [{"active": timer} if timer else {"inactive": None}],
        "on_low_wasm_memory_hook_status": [] if hook is None else [{hook: None}],
    }


async def read_canister_snapshot_data(call: ManagementCall, record: Record) -> Record:
    snapshot = _existing(call, record)
    ((kind, part),) = record["kind"].items()
    if kind == "wasm_chunk":
        return {"chunk": call.snapshots.read_chunk(snapshot, part["hash"])}
    offset, size = part["offset"], part["size"]
    if size > MAX_SLICE:
        raise Rejected(rejects.invalid_management_payload(f"Requested slice too large: {size} > {MAX_SLICE}"))
    return {"chunk": call.snapshots.read(snapshot, kind, offset, size)}


async def upload_canister_snapshot_metadata(call: ManagementCall, record: Record) -> Record:
    canister = call.changes.existing(record["canister_id"])
    replaced = given(record["replace_snapshot"])
    if replaced is not None:
        call.snapshots.existing(call.changes, canister.id, replaced)
    limit = call.subnet.limits.snapshots
    if replaced is None and len(canister.snapshots) >= limit:
        raise Rejected(rejects.snapshot_limit_exceeded(canister.id, limit))
    for name in ("wasm_memory_size", "stable_memory_size"):
        if record[name] % WASM_PAGE:
            raise Rejected(
                rejects.invalid_management_payload(
                    f"Snapshot Metadata contains invalid data: {name} is not a multiple of {WASM_PAGE} bytes"
                )
            )
    timer = given(record["global_timer"])
    hook = given(record["on_low_wasm_memory_hook_status"])
    wanted = Snapshot(
        id=b"",
        taken_at=call.changes.time_ns,
        canister_version=canister.version,
        source="metadata_upload",
        # What is known of the module before its bytes are there.
        module=InstalledModule(b"", record["wasm_module_size"], frozenset(), ()),
        heap_pages=record["wasm_memory_size"] // WASM_PAGE,
        stable_pages=record["stable_memory_size"] // WASM_PAGE,
        globals=tuple(snapshot_globals.from_candid(*value.popitem()) for value in map(dict, record["globals"])),
        certified_data=record["certified_data"],
        global_timer=None if timer is None else timer.get("active", 0),
        on_low_wasm_memory=None if hook is None else next(iter(hook)),
    )
    if replaced is not None:
        call.snapshots.delete(call.changes, canister.id, replaced)
    made = call.snapshots.create(call.changes, canister.id, wanted)
    return {"snapshot_id": made.id}


async def upload_canister_snapshot_data(call: ManagementCall, record: Record) -> None:
    snapshot = _existing(call, record)
    if snapshot.source != "metadata_upload":
        raise Rejected(rejects.snapshot_immutable())
    ((kind, part),) = record["kind"].items()
    offset = 0 if part is None else part["offset"]
    call.snapshots.write(call.changes, record["canister_id"], snapshot.id, kind, offset, record["chunk"])


def _existing(call: ManagementCall, record: Record) -> Snapshot:
    return call.snapshots.existing(call.changes, record["canister_id"], record["snapshot_id"])


def _summary(snapshot: Snapshot) -> Record:
    return {"id": snapshot.id, "taken_at_timestamp": snapshot.taken_at, "total_size": snapshot.size}


def _globals(call: ManagementCall, snapshot: Snapshot) -> list[dict[str, int | float]]:
    size = snapshot.module.size if snapshot.module else 0
    data = call.snapshots.read(snapshot, "wasm_module", 0, size)
    try:
        module = wasm_binary.parse(unpack(data, call.subnet.limits))
    except (wasm_binary.MalformedModule, InvalidModule):  # not uploaded yet
        return snapshot_globals.to_candid(None, snapshot.globals)
    if snapshot.source == "metadata_upload":
        return snapshot_globals.to_candid(module, snapshot.globals)
    return snapshot_globals.to_candid(module, snapshot_globals.all_values(module, snapshot.globals))
