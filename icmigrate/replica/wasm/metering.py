"""WebAssembly specification, "Binary Format", Expressions: makes function bodies count what they execute.

A global holds the instructions that are left. Each straight piece of code begins by taking its cost
(instruction_costs.py) from it; where a function or a loop begins, the code traps with `unreachable` once nothing
is left. What copies or fills memory calls `charge` with the length first, and `memory.grow` becomes a call of
`grow`, which asks the replica whether the growth is allowed. All of this is what the IC's own replica does to
a module, so that the numbers are the same.

Only code that has been validated is read: an instruction unknown here is one that canisters must not use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from icmigrate.protocol.leb128 import encode_signed, encode_unsigned
from icmigrate.replica.errors.canister_errors import InvalidModule
from icmigrate.replica.errors.documentation import documented
from icmigrate.replica.wasm import instruction_costs as costs
from icmigrate.replica.wasm.binary import MalformedModule, Reader

MAX_FUNCTION_SIZE = 1_000_000
MAX_FUNCTION_COMPLEXITY = 1_000_000

# The grammar of instructions, cut into those that run straight on and those that do not or are rewritten.
_LEB = rb"[\x80-\xff]*+[\x00-\x7f]"
_STRAIGHT = b"|".join([
    rb"[\x02\x10\x20-\x25\x3f\x41\x42\xd0\xd2]" + _LEB,
    rb"[\x01\x1a\x1b\x45-\xc4\xd1]",
    rb"[\x11\x28-\x3e]" + _LEB + _LEB,
    rb"\x43.{4}",
    rb"\x44.{8}",
    rb"\x1c\x01.",
    rb"\xfc[\x00-\x07]",
    rb"\xfc[\x09\x0d\x10]" + _LEB,
    rb"\xfd[\x00-\x0b\x5c\x5d]" + _LEB + _LEB,
    rb"\xfd[\x0c\x0d].{16}",
    rb"\xfd[\x15-\x22].",
    rb"\xfd[\x54-\x5b]" + _LEB + _LEB + rb".",
    rb"\xfd(?:[\x0e-\x14\x23-\x53\x5e-\x7f]|[\x80-\xff]\x01)",
])  # fmt: skip
_straight_instructions = re.compile(_STRAIGHT, re.DOTALL).findall
_straight_run = re.compile(rb"(?:" + _STRAIGHT + rb")*+", re.DOTALL).match
_other_instruction = re.compile(b"|".join([
    rb"[\x00\x05\x0b\x0f]",
    rb"[\x03\x04\x0c\x0d\x0e\x12\x26\x40]" + _LEB,
    rb"\x13" + _LEB + _LEB,
    rb"\xfc[\x0b\x0f\x11]" + _LEB,
    rb"\xfc[\x08\x0a\x0c\x0e]" + _LEB + _LEB,
]), re.DOTALL).match  # fmt: skip

_GLOBAL_GET, _GLOBAL_SET, _LOCAL_GET_0 = b"\x23", b"\x24", b"\x20\x00"
_I64_CONST, _I64_SUB, _EXTEND, _WRAP = b"\x42", b"\x7d", b"\xad", b"\xa7"
_IF_NEGATIVE_TRAP = b"\x42\x00\x53\x04\x40\x00\x0b"
"""i64.const 0, i64.lt_s, if, unreachable, end"""
_TAKING, _CHECKING, _ASKING = 4, 6, 3
"""How many instructions the IC's replica adds: to take a cost, to check what is left, to charge or to grow."""


class _Weights(dict[bytes, int]):
    """A table by opcode that is asked with whole instructions and remembers the answers."""

    def __init__(self, table: dict[bytes, int]) -> None:
        super().__init__()
        self._table = table

    def __missing__(self, instruction: bytes) -> int:
        weight = self[instruction] = self._table.get(_opcode(instruction), 1)
        return weight


def _opcode(instruction: bytes) -> bytes:
    if instruction[0] < 0xFC:
        return instruction[:1]
    return instruction[:2] if instruction[1] < 0x80 else instruction[:3]


@dataclass(frozen=True, slots=True)
class Added:
    """The indices of what is added to a module: a global, functions, and for `grow` a table and a type."""

    counter: int
    charge: int
    grow: int
    replica_table: int
    replica_type: int

    def charge_body(self) -> bytes:
        """charge(n) -> n: takes n from the counter, which stays at the least number if n is too large."""
        counter = encode_unsigned(self.counter)
        read = _GLOBAL_GET + counter
        least = _I64_CONST + encode_signed(-(1 << 63))
        larger = read + _LOCAL_GET_0 + _I64_SUB + b"\x22\x01" + read + b"\x55"  # local.tee 1 ... i64.gt_s
        chosen = b"\x04\x7e" + least + b"\x05" + b"\x20\x01" + b"\x0b"  # if i64 ... else local.get 1 end
        ends = read + _IF_NEGATIVE_TRAP + _LOCAL_GET_0 + b"\x0b"
        return _sized(b"\x01\x01\x7e" + larger + chosen + _GLOBAL_SET + counter + ends)

    def grow_body(self) -> bytes:
        """grow(pages): memory.grow, whose result and argument the replica sees before it counts."""
        grown = _LOCAL_GET_0 + b"\x40\x00" + _LOCAL_GET_0
        asked = b"\x41\x00\x11" + encode_unsigned(self.replica_type) + encode_unsigned(self.replica_table)
        return _sized(b"\x00" + grown + asked + b"\x0b")


