"""Interface Specification, "Overview of imports": from where a System API function may be called."""

from __future__ import annotations

from enum import StrEnum


class ExecutionMode(StrEnum):
    """The specification's letters, each with the real replica's name for it (`label`)."""

    INIT = "I"
    PRE_UPGRADE = "G"
    UPDATE = "U"
    REPLICATED_QUERY = "RQ"
    NON_REPLICATED_QUERY = "NRQ"
    TRANSFORM_QUERY = "TQ"
    COMPOSITE_QUERY = "CQ"
    REPLY = "Ry"
    REJECT = "Rt"
    COMPOSITE_REPLY = "CRy"
    COMPOSITE_REJECT = "CRt"
    CLEANUP = "C"
    COMPOSITE_CLEANUP = "CC"
    START = "s"
    INSPECT = "F"
    SYSTEM_TASK = "T"

    @property
    def label(self) -> str:
        return _LABELS[self]

    @property
    def replicated(self) -> bool:
        """Whether the result goes through consensus; such executions keep their effects and pay."""
        return self not in _NON_REPLICATED


_LABELS = {
    ExecutionMode.INIT: "init",
    ExecutionMode.PRE_UPGRADE: "pre upgrade",
    ExecutionMode.UPDATE: "update",
    ExecutionMode.REPLICATED_QUERY: "replicated query",
    ExecutionMode.NON_REPLICATED_QUERY: "non replicated query",
    ExecutionMode.TRANSFORM_QUERY: "non replicated query",
    ExecutionMode.COMPOSITE_QUERY: "composite query",
    ExecutionMode.REPLY: "reply callback",
    ExecutionMode.REJECT: "reject callback",
    ExecutionMode.COMPOSITE_REPLY: "composite reply callback",
    ExecutionMode.COMPOSITE_REJECT: "composite reject callback",
    ExecutionMode.CLEANUP: "cleanup",
    ExecutionMode.COMPOSITE_CLEANUP: "composite cleanup",
    ExecutionMode.START: "start",
    ExecutionMode.INSPECT: "inspect message",
    ExecutionMode.SYSTEM_TASK: "system task",
}
_NON_REPLICATED = frozenset(
    {
        ExecutionMode.NON_REPLICATED_QUERY,
        ExecutionMode.TRANSFORM_QUERY,
        ExecutionMode.COMPOSITE_QUERY,
        ExecutionMode.COMPOSITE_REPLY,
        ExecutionMode.COMPOSITE_REJECT,
        ExecutionMode.COMPOSITE_CLEANUP,
        ExecutionMode.INSPECT,
    }
)
ALL_AND_START = frozenset(ExecutionMode)
ALL = ALL_AND_START - {ExecutionMode.START}
