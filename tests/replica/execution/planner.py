"""A canister that does what its argument says: accept cycles, call on, trap, reject or reply.

plan := u8(flags) u64(accept) callee(10 bytes) u64(attach) plan(of the callee)
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from icmigrate.protocol.principal import Principal
from tests.worlds.bare_replica import wasm

TRAP, CALL, TRAP_IN_CALLBACK, REJECT, TRAP_AFTER_CALL, CLEANUP, SILENT, REPLY_BEFORE_CALL = (1 << n for n in range(8))


@dataclass(frozen=True)
class Plan:
    """What one call does; `then` is what the canister that it calls does."""

    flags: int = 0
    accept: int = 0
    callee: Principal | None = None
    attach: int = 0
    then: Plan | None = None

    def encode(self) -> bytes:
        callee = self.callee.bytes if self.callee else bytes(10)
        flags = self.flags | (CALL if self.callee else 0)
        head = struct.pack("<BQ", flags, self.accept) + callee + struct.pack("<Q", self.attach)
        return head + (self.then.encode() if self.then else b"")


PLANNER = wasm(
    """
  (table funcref (elem $on_response $on_cleanup))
  (data (i32.const 0) "go") (data (i32.const 16) "rejected")
  (func $has (param $flags i32) (param $flag i32) (result i32)
    (i32.ne (i32.and (local.get $flags) (local.get $flag)) (i32.const 0)))
  (func (export "canister_update go") (local $flags i32)
    (call $msg_arg_data_copy (i32.const 1024) (i32.const 0) (call $msg_arg_data_size))
    (local.set $flags (i32.load8_u (i32.const 1024)))
    (i32.store (i32.const 512) (i32.add (i32.load (i32.const 512)) (i32.const 1)))
    (call $msg_cycles_accept128 (i64.const 0) (i64.load (i32.const 1025)) (i32.const 256))
    (if (call $has (local.get $flags) (i32.const 1)) (then unreachable))
    (if (call $has (local.get $flags) (i32.const 2)) (then
      (if (call $has (local.get $flags) (i32.const 128)) (then (call $msg_reply)))
      (call $call_new (i32.const 1033) (i32.const 10) (i32.const 0) (i32.const 2)
        (i32.const 0) (local.get $flags) (i32.const 0) (local.get $flags))
      (if (call $has (local.get $flags) (i32.const 32)) (then
        (call $call_on_cleanup (i32.const 1) (local.get $flags))))
      (call $call_data_append (i32.const 1051) (i32.sub (call $msg_arg_data_size) (i32.const 27)))
      (call $call_cycles_add128 (i64.const 0) (i64.load (i32.const 1043)))
      (if (call $call_perform) (then (call $msg_reject (i32.const 16) (i32.const 8)) (return)))
      (if (call $has (local.get $flags) (i32.const 16)) (then unreachable))
      (return)))
    (call $finish (local.get $flags)))
  (func $finish (param $flags i32)
    (if (call $has (local.get $flags) (i32.const 64)) (then (return)))
    (if (call $has (local.get $flags) (i32.const 8))
      (then (call $msg_reject (i32.const 16) (i32.const 8)))
      (else (call $msg_reply_data_append (i32.const 512) (i32.const 4)) (call $msg_reply))))
  (func $on_response (param $flags i32)
    (i32.store (i32.const 516) (i32.add (i32.load (i32.const 516)) (i32.const 1)))
    (if (call $has (local.get $flags) (i32.const 4)) (then unreachable))
    (if (call $has (local.get $flags) (i32.const 128)) (then (return)))
    (call $finish (local.get $flags)))
  (func $on_cleanup (param $flags i32)
    (i32.store (i32.const 520) (i32.add (i32.load (i32.const 520)) (i32.const 1))))
  (func (export "canister_query counters")
    (call $msg_reply_data_append (i32.const 512) (i32.const 12)) (call $msg_reply))
"""
)
