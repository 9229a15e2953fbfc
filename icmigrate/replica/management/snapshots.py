"""Interface Specification, "Canister snapshots": taking, loading, reading and uploading them.

A snapshot's facts are in its canister's record; its memories are copies of the page images in the store.
"""

from __future__ import annotations

from dataclasses import replace

from icmigrate.protocol.principal import Principal
from icmigrate.replica.errors import canister_errors
from icmigrate.replica.errors.rejected import Rejected
from icmigrate.replica.execution.low_memory import has_low_memory, watch_memory
from icmigrate.replica.management import rejects
from icmigrate.replica.management.operations import CanisterOperations
from icmigrate.replica.management.snapshot_globals import kept_values
from icmigrate.replica.state.canister import Canister, Snapshot
from icmigrate.replica.state.code import WASM_PAGE, MemoryImage
from icmigrate.replica.state.history import ChangeOrigin, HistoryEntry
from icmigrate.replica.storage.changes import Changes
from icmigrate.replica.storage.page_files import HEAP, STABLE, copy_sparse
from icmigrate.replica.wasm import binary as wasm_binary
from icmigrate.replica.wasm.module import check
from icmigrate.replica.wasm.validation import unpack

_FILES = {"wasm_module": "module", "wasm_memory": "heap", "stable_memory": "stable"}


