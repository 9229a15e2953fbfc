"""WebAssembly specification, "Binary Format": as much of it as is needed to check and rewrite a canister module.

Function bodies are metering.py's; element segments are carried over as they are. The full validation is wasmtime's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from icmigrate.protocol.leb128 import encode_unsigned

MAGIC = b"\0asm\1\0\0\0"
MAX_SECTIONS = 1000
CUSTOM, TYPE, IMPORT, FUNCTION, TABLE, MEMORY, GLOBAL = range(7)
EXPORT, START, ELEMENT, CODE, DATA, DATA_COUNT = range(7, 13)
FUNC_KIND, TABLE_KIND, MEMORY_KIND, GLOBAL_KIND = range(4)
I32, I64, F32, F64, V128, FUNCREF = 0x7F, 0x7E, 0x7D, 0x7C, 0x7B, 0x70
WIDTHS = {I32: 4, I64: 8, F32: 4, F64: 8, V128: 16}
"""Bytes of the number types."""


class MalformedModule(ValueError):
    """Not a WebAssembly module."""


@dataclass(frozen=True, slots=True)
class FunctionType:
    """Parameter and result types as the bytes of the binary format."""

    parameters: bytes
    results: bytes


@dataclass(frozen=True, slots=True)
class Import:
    module: str
    name: str
    kind: int
    type_index: int = -1


@dataclass(frozen=True, slots=True)
class Export:
    name: str
    kind: int
    index: int


@dataclass(frozen=True, slots=True)
class MemoryType:
    minimum: int
    maximum: int | None
    is_64: bool


@dataclass(frozen=True, slots=True)
class GlobalType:
    """`initial` is the bit pattern that it begins with."""

    value_type: int
    mutable: bool
    initial: int


@dataclass(frozen=True, slots=True)
class DataSegment:
    """`offset` is the opcode and the immediate of the expression that says where it goes; None: it is passive."""

    offset: tuple[int, int] | None
    size: int


@dataclass(slots=True)
class Module:
    """The parts that are looked at, and all sections but the custom ones as they came."""

    sections: dict[int, bytes] = field(default_factory=dict)
    types: list[FunctionType] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)
    """Type index of each function defined here."""
    tables: int = 0
    memories: list[MemoryType] = field(default_factory=list)
    globals: list[GlobalType] = field(default_factory=list)
    exports: list[Export] = field(default_factory=list)
    start: int | None = None
    code_size: int = 0
    data: list[DataSegment] = field(default_factory=list)
    custom: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def is_64(self) -> bool:
        """Whether its memory has 64-bit addresses."""
        return bool(self.memories) and self.memories[0].is_64

    @property
    def imported_functions(self) -> int:
        return sum(entry.kind == FUNC_KIND for entry in self.imports)

    def function_type(self, index: int) -> FunctionType:
        """The type of a function by its index, imports first."""
        imported = [entry.type_index for entry in self.imports if entry.kind == FUNC_KIND]
        type_index = imported[index] if index < len(imported) else self.functions[index - len(imported)]
        return self.types[type_index]


class Reader:
    """Reads the binary format from `data[position:end]`."""

    def __init__(self, data: bytes, position: int = 0, end: int | None = None) -> None:
        self.data = data
        self.position = position
        self.end = len(data) if end is None else end

    def byte(self) -> int:
        if self.position >= self.end:
            raise MalformedModule("unexpected end")
        value = self.data[self.position]
        self.position += 1
        return value

    def unsigned(self, bits: int = 32) -> int:
        result = shift = 0
        while True:
            byte = self.byte()
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift >= bits + 7:
                raise MalformedModule("integer representation too long")
        if result >> bits:
            raise MalformedModule("integer too large")
        return result

    def signed(self) -> int:
        result = 0
        for shift in range(0, 70, 7):
            byte = self.byte()
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                return result - ((byte & 0x40) << shift + 1)
        raise MalformedModule("integer representation too long")

    def bytes(self, size: int) -> bytes:
        if size > self.end - self.position:
            raise MalformedModule("unexpected end")
        self.position += size
        return self.data[self.position - size : self.position]

    def name(self) -> str:
        try:
            return self.bytes(self.unsigned()).decode()
        except UnicodeDecodeError:
            raise MalformedModule("malformed UTF-8 encoding") from None

    def vector(self) -> Iterator[None]:
        """As many rounds as the vector that begins here has elements."""
        for _ in range(self.unsigned()):
            yield None

    def value_type(self) -> int:
        code = self.byte()
        if code in (0x63, 0x64):  # (ref null? heaptype)
            self.signed()
        return code

    def limits(self) -> MemoryType:
        flags = self.byte()
        is_64 = bool(flags & 4)
        bits = 64 if is_64 else 32
        minimum = self.unsigned(bits)
        maximum = self.unsigned(bits) if flags & 1 else None
        return MemoryType(minimum, maximum, is_64)

    def constant_expression(self) -> tuple[int, int]:
        """Opcode and immediate (of floats and vectors their bits) of the one instruction that it has."""
        opcode, value = self.byte(), 0
        if opcode in (0x41, 0x42, 0xD0):
            value = self.signed()
        elif opcode in (0x23, 0xD2):
            value = self.unsigned()
        elif opcode == 0x43:
            value = int.from_bytes(self.bytes(4), "little")
        elif opcode == 0x44:
            value = int.from_bytes(self.bytes(8), "little")
        elif opcode == 0xFD and self.unsigned() == 12:
            value = int.from_bytes(self.bytes(16), "little")
        else:
            raise MalformedModule(f"constant expression required: non-constant opcode {opcode:#x}")
        if self.byte() != 0x0B:
            raise MalformedModule("constant expression required: more than one instruction")
        return opcode, value


def parse(data: bytes) -> Module:
    """Reads a module. Raises MalformedModule."""
    if data[:4] != MAGIC[:4]:
        raise MalformedModule("magic header not detected: bad magic number")
    if data[:8] != MAGIC:
        raise MalformedModule("unknown binary version")
    module = Module()
    outer = Reader(data, 8)
    count = 0
    while outer.position < outer.end:
        count += 1
        if count > MAX_SECTIONS:
            raise MalformedModule(f"more than {MAX_SECTIONS} sections")
        section = outer.byte()
        size = outer.unsigned()
        start = outer.position
        outer.bytes(size)
        if section != CUSTOM:
            module.sections[section] = data[start : outer.position]
        read = _READERS.get(section)
        if read is not None:
            read(Reader(data, start, outer.position), module)
    return module


def _custom(reader: Reader, module: Module) -> None:
    name = reader.name()
    module.custom.append((name, reader.data[reader.position : reader.end]))


def _types(reader: Reader, module: Module) -> None:
    for _ in reader.vector():
        if reader.byte() != 0x60:
            raise MalformedModule("only function types are supported")
        parameters = bytes(reader.value_type() for _ in reader.vector())
        results = bytes(reader.value_type() for _ in reader.vector())
        module.types.append(FunctionType(parameters, results))


def _imports(reader: Reader, module: Module) -> None:
    for _ in reader.vector():
        source, name, kind = reader.name(), reader.name(), reader.byte()
        type_index = -1
        if kind == FUNC_KIND:
            type_index = reader.unsigned()
        elif kind == TABLE_KIND:
            reader.value_type()
            reader.limits()
        elif kind == MEMORY_KIND:
            reader.limits()
        elif kind == GLOBAL_KIND:
            reader.value_type()
            reader.byte()
        else:
            raise MalformedModule("malformed import kind")
        module.imports.append(Import(source, name, kind, type_index))


def _functions(reader: Reader, module: Module) -> None:
    module.functions.extend(reader.unsigned() for _ in reader.vector())


def _tables(reader: Reader, module: Module) -> None:
    module.tables = reader.unsigned()


def _memories(reader: Reader, module: Module) -> None:
    module.memories.extend(reader.limits() for _ in reader.vector())


def _globals(reader: Reader, module: Module) -> None:
    for _ in reader.vector():
        value_type, mutable = reader.value_type(), reader.byte()
        _, initial = reader.constant_expression()
        bits = 64 if value_type == I64 else 32
        module.globals.append(GlobalType(value_type, mutable == 1, initial % (1 << bits) if initial < 0 else initial))


def _exports(reader: Reader, module: Module) -> None:
    for _ in reader.vector():
        module.exports.append(Export(reader.name(), reader.byte(), reader.unsigned()))


def _start(reader: Reader, module: Module) -> None:
    module.start = reader.unsigned()


def _code(reader: Reader, module: Module) -> None:
    module.code_size = reader.end - reader.position


def _data(reader: Reader, module: Module) -> None:
    for _ in reader.vector():
        kind = reader.unsigned()
        if kind == 2:
            reader.unsigned()
        offset = None if kind == 1 else reader.constant_expression()
        size = reader.unsigned()
        reader.bytes(size)
        module.data.append(DataSegment(offset, size))


_READERS = {
    CUSTOM: _custom,
    TYPE: _types,
    IMPORT: _imports,
    FUNCTION: _functions,
    TABLE: _tables,
    MEMORY: _memories,
    GLOBAL: _globals,
    EXPORT: _exports,
    START: _start,
    CODE: _code,
    DATA: _data,
}


def encode_limits(memory: MemoryType) -> bytes:
    maximum = b"" if memory.maximum is None else encode_unsigned(memory.maximum)
    flags = (4 if memory.is_64 else 0) | (1 if maximum else 0)
    return bytes([flags]) + encode_unsigned(memory.minimum) + maximum


def encode_exports(exports: Iterable[Export]) -> bytes:
    """The contents of an export section."""
    entries = [
        encode_unsigned(len(export.name.encode())) + export.name.encode()
        + bytes([export.kind]) + encode_unsigned(export.index)
        for export in exports
    ]  # fmt: skip
    return encode_unsigned(len(entries)) + b"".join(entries)


def appended(section: bytes | None, entries: list[bytes]) -> bytes:
    """The contents of a section, None where there was none, with more entries behind those that it has."""
    reader = Reader(section or b"\0")
    count = reader.unsigned()
    return encode_unsigned(count + len(entries)) + reader.bytes(reader.end - reader.position) + b"".join(entries)


_ORDER = (TYPE, IMPORT, FUNCTION, TABLE, MEMORY, GLOBAL, EXPORT, START, ELEMENT, DATA_COUNT, CODE, DATA)


def encode(sections: Mapping[int, bytes]) -> bytes:
    """The module that consists of these sections."""
    present = ((number, sections[number]) for number in _ORDER if number in sections)
    return MAGIC + b"".join(bytes([number]) + encode_unsigned(len(body)) + body for number, body in present)
