"""Interface Specification, "Overview of imports": every function of `ic0`, as one table.

A row has the function's name, its type and the contexts in which it may be called; the method of `SystemApi`
with the same name is what it does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import wasmtime

from icmigrate.replica.contexts import ALL, ALL_AND_START, Context
from icmigrate.replica.engine import HostFunction
from icmigrate.replica.stable_memory import NATIVE
from icmigrate.replica.system_api import SystemApi


def _time(api: SystemApi) -> int:
    return api.time


@dataclass(frozen=True, slots=True)
class Function:
    """A row of "Overview of imports". In `parameters` and `result`, I is the pointer type, i an i32, l an i64."""

    name: str
    parameters: str
    result: str
    contexts: frozenset[Context]
    only_32_bit: bool = False


def _rows(text: str, only_32_bit: bool = False) -> list[Function]:
    rows = []
    for line in text.strip().splitlines():
        name, signature, contexts = (part.strip() for part in line.split("|"))
        parameters, _, result = signature.partition("->")
        allowed = {"*": ALL, "* s": ALL_AND_START}.get(contexts)
        if allowed is None:
            allowed = frozenset(Context(letter) for letter in contexts.split())
        rows.append(Function(name, parameters.strip(), result.strip(), allowed, only_32_bit))
    return rows


FUNCTIONS: dict[str, Function] = {
    row.name: row
    for row in _rows("""
        msg_arg_data_size                | -> I          | I U RQ NRQ TQ CQ Ry CRy F
        msg_arg_data_copy                | III ->        | I U RQ NRQ TQ CQ Ry CRy F
        msg_caller_size                  | -> I          | *
        msg_caller_copy                  | III ->        | *
        msg_caller_info_data_size        | -> I          | U RQ NRQ CQ Ry Rt CRy CRt C CC F
        msg_caller_info_data_copy        | III ->        | U RQ NRQ CQ Ry Rt CRy CRt C CC F
        msg_caller_info_signer_size      | -> I          | U RQ NRQ CQ Ry Rt CRy CRt C CC F
        msg_caller_info_signer_copy      | III ->        | U RQ NRQ CQ Ry Rt CRy CRt C CC F
        msg_reject_code                  | -> i          | Ry Rt CRy CRt C
        msg_reject_msg_size              | -> I          | Rt CRt
        msg_reject_msg_copy              | III ->        | Rt CRt
        msg_deadline                     | -> l          | U RQ NRQ TQ CQ Ry Rt CRy CRt
        msg_reply_data_append            | II ->         | U RQ NRQ TQ CQ Ry Rt CRy CRt
        msg_reply                        | ->            | U RQ NRQ TQ CQ Ry Rt CRy CRt
        msg_reject                       | II ->         | U RQ NRQ TQ CQ Ry Rt CRy CRt
        msg_cycles_available128          | I ->          | U RQ Rt Ry
        msg_cycles_refunded128           | I ->          | Rt Ry
        msg_cycles_accept128             | llI ->        | U RQ Rt Ry
        cycles_burn128                   | llI ->        | I G U RQ Ry Rt C T
        mint_cycles128                   | llI ->        | U Ry Rt T
        canister_self_size               | -> I          | *
        canister_self_copy               | III ->        | *
        canister_cycle_balance128        | I ->          | *
        canister_liquid_cycle_balance128 | I ->          | *
        canister_status                  | -> i          | *
        canister_version                 | -> l          | *
        subnet_self_size                 | -> I          | *
        subnet_self_copy                 | III ->        | *
        msg_method_name_size             | -> I          | F
        msg_method_name_copy             | III ->        | F
        accept_message                   | ->            | F
        call_new                         | IIIIIIII ->   | U CQ Ry Rt CRy CRt T
        call_on_cleanup                  | II ->         | U CQ Ry Rt CRy CRt T
        call_data_append                 | II ->         | U CQ Ry Rt CRy CRt T
        call_with_best_effort_response   | i ->          | U CQ Ry Rt CRy CRt T
        call_cycles_add128               | ll ->         | U Ry Rt T
        call_perform                     | -> i          | U CQ Ry Rt CRy CRt T
        stable64_size                    | -> l          | * s
        stable64_grow                    | l -> l        | * s
        stable64_write                   | lll ->        | * s
        stable64_read                    | lll ->        | * s
        root_key_size                    | -> I          | I G U RQ Ry Rt C T
        root_key_copy                    | III ->        | I G U RQ Ry Rt C T
        certified_data_set               | II ->         | I G U Ry Rt T
        data_certificate_present         | -> i          | *
        data_certificate_size            | -> I          | NRQ CQ
        data_certificate_copy            | III ->        | NRQ CQ
        time                             | -> l          | *
        global_timer_set                 | l -> l        | I G U Ry Rt C T
        performance_counter              | i -> l        | * s
        is_controller                    | II -> i       | * s
        in_replicated_execution          | -> i          | * s
        cost_call                        | llI ->        | * s
        cost_create_canister             | I ->          | * s
        cost_http_request                | llI ->        | * s
        cost_sign_with_ecdsa             | IIiI -> i     | * s
        cost_sign_with_schnorr           | IIiI -> i     | * s
        cost_vetkd_derive_key            | IIiI -> i     | * s
        env_var_count                    | -> I          | *
        env_var_name_size                | I -> I        | *
        env_var_name_copy                | IIII ->       | *
        env_var_name_exists              | II -> i       | *
        env_var_value_size               | II -> I       | *
        env_var_value_copy               | IIIII ->      | *
        debug_print                      | II ->         | * s
        trap                             | II ->         | * s
    """)
    + _rows(
        """
        msg_cycles_available             | -> l          | U RQ Rt Ry
        msg_cycles_refunded              | -> l          | Rt Ry
        msg_cycles_accept                | l -> l        | U RQ Rt Ry
        canister_cycle_balance           | -> l          | *
        call_cycles_add                  | l ->          | U Ry Rt T
        stable_size                      | -> i          | * s
        stable_grow                      | i -> i        | * s
        stable_write                     | iii ->        | * s
        stable_read                      | iii ->        | * s
        """,
        only_32_bit=True,
    )
}
"""Every function of `ic0`. mint_cycles128 is not in the specification but in the real replica."""

_MEMBERS = {"i": "u32", "l": "u64"}
_TYPES = {"i": wasmtime.ValType.i32, "l": wasmtime.ValType.i64}


def _host_function(function: Function, is_64: bool) -> HostFunction:
    """Binds a row to its method: checks the context, then passes arguments as unsigned numbers."""
    pointer = "l" if is_64 else "i"
    parameters = function.parameters.replace("I", pointer)
    result = function.result.replace("I", pointer)
    members = [_MEMBERS[letter] for letter in parameters]
    implementation: Callable[..., Any] = _time if function.name == "time" else getattr(SystemApi, function.name)
    allowed, name = function.contexts, function.name
    narrow = result == "i"

    def body(api: SystemApi, slots: Any) -> None:
        if api.context not in allowed:
            raise api.forbidden(name)
        value = implementation(api, *[getattr(slots[at], member) for at, member in enumerate(members)])
        if result:
            if narrow:
                slots[0].u32 = value
            else:
                slots[0].u64 = value

    types = [_TYPES[letter]() for letter in parameters]
    return HostFunction(types, [_TYPES[result]()] if result else [], body)


HOST_FUNCTIONS: dict[bool, dict[str, HostFunction]] = {
    is_64: {
        name: _host_function(function, is_64)
        for name, function in FUNCTIONS.items()
        if name not in NATIVE and not (is_64 and function.only_32_bit)
    }
    for is_64 in (False, True)
}
"""By pointer width: the functions that Python answers; the others are native (stable_memory.py)."""
