"""Interface Specification, "WebAssembly module requirements": makes a checked module ready to run.

It is rewritten before it is compiled. Only its `canister_` exports stay, and its memory, table, start function and
mutable globals are exported under private names, so that their state can be kept; the start function no longer
runs by itself. Its functions are metered (metering.py), for which a global, two functions and a table are added
behind its own, so that no index of its own changes.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

import wasmtime

from icmigrate.protocol.leb128 import encode_unsigned
from icmigrate.replica.engine.wasmtime_c_api import shared_engine
from icmigrate.replica.errors.canister_errors import InvalidModule
from icmigrate.replica.state.code import InstalledModule
from icmigrate.replica.state.limits import Limits
from icmigrate.replica.storage import compiled_files
from icmigrate.replica.wasm import binary
from icmigrate.replica.wasm.compiler import Compiler
from icmigrate.replica.wasm.metering import Added, Meter
from icmigrate.replica.wasm.validation import decode, requirements, unpack, validate

MEMORY, TABLE, START = "icx memory", "icx table", "icx start"
COUNTER, CHARGE, REPLICA_TABLE = "icx counter", "icx charge", "icx replica"
_GLOBAL = "icx global "
_COMPILED_IN_MEMORY = 64
REWRITE_VERSION = 3
"""Raised when rewriting or the engine's configuration makes something else of the same module."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What of an instance has to be kept between messages. `globals` are (export name, bytes)."""

    is_64: bool
    has_memory: bool
    has_table: bool
    has_start: bool
    globals: tuple[tuple[str, int], ...]
    imports: tuple[str, ...]
    """Names of the ic0 functions in the order of the imports."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The binary that is compiled, and how many instructions it has."""

    wasm: bytes
    instructions: int


@dataclass(frozen=True, slots=True)
class CompiledModule:
    installed: InstalledModule
    layout: Layout
    module: wasmtime.Module
    limits: Limits
    instructions: int
    """How many it has; compiling them is paid for."""


def check(data: bytes, limits: Limits) -> tuple[InstalledModule, Layout, Rewritten]:
    """Checks a module as it was uploaded; returns its facts and what is compiled of it. Raises InvalidModule."""
    wasm = unpack(data, limits)
    validate(wasm)
    module = decode(wasm)
    installed, layout = _facts(data, module, limits)
    try:
        return installed, layout, rewritten(module, layout, limits)
    except binary.MalformedModule as error:
        raise InvalidModule(f"Failed to decode wasm module: {error}") from None


def facts(data: bytes, limits: Limits) -> tuple[InstalledModule, Layout]:
    """The facts of a module that was checked before."""
    return _facts(data, decode(unpack(data, limits)), limits)


def _facts(data: bytes, module: binary.Module, limits: Limits) -> tuple[InstalledModule, Layout]:
    found = requirements(module, limits)
    layout = Layout(
        is_64=module.is_64,
        has_memory=bool(module.memories),
        has_table=module.tables > 0,
        has_start=module.start is not None,
        globals=tuple((name, width) for name, width, _ in _kept_globals(module)),
        imports=found.imports,
    )
    return InstalledModule(hashlib.sha256(data).digest(), len(data), found.entry_points, found.sections), layout


def _kept_globals(module: binary.Module) -> list[tuple[str, int, int]]:
    """Export name, bytes and index of each mutable global."""
    return [
        (f"{_GLOBAL}{index}", binary.WIDTHS[kind.value_type], index)
        for index, kind in enumerate(module.globals)
        if kind.mutable
    ]


def rewritten(module: binary.Module, layout: Layout, limits: Limits) -> Rewritten:
    """What is compiled. Raises InvalidModule or MalformedModule for functions that cannot be metered."""
    pointer = bytes([binary.I64 if layout.is_64 else binary.I32])
    types = [b"\x60\x01\x7e\x01\x7e", b"\x60\x01" + pointer + b"\x01" + pointer,
             b"\x60\x02" + pointer * 2 + b"\x01" + pointer]  # fmt: skip
    charge_type, grow_type, replica_type = range(len(module.types), len(module.types) + 3)
    charge = module.imported_functions + len(module.functions)
    added = Added(len(module.globals), charge, charge + 1, module.tables, replica_type)
    functions, bodies = [encode_unsigned(charge_type)], [added.charge_body()]
    sections = dict(module.sections)
    sections.pop(binary.START, None)
    if layout.has_memory:
        functions.append(encode_unsigned(grow_type))
        bodies.append(added.grow_body())
        sections[binary.MEMORY] = b"\x01" + binary.encode_limits(_capped(module.memories[0], limits))
    meter = Meter(added, layout.is_64)
    for section, entries in (
        (binary.TYPE, types),
        (binary.FUNCTION, functions),
        (binary.TABLE, [b"\x70\x01\x01\x01"]),  # (table 1 1 funcref)
        (binary.GLOBAL, [b"\x7e\x01\x42\x00\x0b"]),  # (global (mut i64) (i64.const 0))
    ):
        sections[section] = binary.appended(sections.get(section), entries)
    sections[binary.CODE] = meter.code_section(sections.get(binary.CODE, b"\0"), bodies)
    sections[binary.EXPORT] = binary.encode_exports(_exports(module, layout, added))
    return Rewritten(binary.encode(sections), meter.instructions + 2 * (len(module.globals) + 1))


