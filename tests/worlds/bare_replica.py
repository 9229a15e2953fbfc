"""The world of execution: a replica without HTTP, and canisters written in WebAssembly text."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import wasmtime

from icmigrate.protocol.principal import Principal
from icmigrate.replica.errors.rejected import Rejected
from icmigrate.replica.management.operations import CanisterOperations
from icmigrate.replica.management.snapshots import Snapshots
from icmigrate.replica.state.calls import Ingress, IngressState
from icmigrate.replica.state.canister import Canister
from icmigrate.replica.state.clock import Clock
from icmigrate.replica.state.history import UserChange
from icmigrate.replica.state.limits import Limits
from icmigrate.replica.state.responses import Reject, Reply, Response
from icmigrate.replica.state.settings import Settings
from icmigrate.replica.storage.changes import Changes
from icmigrate.replica.subnet.native_canister import NativeCanister
from icmigrate.replica.subnet.subnet import Subnet

OWNER = Principal(b"\x01" * 29)
STRANGER = Principal(b"\x02" * 29)
SUBNET = Principal(b"\x03" * 29)
ROOT_KEY = b"k" * 133
TRILLION = 1_000_000_000_000

IMPORTS = {
    "msg_reply": "",
    "msg_reply_data_append": "(param i32 i32)",
    "msg_reject": "(param i32 i32)",
    "msg_arg_data_size": "(result i32)",
    "msg_arg_data_copy": "(param i32 i32 i32)",
    "msg_caller_size": "(result i32)",
    "msg_caller_copy": "(param i32 i32 i32)",
    "msg_reject_code": "(result i32)",
    "msg_reject_msg_size": "(result i32)",
    "msg_reject_msg_copy": "(param i32 i32 i32)",
    "msg_deadline": "(result i64)",
    "msg_cycles_available128": "(param i32)",
    "msg_cycles_refunded128": "(param i32)",
    "msg_cycles_accept128": "(param i64 i64 i32)",
    "cycles_burn128": "(param i64 i64 i32)",
    "canister_self_size": "(result i32)",
    "canister_self_copy": "(param i32 i32 i32)",
    "canister_cycle_balance128": "(param i32)",
    "canister_liquid_cycle_balance128": "(param i32)",
    "canister_status": "(result i32)",
    "canister_version": "(result i64)",
    "msg_method_name_size": "(result i32)",
    "msg_method_name_copy": "(param i32 i32 i32)",
    "accept_message": "",
    "call_new": "(param i32 i32 i32 i32 i32 i32 i32 i32)",
    "call_on_cleanup": "(param i32 i32)",
    "call_data_append": "(param i32 i32)",
    "call_with_best_effort_response": "(param i32)",
    "call_cycles_add128": "(param i64 i64)",
    "call_perform": "(result i32)",
    "stable64_size": "(result i64)",
    "stable64_grow": "(param i64) (result i64)",
    "stable64_write": "(param i64 i64 i64)",
    "stable64_read": "(param i64 i64 i64)",
    "certified_data_set": "(param i32 i32)",
    "data_certificate_present": "(result i32)",
    "data_certificate_size": "(result i32)",
    "data_certificate_copy": "(param i32 i32 i32)",
    "time": "(result i64)",
    "global_timer_set": "(param i64) (result i64)",
    "performance_counter": "(param i32) (result i64)",
    "in_replicated_execution": "(result i32)",
    "debug_print": "(param i32 i32)",
    "trap": "(param i32 i32)",
    "env_var_count": "(result i32)",
    "env_var_value_size": "(param i32 i32) (result i32)",
    "env_var_value_copy": "(param i32 i32 i32 i32 i32)",
    "env_var_name_size": "(param i32) (result i32)",
    "is_controller": "(param i32 i32) (result i32)",
    "root_key_copy": "(param i32 i32 i32)",
    "cost_call": "(param i64 i64 i32)",
    "cost_http_request_v2": "(param i32 i32 i32)",
    "cost_sign_with_ecdsa": "(param i32 i32 i32 i32) (result i32)",
    "stable_size": "(result i32)",
    "stable_grow": "(param i32) (result i32)",
    "stable_read": "(param i32 i32 i32)",
    "stable_write": "(param i32 i32 i32)",
    "call_cycles_add": "(param i64)",
}


def wasm(body: str, memory: str = '(memory (export "memory") 2)') -> bytes:
    """A module of `body` that may call the ic0 functions it mentions as $name."""
    used = [name for name in IMPORTS if f"${name})" in body or f"${name} " in body or f"${name}\n" in body]
    imports = " ".join(f'(import "ic0" "{name}" (func ${name} {IMPORTS[name]}))' for name in used)
    return bytes(wasmtime.wat2wasm(f"(module {imports} {memory} {body})"))


REPLY_ARG = """
  (func $reply_arg (call $msg_arg_data_copy (i32.const 4096) (i32.const 0) (call $msg_arg_data_size))
    (call $msg_reply_data_append (i32.const 4096) (call $msg_arg_data_size)) (call $msg_reply))"""


@dataclass
class BareWorld:
    subnet: Subnet
    clock: Clock
    requests: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def canisters(self) -> CanisterOperations:
        return CanisterOperations(self.subnet)

    @property
    def snapshots(self) -> Snapshots:
        return Snapshots(self.canisters)

    # ---------------------------------------------------------------------------------- canisters

    async def change(self, canister_id: Principal, act: Callable[[Changes], Awaitable[object] | object]) -> None:
        """One transaction on a canister, as the management canister makes them."""
        async with self.subnet.scheduler.lock(canister_id):
            changes = self.subnet.commits.changes()
            try:
                result = act(changes)
                if isinstance(result, Awaitable):
                    await result
            except Rejected as refused:
                if refused.charged is not None:
                    changes = self.subnet.commits.changes()
                    changes.put(refused.charged)
                    self.subnet.commits.commit(changes)
                raise
            self.subnet.commits.commit(changes)

    async def create(self, cycles: int = 100 * TRILLION, **settings: object) -> Principal:
        changes = self.subnet.commits.changes()
        wanted = Settings((OWNER,), **settings)  # type: ignore[arg-type]
        canister_id = self.canisters.create_canister(changes, wanted, cycles, UserChange(OWNER))
        self.subnet.commits.commit(changes)
        return canister_id

    async def install(
        self, canister_id: Principal, module: bytes, arg: bytes = b"", mode: str = "install", **how: object
    ) -> None:
        await self.change(
            canister_id,
            lambda changes: self.canisters.install_code(
                changes,
                canister_id,
                mode,
                module,
                arg,
                OWNER,
                UserChange(OWNER),
                **how,  # type: ignore[arg-type]
            ),
        )

    async def canister(self, module: bytes, arg: bytes = b"", cycles: int = 100 * TRILLION) -> Principal:
        canister_id = await self.create(cycles)
        await self.install(canister_id, module, arg)
        return canister_id

    async def until(self, condition: Callable[[], bool]) -> None:
        """Lets the replica work until `condition` is true."""
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0)
                await self.subnet.settle()

    def state(self, canister_id: Principal) -> Canister:
        return self.subnet.state.canisters[canister_id]

    # ---------------------------------------------------------------------------------- calls

    def ingress(self, canister_id: Principal, method: str, arg: bytes = b"", sender: Principal = OWNER) -> Ingress:
        request_id = next(self.requests).to_bytes(8, "big") + self.subnet.time_ns().to_bytes(24, "big")
        expiry = self.subnet.time_ns() + 240_000_000_000
        return Ingress(request_id, sender, canister_id, method, arg, expiry, canister_id)

    async def send(self, canister_id: Principal, method: str, arg: bytes = b"") -> bytes:
        """Submits an update call; its request id."""
        message = self.ingress(canister_id, method, arg)
        await self.subnet.submit(message)
        return message.request_id

    async def answer(self, request_id: bytes) -> Response:
        status = await self.subnet.wait(request_id, 30)
        assert status is not None and status.response is not None, status
        assert status.state in (IngressState.REPLIED, IngressState.REJECTED)
        return status.response

    async def update(self, canister_id: Principal, method: str, arg: bytes = b"") -> Response:
        return await self.answer(await self.send(canister_id, method, arg))

    async def call(self, canister_id: Principal, method: str, arg: bytes = b"") -> bytes:
        """The reply of an update call."""
        return replied(await self.update(canister_id, method, arg))

    async def query(self, canister_id: Principal, method: str, arg: bytes = b"", caller: Principal = OWNER) -> Response:
        return await self.subnet.query(caller, canister_id, method, arg)

    async def ask(self, canister_id: Principal, method: str, arg: bytes = b"") -> bytes:
        """The reply of a query call."""
        return replied(await self.query(canister_id, method, arg))


def replied(response: Response) -> bytes:
    assert isinstance(response, Reply), response
    return response.data


def rejected(response: Response, error_code: str) -> Reject:
    assert isinstance(response, Reject), response
    assert response.error_code == error_code, response
    return response


async def open_world(
    folder: Path | None = None, limits: Limits | None = None, natives: tuple[NativeCanister, ...] = ()
) -> BareWorld:
    clock = Clock()
    subnet = await Subnet.open(
        folder, subnet_id=SUBNET, root_key=ROOT_KEY, clock=clock, limits=limits, natives=natives,
        data_certificate=lambda canister_id: b"certificate of " + canister_id.bytes,
    )  # fmt: skip
    return BareWorld(subnet, clock)