class Snapshots:
    """The snapshots of one subnet's canisters. Works on a transaction like `CanisterOperations`."""

    def __init__(self, canisters: CanisterOperations) -> None:
        self._canisters = canisters
        self._subnet = canisters.subnet
        self._store = canisters.subnet.store
        self._limits = canisters.subnet.limits

    async def take(
        self,
        changes: Changes,
        canister_id: Principal,
        *,
        replace: bytes | None = None,
        uninstall_code: bool = False,
        origin: ChangeOrigin,
    ) -> Snapshot:
        """Keeps module, memories, chunks, certified data and timer under a new snapshot id."""
        canister = self._canisters.charged(changes, canister_id)
        if canister.module is None:
            raise Rejected(rejects.snapshot_of_empty_canister(canister_id))
        snapshots = dict(canister.snapshots)
        if replace is not None:
            del snapshots[self.existing(changes, canister_id, replace).id]
            changes.after_commit(lambda: self._store.remove_snapshot(replace))
        elif len(snapshots) >= self._limits.snapshots:
            raise Rejected(rejects.snapshot_limit_exceeded(canister_id, self._limits.snapshots))
        image = await self._subnet.threads.run(self._fold, canister)
        snapshot = Snapshot(
            id=canister.next_snapshot.to_bytes(8, "big") + canister_id.bytes,
            taken_at=changes.time_ns,
            canister_version=canister.version,
            source="taken_from_canister",
            module=canister.module,
            heap_pages=image.heap_pages,
            stable_pages=image.stable_pages,
            globals=image.globals,
            certified_data=canister.certified_data,
            chunks=tuple(canister.chunks.items()),
            global_timer=canister.global_timer,
            on_low_wasm_memory=canister.low_memory_hook,
        )
        snapshots[snapshot.id] = snapshot
        if not uninstall_code:
            self._canisters.check_growth(canister, canister.with_(snapshots=snapshots))
        await self._subnet.threads.run(self._copy_images, canister_id, image, snapshot.id)
        canister = canister.with_(memory=image, snapshots=snapshots, next_snapshot=canister.next_snapshot + 1)
        changes.put(canister)
        self._canisters.drop_stale_pages(changes, canister)
        changes.after_commit(lambda: self._subnet.executor.instances.forget(canister_id))
        if uninstall_code:
            self._canisters.uninstall_code(changes, canister_id, origin)
        return snapshot

    def _fold(self, canister: Canister) -> MemoryImage:
        self._subnet.executor.instances.forget(canister.id)
        image, files = self._subnet.executor.instances.fold(canister)
        files.close()
        return image

    def _copy_images(self, canister_id: Principal, image: MemoryImage, snapshot_id: bytes) -> None:
        files = self._store.page_files(canister_id)
        for kind, name in ((HEAP, "heap"), (STABLE, "stable")):
            source, target = files.image_path(image, kind), self._store.snapshot_path(snapshot_id, name)
            if source is not None:
                copy_sparse(source, target)
            else:
                target.unlink(missing_ok=True)
        files.close()

    async def load(
        self,
        changes: Changes,
        canister_id: Principal,
        source_canister: Principal,
        snapshot_id: bytes,
        origin: ChangeOrigin,
    ) -> None:
        """Makes the canister what the snapshot (its own or another canister's) holds."""
        canister = self._canisters.charged(changes, canister_id)
        snapshot = self.existing(changes, source_canister, snapshot_id)
        snapshot = await self._subnet.threads.run(self._complete, source_canister, snapshot)
        image = canister.memory
        files = self._store.page_files(canister_id)
        sizes = []
        for kind, name in ((HEAP, "heap"), (STABLE, "stable")):
            source = self._store.snapshot_path(snapshot_id, name)
            sizes.append(await self._subnet.threads.run(files.adopt, kind, image.generation(kind) + 1, source))
        memory = MemoryImage(
            heap_pages=snapshot.heap_pages,
            stable_pages=snapshot.stable_pages,
            globals=snapshot.globals,
            heap_generation=image.heap_generation + 1,
            stable_generation=image.stable_generation + 1,
            log_generation=image.log_generation + 1,
            heap_file=sizes[HEAP],
            stable_file=sizes[STABLE],
        )
        loaded = canister.with_(
            module=snapshot.module,
            memory=memory,
            certified_data=snapshot.certified_data,
            chunks=dict(snapshot.chunks),
            version=canister.version + 1,
            installed_at=changes.time_ns,
        )
        if snapshot.source == "metadata_upload":
            loaded = _with_uploaded_hooks(loaded, snapshot)
        loaded = watch_memory(loaded)
        self._canisters.check_growth(canister, loaded)
        entry = HistoryEntry(
            changes.time_ns,
            loaded.version,
            origin,
            "load_snapshot",
            snapshot_id=snapshot_id,
            snapshot_version=snapshot.canister_version,
            taken_at=snapshot.taken_at,
            snapshot_source=snapshot.source,
            from_canister_id=None if source_canister == canister_id else source_canister,
        )
        changes.put(self._canisters.noted(loaded, entry))
        self._canisters.drop_stale_pages(changes, loaded)
        changes.after_commit(lambda: self._subnet.executor.instances.forget(canister_id))

    def _complete(self, owner: Principal, snapshot: Snapshot) -> Snapshot:
        """An uploaded snapshot's module is checked and its globals are put in order when it is loaded."""
        path = self._store.snapshot_path(snapshot.id, "module")
        if snapshot.source != "metadata_upload" or not path.exists():
            return snapshot
        data = path.read_bytes()
        try:
            installed, _, _ = check(data, self._limits)
        except canister_errors.InvalidModule as error:
            raise Rejected(error.reject(owner)) from None
        values = kept_values(wasm_binary.parse(unpack(data, self._limits)), snapshot.globals)
        if values is None:
            raise Rejected(
                rejects.snapshot_inconsistent(
                    "Wasm exported globals of canister module and snapshot metadata do not match."
                )
            )
        self._store.put(self._store.modules, data)
        return replace(snapshot, module=installed, globals=values)

    def delete(self, changes: Changes, canister_id: Principal, snapshot_id: bytes) -> None:
        canister = changes.existing(canister_id)
        snapshots = {key: each for key, each in canister.snapshots.items() if key != snapshot_id}
        changes.put(canister.with_(snapshots=snapshots))
        changes.after_commit(lambda: self._store.remove_snapshot(snapshot_id))

    def owner(self, canister_id: Principal, snapshot_id: bytes) -> Principal:
        """Whose a snapshot is. Raises Rejected in the name of `canister_id` when there is none."""
        for canister in self._subnet.state.canisters.values():
            if snapshot_id in canister.snapshots:
                return canister.id
        raise Rejected(rejects.snapshot_not_found(canister_id, snapshot_id))

    def existing(self, changes: Changes, canister_id: Principal, snapshot_id: bytes) -> Snapshot:
        """A snapshot of this canister. Raises Rejected when there is none, or it is another canister's."""
        found = changes.existing(canister_id).snapshots.get(snapshot_id)
        if found is None:
            self.owner(canister_id, snapshot_id)
            raise Rejected(rejects.snapshot_invalid_ownership(canister_id, snapshot_id))
        return found

    def read(self, snapshot: Snapshot, kind: str, offset: int, size: int) -> bytes:
        """Bytes of a snapshot; `kind` is wasm_module, wasm_memory or stable_memory."""
        _check_slice(snapshot, kind, offset, size)
        path = self._store.snapshot_path(snapshot.id, _FILES[kind])
        if kind == "wasm_module" and snapshot.module is not None and not path.exists():
            path = self._store.modules / snapshot.module.hash.hex()
        data = b""
        if path.exists():
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read(size)
        return data.ljust(size, b"\0")

    def read_chunk(self, snapshot: Snapshot, digest: bytes) -> bytes:
        """A chunk of the chunk store as it was."""
        chunk = self._store.get(self._store.chunks, digest) if digest in dict(snapshot.chunks) else None
        if chunk is None:
            written = ", ".join(f"{byte:02x}" for byte in digest)
            raise Rejected(rejects.wasm_chunk_store_error(f"WasmChunkHash [{written}] not found."))
        return chunk

    def create(self, changes: Changes, canister_id: Principal, snapshot: Snapshot) -> Snapshot:
        """An empty snapshot of the given sizes, to be filled by `write` (metadata upload)."""
        canister = changes.existing(canister_id)
        made = replace(snapshot, id=canister.next_snapshot.to_bytes(8, "big") + canister_id.bytes)
        after = canister.with_(
            snapshots={**canister.snapshots, made.id: made}, next_snapshot=canister.next_snapshot + 1
        )
        self._canisters.check_growth(canister, after)
        for kind, size in _sizes(made).items():
            with self._store.snapshot_path(made.id, _FILES[kind]).open("wb") as file:
                file.truncate(size)
        changes.put(after)
        return made

    def write(
        self,
        changes: Changes,
        canister_id: Principal,
        snapshot_id: bytes,
        kind: str,
        offset: int,
        data: bytes,
    ) -> None:
        """Fills a part of an uploaded snapshot; `kind` as in `read`, or wasm_chunk (`offset` is ignored)."""
        canister = changes.existing(canister_id)
        snapshot = self.existing(changes, canister_id, snapshot_id)
        if kind == "wasm_chunk":
            digest = self._store.put(self._store.chunks, data)
            chunks = dict(snapshot.chunks) | {digest: len(data)}
            changed = replace(snapshot, chunks=tuple(chunks.items()))
            changes.put(canister.with_(snapshots={**canister.snapshots, snapshot_id: changed}))
            return
        _check_slice(snapshot, kind, offset, len(data))
        with self._store.snapshot_path(snapshot_id, _FILES[kind]).open("r+b") as file:
            file.seek(offset)
            file.write(data)


def _with_uploaded_hooks(canister: Canister, snapshot: Snapshot) -> Canister:
    """With timer and hook status as far as they were uploaded; a snapshot that was taken changes neither."""
    if snapshot.global_timer is not None:
        canister = canister.with_(global_timer=snapshot.global_timer)
    status = snapshot.on_low_wasm_memory
    if status is None:
        return canister
    due = has_low_memory(canister)
    if (status != "condition_not_satisfied") != due:
        raise Rejected(
            rejects.snapshot_inconsistent(
                f"Hook status ({status}) of uploaded snapshot is inconsistent with the canister's state "
                f"(hook condition satisfied: {str(due).lower()})."
            )
        )
    return canister.with_(low_memory_hook=status)


def _sizes(snapshot: Snapshot) -> dict[str, int]:
    return {
        "wasm_module": snapshot.module.size if snapshot.module else 0,
        "wasm_memory": snapshot.heap_pages * WASM_PAGE,
        "stable_memory": snapshot.stable_pages * WASM_PAGE,
    }


def _check_slice(snapshot: Snapshot, kind: str, offset: int, size: int) -> None:
    if offset + size > _sizes(snapshot)[kind]:
        raise Rejected(rejects.snapshot_invalid_slice(offset, size))
