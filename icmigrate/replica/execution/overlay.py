"""Interface Specification, "Composite query": one memory for several executions, each of which may trap by itself."""

from __future__ import annotations

from collections.abc import Callable

from icmigrate.replica.engine.dirty_pages import PAGE
from icmigrate.replica.engine.wasmtime_c_api import Memory
from icmigrate.replica.execution.instance import Instance
from icmigrate.replica.execution.warm_instances import discard
from icmigrate.replica.state.canister import Canister


class Overlay:
    """What the successful executions of an evaluation wrote, so that a trap undoes only its own writes."""

    def __init__(self, canister: Canister, instance: Instance) -> None:
        self._image = canister.memory
        self.instance = instance
        self._pages: tuple[dict[int, bytes], dict[int, bytes]] = ({}, {})
        self._globals = canister.memory.globals
        self._heap_pages = canister.memory.heap_pages
        self._stable_pages = canister.memory.stable_pages

    def keep(self) -> None:
        """The last execution succeeded."""
        instance = self.instance
        for memory, ranges, pages in zip(self._memories(), instance.take_dirty(), self._pages, strict=True):
            for first, count in ranges:
                for page in range(first, first + count):
                    pages[page] = memory.read(page * PAGE, PAGE)
        self._globals = instance.globals()
        self._heap_pages = instance.heap.pages
        self._stable_pages = instance.stable.pages

    def undo(self, fresh: Callable[[], Instance]) -> None:
        """The last execution trapped. A heap that it grew cannot shrink: then the instance is built anew."""
        if self.instance.heap.pages != self._heap_pages:
            larger, self.instance = self.instance, fresh()
            discard(larger)
            self.instance.heap.grow(self._heap_pages - self.instance.heap.pages)
        else:
            self.instance.restore(self._image, *self.instance.take_dirty())
        self.instance.stable.pages = self._stable_pages
        for memory, pages in zip(self._memories(), self._pages, strict=True):
            for page, content in pages.items():
                memory.write(page * PAGE, content)
        self.instance.take_dirty()
        self.instance.set_globals(self._globals)

    def _memories(self) -> tuple[Memory, Memory]:
        return self.instance.heap, self.instance.stable.memory
