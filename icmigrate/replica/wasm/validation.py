"""Interface Specification, "WebAssembly module requirements": what may be installed as a canister.

The order of the checks and the words are those of the IC's own replica.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import wasmtime

from icmigrate.replica.engine.wasmtime_c_api import validation_engine
from icmigrate.replica.errors.canister_errors import InvalidModule, NotInstrumented
from icmigrate.replica.errors.documentation import documented
from icmigrate.replica.state.code import CustomSection
from icmigrate.replica.state.limits import Limits
from icmigrate.replica.system_api.ic0_imports import FUNCTIONS
from icmigrate.replica.wasm import binary

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
RESERVED_SYMBOLS = frozenset(
    {
        "canister counter_instructions",
        "canister counter_dirty_pages",
        "canister counter_accessed_pages",
        "canister_start",
        "stable_memory",
        "stable_memory_bytemap",
    }
)
_LETTERS = {"i": binary.I32, "l": binary.I64}
_NAMES = {binary.I32: "I32", binary.I64: "I64", binary.F32: "F32", binary.F64: "F64", binary.V128: "V128"}


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a module that meets the requirements imports and offers."""

    imports: tuple[str, ...]
    entry_points: frozenset[str]
    sections: tuple[CustomSection, ...]


def unpack(data: bytes, limits: Limits) -> bytes:
    """The Wasm binary in `data`, which may be gzipped. Raises InvalidModule."""
    if len(data) > limits.module_size:
        raise _too_large(len(data), limits)
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


def validate(wasm: bytes) -> None:
    """That it is WebAssembly of the features that canisters may use. Raises InvalidModule."""
    try:
        wasmtime.Module.validate(validation_engine(), wasm)
    except wasmtime.WasmtimeError as error:
        raise InvalidModule(
            f"Wasmtime failed to validate wasm module wasmtime::Module::validate() failed with {error}"
        ) from None


def decode(wasm: bytes) -> binary.Module:
    """The module's sections. Raises InvalidModule."""
    try:
        return binary.parse(wasm)
    except binary.MalformedModule as error:
        raise InvalidModule(f"Failed to decode wasm module: {error}") from None


def requirements(module: binary.Module, limits: Limits) -> Requirements:
    """Checks what the specification demands besides. Raises InvalidModule."""
    _check_code(module, limits)
    imports = _imports(module)
    entry_points = _entry_points(module, limits)
    _check_globals(module, limits)
    _check_functions(module, limits)
    sections = _custom_sections(module, limits)
    _check_data(module)
    return Requirements(imports, entry_points, sections)


def _signature(types: bytes) -> str:
    return "[" + ", ".join(_NAMES.get(value, hex(value)) for value in types) + "]"


_ONLY_FUNCTIONS = {
    binary.TABLE_KIND: "Only tables imported from env.table are allowed.",
    binary.MEMORY_KIND: "Only memory imported from env.memory is allowed.",
    binary.GLOBAL_KIND: "Importing globals is not allowed.",
}


def _imports(module: binary.Module) -> tuple[str, ...]:
    """The names of the imported functions."""
    invalid = "Wasm module has an invalid import section. "
    for entry in module.imports:
        if entry.kind != binary.FUNC_KIND:
            raise InvalidModule(invalid + _ONLY_FUNCTIONS[entry.kind])
        function = FUNCTIONS.get(entry.name)
        if function is None or (module.is_64 and function.only_32_bit):
            raise InvalidModule(
                f"{invalid}Module imports function '{entry.name}' from '{entry.module}' that is not exported by the "
                "runtime."
            )
        if entry.module != "ic0":
            raise InvalidModule(
                f'{invalid}Module imports function "{entry.name}" from "{entry.module}", expected to be imported from '
                'one of ["ic0"] instead.'
            )
        parameters, results = function.types("l" if module.is_64 else "i")
        _check_signature(
            entry.name, module.types[entry.type_index],
            bytes(_LETTERS[letter] for letter in parameters), bytes(_LETTERS[letter] for letter in results),
        )  # fmt: skip
    return tuple(entry.name for entry in module.imports)


