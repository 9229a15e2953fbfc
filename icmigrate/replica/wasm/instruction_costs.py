"""Interface Specification, "Cycles": what executing one WebAssembly instruction counts as, by its opcode.

The weights are those of the IC's own replica, whose authors measured them. Opcodes are the bytes of the binary
format; those behind the prefixes FC and FD come with their LEB128 number.
"""

from __future__ import annotations

from icmigrate.protocol.leb128 import encode_unsigned

FUNCTION = 1
"""Entering a function, besides the call."""
LOOP, BR_TABLE, MEMORY_GROW = b"\x03", b"\x0e", b"\x40"
BY_LENGTH = {b"\xfc\x08": False, b"\xfc\x0a": True, b"\xfc\x0b": True}
"""memory.init, copy and fill count one more for each byte; True where the length is as wide as addresses are."""
UNSUPPORTED = {
    b"\x26": "table.set",
    b"\xfc\x0c": "table.init",
    b"\xfc\x0e": "table.copy",
    b"\xfc\x0f": "table.grow",
    b"\xfc\x11": "table.fill",
}
"""Tables cannot change: a module with one of these is refused."""


def _opcodes(text: str) -> list[bytes]:
    """Opcodes in hexadecimal: single ones and ranges; "FD: 51-53" are numbers behind a prefix."""
    found = []
    prefix = b""
    for word in text.split():
        if word.endswith(":"):
            prefix = bytes.fromhex(word[:-1])
            continue
        first, _, last = word.partition("-")
        codes = range(int(first, 16), int(last or first, 16) + 1)
        found += [prefix + encode_unsigned(code) if prefix else bytes([code]) for code in codes]
    return found


def _table(text: str) -> dict[bytes, int]:
    rows = (line.split("|") for line in text.strip().splitlines())
    return {opcode: int(cost) for cost, opcodes, *_ in rows for opcode in _opcodes(opcodes)}


MEMORY_ACCESS = frozenset(_opcodes("28-3E FD: 00-0B 54-5D"))
"""Loads and stores count twice as much in a 64-bit memory."""

COSTS = _table("""
      0 | 02 03 05 0B                                        | block, loop, else, end
      2 | 04 0C 0D 0E                                        | if, br, br_if, br_table
      5 | 10                                                 | call
     10 | 11                                                 | call_indirect
      3 | 12                                                 | return_call
     60 | 13                                                 | return_call_indirect
      1 | 00 01 0F 1A 1B 1C 20-22                            | control, drop, select, locals
      2 | 23 24                                              | globals
      5 | 25 26                                              | table.get, table.set
      1 | 28-3E                                              | loads and stores
     20 | 3F                                                 | memory.size
    300 | 40                                                 | memory.grow
      1 | 41-44                                              | constants
      1 | 45-5A                                              | integer comparisons
      3 | 5B-66                                              | float comparisons
      1 | 67-6C 71-7E 83-8A                                  | integer arithmetic
     10 | 6D-70 7F-82                                        | integer division and remainder
      1 | 8B 8C 99 9A                                        | float abs, neg
      2 | 8D-90 92-94 9B-9E A0-A2                            | float rounding, add, sub, mul
      5 | 91 A3                                              | f32.sqrt, f64.div
      3 | 95 A6                                              | f32.div, f64.copysign
     18 | 96 97 A4 A5                                        | float min, max
      2 | 98                                                 | f32.copysign
      8 | 9F                                                 | f64.sqrt
      1 | A7 AC AD B6 BB-C4                                  | wrap, extend, demote, promote, reinterpret
     20 | A8-AB AE-B1                                        | trunc
      3 | B2 B4 B7 B9                                        | convert signed
     16 | B3 B5 B8 BA                                        | convert unsigned
      1 | D0                                                 | ref.null
      5 | D1                                                 | ref.is_null
    130 | D2                                                 | ref.func
     20 | FC: 00-07                                          | trunc_sat
    100 | FC: 08 0A-0C 0E 11                                 | memory and table init, copy, fill
    300 | FC: 09 0D 0F                                       | data.drop, elem.drop, table.grow
    100 | FC: 10                                             | table.size
      1 | FD: 00-FF                                          | vectors, unless below
      2 | FD: 26 28 30 32 3A 3C                              | unsigned lt, gt of i8x16, i16x8, i32x4
      3 | FD: 0D 62 6B 6C                                    | i8x16 shuffle, popcnt, shl, shr_s
      2 | FD: 67-6A 74 75 7A 94 7D 6D 8B-8D                  | float rounding, i8x16.shr_u, i16x8 shifts
      2 | FD: 9D 9F                                          | i16x8 extmul_high
      3 | FD: 7F                                             | i32x4.extadd_pairwise_i16x8_u
      2 | FD: AB-AD B5 BC-BF                                 | i32x4 shifts, mul, extmul
      2 | FD: CB CD                                          | i64x2.shl, shr_u
      3 | FD: CC                                             | i64x2.shr_s
      4 | FD: D5                                             | i64x2.mul
      2 | FD: E0 E1 E4-E6 EC ED F0-F2                        | float vectors: abs, neg, add, sub, mul
      5 | FD: E3                                             | f32x4.sqrt
     10 | FD: E7                                             | f32x4.div
      4 | FD: E8 E9 F4                                       | f32x4 min, max, f64x2.min
     14 | FD: EF                                             | f64x2.sqrt
     12 | FD: F3                                             | f64x2.div
      5 | FD: F5                                             | f64x2.max
      2 | FD: F8 FC                                          | i32x4.trunc_sat signed
      4 | FD: F9 FB                                          | i32x4.trunc_sat_f32x4_u, f32x4.convert_i32x4_u
      3 | FD: FD                                             | i32x4.trunc_sat_f64x2_u_zero
""")
COSTS_64 = COSTS | dict.fromkeys(MEMORY_ACCESS, 2)
"""With a 64-bit memory."""

COMPLEXITY = _table("""
     50 | 02-04 0C-0E 10 11 40                               | blocks, branches, calls, memory.grow
     14 | 25                                                 | table.get
      8 | D2                                                 | ref.func
      6 | D1                                                 | ref.is_null
      5 | A8-AB AC-BA                                        | conversions with floats, extensions
      4 | 8B 8C 99 9A FC: 0A                                 | float abs, neg, memory.copy
      3 | 98 A6 61 6D-70 7F-82 28-35 FC: 00-07 0B            | division, loads, trunc_sat, memory.fill
      2 | 23 69 7B 1B 3F 36-3E 45-60 62-66 8D-8F 91 9B-9D 9F       | comparisons, stores, rounding
      2 | A7 BB-C4                                           | reinterpret, wrap, sign extension
""")
"""How hard an instruction is to compile, where it is not 1: the sum of a function is limited."""
