"""Interface Specification, "Overview of imports": programs for the programmable canister, put together.

A `Program` is byte code for the stack machine in canisters/programmable/src/machine.rs. Each method gives a
longer program:

    Program().reply(Program().msg_arg_data())          replies with the argument
    Program().push(b"x").append_reply().msg_reply()    the same in small steps

An `Operand` is a number or a byte string (text counts as UTF-8), or a program that leaves one on the stack;
methods without their operands take what is on the stack already. Where a program is itself a value (callbacks,
hooks, branches) the parameter's type says `Program`.
"""

from __future__ import annotations

from dataclasses import dataclass

from icmigrate.protocol.leb128 import encode_unsigned
from icmigrate.protocol.principal import Principal

LOW = (1 << 64) - 1


def _bytes(value: bytes) -> bytes:
    return b"\1" + encode_unsigned(len(value)) + value


@dataclass(frozen=True)
class Program:
    """Byte code. Programs are values: no method changes the program it is called on."""

    code: bytes = b""

    # -- the machine

    def push(self, *operands: Operand) -> Program:
        """Pushes values; programs among them run here and leave theirs."""
        code = self.code
        for operand in operands:
            match operand:
                case Program():
                    code += operand.code
                case int():
                    code += b"\0" + encode_unsigned(operand)
                case str():
                    code += _bytes(operand.encode())
                case Principal():
                    code += _bytes(operand.bytes)
                case _:
                    code += _bytes(operand)
        return Program(code)

    def quote(self, program: Program) -> Program:
        """Pushes a program as a value, not run now."""
        return self.push(program.code)

    def word(self, name: str, *operands: Operand) -> Program:
        """Does a word of the machine or calls a System API function, with its bare operands."""
        word = name.encode()
        return Program(self.push(*operands).code + b"\2" + encode_unsigned(len(word)) + word)

    def then(self, *programs: Program) -> Program:
        """This program and after it the others."""
        return self.push(*programs)

    def passing(self, name: str, *operands: Operand) -> Program:
        """Calls a function whose operands are byte strings, each given as its address and size."""
        program = self
        for operand in operands or (Program(),):
            program = program.word("pass", operand)
        return program.word(name)

    def blob(self, name: str, *operands: Operand) -> Program:
        """What `<name>_size` and `<name>_copy` give, as a byte string."""
        return self.push(*operands, name).word("blob")

    def wide(self, name: str, *operands: Operand) -> Program:
        """The 128-bit number that a function writes to its last operand, `dst`: 16 bytes, little endian."""
        return self.push(*operands, name).word("wide")

    def drop(self) -> Program:
        return self.word("drop")

    def add(self, *operands: Operand) -> Program:
        return self.word("add", *operands)

    def concat(self, *operands: Operand) -> Program:
        """One byte string of two."""
        return self.word("concat", *operands)

    def to_bytes(self, *number: Operand) -> Program:
        """A number as 8 bytes, little endian."""
        return self.word("to_bytes", *number)

    def zeros(self, length: int) -> Program:
        return self.word("zeros", length)

    def sha256(self, *data: Operand) -> Program:
        return self.word("sha256", *data)

    def if_(self, condition: Operand, then: Program, otherwise: Program | None = None) -> Program:
        return self.push(condition).quote(then).quote(otherwise or Program()).word("if")

    def repeat(self, times: int, program: Program) -> Program:
        return self.push(times).quote(program).word("repeat")

    def spin(self, turns: int) -> Program:
        """Burns a few instructions for each turn."""
        return self.word("spin", turns)

    # -- the heap

    def get(self) -> Program:
        """The global byte string, which lies on the heap."""
        return self.word("get")

    def set(self, *value: Operand) -> Program:
        return self.word("set", *value)

    def append(self, *value: Operand) -> Program:
        return self.word("append", *value)

    def memory_grow(self, pages: int) -> Program:
        """Leaves the old size in pages, or 2**32 - 1."""
        return self.word("memory_grow", pages)

    def set_hook(self, entry_point: str, program: Program) -> Program:
        """What `canister_<entry_point>` runs from now on."""
        return self.push(entry_point).quote(program).word("set_hook")

    # -- ways to fail

    def trap(self, message: Operand = b"trapped") -> Program:
        return self.passing("trap", message)

    def unreachable(self) -> Program:
        return self.word("unreachable")

    # -- the message

    def msg_arg_data(self) -> Program:
        return self.blob("msg_arg_data")

    def msg_caller(self) -> Program:
        return self.blob("msg_caller")

    def msg_reject_code(self) -> Program:
        return self.word("msg_reject_code")

    def msg_reject_msg(self) -> Program:
        return self.blob("msg_reject_msg")

    def append_reply(self, *data: Operand) -> Program:
        """msg_reply_data_append; a number becomes 8 bytes."""
        return self.passing("msg_reply_data_append", *data)

    def msg_reply(self) -> Program:
        return self.word("msg_reply")

    def reply(self, *data: Operand) -> Program:
        """Replies with these, one after the other."""
        program = self
        for part in data:
            program = program.append_reply(part)
        return program.msg_reply()

    def reject(self, message: Operand) -> Program:
        return self.passing("msg_reject", message)

    def accept_message(self) -> Program:
        return self.word("accept_message")

    # -- cycles

    def accept_cycles(self, amount: int) -> Program:
        """msg_cycles_accept128; leaves the amount accepted, 16 bytes."""
        return self.wide("msg_cycles_accept128", amount >> 64, amount & LOW)

    def balance(self) -> Program:
        """canister_cycle_balance128."""
        return self.wide("canister_cycle_balance128")

    # -- calls

    def call_new(
        self,
        callee: Operand,
        method: Operand,
        *,
        on_reply: Program | None = None,
        on_reject: Program | None = None,
    ) -> Program:
        """Without callbacks given, a reply is replied on and a reject is rejected on."""
        return (
            self.word("pass", callee)
            .word("pass", method)
            .quote(RELAY_REPLY if on_reply is None else on_reply)
            .word("callback")
            .quote(RELAY_REJECT if on_reject is None else on_reject)
            .word("callback")
            .word("call_new")
        )

    def call_on_cleanup(self, program: Program) -> Program:
        return self.quote(program).word("callback").word("call_on_cleanup")

    def call_data_append(self, data: Operand) -> Program:
        return self.passing("call_data_append", data)

    def call_cycles_add128(self, amount: int) -> Program:
        return self.word("call_cycles_add128", amount >> 64, amount & LOW)

    def call_perform(self) -> Program:
        """Leaves the error code."""
        return self.word("call_perform")

    def call(
        self,
        callee: Operand,
        arg: Operand,
        *,
        method: str = "run",
        on_reply: Program | None = None,
        on_reject: Program | None = None,
        on_cleanup: Program | None = None,
        cycles: int = 0,
        timeout: int | None = None,
    ) -> Program:
        """A whole call. The argument is data; give `program.code` to have a program run."""
        program = self.call_new(callee, method, on_reply=on_reply, on_reject=on_reject).call_data_append(arg)
        if on_cleanup is not None:
            program = program.call_on_cleanup(on_cleanup)
        if cycles:
            program = program.call_cycles_add128(cycles)
        if timeout is not None:
            program = program.word("call_with_best_effort_response", timeout)
        return program.call_perform().drop()

    # -- stable memory, certified data, time

    def stable64_grow(self, pages: int) -> Program:
        """Leaves the old size in pages, or 2**64 - 1."""
        return self.word("stable64_grow", pages)

    def stable64_write(self, offset: int, data: Operand) -> Program:
        return self.push(offset).word("pass", data).word("stable64_write")

    def stable64_read(self, offset: int, size: int) -> Program:
        """Leaves the bytes."""
        buffer = self.zeros(size).word("pass")
        # The buffer's address and size are on the stack; the address is needed again to load the bytes.
        return buffer.drop().word("dup").push(offset, size).word("stable64_read").push(size).word("load")

    def certified_data_set(self, data: Operand) -> Program:
        return self.passing("certified_data_set", data)

    def time(self) -> Program:
        return self.word("time")

    def global_timer_set(self, timestamp: Operand) -> Program:
        """Leaves the timer's previous value."""
        return self.word("global_timer_set", timestamp)

    def performance_counter(self, kind: int) -> Program:
        return self.word("performance_counter", kind)

    def canister_version(self) -> Program:
        return self.word("canister_version")

    def debug_print(self, text: Operand) -> Program:
        return self.passing("debug_print", text)


Operand = int | bytes | str | Principal | Program

RELAY_REPLY = Program().reply(Program().msg_arg_data())
RELAY_REJECT = Program().reject(Program().msg_reject_msg())
