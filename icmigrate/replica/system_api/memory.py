"""Interface Specification, "Stable memory" and "Memory allocation": how the memories of a canister grow.

What grows is judged when it grows. `memory.grow` has happened when it is judged; a message that may not have it ends.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from icmigrate.replica.errors.canister_errors import InsufficientCyclesInMemoryGrow, Trapped, WasmMemoryLimitExceeded
from icmigrate.replica.state.code import WASM_PAGE
from icmigrate.replica.system_api.execution_modes import ExecutionMode
from icmigrate.replica.system_api.execution_state import ExecutionState
from icmigrate.replica.system_api.stable_memory import TOO_BIG_FOR_32_BIT

_LIMITED = frozenset({ExecutionMode.UPDATE, ExecutionMode.INIT, ExecutionMode.START})
"""The executions to which the canister's own wasm_memory_limit applies."""
_PAYING = frozenset({ExecutionMode.UPDATE, ExecutionMode.SYSTEM_TASK})
"""The executions that must leave enough cycles for the new memory; install_code looks at its end."""
_INSTALLING = frozenset({ExecutionMode.INIT, ExecutionMode.PRE_UPGRADE})
MAX_32_BIT_PAGES = 65_536


@dataclass(slots=True)
class MemoryFunctions(ExecutionState):
    """Growing, and what it needs."""

    def stable64_grow(self, pages: int) -> int:
        before = self.stable.pages
        if before + pages > self.limits.stable_pages:
            return -1
        self._allocate(pages, self.heap.pages, before + pages)
        self.stable.pages = before + pages
        return before

    def stable_grow(self, pages: int) -> int:
        before = self.stable.pages
        if before > MAX_32_BIT_PAGES:
            raise Trapped(TOO_BIG_FOR_32_BIT)
        if before + pages > MAX_32_BIT_PAGES:
            return -1
        return self.stable64_grow(pages)

    def wasm_memory_grown(self, pages: int) -> None:
        """`memory.grow` by `pages` succeeded. Raises the CanisterError that forbids it."""
        size = self.heap.size
        limit = self.canister.settings.wasm_memory_limit
        if limit and size > limit and self.mode in _LIMITED:
            raise WasmMemoryLimitExceeded(size, limit)
        self._allocate(pages, self.heap.pages, self.stable.pages)

    def _allocate(self, pages: int, heap_pages: int, stable_pages: int) -> None:
        """Makes sure that a canister with so much memory is not frozen. Raises InsufficientCyclesInMemoryGrow."""
        memory = replace(self.canister.memory, heap_pages=heap_pages, stable_pages=stable_pages)
        grown = self.canister.with_(memory=memory)
        limit = self.fees.freezing_limit(grown)
        if self.mode in _PAYING and limit > self.freezing_limit:
            missing = limit - self.canister.reserved_cycles - self.balance
            if missing > 0:
                raise InsufficientCyclesInMemoryGrow(pages * WASM_PAGE, self._told(missing))
        self.freezing_limit = limit

    @property
    def dirty_page_limit(self) -> int:
        """Pages of 4 KiB of stable memory that this execution may write to."""
        if not self.mode.replicated or self.mode is ExecutionMode.REPLICATED_QUERY:
            return self.limits.dirty_pages_query
        return self.limits.dirty_pages_install if self.mode in _INSTALLING else self.limits.dirty_pages_update
