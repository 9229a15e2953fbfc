"""Interface Specification, "Overview of imports": every function of `ic0`, as one table.

A row has the function's name, its type, the instructions that a call counts as and the execution modes in which it may
be called; the method of `SystemApi` with the same name is what it does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import wasmtime

from icmigrate.replica.engine.wasmtime_c_api import HostFunction
from icmigrate.replica.system_api.execution_modes import ALL, ALL_AND_START, ExecutionMode
from icmigrate.replica.system_api.stable_memory import NATIVE
from icmigrate.replica.system_api.system_api import SystemApi


def _time(api: SystemApi) -> int:
    return api.time


POINTERS = "INBL"


@dataclass(frozen=True, slots=True)
class Function:
    """A row of "Overview of imports".

    In `parameters` and `result`, i is an i32, l an i64, I the pointer type. N, B and L are lengths of that type:
    of what is copied, of what leaves the canister, and of what goes to its log.
    """

    name: str
    parameters: str
    result: str
    instructions: int
    """What a call counts as, besides what its lengths add."""
    modes: frozenset[ExecutionMode]
    only_32_bit: bool = False

    def types(self, pointer: str) -> tuple[str, str]:
        """Parameters and result for a pointer type, as letters i and l only."""
        letters = str.maketrans(dict.fromkeys(POINTERS, pointer))
        return self.parameters.translate(letters), self.result.translate(letters)


def _rows(text: str, only_32_bit: bool = False) -> list[Function]:
    rows = []
    for line in text.strip().splitlines():
        name, signature, instructions, modes = (part.strip() for part in line.split("|"))
        parameters, _, result = signature.partition("->")
        allowed = {"*": ALL, "* s": ALL_AND_START}.get(modes)
        if allowed is None:
            allowed = frozenset(ExecutionMode(letter) for letter in modes.split())
        rows.append(Function(name, parameters.strip(), result.strip(), int(instructions), allowed, only_32_bit))
    return rows


FUNCTIONS: dict[str, Function] = {
    row.name: row
    for row in _rows("""
        msg_arg_data_size                | -> I         |   500 | I U RQ NRQ TQ CQ Ry CRy F
        msg_arg_data_copy                | IIN ->       |   500 | I U RQ NRQ TQ CQ Ry CRy F
        msg_caller_size                  | -> I         |   500 | *
        msg_caller_copy                  | IIN ->       |   500 | *
        msg_caller_info_data_size        | -> I         |   500 | U RQ NRQ CQ Ry Rt CRy CRt C CC F
        msg_caller_info_data_copy        | IIN ->       |   500 | U RQ NRQ CQ Ry Rt CRy CRt C CC F
        msg_caller_info_signer_size      | -> I         |   500 | U RQ NRQ CQ Ry Rt CRy CRt C CC F
        msg_caller_info_signer_copy      | IIN ->       |   500 | U RQ NRQ CQ Ry Rt CRy CRt C CC F
        msg_reject_code                  | -> i         |   500 | Ry Rt CRy CRt C
        msg_reject_msg_size              | -> I         |   500 | Rt CRt
        msg_reject_msg_copy              | IIN ->       |   500 | Rt CRt
        msg_deadline                     | -> l         |   500 | U RQ NRQ TQ CQ Ry Rt CRy CRt
        msg_reply_data_append            | IB ->        |   500 | U RQ NRQ TQ CQ Ry Rt CRy CRt
        msg_reply                        | ->           |   500 | U RQ NRQ TQ CQ Ry Rt CRy CRt
        msg_reject                       | IB ->        |   500 | U RQ NRQ TQ CQ Ry Rt CRy CRt
        msg_cycles_available128          | I ->         |   500 | U RQ Rt Ry
        msg_cycles_refunded128           | I ->         |   500 | Rt Ry
        msg_cycles_accept128             | llI ->       |   500 | U RQ Rt Ry
        cycles_burn128                   | llI ->       |   500 | I G U RQ Ry Rt C T
        mint_cycles128                   | llI ->       |     0 | U Ry Rt T
        canister_self_size               | -> I         |   500 | *
        canister_self_copy               | IIN ->       |   500 | *
        canister_cycle_balance128        | I ->         |   500 | *
        canister_liquid_cycle_balance128 | I ->         |   500 | *
        canister_status                  | -> i         |   500 | *
        canister_version                 | -> l         |   500 | *
        subnet_self_size                 | -> I         |   500 | *
        subnet_self_copy                 | IIN ->       |   500 | *
        subnet_self_node_count           | -> i         |   500 | *
        msg_method_name_size             | -> I         |   500 | F
        msg_method_name_copy             | IIN ->       |   500 | F
        accept_message                   | ->           |   500 | F
        call_new                         | ININIIII ->  |  1500 | U CQ Ry Rt CRy CRt T
        call_on_cleanup                  | II ->        |   500 | U CQ Ry Rt CRy CRt T
        call_data_append                 | IB ->        |   500 | U CQ Ry Rt CRy CRt T
        call_with_best_effort_response   | i ->         |   500 | U CQ Ry Rt CRy CRt T
        call_cycles_add128               | ll ->        |   500 | U Ry Rt T
        call_perform                     | -> i         |  5000 | U CQ Ry Rt CRy CRt T
        stable64_size                    | -> l         |     0 | * s
        stable64_grow                    | l -> l       |   100 | * s
        stable64_write                   | lll ->       |    20 | * s
        stable64_read                    | lll ->       |    20 | * s
        root_key_size                    | -> I         |   500 | I G U RQ Ry Rt C T
        root_key_copy                    | IIN ->       |   500 | I G U RQ Ry Rt C T
        certified_data_set               | IN ->        |   500 | I G U Ry Rt T
        data_certificate_present         | -> i         |   500 | *
        data_certificate_size            | -> I         |   500 | NRQ CQ
        data_certificate_copy            | IIN ->       |   500 | NRQ CQ
        time                             | -> l         |   500 | *
        global_timer_set                 | l -> l       |   500 | I G U Ry Rt C T
        performance_counter              | i -> l       |   200 | * s
        is_controller                    | IN -> i      |  1000 | * s
        in_replicated_execution          | -> i         |   500 | * s
        cost_call                        | llI ->       |   500 | * s
        cost_create_canister             | I ->         |   500 | * s
        cost_http_request                | llI ->       |   500 | * s
        cost_http_request_v2             | III ->       | 10000 | * s
        cost_sign_with_ecdsa             | INiI -> i    |   500 | * s
        cost_sign_with_schnorr           | INiI -> i    |   500 | * s
        cost_vetkd_derive_key            | INiI -> i    |   500 | * s
        env_var_count                    | -> I         |   500 | *
        env_var_name_size                | I -> I       |   500 | *
        env_var_name_copy                | IIIN ->      |   500 | *
        env_var_name_exists              | II -> i      |   500 | *
        env_var_value_size               | II -> I      |   500 | *
        env_var_value_copy               | IIIIN ->     |   500 | *
        debug_print                      | IL ->        |   100 | * s
        trap                             | IL ->        |   500 | * s
    """)
    + _rows(
        """
        msg_cycles_available             | -> l         |   500 | U RQ Rt Ry
        msg_cycles_refunded              | -> l         |   500 | Rt Ry
        msg_cycles_accept                | l -> l       |   500 | U RQ Rt Ry
        canister_cycle_balance           | -> l         |   500 | *
        call_cycles_add                  | l ->         |   500 | U Ry Rt T
        stable_size                      | -> i         |     0 | * s
        stable_grow                      | i -> i       |   100 | * s
        stable_write                     | iii ->       |    20 | * s
        stable_read                      | iii ->       |    20 | * s
        """,
        only_32_bit=True,
    )
}
"""Every function of `ic0`. mint_cycles128, cost_http_request_v2 and subnet_self_node_count are not in the specification
but on the IC."""

_TYPES = {"i": wasmtime.ValType.i32, "l": wasmtime.ValType.i64}
_MEMBERS = {"i": "u32", "l": "u64"}
_BYTES = {"N": 1, "B": 50}
"""Instructions that each byte counts as."""


def _price(function: Function) -> Callable[[SystemApi, list[int]], int]:
    """What a call with these arguments counts as."""
    base = function.instructions
    lengths = [(at, _BYTES[letter]) for at, letter in enumerate(function.parameters) if letter in _BYTES]
    logged = function.parameters.find("L")
    if logged >= 0:
        own = int(function.name == "trap")
        return lambda api, arguments: base + own * arguments[logged] + api.logging_price(arguments[logged])
    return lambda _api, arguments: base + sum(arguments[at] * each for at, each in lengths)


def _host_function(function: Function, is_64: bool) -> HostFunction:
    """Binds a row to its method: counts the call, checks the mode, passes arguments as unsigned numbers."""
    parameters, result = function.types("l" if is_64 else "i")
    members = [_MEMBERS[letter] for letter in parameters]
    implementation: Callable[..., Any] = _time if function.name == "time" else getattr(SystemApi, function.name)
    allowed, name = function.modes, function.name
    narrow = result == "i"
    price = _price(function)

    def body(api: SystemApi, slots: Any) -> None:
        arguments = [getattr(slots[at], member) for at, member in enumerate(members)]
        api.counter.take(price(api, arguments))
        if api.mode not in allowed:
            raise api.forbidden(name)
        value = implementation(api, *arguments)
        if result:
            if narrow:
                slots[0].u32 = value
            else:
                slots[0].u64 = value

    types = [_TYPES[letter]() for letter in parameters]
    return HostFunction(types, [_TYPES[result]()] if result else [], body)


def _grow_check(is_64: bool) -> HostFunction:
    """What `memory.grow` calls with its result and its argument; the result stays, or the message ends."""
    kind = wasmtime.ValType.i64() if is_64 else wasmtime.ValType.i32()
    member = "u64" if is_64 else "u32"
    failed = (1 << (64 if is_64 else 32)) - 1

    def body(api: SystemApi, slots: Any) -> None:
        if getattr(slots[0], member) != failed:
            api.wasm_memory_grown(getattr(slots[1], member))

    return HostFunction([kind, kind], [kind], body)


GROW_CHECK = {is_64: _grow_check(is_64) for is_64 in (False, True)}
HOST_FUNCTIONS: dict[bool, dict[str, HostFunction]] = {
    is_64: {
        name: _host_function(function, is_64)
        for name, function in FUNCTIONS.items()
        if name not in NATIVE and not (is_64 and function.only_32_bit)
    }
    for is_64 in (False, True)
}
"""By pointer width: the functions that Python answers; the others are native (stable_memory.py)."""
