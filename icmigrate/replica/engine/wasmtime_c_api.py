"""wasmtime's C API as far as wasmtime-py is too slow or not safe between threads: calls, host functions, memories.

wasmtime-py's own host functions convert every value (6-10 us a call) and pass exceptions on in one global
variable, which two threads would mix up. Here host functions see raw slots (1 us a call) and a failure stays
with the call that it belongs to. Modules, stores, memories and instances are wasmtime-py's.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Protocol

import wasmtime
from wasmtime import _bindings as ffi

from icmigrate.replica.errors.canister_errors import CanisterError, InstructionLimitExceeded, Trapped

libc = ctypes.CDLL(None, use_errno=True)


class Slot(ctypes.Union):
    """One raw argument or result; which member is meant is known from the function's type."""

    _fields_ = (
        ("i32", ctypes.c_int32),
        ("u32", ctypes.c_uint32),
        ("i64", ctypes.c_int64),
        ("u64", ctypes.c_uint64),
        ("bits", ctypes.c_ubyte * 16),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(Slot), ctypes.c_size_t)
_NO_FINALIZER = ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p))
_HOST_TRAP = b"host"
WASM_STACK = 5 << 20
"""Bytes of stack that canister code may use, as on the IC."""
THREAD_STACK = 16 << 20
"""Bytes of stack for a thread that executes canister code and the replica's functions that it calls."""
_DEADLINE = ctypes.CFUNCTYPE(
    ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint64), ctypes.POINTER(ctypes.c_uint8)
)


def _prototype(name: str, result: Any, *arguments: Any) -> Any:
    function = ffi.dll[name]  # type: ignore[attr-defined]
    function.restype = result
    function.argtypes = arguments
    return function


