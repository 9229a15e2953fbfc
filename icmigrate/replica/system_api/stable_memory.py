"""Interface Specification, "Stable memory": a second Wasm memory, read and written without Python.

Three instances share one store. The *gate* has the functions that the canister imports; they jump through a
table. The canister comes next. Then the *shim*, which imports the canister's heap and the gate's table, owns
the stable memory and fills the table with functions that copy between the two memories. Written pages of
4 KiB are noted, so that a message costs what it touched.

The shim's memory "notes" is laid out as
    0   u64  how many pages are noted
    8   u64  size of the stable memory in Wasm pages (the memory itself may be larger, it cannot shrink)
    16  u64  how many pages may be noted
    24  u32  the first noted page number, and so on
and its memory "marks" has one byte for each 4 KiB page, 1 when it is noted already.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable
from functools import cache
from typing import Protocol

import wasmtime

from icmigrate.replica.engine.wasmtime_c_api import HostFunction, Memory, shared_engine
from icmigrate.replica.errors.canister_errors import CanisterError, StableWriteLimitExceeded, Trapped
from icmigrate.replica.state.limits import Limits

PAGE = 4096
PAGES_PER_WASM_PAGE = 16
NATIVE = {
    "stable64_size": ("", "i64"),
    "stable64_read": ("i64 i64 i64", ""),
    "stable64_write": ("i64 i64 i64", ""),
    "stable_size": ("", "i32"),
    "stable_read": ("i32 i32 i32", ""),
    "stable_write": ("i32 i32 i32", ""),
}
"""The functions that are answered natively; growing is not: it needs the canister's balance."""
CALL_INSTRUCTIONS = 20
"""What a read or write counts as, besides one for each byte."""
DIRTY_PAGE_INSTRUCTIONS = 1_000
"""What a page of 4 KiB counts as when a message writes to it first; one of the heap, too."""


def _gate_text() -> str:
    parts = [f'(table (export "table") {len(NATIVE)} funcref) (memory (export "no memory") 0)']
    for slot, (name, (parameters, result)) in enumerate(NATIVE.items()):
        types = (f"(param {parameters})" if parameters else "") + (f"(result {result})" if result else "")
        arguments = " ".join(f"(local.get {index})" for index in range(len(parameters.split())))
        call = f"(call_indirect {types} {arguments} (i32.const {slot}))"
        parts.append(f'(func (export "{name}") {types} {call})')
    return f"(module {' '.join(parts)})"


def _shim_text(heap_64: bool) -> str:
    heap = "i64 0" if heap_64 else "0"
    h, n = (
        ("(local.get $h)", "(local.get $n)")
        if heap_64
        else ("(i32.wrap_i64 (local.get $h))", "(i32.wrap_i64 (local.get $n))")
    )
    # A 32-bit heap address must not be cut to one that exists.
    fits = (
        ""
        if heap_64
        else """
        (if (i64.ne (i64.shr_u (i64.or (local.get $h) (local.get $n)) (i64.const 32)) (i64.const 0))
          (then (call $heap_bounds)))"""
    )
    return f"""(module
      (import "host" "stable bounds" (func $stable_bounds))
      (import "host" "heap bounds" (func $heap_bounds))
      (import "host" "too big" (func $too_big))
      (import "host" "too many pages" (func $too_many_pages))
      (import "canister" "charge" (func $charge (param i64) (result i64)))
      (import "canister" "memory" (memory $heap {heap}))
      (import "gate" "table" (table {len(NATIVE)} funcref))
      (memory $stable (export "stable") i64 0)
      (memory $marks (export "marks") i64 0)
      (memory $notes (export "notes") i64 1)
      (elem (i32.const 0) func $size $read $write $size32 $read32 $write32)

      (func $size (result i64) (i64.load $notes (i64.const 8)))
      (func $count (param $n i64) (drop (call $charge (local.get $n))))
      (func $check (param $o i64) (param $h i64) (param $n i64) (local $end i64)
        (local.set $end (i64.add (local.get $o) (local.get $n)))
        (if (i32.or (i64.lt_u (local.get $end) (local.get $o))
                    (i64.gt_u (local.get $end) (i64.shl (call $size) (i64.const 16))))
          (then (call $stable_bounds))){fits})
      (func $read (param $h i64) (param $o i64) (param $n i64)
        (call $count (i64.add (local.get $n) (i64.const {CALL_INSTRUCTIONS})))
        (if (i64.eqz (local.get $n)) (then (return)))
        (call $check (local.get $o) (local.get $h) (local.get $n))
        (memory.copy $heap $stable {h} (local.get $o) {n}))
      (func $note (param $page i64) (local $count i64) (local $at i64)
        (i64.store8 $marks (local.get $page) (i64.const 1))
        (local.set $count (i64.load $notes (i64.const 0)))
        (local.set $at (i64.add (i64.const 24) (i64.shl (local.get $count) (i64.const 2))))
        (if (i64.gt_u (i64.add (local.get $at) (i64.const 4)) (i64.shl (memory.size $notes) (i64.const 16)))
          (then (drop (memory.grow $notes (i64.add (memory.size $notes) (i64.const 1))))))
        (i64.store32 $notes (local.get $at) (local.get $page))
        (i64.store $notes (i64.const 0) (i64.add (local.get $count) (i64.const 1))))
      (func $write (param $o i64) (param $h i64) (param $n i64)
        (call $count (i64.add (local.get $n) (i64.const {CALL_INSTRUCTIONS})))
        (if (i64.eqz (local.get $n)) (then (return)))
        (call $put (local.get $o) (local.get $h) (local.get $n)))
      (func $put (param $o i64) (param $h i64) (param $n i64)
          (local $page i64) (local $last i64) (local $before i64)
        (call $check (local.get $o) (local.get $h) (local.get $n))
        (if (i64.eqz (local.get $n)) (then (return)))
        (local.set $before (i64.load $notes (i64.const 0)))
        (local.set $page (i64.shr_u (local.get $o) (i64.const 12)))
        (local.set $last (i64.shr_u (i64.sub (i64.add (local.get $o) (local.get $n)) (i64.const 1))
                                    (i64.const 12)))
        (loop $next
          (if (i32.eqz (i32.load8_u $marks (local.get $page))) (then (call $note (local.get $page))))
          (local.set $page (i64.add (local.get $page) (i64.const 1)))
          (br_if $next (i64.le_u (local.get $page) (local.get $last))))
        (if (i64.gt_u (i64.load $notes (i64.const 0)) (i64.load $notes (i64.const 16)))
          (then (call $too_many_pages)))
        (call $count (i64.mul (i64.sub (i64.load $notes (i64.const 0)) (local.get $before))
                              (i64.const {DIRTY_PAGE_INSTRUCTIONS})))
        (memory.copy $stable $heap (local.get $o) {h} {n}))

      (func $narrow (if (i64.gt_u (call $size) (i64.const 65536)) (then (call $too_big))))
      (func $size32 (result i32) (call $narrow) (i32.wrap_i64 (call $size)))
      (func $read32 (param $h i32) (param $o i32) (param $n i32)
        (if (local.get $n) (then (call $narrow)))
        (call $read (i64.extend_i32_u (local.get $h)) (i64.extend_i32_u (local.get $o))
                    (i64.extend_i32_u (local.get $n))))
      (func $write32 (param $o i32) (param $h i32) (param $n i32)
        (call $count (i64.add (i64.extend_i32_u (local.get $n)) (i64.const {CALL_INSTRUCTIONS})))
        (call $narrow)
        (call $put (i64.extend_i32_u (local.get $o)) (i64.extend_i32_u (local.get $h))
                   (i64.extend_i32_u (local.get $n)))))"""


