"""A canister's code with its memories, loaded and ready to execute messages.

The committed state is in the page files; an instance is that state in memory. After an execution it is either
committed (the written pages go to the log) or rolled back (the written pages are read back), so both cost
what was touched. What cannot be undone in place (a grown heap) is undone by building the instance anew.
"""

from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import Any

import wasmtime
from wasmtime import _bindings as ffi

from icmigrate.replica.engine import wasmtime_c_api as engine
from icmigrate.replica.engine.dirty_pages import PAGE, Ranges, follow, not_zero, runs
from icmigrate.replica.engine.wasmtime_c_api import Counter, Memory
from icmigrate.replica.errors.canister_errors import FunctionNotFound, WasmEngineError
from icmigrate.replica.state.calls import Closure
from icmigrate.replica.state.code import MemoryImage
from icmigrate.replica.storage.page_files import HEAP, STABLE, PageFiles
from icmigrate.replica.system_api.ic0_imports import GROW_CHECK, HOST_FUNCTIONS
from icmigrate.replica.system_api.stable_memory import NATIVE, Gate, StableMemory
from icmigrate.replica.system_api.system_api import SystemApi
from icmigrate.replica.wasm.module import CHARGE, COUNTER, MEMORY, REPLICA_TABLE, START, TABLE, CompiledModule

_TYPE_NAMES = {False: ["i32"], True: ["i64"]}


