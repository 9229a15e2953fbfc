"""Interface Specification, "Canister snapshots": taking, loading, reading and uploading them.

A snapshot's facts are in its canister's record; its memories are copies of the page images in the store.
"""

from __future__ import annotations

from dataclasses import replace

from icmigrate.protocol.principal import Principal
from icmigrate.replica import faults, refusals
from icmigrate.replica.changes import Changes
from icmigrate.replica.cycles import Fees
from icmigrate.replica.execution import Executor
from icmigrate.replica.limits import Limits
from icmigrate.replica.module import check
from icmigrate.replica.page_files import HEAP, STABLE, copy_sparse
from icmigrate.replica.scheduler import Scheduler
from icmigrate.replica.state import (
    WASM_PAGE,
    Canister,
    ChangeOrigin,
    HistoryEntry,
    MemoryImage,
    Refused,
    Reject,
    RejectCode,
    Snapshot,
)
from icmigrate.replica.store import Store

_KINDS = {"wasm_memory": "heap", "stable_memory": "stable"}


def refuse(code: RejectCode, error_code: str, text: str) -> Refused:
    """Refused with this code and text."""
    return Refused(Reject(code, text, error_code))


class SnapshotOperations:
    """The part of `Operations` that has to do with snapshots, and what both parts share."""

    fees: Fees
    limits: Limits
    store: Store
    executor: Executor
    scheduler: Scheduler

    def _noted(self, canister: Canister, entry: HistoryEntry) -> Canister:
        """Adds to the canister's history."""
        entries = (*canister.history, entry)[-self.limits.history_entries :]
        return canister.with_(history=entries, history_total=canister.history_total + 1)

    def _charged(self, changes: Changes, canister_id: Principal) -> Canister:
        """The canister, having paid its resources until now."""
        return self.fees.resources(changes.existing(canister_id), changes.time_ns)

    def _clean(self, changes: Changes, canister: Canister) -> None:
        """Deletes the pages of older generations as soon as the new one is true."""
        files = self.store.page_files(canister.id)
        changes.after_commit(lambda: files.remove_stale(canister.memory))

    def uninstall_code(self, changes: Changes, canister_id: Principal, origin: ChangeOrigin) -> None:
        """Removes code and memory; open calls are rejected, callbacks' responses will be dropped."""
        canister = self._charged(changes, canister_id)
        emptied = self.scheduler.upkeep.uninstall(changes, canister)
        entry = HistoryEntry(changes.time_ns, emptied.version, origin, "code_uninstall")
        changes.put(self._noted(emptied, entry))

    async def take_snapshot(
        self,
        changes: Changes,
        canister_id: Principal,
        *,
        replace: bytes | None = None,
        uninstall_code: bool = False,
        origin: ChangeOrigin,
    ) -> Snapshot:
        """Keeps module, memories, chunks, certified data and timer under a new snapshot id."""
        canister = self._charged(changes, canister_id)
        if canister.module is None:
            raise Refused(refusals.snapshot_of_empty_canister(canister_id))
        snapshots = dict(canister.snapshots)
        if replace is not None:
            if replace not in snapshots:
                raise _snapshot_missing(canister_id, replace)
            del snapshots[replace]
            changes.after_commit(lambda: self._remove_snapshot_files(replace))
        elif len(snapshots) >= self.limits.snapshots:
            raise Refused(refusals.snapshot_limit_exceeded(canister_id, self.limits.snapshots))
        image = await self.scheduler.in_thread(self._fold, canister)
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
        await self.scheduler.in_thread(self._copy_images, canister_id, image, snapshot.id)
        snapshots[snapshot.id] = snapshot
        canister = canister.with_(memory=image, snapshots=snapshots, next_snapshot=canister.next_snapshot + 1)
        changes.put(canister)
        self._clean(changes, canister)
        changes.after_commit(lambda: self.executor.forget(canister_id))
        if uninstall_code:
            self.uninstall_code(changes, canister_id, origin)
        return snapshot

    def _fold(self, canister: Canister) -> MemoryImage:
        self.executor.forget(canister.id)
        files = self.store.page_files(canister.id)
        try:
            return files.fold(canister.memory)
        finally:
            files.close()

    def _copy_images(self, canister_id: Principal, image: MemoryImage, snapshot_id: bytes) -> None:
        files = self.store.page_files(canister_id)
        for kind, generation, name in (
            (HEAP, image.heap_generation, "heap"),
            (STABLE, image.stable_generation, "stable"),
        ):
            source, target = files.path(kind, generation), self.store.snapshot_path(snapshot_id, name)
            if source.exists():
                copy_sparse(source, target)
            else:
                target.unlink(missing_ok=True)

    def _remove_snapshot_files(self, snapshot_id: bytes) -> None:
        for name in ("heap", "stable", "module"):
            self.store.snapshot_path(snapshot_id, name).unlink(missing_ok=True)

    async def load_snapshot(
        self,
        changes: Changes,
        canister_id: Principal,
        source_canister: Principal,
        snapshot_id: bytes,
        origin: ChangeOrigin,
    ) -> None:
        """Makes the canister what the snapshot (its own or another canister's) holds."""
        canister = self._charged(changes, canister_id)
        owner = changes.existing(source_canister)
        snapshot = owner.snapshots.get(snapshot_id)
        if snapshot is None:
            raise _snapshot_missing(source_canister, snapshot_id)
        snapshot = await self.scheduler.in_thread(self._complete, owner.id, snapshot)
        image = canister.memory
        memory = MemoryImage(
            heap_pages=snapshot.heap_pages,
            stable_pages=snapshot.stable_pages,
            globals=snapshot.globals,
            heap_generation=image.heap_generation + 1,
            stable_generation=image.stable_generation + 1,
            log_generation=image.log_generation + 1,
        )
        files = self.store.page_files(canister_id)
        for kind, generation, name in (
            (HEAP, memory.heap_generation, "heap"),
            (STABLE, memory.stable_generation, "stable"),
        ):
            source = self.store.snapshot_path(snapshot_id, name)
            await self.scheduler.in_thread(files.adopt, kind, generation, source)
        loaded = canister.with_(
            module=snapshot.module,
            memory=memory,
            certified_data=snapshot.certified_data,
            chunks=dict(snapshot.chunks),
            global_timer=snapshot.global_timer or 0,
            low_memory_hook=snapshot.on_low_wasm_memory or "condition_not_satisfied",
            version=canister.version + 1,
            installed_at=changes.time_ns,
        )
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
        changes.put(self._noted(loaded, entry))
        self._clean(changes, loaded)
        changes.after_commit(lambda: self.executor.forget(canister_id))

    def _complete(self, owner: Principal, snapshot: Snapshot) -> Snapshot:
        """An uploaded snapshot's module is checked and its globals are put in order when it is loaded."""
        path = self.store.snapshot_path(snapshot.id, "module")
        if snapshot.source != "metadata_upload" or not path.exists():
            return snapshot
        data = path.read_bytes()
        try:
            installed, layout, _ = check(data, self.limits)
        except faults.InvalidModule as fault:
            raise Refused(fault.reject(owner)) from None
        if len(layout.globals) != len(snapshot.globals):
            raise refuse(
                RejectCode.CANISTER_ERROR,
                "IC0504",
                f"Canister {owner.to_str()}: the snapshot's globals do not fit its module.",
            )
        values = tuple(
            value[:width].ljust(width, b"\0")
            for value, (_, width) in zip(snapshot.globals, layout.globals, strict=True)
        )
        self.store.put(self.store.modules, data)
        return replace(snapshot, module=installed, globals=values)

    def delete_snapshot(self, changes: Changes, canister_id: Principal, snapshot_id: bytes) -> None:
        canister = changes.existing(canister_id)
        if snapshot_id not in canister.snapshots:
            raise _snapshot_missing(canister_id, snapshot_id)
        snapshots = {key: each for key, each in canister.snapshots.items() if key != snapshot_id}
        changes.put(canister.with_(snapshots=snapshots))
        changes.after_commit(lambda: self._remove_snapshot_files(snapshot_id))

    def _snapshot(self, canister_id: Principal, snapshot_id: bytes) -> Snapshot:
        canister = self.scheduler.state.canisters.get(canister_id)
        snapshot = canister.snapshots.get(snapshot_id) if canister else None
        if snapshot is None:
            raise _snapshot_missing(canister_id, snapshot_id)
        return snapshot

    def read_snapshot(self, canister_id: Principal, snapshot_id: bytes, kind: str, offset: int, size: int) -> bytes:
        """Bytes of a snapshot; `kind` is wasm_module, wasm_memory or stable_memory."""
        snapshot = self._snapshot(canister_id, snapshot_id)
        if kind == "wasm_module":
            path = self.store.snapshot_path(snapshot_id, "module")
            if not path.exists() and snapshot.module is not None:
                path = self.store.modules / snapshot.module.hash.hex()
            total = snapshot.module.size if snapshot.module else 0
        else:
            path = self.store.snapshot_path(snapshot_id, _KINDS[kind])
            total = WASM_PAGE * (snapshot.heap_pages if kind == "wasm_memory" else snapshot.stable_pages)
        if offset + size > total:
            raise refuse(
                RejectCode.CANISTER_REJECT,
                "IC0406",
                f"Invalid snapshot data range: offset {offset} plus size {size} exceeds {total}.",
            )
        data = b""
        if path.exists():
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read(size)
        return data.ljust(size, b"\0")

    def create_snapshot(
        self, changes: Changes, canister_id: Principal, snapshot: Snapshot, module_size: int
    ) -> Snapshot:
        """An empty snapshot of the given sizes, to be filled by `write_snapshot` (metadata upload)."""
        canister = changes.existing(canister_id)
        made = replace(snapshot, id=canister.next_snapshot.to_bytes(8, "big") + canister_id.bytes)
        for name, size in (
            ("heap", made.heap_pages * WASM_PAGE),
            ("stable", made.stable_pages * WASM_PAGE),
            ("module", module_size),
        ):
            with self.store.snapshot_path(made.id, name).open("wb") as file:
                file.truncate(size)
        changes.put(
            canister.with_(snapshots={**canister.snapshots, made.id: made}, next_snapshot=canister.next_snapshot + 1)
        )
        return made

    def write_snapshot(
        self,
        changes: Changes,
        canister_id: Principal,
        snapshot_id: bytes,
        kind: str,
        offset: int,
        data: bytes,
    ) -> None:
        """Fills a part of an uploaded snapshot; `kind` as in read_snapshot, or chunk (`offset` is ignored)."""
        canister = changes.existing(canister_id)
        snapshot = canister.snapshots.get(snapshot_id)
        if snapshot is None:
            raise _snapshot_missing(canister_id, snapshot_id)
        if kind == "chunk":
            digest = self.store.put(self.store.chunks, data)
            chunks = dict(snapshot.chunks) | {digest: len(data)}
            changed = replace(snapshot, chunks=tuple(chunks.items()))
            changes.put(canister.with_(snapshots={**canister.snapshots, snapshot_id: changed}))
            return
        name = "module" if kind == "wasm_module" else _KINDS[kind]
        with self.store.snapshot_path(snapshot_id, name).open("r+b") as file:
            end = file.seek(0, 2)
            if offset + len(data) > end:
                raise refuse(
                    RejectCode.CANISTER_REJECT,
                    "IC0406",
                    f"Invalid snapshot data range: offset {offset} plus size {len(data)} exceeds {end}.",
                )
            file.seek(offset)
            file.write(data)


def _snapshot_missing(canister_id: Principal, snapshot_id: bytes) -> Refused:
    return refuse(
        RejectCode.DESTINATION_INVALID,
        "IC0305",
        f"Could not find the snapshot ID {snapshot_id.hex()} for canister {canister_id.to_str()}.",
    )
