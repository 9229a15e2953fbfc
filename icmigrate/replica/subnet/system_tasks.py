"""Interface Specification, "Heartbeat", "Global timer" and "On Low Wasm Memory": which of them is due."""

from __future__ import annotations

from icmigrate.protocol.principal import Principal
from icmigrate.replica.execution.system_task import SystemTask
from icmigrate.replica.state.canister import Canister, CanisterStatus

HEARTBEAT_NS = 1_000_000_000
NEVER = 1 << 64
"""Later than every time."""


class SystemTasks:
    """Finds the tasks of canisters that are running. Belongs to the event loop's thread."""

    def __init__(self, heartbeats: bool) -> None:
        self._heartbeats = heartbeats
        self._beaten: dict[Principal, int] = {}
        """When the last heartbeat of a canister began."""

    def find_low_memory(self, canister: Canister, _now: int) -> SystemTask | None:
        """The hook, when its condition has come true."""
        return _if_exported(canister, SystemTask.ON_LOW_WASM_MEMORY, canister.low_memory_hook == "ready")

    def find_timer(self, canister: Canister, now: int) -> SystemTask | None:
        """The global timer, when its time has come."""
        return _if_exported(canister, SystemTask.GLOBAL_TIMER, 0 < canister.global_timer <= now)

    def find_heartbeat(self, canister: Canister, now: int) -> SystemTask | None:
        """The heartbeat, a second after the last one."""
        return _if_exported(canister, SystemTask.HEARTBEAT, self._heartbeats and self._beats_at(canister) <= now)

    def begins(self, canister: Canister, task: SystemTask, now: int) -> None:
        """The task is executed now: the next heartbeat is a second away."""
        if task is SystemTask.HEARTBEAT:
            self._beaten[canister.id] = now

    def due_at(self, canister: Canister) -> int:
        """The earliest time at which a timer or heartbeat is due."""
        due = NEVER
        if canister.status is CanisterStatus.RUNNING and canister.module is not None:
            if canister.global_timer and SystemTask.GLOBAL_TIMER in canister.module.exports:
                due = min(due, canister.global_timer)
            if self._heartbeats and SystemTask.HEARTBEAT in canister.module.exports:
                due = min(due, self._beats_at(canister))
        return due

    def _beats_at(self, canister: Canister) -> int:
        return self._beaten.get(canister.id, 0) + HEARTBEAT_NS


def _if_exported(canister: Canister, task: SystemTask, due: bool) -> SystemTask | None:
    if not due or canister.status is not CanisterStatus.RUNNING or canister.module is None:
        return None
    return task if task in canister.module.exports else None