class Instance:
    """One canister in memory. Used by one thread at a time.

    Raises WasmEngineError for a module whose memory or segments cannot be had.
    """

    def __init__(self, compiled: CompiledModule, files: PageFiles) -> None:
        self.compiled = compiled
        self.files = files
        self.store = engine.new_store()
        self.store.set_limits(table_elements=compiled.limits.table_size)
        self._context = self.store._context()
        gate = Gate(self.store)
        hosts = HOST_FUNCTIONS[compiled.layout.is_64]
        imports: list[Any] = [
            gate.functions[name] if name in NATIVE else hosts[name].bind(self.store) for name in compiled.layout.imports
        ]
        try:
            exports: Any = wasmtime.Instance(self.store, compiled.module, imports).exports(self.store)
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            raise WasmEngineError(str(error)) from None
        is_64 = compiled.layout.is_64
        heap: Any = exports[MEMORY] if compiled.layout.has_memory else gate.no_memory
        self.heap = Memory(self.store, heap)
        self.counter = Counter(self.store, exports[COUNTER])
        self.stable = StableMemory(self.store, gate, exports[CHARGE], heap, is_64)
        exports[REPLICA_TABLE].set(self.store, 0, GROW_CHECK[is_64].bind(self.store))
        self._table: Any = exports[TABLE] if compiled.layout.has_table else None
        self._globals: list[tuple[Any, int]] = [
            (exports[name]._global, width) for name, width in compiled.layout.globals
        ]
        names = list(compiled.installed.exports) + ([START] if compiled.layout.has_start else [])
        self._functions: dict[str, Any] = {name: exports[name] for name in names}
        self._dirty = follow()
        self._written: Ranges = []
        """Pages of the heap that are known to be written and not taken yet; all of them, if `_is_counted`."""
        self._is_counted = False
        self.used_at = 0.0

    # -------------------------------------------------------------------------------------- running

    def run(self, export: str, api: SystemApi) -> None:
        """Calls an exported function. Raises the CanisterError that ended it."""
        self._begin(api)
        engine.call(self.store, self._functions[export], [], api, self.counter)

    def run_closure(self, closure: Closure, api: SystemApi) -> None:
        """Calls a function of the table with its environment. Raises the CanisterError that ended it."""
        self._begin(api)
        function = None
        if self._table is not None and closure.fun < self._table.size(self.store):
            function = self._table.get(self.store, closure.fun)
        if not isinstance(function, wasmtime.Func):
            raise FunctionNotFound(closure.fun)
        kind = function.type(self.store)
        if [str(each) for each in kind.params] != _TYPE_NAMES[self.compiled.layout.is_64] or kind.results:
            raise FunctionNotFound(closure.fun)
        engine.call(self.store, function, [closure.env], api, self.counter)

    def _begin(self, api: SystemApi) -> None:
        self._is_counted = False
        self.counter.begin(api.instruction_limit)
        self.stable.allow(api.dirty_page_limit)
        api.attach(self.heap, self.stable, self.counter)

    # -------------------------------------------------------------------------------------- state

    def globals(self) -> tuple[bytes, ...]:
        """The mutable globals in index order, as little endian bit patterns."""
        value = ffi.wasmtime_val_t()
        found = []
        for reference, width in self._globals:
            ffi.wasmtime_global_get(self._context, ctypes.byref(reference), ctypes.byref(value))
            found.append(ctypes.string_at(ctypes.addressof(value.of), width))
        return tuple(found)

    def set_globals(self, values: tuple[bytes, ...]) -> None:
        """Sets the mutable globals to what `globals` gave."""
        value = ffi.wasmtime_val_t()
        for (reference, width), bits in zip(self._globals, values, strict=True):
            ffi.wasmtime_global_get(self._context, ctypes.byref(reference), ctypes.byref(value))
            ctypes.memmove(ctypes.addressof(value.of), bits, width)
            error = ffi.wasmtime_global_set(self._context, ctypes.byref(reference), ctypes.byref(value))
            assert not error

    def load(self, image: MemoryImage, fresh_heap: bool = False) -> None:
        """Puts the committed state into a new instance.

        With `fresh_heap` the heap stays as the module's data segments made it; else it is the image's alone.
        """
        if not fresh_heap:
            for first, count in not_zero(self.heap.address, 0, self.heap.size // PAGE):
                ctypes.memset(self.heap.address + first * PAGE, 0, count * PAGE)
            if image.heap_pages > self.heap.pages:
                self.heap.grow(image.heap_pages - self.heap.pages)
        self.stable.pages = image.stable_pages
        self.files.load(image, self.heap.address, self.stable.memory.address)
        if image.globals:
            self.set_globals(image.globals)
        self._dirty.begin(self.heap.address, self.heap.size)

    def commit(self, image: MemoryImage, fresh_heap: bool = False) -> MemoryImage:
        """Writes what changed since `image` to the log; the result is not true before the database has it.

        With `fresh_heap` every page of the heap that is not zero is new.
        """
        address = self.heap.address
        heap, stable = self.take_dirty()
        if fresh_heap:
            heap = not_zero(address, 0, self.heap.size // PAGE)
        length = self.files.append(image, address, heap, self.stable.memory.address, stable)
        return replace(
            image,
            heap_pages=self.heap.pages,
            stable_pages=self.stable.pages,
            globals=self.globals(),
            log_length=length,
        )

    def rollback(self, image: MemoryImage) -> bool:
        """Back to `image`. False when this instance cannot go back: it must be thrown away."""
        if self.heap.pages != image.heap_pages:
            return False
        self.restore(image, *self.take_dirty())
        self.stable.pages = image.stable_pages
        self.set_globals(image.globals)
        return True

    def heap_pages_written(self) -> int:
        """How many pages of the heap the execution that has just ended wrote to."""
        written = self._dirty.take(self.heap.address, self.heap.size)
        self._written += written
        self._is_counted = True
        return sum(count for _, count in written)

    def take_dirty(self) -> tuple[Ranges, Ranges]:
        """The pages of heap and stable memory written since this was asked last."""
        heap = self._written
        if not self._is_counted:
            heap = heap + self._dirty.take(self.heap.address, self.heap.size)
        self._written, self._is_counted = [], False
        return heap, runs(self.stable.take_dirty())

    def restore(self, image: MemoryImage, heap: Ranges, stable: Ranges) -> None:
        """Reads these pages back as `image` has them; this counts as not having written them."""
        if heap:
            self.files.restore(image, HEAP, self.heap.address, heap)
            self._dirty.take(self.heap.address, self.heap.size)
        if stable:
            self.files.restore(image, STABLE, self.stable.memory.address, stable)

    @property
    def bytes(self) -> int:
        """Memory that this instance holds, at most."""
        return self.heap.size + self.stable.capacity

    def close(self) -> None:
        """Gives the memory back."""
        self._dirty.close()
        self._functions.clear()
        self._table = None
        self.store.close()