_memory_data = _prototype("wasmtime_memory_data", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_memory_size = _prototype("wasmtime_memory_data_size", ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p)
_global_get = _prototype("wasmtime_global_get", None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_global_set = _prototype("wasmtime_global_set", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_set_deadline_callback = _prototype(
    "wasmtime_store_epoch_deadline_callback", None, ctypes.c_void_p, _DEADLINE, ctypes.c_void_p, ctypes.c_void_p
)
_set_async_stack_size = _prototype("wasmtime_config_async_stack_size_set", None, ctypes.c_void_p, ctypes.c_uint64)
_trap_new = _prototype("wasmtime_trap_new", ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t)
_error_new = _prototype("wasmtime_error_new", ctypes.c_size_t, ctypes.c_char_p)
_call = _prototype(
    "wasmtime_func_call_unchecked",
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.POINTER(Slot),
    ctypes.c_size_t,
    ctypes.POINTER(ctypes.c_void_p),
)


class Interrupted(Exception):
    """The replica is being closed and gave up this execution. It has no effects, and nobody was told of it."""


class Environment(Protocol):
    """What host functions work for."""

    @property
    def interrupted(self) -> threading.Event:
        """Once this is set, the execution ends at its next loop or call."""


class _Running(threading.local):
    """What the host functions called on this thread work for, and how the last of them failed."""

    environment: Environment | None = None
    failure: BaseException | None = None


_running = _Running()


def _features() -> wasmtime.Config:
    """What of WebAssembly canisters may use."""
    config = wasmtime.Config()
    config.wasm_memory64 = True
    config.wasm_tail_call = True
    config.wasm_multi_memory = False
    config.wasm_threads = False
    config.wasm_relaxed_simd = False
    config.wasm_function_references = False
    config.wasm_gc = False
    config.wasm_exceptions = False
    config.wasm_wide_arithmetic = False
    config.cranelift_nan_canonicalization = True
    return config


@cache
def validation_engine() -> wasmtime.Engine:
    """Says whether a module is one that canisters may be made of; executes nothing."""
    return wasmtime.Engine(_features())


@cache
def shared_engine() -> wasmtime.Engine:
    """The one engine, made when it is first needed: its signal handlers must come after Python's faulthandler."""
    config = _features()
    config.wasm_multi_memory = True  # for stable memory
    config.epoch_interruption = True
    # Anonymous memory, so that dirty pages can be followed (dirty_pages.py).
    config.memory_init_cow = False
    _set_async_stack_size(config.ptr(), WASM_STACK)  # unused, but max_wasm_stack may not be more
    config.max_wasm_stack = WASM_STACK
    return wasmtime.Engine(config)


class HostFunction:
    """A function that Wasm imports: made once for the process, bound to as many stores as needed.

    `body(environment, slots)` gets the environment of the call under way; results go to slots[0]. An
    exception that it raises ends the Wasm execution and comes out of `call` unchanged.
    """

    def __init__(
        self,
        parameters: Sequence[wasmtime.ValType],
        results: Sequence[wasmtime.ValType],
        body: Callable[[Any, Any], None],
    ) -> None:
        def enter(_env: int, _caller: int, slots: Any, _count: int) -> int:
            try:
                body(_running.environment, slots)
            except BaseException as failure:  # noqa: BLE001 - carried over the Wasm frames, see call()
                _running.failure = failure
                return int(_trap_new(_HOST_TRAP, len(_HOST_TRAP)))
            return 0

        self._type = wasmtime.FuncType(list(parameters), list(results))
        self._callback = _CALLBACK(enter)
        self._unchecked = ctypes.cast(self._callback, ffi.wasmtime_func_unchecked_callback_t)

    def bind(self, store: wasmtime.Store) -> wasmtime.Func:
        """This function as an import for instances of `store`."""
        raw = ffi.wasmtime_func_t()
        ffi.wasmtime_func_new_unchecked(
            store._context(), self._type.ptr(), self._unchecked, None, _NO_FINALIZER, ctypes.byref(raw)
        )
        return wasmtime.Func._from_raw(raw)


def _at_deadline(_context: int, _data: int, delta: Any, _kind: Any) -> int:
    """The epoch has moved: some execution of this process is to end, perhaps this one."""
    environment = _running.environment
    if environment is not None and environment.interrupted.is_set():
        _running.failure = Interrupted()
        return int(_error_new(_HOST_TRAP))
    delta[0] = 1
    return 0


_deadline_callback = _DEADLINE(_at_deadline)


def new_store() -> wasmtime.Store:
    """A store whose executions can be interrupted."""
    store = wasmtime.Store(shared_engine())
    _set_deadline_callback(store.ptr(), _deadline_callback, None, None)
    store.set_epoch_deadline(1)
    return store


def interrupt() -> None:
    """Makes every execution under way look whether it is interrupted; from any thread."""
    shared_engine().increment_epoch()


class Counter:
    """The instructions that the execution under way has left: a global that metered code counts down."""

    def __init__(self, store: wasmtime.Store, counter: wasmtime.Global) -> None:
        self._value = ffi.wasmtime_val_t()
        self._left = ctypes.c_int64.from_buffer(self._value, ffi.wasmtime_val_t.of.offset)
        self._counter = counter
        self._where = (
            ctypes.cast(store._context(), ctypes.c_void_p).value,
            ctypes.addressof(counter._global),
            ctypes.addressof(self._value),
        )
        self._get()
        self.limit = 0

    def _get(self) -> int:
        _global_get(*self._where)
        return self._left.value

    def begin(self, limit: int) -> None:
        """A new execution may use `limit` instructions."""
        self.limit = limit
        self._set(limit)

    def _set(self, left: int) -> None:
        self._left.value = left
        _global_set(*self._where)

    @property
    def used(self) -> int:
        """Instructions that the execution has used, `limit` at most."""
        return self.limit - max(0, self._get())

    @property
    def exhausted(self) -> bool:
        return self._get() < 0

    def take(self, instructions: int) -> None:
        """Counts what the replica did for the canister. Raises InstructionLimitExceeded."""
        left = self._get() - instructions
        self._set(max(left, -1))
        if left < 0:
            raise InstructionLimitExceeded(self.limit)


def call(
    store: wasmtime.Store, function: wasmtime.Func, arguments: Sequence[int], environment: Environment, counter: Counter
) -> int:
    """Calls `function` whose parameters are all integers and whose result, if any, is an integer.

    `environment` is what host functions see meanwhile, `counter` what the code counts down. Returns the first
    result slot. Raises the `CanisterError` that ended it, `Interrupted`, or whatever else a host function raised.
    """
    if environment.interrupted.is_set():
        raise Interrupted
    slots = (Slot * max(1, len(arguments)))()
    for index, argument in enumerate(arguments):
        slots[index].u64 = argument
    trap = ctypes.c_void_p()
    before = _running.environment
    _running.environment = environment
    _running.failure = None
    try:
        error = _call(store._context(), ctypes.byref(function._func), slots, len(slots), ctypes.byref(trap))
    finally:
        _running.environment = before
    if trap.value or error:
        reason = _reason(trap.value, error, counter)
        failure, _running.failure = _running.failure, None
        raise failure or reason
    return int(slots[0].u64)


def _reason(trap: int | None, error: int | None, counter: Counter) -> CanisterError:
    """What wasmtime says, taking over its objects."""
    if trap:
        pointer = ctypes.cast(trap, ctypes.POINTER(ffi.wasm_trap_t))
        code = wasmtime.Trap._from_ptr(pointer).trap_code
        if code == wasmtime.TrapCode.UNREACHABLE and counter.exhausted:
            return InstructionLimitExceeded(counter.limit)
        return Trapped(_REASONS.get(code, "unknown") if code is not None else "unknown")
    other = ctypes.cast(error, ctypes.POINTER(ffi.wasmtime_error_t))  # type: ignore[arg-type]
    return Trapped(str(wasmtime.WasmtimeError._from_ptr(other)))


_REASONS = {
    wasmtime.TrapCode.STACK_OVERFLOW: "stack overflow",
    wasmtime.TrapCode.MEMORY_OUT_OF_BOUNDS: "heap out of bounds",
    wasmtime.TrapCode.TABLE_OUT_OF_BOUNDS: "table out of bounds",
    wasmtime.TrapCode.INTEGER_DIVISION_BY_ZERO: "integer division by 0",
    wasmtime.TrapCode.UNREACHABLE: "unreachable",
}


class Memory:
    """A Wasm memory as addresses: what is copied is copied by memmove."""

    def __init__(self, store: wasmtime.Store, memory: wasmtime.Memory) -> None:
        self._store = store
        self._memory = memory
        self._context = ctypes.cast(store._context(), ctypes.c_void_p)
        self._reference = ctypes.byref(memory._memory)

    @property
    def address(self) -> int:
        """Where byte 0 is now; growing may move it."""
        return int(_memory_data(self._context, self._reference) or 0)

    @property
    def size(self) -> int:
        """Bytes."""
        return int(_memory_size(self._context, self._reference))

    @property
    def pages(self) -> int:
        """Wasm pages of 64 KiB."""
        return self.size >> 16

    def grow(self, pages: int) -> None:
        self._memory.grow(self._store, pages)

    def read(self, offset: int, size: int) -> bytes:
        return ctypes.string_at(self.address + offset, size)

    def write(self, offset: int, data: bytes) -> None:
        ctypes.memmove(self.address + offset, data, len(data))
