"""Interface Specification, "The IC management canister": what its methods do to a canister.

Every operation works on a transaction (`Changes`) and raises Refused where the IC refuses. Who may call is
judged before (canister.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from icmigrate.protocol.principal import Principal
from icmigrate.replica.errors import canister_errors as faults
from icmigrate.replica.execution.executor import watch_memory
from icmigrate.replica.execution.installation import Installation, install
from icmigrate.replica.execution.messages import Answer
from icmigrate.replica.management import rejects as refusals
from icmigrate.replica.management.snapshot_operations import SnapshotOperations, refuse
from icmigrate.replica.state.canister_ids import canister_id, in_canister_ranges
from icmigrate.replica.state.fees import MAX_CYCLES
from icmigrate.replica.state.records import (
    Canister,
    CanisterStatus,
    ChangeOrigin,
    HistoryEntry,
    Refused,
    RejectCode,
    Settings,
    StopCall,
)
from icmigrate.replica.storage.changes import Changes
from icmigrate.replica.subnet.native_canister import Deferred, NativeCall


class Operations(SnapshotOperations):
    """The operations of one subnet; `Replica` is the subnet."""

    # -------------------------------------------------------------------------------------- creation

    def create_canister(
        self,
        changes: Changes,
        settings: Settings,
        cycles: int,
        origin: ChangeOrigin,
        specified_id: Principal | None = None,
        *,
        variables_hash: bytes | None = None,
    ) -> Principal:
        """Makes an empty canister holding `cycles`; `specified_id` has to be one of the subnet's and not taken.

        `variables_hash` is for the history, where environment variables were given.
        """
        if specified_id is not None:
            chosen = specified_id
            if changes.canister(chosen) is not None or chosen in self.scheduler.natives:
                raise Refused(refusals.canister_already_exists(chosen))
            if not in_canister_ranges(chosen):
                raise Refused(refusals.canister_not_hosted_by_subnet(chosen, self.executor.subnet_id))
        else:
            chosen = canister_id(changes.fresh_canister_number())
            while changes.canister(chosen) is not None or chosen in self.scheduler.natives:
                chosen = canister_id(changes.fresh_canister_number())
        canister = Canister(
            id=chosen,
            settings=settings,
            created_at=changes.time_ns,
            cycles=min(cycles, MAX_CYCLES),
            charged_until=changes.time_ns,
        )
        self._check_allocations(canister, Settings(settings.controllers))
        entry = HistoryEntry(
            changes.time_ns,
            0,
            origin,
            "creation",
            controllers=settings.controllers,
            environment_variables_hash=variables_hash,
        )
        changes.put(self._noted(canister, entry))
        return chosen

    def update_settings(
        self, changes: Changes, canister_id: Principal, settings: Settings, controllers_by: ChangeOrigin | None
    ) -> None:
        """Replaces the settings (all fields). `controllers_by` is who gave controllers, the same or others."""
        canister = self._charged(changes, canister_id)
        before = canister.settings
        canister = canister.with_(settings=settings, version=canister.version + 1)
        self._check_allocations(canister, before)
        if controllers_by is not None:
            entry = HistoryEntry(
                changes.time_ns,
                canister.version,
                controllers_by,
                "controllers_change",
                controllers=settings.controllers,
            )
            canister = self._noted(canister, entry)
        changes.put(watch_memory(canister))

    def _check_allocations(self, canister: Canister, before: Settings) -> None:
        """Raises Refused when an allocation became larger than the subnet or the canister's cycles allow."""
        wanted, limits = canister.settings, self.limits
        if wanted.memory_allocation > before.memory_allocation:
            memory = limits.subnet_memory - sum(each.allocated_memory for each in self._others(canister))
            if wanted.memory_allocation > memory:
                raise Refused(refusals.subnet_memory_oversubscribed(wanted.memory_allocation, memory))
        if wanted.compute_allocation > before.compute_allocation:
            # One percent stays free.
            used = sum(each.settings.compute_allocation for each in self._others(canister))
            compute = limits.subnet_compute_percent - 1 - used
            if wanted.compute_allocation > compute:
                raise Refused(refusals.subnet_compute_oversubscribed(wanted.compute_allocation, compute))
        missing = self.fees.freezing_limit(canister) - canister.reserved_cycles - canister.cycles
        if missing <= 0:
            return
        for what in ("compute", "memory"):
            allocation: int = getattr(wanted, f"{what}_allocation")
            if allocation > getattr(before, f"{what}_allocation"):
                raise Refused(refusals.insufficient_cycles_in_allocation(what, allocation, missing))

    def _others(self, canister: Canister) -> Iterator[Canister]:
        return (each for each in self.scheduler.state.canisters.values() if each.id != canister.id)

    # -------------------------------------------------------------------------------------- code

    async def install_code(
        self,
        changes: Changes,
        canister_id: Principal,
        mode: str,
        module: bytes,
        arg: bytes,
        sender: Principal,
        origin: ChangeOrigin,
        *,
        skip_pre_upgrade: bool = False,
        wasm_memory_persistence: str | None = None,
    ) -> None:
        """`mode` is install, reinstall or upgrade; `wasm_memory_persistence` keep, replace or None."""
        canister = changes.existing(canister_id)
        keep = None if wasm_memory_persistence is None else wasm_memory_persistence == "keep"
        wanted = Installation(mode, module, arg, sender, skip_pre_upgrade, keep)
        installed, refused = await self.scheduler.in_thread(install, self.executor, canister, wanted, changes.time_ns)
        if refused is not None:
            raise Refused(refused.reject, installed)
        assert installed.module is not None
        entry = HistoryEntry(
            changes.time_ns,
            installed.version,
            origin,
            "code_deployment",
            mode=mode,
            module_hash=installed.module.hash,
        )
        changes.put(self._noted(installed, entry))
        self._clean(changes, installed)

    # -------------------------------------------------------------------------------------- status

    def start_canister(self, changes: Changes, canister_id: Principal) -> None:
        """Makes it running; stop_canister calls that wait are rejected."""
        canister = changes.existing(canister_id)
        for call in canister.stop_calls:
            self.scheduler.answer(changes, Answer(call.origin, faults.stop_cancelled(canister_id), call.cycles))
        changes.put(canister.with_(status=CanisterStatus.RUNNING, stop_calls=(), version=canister.version + 1))

    def stop_canister(self, changes: Changes, canister_id: Principal, call: NativeCall) -> Deferred | None:
        """None when the canister is stopped already; else `call` is answered when it is."""
        canister = changes.existing(canister_id)
        if canister.status is CanisterStatus.STOPPED:
            changes.put(canister.with_(version=canister.version + 1))
            return None
        waiting = (*canister.stop_calls, StopCall(call.origin, call.cycles, changes.time_ns))
        changes.put(canister.with_(status=CanisterStatus.STOPPING, stop_calls=waiting, version=canister.version + 1))
        return Deferred()

    def delete_canister(self, changes: Changes, canister_id: Principal) -> None:
        """Deletes a stopped canister; its cycles are gone."""
        canister = changes.existing(canister_id)
        if canister.status is not CanisterStatus.STOPPED:
            raise refuse(
                RejectCode.CANISTER_ERROR,
                "IC0510",
                f"Canister {canister_id.to_str()} must be stopped before it is deleted.",
            )
        changes.delete(canister)
        files = self.store.page_files(canister_id)

        def forget() -> None:
            self.executor.forget(canister_id)
            files.remove_stale(None)
            for snapshot in canister.snapshots.values():
                self._remove_snapshot_files(snapshot.id)

        changes.after_commit(forget)

    def deposit_cycles(self, changes: Changes, canister_id: Principal, amount: int) -> None:
        """Adds cycles to the balance, which holds no more than 128 bits."""
        canister = changes.existing(canister_id)
        changes.put(canister.with_(cycles=min(canister.cycles + amount, MAX_CYCLES)))

    # -------------------------------------------------------------------------------------- chunks

    def put_chunk(self, changes: Changes, canister_id: Principal, chunk: bytes) -> bytes:
        """Stores a chunk of at most 1 MiB; returns its SHA-256."""
        canister = changes.existing(canister_id)
        if len(chunk) > self.limits.chunk_size:
            raise refuse(
                RejectCode.CANISTER_ERROR,
                "IC0504",
                "Error from Wasm chunk store: Wasm chunk size exceeds the maximum chunk size of "
                f"{self.limits.chunk_size}.",
            )
        digest = hashlib.sha256(chunk).digest()
        if digest not in canister.chunks:
            if canister.wasm_chunk_store_size + self.limits.chunk_size > self.limits.chunk_store:
                raise refuse(
                    RejectCode.CANISTER_ERROR,
                    "IC0504",
                    "Error from Wasm chunk store: Wasm chunk store has already reached maximum capacity of "
                    f"{self.limits.chunk_store} bytes.",
                )
            after = canister.with_(chunks={**canister.chunks, digest: len(chunk)})
            self.check_growth(canister, after)
            self.store.put(self.store.chunks, chunk)
            changes.put(after)
        return digest

    def clear_chunks(self, changes: Changes, canister_id: Principal) -> None:
        changes.put(changes.existing(canister_id).with_(chunks={}))

    def read_chunk(self, canister_id: Principal, digest: bytes) -> bytes | None:
        """A chunk of the canister's store."""
        canister = self.scheduler.state.canisters.get(canister_id)
        if canister is None or digest not in canister.chunks:
            return None
        return self.store.get(self.store.chunks, digest)

    def module_bytes(self, module_hash: bytes) -> bytes | None:
        """The bytes of a module as they were uploaded."""
        return self.store.get(self.store.modules, module_hash)