def _capped(memory: binary.MemoryType, limits: Limits) -> binary.MemoryType:
    """The memory with the IC's limit as its maximum, if it has none or a larger one."""
    allowed = limits.heap_pages_64 if memory.is_64 else limits.heap_pages_32
    return replace(memory, maximum=min(allowed, memory.maximum if memory.maximum is not None else allowed))


def _exports(module: binary.Module, layout: Layout, added: Added) -> list[binary.Export]:
    exports = [
        export for export in module.exports if export.kind == binary.FUNC_KIND and export.name.startswith("canister_")
    ]
    exports.append(binary.Export(COUNTER, binary.GLOBAL_KIND, added.counter))
    exports.append(binary.Export(CHARGE, binary.FUNC_KIND, added.charge))
    exports.append(binary.Export(REPLICA_TABLE, binary.TABLE_KIND, added.replica_table))
    if layout.has_memory:
        exports.append(binary.Export(MEMORY, binary.MEMORY_KIND, 0))
    if layout.has_table:
        exports.append(binary.Export(TABLE, binary.TABLE_KIND, 0))
    if module.start is not None:
        exports.append(binary.Export(START, binary.FUNC_KIND, module.start))
    exports += [binary.Export(name, binary.GLOBAL_KIND, index) for name, _, index in _kept_globals(module)]
    return exports


class ModuleCache:
    """Compiled modules by hash, in memory and in a folder (None: not kept). Safe to use from several threads."""

    def __init__(self, folder: Path | None, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits
        self._lock = Lock()
        self._loading: dict[bytes, Lock] = {}
        self._ready: OrderedDict[bytes, CompiledModule] = OrderedDict()
        self._compiler = Compiler()

    def get(self, module_hash: bytes, data: bytes) -> CompiledModule:
        """The compiled form of the module `data`, whose SHA-256 is `module_hash`. Raises InvalidModule."""
        with self._lock:
            loading = self._loading.setdefault(module_hash, Lock())
        try:
            with loading:  # two canisters wait for one compilation, others do not
                found = self.known(module_hash) or self._load(module_hash, data)
        finally:
            with self._lock:
                self._loading.pop(module_hash, None)
        with self._lock:
            self._ready[module_hash] = found
            while len(self._ready) > _COMPILED_IN_MEMORY:
                self._ready.popitem(last=False)
        return found

    def interrupt(self) -> None:
        """Ends every compilation, now and later, with `Interrupted`; from any thread."""
        self._compiler.interrupt()

    def known(self, module_hash: bytes) -> CompiledModule | None:
        """The compiled module if it is in memory."""
        with self._lock:
            found = self._ready.get(module_hash)
            if found is not None:
                self._ready.move_to_end(module_hash)
            return found

    def _load(self, module_hash: bytes, data: bytes) -> CompiledModule:
        """What was compiled before is only read; wasmtime refuses it if another version compiled it."""
        name = f"{module_hash.hex()}.{REWRITE_VERSION}"
        for kept in compiled_files.names(self._folder, f"{name}."):
            installed, layout = facts(data, self._limits)
            with compiled_files.opened(self._folder, kept) as readable, contextlib.suppress(wasmtime.WasmtimeError):
                if readable is not None:
                    module = wasmtime.Module.deserialize_file(shared_engine(), readable)
                    return CompiledModule(installed, layout, module, self._limits, int(kept.split(".")[2]))
        installed, layout, found = check(data, self._limits)
        path = None if self._folder is None else self._folder / f"{name}.{found.instructions}.compiled"
        module = self._compiler.compile(found.wasm, path)
        return CompiledModule(installed, layout, module, self._limits, found.instructions)
