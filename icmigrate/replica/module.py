"""Interface Specification, "WebAssembly module requirements": checks a module and makes it ready to run.

A checked module is rewritten before it is compiled: only its `canister_` exports stay, and its memory, table,
start function and mutable globals are exported under private names, so that their state can be kept. The
start function no longer runs by itself.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import wasmtime

from icmigrate.replica import compiled_files
from icmigrate.replica import wasm_binary as binary
from icmigrate.replica.compiler import Compiler
from icmigrate.replica.engine import shared_engine
from icmigrate.replica.faults import InvalidModule, documented
from icmigrate.replica.imports import FUNCTIONS
from icmigrate.replica.limits import Limits
from icmigrate.replica.state import CustomSection, InstalledModule

MEMORY, TABLE, START = "icx memory", "icx table", "icx start"
_GLOBAL = "icx global "
_PUBLIC, _PRIVATE = "icp:public ", "icp:private "
METHOD_PREFIXES = ("canister_update ", "canister_query ", "canister_composite_query ")
ENTRY_POINTS = frozenset(
    {
        "canister_init",
        "canister_inspect_message",
        "canister_pre_upgrade",
        "canister_post_upgrade",
        "canister_heartbeat",
        "canister_on_low_wasm_memory",
        "canister_global_timer",
    }
)
_LETTERS = {"i": binary.I32, "l": binary.I64}
_NAMES = {binary.I32: "I32", binary.I64: "I64", binary.F32: "F32", binary.F64: "F64", binary.V128: "V128"}
_COMPILED_IN_MEMORY = 64
REWRITE_VERSION = 1
"""Raised when `rewrite` or the engine's configuration makes something else of the same module."""


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
class CompiledModule:
    installed: InstalledModule
    layout: Layout
    module: wasmtime.Module
    limits: Limits


def unpack(data: bytes, limits: Limits) -> bytes:
    """The Wasm binary in `data`, which may be gzipped."""
    if data[:4] == binary.MAGIC[:4]:
        return data
    if data[:3] != b"\x1f\x8b\x08":
        raise InvalidModule(
            "Failed to decode wasm module: unsupported canister module format. "
            "Expected a raw or a gzip-compressed Wasm module.",
            "",
        )
    inflate = zlib.decompressobj(wbits=31)
    try:
        unpacked = inflate.decompress(data, limits.module_size + 1)
    except zlib.error as error:
        raise InvalidModule(f"Failed to decode wasm module: {error}", "") from None
    if len(unpacked) > limits.module_size:
        raise _too_large(len(unpacked), limits)
    if not inflate.eof:
        raise InvalidModule("Failed to decode wasm module: the gzip stream is incomplete", "")
    return unpacked


def _too_large(size: int, limits: Limits) -> InvalidModule:
    return InvalidModule(
        f"Wasm module size of {size} exceeds the maximum allowed size of {limits.module_size}.",
        documented("Try shrinking the module using tools like `ic-wasm` or splitting the logic across multiple "
                   "canisters.", "wasm-module-too-large"),
    )  # fmt: skip


def check(data: bytes, limits: Limits, validate: bool = True) -> tuple[InstalledModule, Layout, bytes]:
    """Checks a module as it was uploaded; returns its facts and the rewritten binary. Raises InvalidModule.

    A module that passed before needs no validation of its instructions again.
    """
    if len(data) > limits.module_size:
        raise _too_large(len(data), limits)
    wasm = unpack(data, limits)
    try:
        module = binary.parse(wasm)
    except binary.MalformedModule as error:
        raise InvalidModule(f"Failed to decode wasm module: {error}") from None
    if validate:
        _validate(wasm)
    _check_limits(module, limits)
    is_64 = bool(module.memories) and module.memories[0].is_64
    imports = _check_imports(module, is_64)
    methods = _check_exports(module, limits)
    sections = _check_sections(module, limits)
    exports, kept = _private_exports(module)
    layout = Layout(
        is_64=is_64,
        has_memory=bool(module.memories),
        has_table=module.tables > 0,
        has_start=module.start is not None,
        globals=kept,
        imports=imports,
    )
    installed = InstalledModule(hashlib.sha256(data).digest(), len(data), frozenset(methods), sections)
    public = [export for export in module.exports if export.name in methods]
    return installed, layout, binary.rewrite(module, public + exports)


