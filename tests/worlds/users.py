"""The world of conformance: users, and canisters that do what they are told, on a replica behind real HTTP."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from icmigrate.errors import ReplicaError
from icmigrate.protocol.agent import Agent
from icmigrate.protocol.identity import Ed25519Identity, Identity
from icmigrate.protocol.principal import MANAGEMENT_CANISTER, Principal
from icmigrate.replica.server import RunningReplica
from tests.replica.conformance import candid_types
from tests.replica.conformance.program import Program

PROGRAMMABLE = (Path(__file__).parents[1] / "wasm" / "programmable.wasm.gz").read_bytes()
PROGRAMMABLE_PLAIN = gzip.decompress(PROGRAMMABLE)
ABSENT = Principal((1 << 56).to_bytes(8, "big") + b"\1\1")
"""A canister id of the subnet that no canister has."""

TRILLION = 10**12


@dataclass(frozen=True)
class User:
    """Somebody with an identity, and their agent, which verifies every answer."""

    replica: RunningReplica
    agent: Agent

    @property
    def principal(self) -> Principal:
        return self.agent.identity.sender()

    # -- the management canister

    async def manage(self, method: str, *, effective: Principal | None = None, **argument: Any) -> Any:
        """An update call to the management canister; returns its result in plain form."""
        reply = await self.agent.update(
            MANAGEMENT_CANISTER,
            method,
            candid_types.encode(method, argument),
            effective_canister_id=effective or target(method, argument),
        )
        return candid_types.decode(method, reply)

    async def manage_query(self, method: str, **argument: Any) -> Any:
        reply = await self.agent.query(
            MANAGEMENT_CANISTER,
            method,
            candid_types.encode(method, argument),
            effective_canister_id=target(method, argument),
        )
        return candid_types.decode(method, reply)

    async def create(self, *, cycles: int | None = None, **settings: Any) -> Canister:
        """An empty canister of this user."""
        made = await self.manage("provisional_create_canister_with_cycles", amount=cycles, settings=settings or None)
        return Canister(self, made["canister_id"])

    async def install(
        self,
        program: Program | bytes = b"",
        *,
        module: bytes = PROGRAMMABLE,
        cycles: int | None = None,
        **settings: Any,
    ) -> Canister:
        """A new canister with code: the programmable one unless told otherwise."""
        canister = await self.create(cycles=cycles, **settings)
        await canister.install(program, module=module)
        return canister


@dataclass(frozen=True)
class Canister:
    """A canister as one of its users has it. Programs are for the programmable module."""

    user: User
    id: Principal

    def used_by(self, user: User) -> Canister:
        return Canister(user, self.id)

    # -- its methods

    async def update(self, program: Program, method: str = "run") -> bytes:
        return await self.user.agent.update(self.id, method, program.code)

    async def query_as_update(self, program: Program) -> bytes:
        """A query method in replicated mode."""
        return await self.update(program, "run_query")

    async def query(self, program: Program, method: str = "run_query") -> bytes:
        return await self.user.agent.query(self.id, method, program.code)

    async def composite(self, program: Program) -> bytes:
        return await self.query(program, "run_composite_query")

    async def remembered(self) -> bytes:
        """The global byte string on its heap."""
        return await self.query(Program().reply(Program().get()))

    # -- managing it

    async def manage(self, method: str, **argument: Any) -> Any:
        return await self.user.manage(method, canister_id=self.id, **argument)

    async def install(
        self, program: Program | bytes = b"", *, module: bytes = PROGRAMMABLE, mode: Any = "install"
    ) -> None:
        arg = program.code if isinstance(program, Program) else program
        await self.manage("install_code", mode=mode, wasm_module=module, arg=arg)

    async def upgrade(self, program: Program | bytes = b"", *, module: bytes = PROGRAMMABLE, **options: Any) -> None:
        await self.install(program, module=module, mode={"upgrade": options or None})

    async def reinstall(self, program: Program | bytes = b"", *, module: bytes = PROGRAMMABLE) -> None:
        await self.install(program, module=module, mode="reinstall")

    async def start(self) -> None:
        await self.manage("start_canister")

    async def stop(self) -> None:
        await self.manage("stop_canister")

    async def set(self, **settings: Any) -> None:
        await self.manage("update_settings", settings=settings)

    async def status(self) -> dict[str, Any]:
        status: dict[str, Any] = await self.manage("canister_status")
        return status

    async def log_records(self) -> list[dict[str, Any]]:
        answer = await self.user.manage_query("fetch_canister_logs", canister_id=self.id)
        records: list[dict[str, Any]] = answer["canister_log_records"]
        return records

    async def logs(self) -> list[bytes]:
        return [record["content"] for record in await self.log_records()]

    async def settled(self) -> None:
        """Returns when the subnet has nothing more to do."""
        await self.user.replica.subnet.settle()


@dataclass(frozen=True)
class Latch:
    """Calls that stay open until they are released.

    The waiter asks the holder, who stops the waiter, which cannot be before the waiter has its answer.
    Starting the waiter again refuses the stop, so the holder answers, and then the waiter.
    """

    waiter: Canister
    holder: Canister

    @classmethod
    async def build(cls, user: User) -> Latch:
        holder = await user.install()
        return cls(await user.install(controllers=[user.principal, holder.id]), holder)

    def call(self, **options: Any) -> Program:
        """A call, for any canister to make, that is answered with b"released"."""
        released = Program().reply(b"released")
        argument = candid_types.encode("stop_canister", {"canister_id": self.waiter.id})
        stop = Program().call(MANAGEMENT_CANISTER, argument, method="stop_canister", on_reject=released)
        return Program().call(self.waiter.id, Program().call(self.holder.id, stop.code).code, **options)

    async def is_held(self) -> None:
        """Returns when the call has come as far as it can."""
        async with asyncio.timeout(10):
            while (await self.waiter.status())["status"] != "stopping":
                pass

    async def release(self) -> None:
        await self.waiter.start()


def target(method: str, argument: Mapping[str, Any]) -> Principal:
    """The effective canister id of a call to the management canister."""
    named = argument.get("target_canister" if method == "install_chunked_code" else "canister_id")
    return named if isinstance(named, Principal) else MANAGEMENT_CANISTER


@asynccontextmanager
async def user_of(replica: RunningReplica, identity: Identity | None = None) -> AsyncIterator[User]:
    """A user with a fresh identity unless one is given."""
    identity = identity or Ed25519Identity.generate()
    async with Agent(replica.url, identity, root_key=replica.root_key, window=64) as agent:
        yield User(replica, agent)


async def rejected(pending: Awaitable[object]) -> ReplicaError:
    """The reject that must come of it."""
    with pytest.raises(ReplicaError) as caught:
        await pending
    return caught.value


def number(data: bytes) -> int:
    """A number as programs reply with it."""
    return int.from_bytes(data, "little")