@cache
def _gate_module() -> wasmtime.Module:
    return wasmtime.Module(shared_engine(), _gate_text())


@cache
def _shim_module(heap_64: bool) -> wasmtime.Module:
    return wasmtime.Module(shared_engine(), _shim_text(heap_64))


class _HasLimits(Protocol):
    """What is known here of an execution."""

    limits: Limits


def _failing(error: Callable[[_HasLimits], CanisterError]) -> HostFunction:
    def body(execution: _HasLimits, _slots: object) -> None:
        raise error(execution)

    return HostFunction([], [], body)


TOO_BIG_FOR_32_BIT = "32 bit stable memory api used on a memory larger than 4GB"
_FAILURES = (
    _failing(lambda _: Trapped("stable memory out of bounds")),
    _failing(lambda _: Trapped("heap out of bounds")),
    _failing(lambda _: Trapped(TOO_BIG_FOR_32_BIT)),
    _failing(lambda execution: StableWriteLimitExceeded(execution.limits)),
)


class Gate:
    """The functions for a canister to import, before its stable memory exists."""

    def __init__(self, store: wasmtime.Store) -> None:
        exports = wasmtime.Instance(store, _gate_module(), []).exports(store)
        self.functions: dict[str, wasmtime.Func] = {name: exports[name] for name in NATIVE}  # type: ignore[misc]
        self.table = exports["table"]
        self.no_memory = exports["no memory"]


class StableMemory:
    """The stable memory of one instance."""

    def __init__(
        self, store: wasmtime.Store, gate: Gate, charge: wasmtime.Func, heap: wasmtime.Memory, heap_64: bool
    ) -> None:
        imports = [*(function.bind(store) for function in _FAILURES), charge, heap, gate.table]
        exports = wasmtime.Instance(store, _shim_module(heap_64), imports).exports(store)
        self.memory = Memory(store, exports["stable"])  # type: ignore[arg-type]
        self._marks = Memory(store, exports["marks"])  # type: ignore[arg-type]
        self._notes = Memory(store, exports["notes"])  # type: ignore[arg-type]

    @property
    def pages(self) -> int:
        """Size in Wasm pages."""
        return ctypes.c_uint64.from_address(self._notes.address + 8).value

    @pages.setter
    def pages(self, pages: int) -> None:
        """Sets the size; what lies beyond must be zero when it shrinks (`restore` sees to that)."""
        if pages > self.memory.pages:
            self.memory.grow(pages - self.memory.pages)
            needed = -(-pages * PAGES_PER_WASM_PAGE // (1 << 16))
            if needed > self._marks.pages:
                self._marks.grow(needed - self._marks.pages)
        ctypes.c_uint64.from_address(self._notes.address + 8).value = pages

    def allow(self, pages: int) -> None:
        """How many 4 KiB pages the execution that begins may write to."""
        ctypes.c_uint64.from_address(self._notes.address + 16).value = pages

    @property
    def capacity(self) -> int:
        """Bytes of memory behind it, for the accounting of warm instances."""
        return self.memory.size

    def take_dirty(self) -> list[int]:
        """The 4 KiB pages written since the last time, ascending; begins to note afresh."""
        notes = self._notes.address
        count = ctypes.c_uint64.from_address(notes).value
        if not count:
            return []
        pages = array("I", ctypes.string_at(notes + 24, 4 * count)).tolist()
        pages.sort()
        ctypes.c_uint64.from_address(notes).value = 0
        marks = self._marks.address
        if pages[-1] - pages[0] < 16 * count:
            ctypes.memset(marks + pages[0], 0, pages[-1] - pages[0] + 1)
        else:
            for page in pages:
                ctypes.memset(marks + page, 0, 1)
        return pages