def _validate(wasm: bytes) -> None:
    try:
        wasmtime.Module.validate(shared_engine(), wasm)
    except wasmtime.WasmtimeError as error:
        raise InvalidModule(f"Wasmtime failed to validate wasm module {error}") from None


def _check_limits(module: binary.Module, limits: Limits) -> None:
    if len(module.memories) > 1:
        raise InvalidModule("Wasm module declares more than one memory.")
    for memory in module.memories:
        allowed = limits.heap_pages_64 if memory.is_64 else limits.heap_pages_32
        if memory.minimum > allowed:
            raise InvalidModule(
                f"Wasm module declares an initial memory of {memory.minimum} pages which exceeds the maximum "
                f"allowed size of {allowed} pages."
            )
    if len(module.functions) > limits.functions:
        raise InvalidModule(
            f"Wasm module defined {len(module.functions)} functions which exceeds the maximum number allowed "
            f"{limits.functions}.",
            documented("Try spliting this canister into multiple canisters.", "wasm-module-too-many-functions"),
        )
    if len(module.globals) > limits.globals:
        raise InvalidModule(
            f"Wasm module defined {len(module.globals)} globals which exceeds the maximum number allowed "
            f"{limits.globals}.",
            documented(
                "Try collecting multiple globals into a single structured which can be stored on the heap.",
                "wasm-module-too-many-globals",
            ),
        )
    if module.code_size > limits.code_section_size:
        raise InvalidModule(
            f"Wasm module code section size of {module.code_size} exceeds the maximum allowed size of "
            f"{limits.code_section_size}.",
            documented("Try shrinking the module code section using tools like `ic-wasm` or splitting the logic "
                       "across multiple canisters.", "wasm-module-code-section-too-large"),
        )  # fmt: skip


def _signature(types: bytes) -> str:
    return "[" + ", ".join(_NAMES.get(value, hex(value)) for value in types) + "]"


def _check_imports(module: binary.Module, is_64: bool) -> tuple[str, ...]:
    names = []
    for entry in module.imports:
        if entry.kind != binary.FUNC_KIND:
            raise InvalidModule(
                "Wasm module has an invalid import section. Only function imports are supported, "
                f"not '{entry.name}' from '{entry.module}'."
            )
        function = FUNCTIONS.get(entry.name) if entry.module == "ic0" else None
        if function is None or (is_64 and function.only_32_bit):
            raise InvalidModule(
                f"Wasm module has an invalid import section. Module imports function '{entry.name}' from "
                f"'{entry.module}' that is not exported by the runtime."
            )
        actual = module.types[entry.type_index]
        pointer = "l" if is_64 else "i"
        parameters = bytes(_LETTERS[letter] for letter in function.parameters.replace("I", pointer))
        results = bytes(_LETTERS[letter] for letter in function.result.replace("I", pointer))
        if actual.parameters != parameters:
            raise InvalidModule(
                "Wasm module has an invalid function signature. Expected input params "
                f"{_signature(parameters)} for '{entry.name}', got {_signature(actual.parameters)}."
            )
        if actual.results != results:
            raise InvalidModule(
                "Wasm module has an invalid function signature. Expected return type "
                f"{_signature(results)} for '{entry.name}', got {_signature(actual.results)}."
            )
        names.append(entry.name)
    return tuple(names)


