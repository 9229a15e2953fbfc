"""The world of the agent: a replica with one small canister, and a network between both that can be disturbed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import wasmtime

from icmigrate.protocol.agent import Agent
from icmigrate.protocol.identity import Ed25519Identity
from icmigrate.protocol.leb128 import encode_unsigned
from icmigrate.protocol.management_canister import ManagementClient
from icmigrate.protocol.principal import Principal
from icmigrate.protocol.transport import Answer, HttpTransport
from icmigrate.replica.server import RunningReplica, running_replica

METADATA = b"service : {}"

# Answers with its argument (echo, read), counts its calls (count), rejects (refuse) and traps (fail).
MODULE = """
(module
  (import "ic0" "msg_arg_data_size" (func $size (result i32)))
  (import "ic0" "msg_arg_data_copy" (func $copy (param i32 i32 i32)))
  (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
  (import "ic0" "msg_reply" (func $reply))
  (import "ic0" "msg_reject" (func $reject (param i32 i32)))
  (import "ic0" "trap" (func $trap (param i32 i32)))
  (memory 64)
  (data (i32.const 0) "not today")
  (global $count (mut i32) (i32.const 0))
  (func $echo
    (call $copy (i32.const 1024) (i32.const 0) (call $size))
    (call $append (i32.const 1024) (call $size))
    (call $reply))
  (func $refuse (call $reject (i32.const 0) (i32.const 9)))
  (func $fail (call $trap (i32.const 0) (i32.const 9)))
  (func $count
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (i32.store8 (i32.const 16) (global.get $count))
    (call $append (i32.const 16) (i32.const 1))
    (call $reply))
  (export "canister_update echo" (func $echo))
  (export "canister_update count" (func $count))
  (export "canister_update refuse" (func $refuse))
  (export "canister_update fail" (func $fail))
  (export "canister_query read" (func $echo))
  (export "canister_query deny" (func $refuse)))
"""


def module() -> bytes:
    name = b"icp:public candid:service"
    section = encode_unsigned(len(name)) + name + METADATA
    return bytes(wasmtime.wat2wasm(MODULE)) + b"\0" + encode_unsigned(len(section)) + section


@dataclass
class AgentWorld:
    """A running replica, an agent that controls the one canister in it, and that canister."""

    replica: RunningReplica
    agent: Agent
    canister: Principal


@asynccontextmanager
async def new_world() -> AsyncIterator[AgentWorld]:
    async with (
        running_replica() as replica,
        Agent(replica.url, Ed25519Identity.generate(), fetch_root_key=True) as agent,
    ):
        management = ManagementClient(agent)
        canister_id = await management.create_with_cycles(10**14)
        await management.install(canister_id, module(), b"DIDL\0\0")
        yield AgentWorld(replica, agent, Principal.from_str(canister_id))


Carry = Callable[[], Awaitable[Answer]]
Act = Callable[[Carry], Awaitable[Answer]]


@dataclass
class Network:
    """Carries requests to the replica, except where a disturbance is due.

    `disturb(part, act)` has `act` deal with the next request whose path contains `part`; it may carry it or not.
    """

    url: str
    paths: list[str] = field(default_factory=list)
    most_at_a_time: int = 0

    def __post_init__(self) -> None:
        self._inner = HttpTransport(self.url)
        self._disturbances: list[tuple[str, Act]] = []
        self._at_a_time = 0

    def disturb(self, part: str, *acts: Act) -> None:
        self._disturbances += [(part, act) for act in acts]

    async def get(self, path: str) -> Answer:
        return await self._carry(path, lambda: self._inner.get(path))

    async def post(self, path: str, body: bytes, *, may_repeat: bool = True) -> Answer:
        return await self._carry(path, lambda: self._inner.post(path, body))

    async def _carry(self, path: str, carry: Carry) -> Answer:
        self.paths.append(path)
        self._at_a_time += 1
        self.most_at_a_time = max(self.most_at_a_time, self._at_a_time)
        try:
            for disturbance in self._disturbances:
                part, act = disturbance
                if part in path:
                    self._disturbances.remove(disturbance)
                    return await act(carry)
            return await carry()
        finally:
            self._at_a_time -= 1

    async def close(self) -> None:
        await self._inner.close()
