"""Interface Specification, "The IC management canister": what its methods do to a canister.

Every operation works on a transaction (`Changes`) and raises Rejected where the IC rejects. Who may call is
judged before (permissions.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from icmigrate.protocol.principal import Principal
from icmigrate.replica.errors import system_rejects
from icmigrate.replica.errors.rejected import Rejected
from icmigrate.replica.execution.charging import available, charge_resources
from icmigrate.replica.execution.installation import Installation, install
from icmigrate.replica.execution.low_memory import watch_memory
from icmigrate.replica.execution.result import CallAnswer
from icmigrate.replica.management import rejects
from icmigrate.replica.state.calls import StopCall
from icmigrate.replica.state.canister import Canister, CanisterStatus, CycleUse
from icmigrate.replica.state.canister_ids import canister_id, in_canister_ranges
from icmigrate.replica.state.fees import MAX_CYCLES
from icmigrate.replica.state.history import ChangeOrigin, HistoryEntry
from icmigrate.replica.state.responses import Reject, RejectCode
from icmigrate.replica.state.settings import Settings
from icmigrate.replica.storage.changes import Changes
from icmigrate.replica.subnet.native_canister import Deferred, NativeCall
from icmigrate.replica.subnet.subnet import Subnet


def _rejected(error_code: str, text: str) -> Rejected:
    return Rejected(Reject(RejectCode.CANISTER_ERROR, text, error_code))


class CanisterOperations:
    """What the management canister does to the canisters of one subnet, without its Candid."""

    def __init__(self, subnet: Subnet) -> None:
        self.subnet = subnet
        self._store = subnet.store
        self._limits = subnet.limits
        self._fees = subnet.fees
        self._executor = subnet.executor
        self._scheduler = subnet.scheduler

    # -------------------------------------------------------------------------------------- creation

    def create_canister(
        self,
        changes: Changes,
        settings: Settings,
        cycles: int,
        origin: ChangeOrigin,
        specified_id: Principal | None = None,
        *,
        fee: int = 0,
        variables_hash: bytes | None = None,
    ) -> Principal:
        """Makes an empty canister of `cycles`, of which `fee` are for making it.

        `specified_id` has to be one of the subnet's and not taken. `variables_hash` is for the history, where
        environment variables were given.
        """
        if specified_id is not None:
            chosen = specified_id
            if changes.canister(chosen) is not None or chosen in self._scheduler.natives:
                raise Rejected(rejects.canister_already_exists(chosen))
            if not in_canister_ranges(chosen):
                raise Rejected(rejects.canister_not_hosted_by_subnet(chosen, self._executor.subnet_id))
        else:
            chosen = canister_id(changes.fresh_canister_number())
            while changes.canister(chosen) is not None or chosen in self._scheduler.natives:
                chosen = canister_id(changes.fresh_canister_number())
        canister = Canister(
            id=chosen,
            settings=settings,
            created_at=changes.time_ns,
            cycles=min(cycles - fee, MAX_CYCLES),
            consumed={CycleUse.CANISTER_CREATION: fee} if fee else {},
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
        changes.put(self.noted(canister, entry))
        return chosen

    def update_settings(
        self, changes: Changes, canister_id: Principal, settings: Settings, controllers_by: ChangeOrigin | None
    ) -> None:
        """Replaces the settings (all fields). `controllers_by` is who gave controllers, the same or others."""
        canister = self.charged(changes, canister_id)
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
            canister = self.noted(canister, entry)
        changes.put(watch_memory(canister))

    def _check_allocations(self, canister: Canister, before: Settings) -> None:
        """Raises Rejected when an allocation became larger than the subnet or the canister's cycles allow."""
        wanted, limits = canister.settings, self._limits
        if wanted.memory_allocation > before.memory_allocation:
            memory = limits.subnet_memory - sum(each.allocated_memory for each in self._others(canister))
            if wanted.memory_allocation > memory:
                raise Rejected(rejects.subnet_memory_oversubscribed(wanted.memory_allocation, memory))
        if wanted.compute_allocation > before.compute_allocation:
            # One percent stays free.
            used = sum(each.settings.compute_allocation for each in self._others(canister))
            compute = limits.subnet_compute_percent - 1 - used
            if wanted.compute_allocation > compute:
                raise Rejected(rejects.subnet_compute_oversubscribed(wanted.compute_allocation, compute))
        missing = -available(self._fees, canister)
        if missing <= 0:
            return
        for what in ("compute", "memory"):
            allocation: int = getattr(wanted, f"{what}_allocation")
            if allocation > getattr(before, f"{what}_allocation"):
                raise Rejected(rejects.insufficient_cycles_in_allocation(what, allocation, missing))

    def _others(self, canister: Canister) -> Iterator[Canister]:
        return (each for each in self.subnet.state.canisters.values() if each.id != canister.id)

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
        installed, reject = await self.subnet.threads.run(install, self._executor, canister, wanted, changes.time_ns)
        if reject is not None:
            raise Rejected(reject, installed)
        assert installed.module is not None
        entry = HistoryEntry(
            changes.time_ns,
            installed.version,
            origin,
            "code_deployment",
            mode=mode,
            module_hash=installed.module.hash,
        )
        changes.put(self.noted(installed, entry))
        self.drop_stale_pages(changes, installed)

    def uninstall_code(self, changes: Changes, canister_id: Principal, origin: ChangeOrigin) -> None:
        """Removes code and memory; open calls are rejected, callbacks' responses will be dropped."""
        canister = self.charged(changes, canister_id)
        emptied = self._scheduler.upkeep.uninstall(changes, canister)
        entry = HistoryEntry(changes.time_ns, emptied.version, origin, "code_uninstall")
        changes.put(self.noted(emptied, entry))

    # -------------------------------------------------------------------------------------- status

    def start_canister(self, changes: Changes, canister_id: Principal) -> None:
        """Makes it running; stop_canister calls that wait are rejected."""
        canister = changes.existing(canister_id)
        for call in canister.stop_calls:
            self.subnet.commits.answer(
                changes, CallAnswer(call.origin, system_rejects.stop_cancelled(canister_id), call.cycles)
            )
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
            raise _rejected(
                "IC0510",
                f"Canister {canister_id.to_str()} must be stopped before it is deleted.",
            )
        changes.delete(canister)
        files = self._store.page_files(canister_id)

        def forget() -> None:
            self._executor.instances.forget(canister_id)
            files.remove_stale(None)
            for snapshot in canister.snapshots.values():
                self._store.remove_snapshot(snapshot.id)

        changes.after_commit(forget)

    def deposit_cycles(self, changes: Changes, canister_id: Principal, amount: int) -> None:
        """Adds cycles to the balance, which holds no more than 128 bits."""
        canister = changes.existing(canister_id)
        changes.put(canister.with_(cycles=min(canister.cycles + amount, MAX_CYCLES)))

    # -------------------------------------------------------------------------------------- chunks

    def put_chunk(self, changes: Changes, canister_id: Principal, chunk: bytes) -> bytes:
        """Stores a chunk of at most `limits.chunk_size` bytes; returns its SHA-256."""
        canister = changes.existing(canister_id)
        if len(chunk) > self._limits.chunk_size:
            raise _rejected(
                "IC0504",
                "Error from Wasm chunk store: Wasm chunk size exceeds the maximum chunk size of "
                f"{self._limits.chunk_size}.",
            )
        digest = hashlib.sha256(chunk).digest()
        if digest not in canister.chunks:
            if canister.wasm_chunk_store_size + self._limits.chunk_size > self._limits.chunk_store:
                raise _rejected(
                    "IC0504",
                    "Error from Wasm chunk store: Wasm chunk store has already reached maximum capacity of "
                    f"{self._limits.chunk_store} bytes.",
                )
            after = canister.with_(chunks={**canister.chunks, digest: len(chunk)})
            self.check_growth(canister, after)
            self._store.put(self._store.chunks, chunk)
            changes.put(after)
        return digest

    def clear_chunks(self, changes: Changes, canister_id: Principal) -> None:
        changes.put(changes.existing(canister_id).with_(chunks={}))

    def read_chunk(self, canister_id: Principal, digest: bytes) -> bytes | None:
        """A chunk of the canister's store."""
        canister = self.subnet.state.canisters.get(canister_id)
        if canister is None or digest not in canister.chunks:
            return None
        return self._store.get(self._store.chunks, digest)

    # -------------------------------------------------------------------------------------- shared with snapshots

    def charged(self, changes: Changes, canister_id: Principal) -> Canister:
        """The canister, having paid its resources until now."""
        return charge_resources(self._fees, changes.existing(canister_id), changes.time_ns)

    def noted(self, canister: Canister, entry: HistoryEntry) -> Canister:
        """Adds to the canister's history."""
        entries = (*canister.history, entry)[-self._limits.history_entries :]
        return canister.with_(history=entries, history_total=canister.history_total + 1)

    def check_growth(self, before: Canister, after: Canister) -> None:
        """Raises Rejected when a canister that needs more memory now has not the cycles for it."""
        size = after.memory_size - before.memory_size
        missing = -available(self._fees, after)
        if size > 0 and missing > 0:
            raise Rejected(rejects.insufficient_cycles_in_memory_grow(size, missing))

    def drop_stale_pages(self, changes: Changes, canister: Canister) -> None:
        """Deletes the pages of older generations as soon as the new one is true."""
        files = self._store.page_files(canister.id)
        changes.after_commit(lambda: files.remove_stale(canister.memory))
