"""Interface Specification, "Overview of imports": from where a System API function may be called."""

from __future__ import annotations

from enum import StrEnum


class Context(StrEnum):
    """The specification's letters, each with the real replica's name for it (`mode`)."""

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
    def mode(self) -> str:
        return _MODES[self]

    @property
    def replicated(self) -> bool:
        """Whether the result goes through consensus; such executions keep their effects and pay."""
        return self not in _NON_REPLICATED


_MODES = {
    Context.INIT: "init",
    Context.PRE_UPGRADE: "pre upgrade",
    Context.UPDATE: "update",
    Context.REPLICATED_QUERY: "replicated query",
    Context.NON_REPLICATED_QUERY: "non replicated query",
    Context.TRANSFORM_QUERY: "non replicated query",
    Context.COMPOSITE_QUERY: "composite query",
    Context.REPLY: "reply callback",
    Context.REJECT: "reject callback",
    Context.COMPOSITE_REPLY: "composite reply callback",
    Context.COMPOSITE_REJECT: "composite reject callback",
    Context.CLEANUP: "cleanup",
    Context.COMPOSITE_CLEANUP: "composite cleanup",
    Context.START: "start",
    Context.INSPECT: "inspect message",
    Context.SYSTEM_TASK: "system task",
}
_NON_REPLICATED = frozenset(
    {
        Context.NON_REPLICATED_QUERY,
        Context.TRANSFORM_QUERY,
        Context.COMPOSITE_QUERY,
        Context.COMPOSITE_REPLY,
        Context.COMPOSITE_REJECT,
        Context.COMPOSITE_CLEANUP,
        Context.INSPECT,
    }
)
ALL_AND_START = frozenset(Context)
ALL = ALL_AND_START - {Context.START}