def _check_exports(module: binary.Module, limits: Limits) -> set[str]:
    """The names of the exported entry points."""
    found: set[str] = set()
    methods: set[str] = set()
    for export in module.exports:
        if export.kind != binary.FUNC_KIND or not export.name.startswith("canister_"):
            continue
        prefix = next((prefix for prefix in METHOD_PREFIXES if export.name.startswith(prefix)), None)
        if prefix is None and export.name not in ENTRY_POINTS:
            raise InvalidModule(
                f"Wasm module has an invalid export section. Exporting reserved function '{export.name}' with "
                'prefix "canister_"'
            )
        actual = module.function_type(export.index)
        if actual.parameters or actual.results:
            raise InvalidModule(
                "Wasm module has an invalid function signature. Expected input params [] and return type [] for "
                f"'{export.name}', got {_signature(actual.parameters)} and {_signature(actual.results)}."
            )
        if prefix is not None:
            name = export.name[len(prefix) :]
            if name in methods:
                raise InvalidModule(
                    f"Duplicate function '{name}' exported multiple times with different call types: update, "
                    "query, or composite_query.",
                    documented(
                        "Try defining different versions of the function for each call type, e.g. "
                        f"`{name}_update`, `{name}_query`, etc.",
                        "wasm-module-duplicate-exports",
                    ),
                )
            methods.add(name)
        found.add(export.name)
    kinds = "`canister_update <name>`, `canister_query <name>`, or `canister_composite_query <name>`"
    if len(methods) > limits.exported_functions:
        raise InvalidModule(
            f"The number of exported functions called {kinds} is {len(methods)} which exceeds "
            f"{limits.exported_functions}.",
            documented(
                "Try combining multiple endpoints into a single endpoint.", "wasm-module-exports-too-many-methods"
            ),
        )
    total = sum(len(name.encode()) for name in methods)
    if total > limits.exported_names_size:
        raise InvalidModule(
            f"The sum of `<name>` lengths in exported functions called {kinds} is {total} which exceeds the "
            f"allowed limit of {limits.exported_names_size}.",
            documented("Try using shorter method names.", "wasm-module-sum-of-exported-name-lengths-too-large"),
        )
    return found


def _check_sections(module: binary.Module, limits: Limits) -> tuple[CustomSection, ...]:
    sections: dict[str, CustomSection] = {}
    for name, content in module.custom:
        if not name.startswith("icp:"):
            continue
        public = name.startswith(_PUBLIC)
        if not public and not name.startswith(_PRIVATE):
            raise InvalidModule(
                "Wasm module has an invalid custom section. Invalid custom section: Public or private scope not "
                f"defined for section {name.removeprefix('icp:')}."
            )
        short = name[len(_PUBLIC if public else _PRIVATE) :]
        if short in sections:
            raise InvalidModule(
                f"Wasm module has an invalid custom section. Invalid custom section: name {short} already exists."
            )
        sections[short] = CustomSection(short, public, content)
    if len(sections) > limits.custom_sections:
        raise InvalidModule(
            f"Wasm module defined {len(sections)} custom sections which exceeds the maximum number allowed "
            f"{limits.custom_sections}."
        )
    size = sum(len(section.name) + len(section.content) for section in sections.values())
    if size > limits.custom_sections_size:
        raise InvalidModule(
            "Wasm module has an invalid custom section. Invalid custom sections: total size of the custom "
            f"sections exceeds the maximum allowed: size {size} bytes, allowed {limits.custom_sections_size} "
            "bytes"
        )
    return tuple(sections.values())


def _private_exports(module: binary.Module) -> tuple[list[binary.Export], tuple[tuple[str, int], ...]]:
    exports = []
    if module.memories:
        exports.append(binary.Export(MEMORY, binary.MEMORY_KIND, 0))
    if module.tables:
        exports.append(binary.Export(TABLE, binary.TABLE_KIND, 0))
    if module.start is not None:
        exports.append(binary.Export(START, binary.FUNC_KIND, module.start))
    kept = []
    for index, kind in enumerate(module.globals):
        width = binary.WIDTHS.get(kind.value_type)
        if kind.mutable and width is not None:
            name = f"{_GLOBAL}{index}"
            exports.append(binary.Export(name, binary.GLOBAL_KIND, index))
            kept.append((name, width))
    return exports, tuple(kept)


class ModuleCache:
    """Compiled modules by hash, in memory and in a folder. Safe to use from several threads."""

    def __init__(self, folder: Path, limits: Limits) -> None:
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
        path = self._folder / f"{module_hash.hex()}.{REWRITE_VERSION}.compiled"
        if path.exists():
            installed, layout, _ = check(data, self._limits, validate=False)
            try:
                module = wasmtime.Module.deserialize_file(shared_engine(), str(path))
                compiled_files.used(path)
                return CompiledModule(installed, layout, module, self._limits)
            except wasmtime.WasmtimeError:
                path.unlink(missing_ok=True)
        installed, layout, wasm = check(data, self._limits)
        return CompiledModule(installed, layout, self._compiler.compile(wasm, path), self._limits)
