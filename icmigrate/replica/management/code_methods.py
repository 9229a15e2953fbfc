"""Interface Specification, "IC method install_code", "IC method install_chunked_code" and the chunk store."""

from __future__ import annotations

import hashlib

from icmigrate.replica.errors import system_rejects
from icmigrate.replica.errors.rejected import Rejected
from icmigrate.replica.management import rejects
from icmigrate.replica.management.candid_types import Record, given
from icmigrate.replica.management.management_call import ManagementCall


async def upload_chunk(call: ManagementCall, record: Record) -> Record:
    return {"hash": call.canisters.put_chunk(call.changes, record["canister_id"], record["chunk"])}


async def clear_chunk_store(call: ManagementCall, record: Record) -> None:
    call.canisters.clear_chunks(call.changes, record["canister_id"])


async def stored_chunks(call: ManagementCall, record: Record) -> list[Record]:
    return [{"hash": digest} for digest in call.changes.existing(record["canister_id"]).chunks]


async def install_code(call: ManagementCall, record: Record) -> None:
    await _install(call, record, "canister_id", record["wasm_module"])


async def install_chunked_code(call: ManagementCall, record: Record) -> None:
    store_id = given(record["store_canister"]) or record["target_canister"]
    store = call.changes.canister(store_id)
    if store is None:
        raise Rejected(system_rejects.not_found(store_id))
    if call.caller != store_id and call.caller not in store.settings.controllers:
        raise Rejected(rejects.invalid_controller(store_id, store.settings.controllers, call.caller))
    chunks: list[bytes] = []
    for item in record["chunk_hashes_list"]:
        digest = item["hash"]
        if len(digest) != 32:
            raise Rejected(rejects.wasm_chunk_store_error("Chunk hash is invalid. The length is not 32"))
        chunk = call.canisters.read_chunk(store_id, digest) if digest in store.chunks else None
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
    await _install(call, record, "target_canister", module)


async def _install(call: ManagementCall, record: Record, target: str, module: bytes) -> None:
    ((mode, options),) = record["mode"].items()
    upgrade = given(options) if mode == "upgrade" else None
    persistence = given(upgrade["wasm_memory_persistence"]) if upgrade else None
    await call.canisters.install_code(
        call.changes,
        record[target],
        mode,
        module,
        record["arg"],
        call.caller,
        call.change_origin(record),
        skip_pre_upgrade=bool(upgrade and given(upgrade["skip_pre_upgrade"])),
        wasm_memory_persistence=next(iter(persistence)) if persistence else None,
    )


async def uninstall_code(call: ManagementCall, record: Record) -> None:
    call.canisters.uninstall_code(call.changes, record["canister_id"], call.change_origin(record))
