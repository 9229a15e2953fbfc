"""Small canisters in WebAssembly text."""

from __future__ import annotations

import functools

import wasmtime

IMPORTS = {
    "msg_reply": "(func $msg_reply)",
    "msg_reply_data_append": "(func $msg_reply_data_append (param i32 i32))",
    "msg_reject": "(func $msg_reject (param i32 i32))",
    "msg_arg_data_size": "(func $msg_arg_data_size (result i32))",
    "msg_arg_data_copy": "(func $msg_arg_data_copy (param i32 i32 i32))",
    "msg_caller_size": "(func $msg_caller_size (result i32))",
    "msg_caller_copy": "(func $msg_caller_copy (param i32 i32 i32))",
    "certified_data_set": "(func $certified_data_set (param i32 i32))",
    "data_certificate_present": "(func $data_certificate_present (result i32))",
    "data_certificate_size": "(func $data_certificate_size (result i32))",
    "data_certificate_copy": "(func $data_certificate_copy (param i32 i32 i32))",
    "accept_message": "(func $accept_message)",
    "trap": "(func $trap (param i32 i32))",
    "debug_print": "(func $debug_print (param i32 i32))",
    "call_new": "(func $call_new (param i32 i32 i32 i32 i32 i32 i32 i32))",
    "call_data_append": "(func $call_data_append (param i32 i32))",
    "call_cycles_add128": "(func $call_cycles_add128 (param i64 i64))",
    "call_perform": "(func $call_perform (result i32))",
    "stable64_grow": "(func $stable64_grow (param i64) (result i64))",
    "stable64_write": "(func $stable64_write (param i64 i64 i64))",
}


def literal(data: bytes) -> str:
    """Bytes as a string of WebAssembly text."""
    return '"' + "".join(f"\\{byte:02x}" for byte in data) + '"'


@functools.cache
def wasm(*imports: str, body: str) -> bytes:
    """A module with one memory, these ic0 functions and `body`."""
    imported = "\n".join(f'(import "ic0" "{name}" {IMPORTS[name]})' for name in imports)
    return bytes(wasmtime.wat2wasm(f'(module {imported} (memory (export "memory") 2) {body})'))


# `set` remembers its argument, `get` and `get_update` reply with it, `caller` with the caller.
# `fail` remembers too, and traps then; `refuse` rejects with its argument; `silent` does not answer.
KEEPER = wasm(
    "msg_reply", "msg_reply_data_append", "msg_reject", "msg_arg_data_size", "msg_arg_data_copy",
    "msg_caller_size", "msg_caller_copy", "trap", "debug_print",
    body="""
    (global $size (mut i32) (i32.const 0))
    (func $keep
      (global.set $size (call $msg_arg_data_size))
      (call $msg_arg_data_copy (i32.const 1024) (i32.const 0) (global.get $size)))
    (func (export "canister_update set") (call $keep) (call $msg_reply))
    (func $get (call $msg_reply_data_append (i32.const 1024) (global.get $size)) (call $msg_reply))
    (func (export "canister_query get") (call $get))
    (func (export "canister_update get_update") (call $get))
    (func (export "canister_update fail") (call $keep) (call $trap (i32.const 1024) (global.get $size)))
    (func (export "canister_update refuse") (call $keep) (call $msg_reject (i32.const 1024) (global.get $size)))
    (func (export "canister_update silent"))
    (func (export "canister_update log")
      (call $keep) (call $debug_print (i32.const 1024) (global.get $size)) (call $msg_reply))
    (func (export "canister_query caller")
      (call $msg_caller_copy (i32.const 0) (i32.const 0) (call $msg_caller_size))
      (call $msg_reply_data_append (i32.const 0) (call $msg_caller_size))
      (call $msg_reply))
    """,
)  # fmt: skip

# Takes in messages whose argument is not empty.
CHOOSY = wasm(
    "msg_reply", "msg_arg_data_size", "accept_message",
    body="""
    (func (export "canister_inspect_message")
      (if (call $msg_arg_data_size) (then (call $accept_message))))
    (func (export "canister_update knock") (call $msg_reply))
    """,
)  # fmt: skip

# Passes its argument on to a method of the management canister, with cycles; replies or rejects with what comes back.
# The argument: 1 byte length of the method's name, the name, the argument of the call. 10**12 cycles are attached.
FORWARDER = wasm(
    "msg_reply", "msg_reply_data_append", "msg_reject", "msg_arg_data_size", "msg_arg_data_copy",
    "call_new", "call_data_append", "call_cycles_add128", "call_perform",
    body="""
    (table funcref (elem $replied $rejected))
    (func $replied (param i32)
      (call $msg_arg_data_copy (i32.const 1024) (i32.const 0) (call $msg_arg_data_size))
      (call $msg_reply_data_append (i32.const 1024) (call $msg_arg_data_size))
      (call $msg_reply))
    (func $rejected (param i32) (call $msg_reject (i32.const 0) (i32.const 8)))
    (data (i32.const 0) "rejected")
    (func (export "canister_update forward") (local $name i32)
      (call $msg_arg_data_copy (i32.const 1024) (i32.const 0) (call $msg_arg_data_size))
      (local.set $name (i32.load8_u (i32.const 1024)))
      (call $call_new (i32.const 0) (i32.const 0) (i32.const 1025) (local.get $name)
        (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0))
      (call $call_data_append (i32.add (i32.const 1025) (local.get $name))
        (i32.sub (call $msg_arg_data_size) (i32.add (local.get $name) (i32.const 1))))
      (call $call_cycles_add128 (i64.const 0) (i64.const 1000000000000))
      (drop (call $call_perform)))
    """,
)  # fmt: skip


def forwarded(method: str, arg: bytes) -> bytes:
    """The argument for FORWARDER's `forward`."""
    return bytes([len(method)]) + method.encode() + arg


@functools.cache
def fixed_http(response: bytes, update_response: bytes = b"") -> bytes:
    """Answers http_request, and http_request_update, with these Candid messages."""
    first, second = 1024, 1024 + len(response)
    return wasm(
        "msg_reply", "msg_reply_data_append",
        body=f"""
        (data (i32.const {first}) {literal(response)})
        (data (i32.const {second}) {literal(update_response)})
        (func (export "canister_query http_request")
          (call $msg_reply_data_append (i32.const {first}) (i32.const {len(response)})) (call $msg_reply))
        (func (export "canister_update http_request_update")
          (call $msg_reply_data_append (i32.const {second}) (i32.const {len(update_response)})) (call $msg_reply))
        """,
    )  # fmt: skip