def _check_signature(name: str, actual: binary.FunctionType, parameters: bytes = b"", results: bytes = b"") -> None:
    invalid = "Wasm module has an invalid function signature. "
    if actual.parameters != parameters:
        raise InvalidModule(
            f"{invalid}Expected input params {_signature(parameters)} for '{name}', "
            f"got {_signature(actual.parameters)}."
        )
    if actual.results != results:
        raise InvalidModule(
            f"{invalid}Expected return type {_signature(results)} for '{name}', got {_signature(actual.results)}."
        )


def _entry_points(module: binary.Module, limits: Limits) -> frozenset[str]:
    """The names of the exported entry points."""
    found: set[str] = set()
    methods: set[str] = set()
    for export in module.exports:
        if export.name in RESERVED_SYMBOLS:
            raise InvalidModule(
                f"Wasm module has an invalid export section. Exporting reserved symbol {export.name} not allowed."
            )
        if export.kind != binary.FUNC_KIND or not export.name.startswith("canister_"):
            continue
        prefix = next((prefix for prefix in METHOD_PREFIXES if export.name.startswith(prefix)), None)
        if prefix is None and export.name not in ENTRY_POINTS:
            raise InvalidModule(
                f"Wasm module has an invalid export section. Exporting reserved function '{export.name}' with "
                '"canister_" prefix'
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
        _check_signature(export.name, module.function_type(export.index))
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
    return frozenset(found)


def _check_code(module: binary.Module, limits: Limits) -> None:
    if module.code_size > limits.code_section_size:
        raise InvalidModule(
            f"Wasm module code section size of {module.code_size} exceeds the maximum allowed size of "
            f"{limits.code_section_size}.",
            documented("Try shrinking the module code section using tools like `ic-wasm` or splitting the logic "
                       "across multiple canisters.", "wasm-module-code-section-too-large"),
        )  # fmt: skip


def _check_globals(module: binary.Module, limits: Limits) -> None:
    if len(module.globals) > limits.globals:
        raise InvalidModule(
            f"Wasm module defined {len(module.globals)} globals which exceeds the maximum number allowed "
            f"{limits.globals}.",
            documented(
                "Try collecting multiple globals into a single structured which can be stored on the heap.",
                "wasm-module-too-many-globals",
            ),
        )
    for kind in module.globals:
        if kind.value_type not in binary.WIDTHS:
            name = "FUNCREF" if kind.value_type == binary.FUNCREF else "EXTERNREF"
            raise InvalidModule(f"Wasm module has an invalid global section. Unsupported global type: Ref({name})")


def _check_functions(module: binary.Module, limits: Limits) -> None:
    if len(module.functions) > limits.functions:
        raise InvalidModule(
            f"Wasm module defined {len(module.functions)} functions which exceeds the maximum number allowed "
            f"{limits.functions}.",
            documented("Try spliting this canister into multiple canisters.", "wasm-module-too-many-functions"),
        )


def _check_data(module: binary.Module) -> None:
    size = module.memories[0].minimum << 16 if module.memories else 0
    for segment in module.data:
        if segment.offset is None:
            continue
        start = segment.offset[1] & ((1 << 64 if module.is_64 else 1 << 32) - 1)
        if start + segment.size > size:
            raise NotInstrumented(f"Wasm module has invalid data segment of {segment.size} bytes at {start}")


def _invalid_section(text: str) -> InvalidModule:
    return InvalidModule(f"Wasm module has an invalid custom section. {text}")


def _custom_sections(module: binary.Module, limits: Limits) -> tuple[CustomSection, ...]:
    sections: dict[str, CustomSection] = {}
    for name, content in module.custom:
        if not name.startswith("icp:"):
            continue
        if name in (_PUBLIC.strip(), _PRIVATE.strip()):
            raise _invalid_section("'icp:' section names must have a space after the public/private scope")
        public = name.startswith(_PUBLIC)
        if not public and not name.startswith(_PRIVATE):
            raise _invalid_section(
                f"Invalid custom section: Custom section '{name}' has no public/private scope defined."
            )
        short = name[len(_PUBLIC if public else _PRIVATE) :]
        if short in sections:
            raise _invalid_section(f"Invalid custom section: name {short} already exists")
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