def _sized(body: bytes) -> bytes:
    return encode_unsigned(len(body)) + body


class Meter:
    """Rewrites the functions of one module. Raises InvalidModule for what the replica does not support."""

    instructions: int
    """How many instructions the functions have, those included that count."""

    def __init__(self, added: Added, is_64: bool) -> None:
        self.instructions = 0
        self._cost = _Weights(costs.COSTS_64 if is_64 else costs.COSTS)
        self._complexity = _Weights(costs.COMPLEXITY)
        self._grow = b"\x10" + encode_unsigned(added.grow)
        charge = b"\x10" + encode_unsigned(added.charge)
        narrow = _EXTEND + charge + _WRAP
        self._charges = {opcode: charge if is_64 and as_wide else narrow for opcode, as_wide in costs.BY_LENGTH.items()}
        counter = encode_unsigned(added.counter)

        @cache
        def take(cost: int, check: bool) -> bytes:
            taken = _GLOBAL_GET + counter + _I64_CONST + encode_signed(cost) + _I64_SUB + _GLOBAL_SET + counter
            return taken + (_GLOBAL_GET + counter + _IF_NEGATIVE_TRAP if check else b"")

        self._take = take

    def code_section(self, section: bytes, more: list[bytes]) -> bytes:
        """The code section with metered functions and `more` functions behind them."""
        reader = Reader(section)
        count = reader.unsigned()
        parts = [encode_unsigned(count + len(more))]
        for index in range(count):
            size = reader.unsigned()
            end = reader.position + size
            parts.append(_sized(self._function(section, reader.position, end, index)))
            reader.position = end
        return b"".join(parts + more)

    def _function(self, code: bytes, start: int, end: int, index: int) -> bytes:
        reader = Reader(code, start, end)
        for _ in reader.vector():  # the locals
            reader.unsigned()
            reader.value_type()
        at = reader.position
        out = [code[start:at]]
        piece: list[bytes] = []
        cost, check = costs.FUNCTION, True
        size = injected = complexity = 0
        while at < end:
            stop = _straight_run(code, at, end).end()  # type: ignore[union-attr]
            straight = _straight_instructions(code, at, stop)
            match = _other_instruction(code, stop, end)
            if match is None:
                raise MalformedModule(f"illegal opcode: {code[stop : stop + 2].hex(' ')}")
            instruction = match.group()
            opcode = _opcode(instruction)
            if opcode in costs.UNSUPPORTED:
                raise _unsupported(index, costs.UNSUPPORTED[opcode])
            cost += sum(map(self._cost.__getitem__, straight)) + self._cost[instruction]
            complexity += sum(map(self._complexity.__getitem__, straight)) + self._complexity[instruction]
            size += len(straight) + 1
            piece.append(code[at:stop])
            at = match.end()
            if opcode == costs.MEMORY_GROW:
                piece.append(self._grow)
                injected += _ASKING
            elif opcode in self._charges:
                piece += (self._charges[opcode], instruction)
                injected += _ASKING
            else:
                if opcode == costs.BR_TABLE:
                    at = _end_of_targets(code, stop + 1)
                if cost or check:
                    out.append(self._take(cost, check))
                    injected += _TAKING + (_CHECKING if check else 0)
                out += piece
                out.append(code[stop:at])
                piece.clear()
                cost, check = 0, opcode == costs.LOOP
        _check_size(index, size, complexity)
        self.instructions += size + injected
        return b"".join(out)


def _end_of_targets(code: bytes, at: int) -> int:
    reader = Reader(code, at)
    for _ in reader.vector():
        reader.unsigned()
    reader.unsigned()
    return reader.position


def _unsupported(index: int, instruction: str) -> InvalidModule:
    return InvalidModule(
        f"Wasm module contains a function at index {index} with unsupported instruction {instruction}."
    )


def _check_size(index: int, size: int, complexity: int) -> None:
    found = f"Wasm module contains a function at index {index}"
    help = "Try breaking large functions up into multiple smaller functions."
    if complexity > MAX_FUNCTION_COMPLEXITY:
        raise InvalidModule(
            f"{found} with complexity {complexity} which exceeds the maximum complexity allowed "
            f"{MAX_FUNCTION_COMPLEXITY}.",
            documented(help, "wasm-module-function-complexity-too-high"),
        )
    if size > MAX_FUNCTION_SIZE:
        raise InvalidModule(
            f"{found} of size {size} that exceeds the maximum allowed size of {MAX_FUNCTION_SIZE}.",
            documented(help, "wasm-module-function-too-large"),
        )
