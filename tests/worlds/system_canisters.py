"""The world of system canisters: those of one replica, called as the subnet calls them, at a time that tests choose."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from icmigrate.protocol import candid, cbor, hash_tree
from icmigrate.protocol.principal import Principal
from icmigrate.replica.management.operations import CanisterOperations
from icmigrate.replica.state.calls import SystemOrigin
from icmigrate.replica.state.history import UserChange
from icmigrate.replica.state.responses import Reject, Reply
from icmigrate.replica.state.settings import Settings
from icmigrate.replica.storage.changes import Changes
from icmigrate.replica.subnet.native_canister import NativeCall
from icmigrate.replica.subnet.subnet import Subnet
from icmigrate.replica.system_canisters.installed import system_canisters
from icmigrate.replica.system_canisters.system_canister import NativeMethod

SUBNET = Principal.self_authenticating(b"subnet")
SECOND = 10**9
HOUR = 3600 * SECOND


def somebody() -> Principal:
    """A user that nobody knows yet."""
    return Principal.self_authenticating(os.urandom(16))


def subaccount(number: int) -> bytes:
    return number.to_bytes(32, "big")


def account(owner: Principal, sub: bytes | None = None) -> dict[str, object]:
    return {"owner": owner, "subaccount": [] if sub is None else [sub]}


class Trapped(Exception):
    """The canister trapped with this message."""


class SystemWorld:
    """A replica and its system canisters. `now` is the subnet's time (nanoseconds); tests may move it."""

    def __init__(self, subnet: Subnet) -> None:
        self.subnet = subnet
        self.canisters = CanisterOperations(subnet)
        self.now = subnet.time_ns()
        systems = system_canisters(subnet, lambda canister_id: b"certificate of " + canister_id.bytes)
        self.systems = {system.id: system for system in systems}

    async def update(
        self, canister_id: Principal, method: str, *arguments: Any, caller: Principal, cycles: int = 0
    ) -> Any:
        """The result of an update call, whose effects stay; fields of arguments that are opt may be left out."""
        system = self.systems[canister_id]
        row = system.methods()[method]
        changes = Changes(self.subnet.state, self.now)
        call = NativeCall(SystemOrigin(), caller, method, _encoded(row, arguments), cycles)
        value = self._value(row, await system.execute(call, changes))
        self.subnet.commits.commit(changes)
        self.left_over = call.cycles
        return value

    async def query(self, canister_id: Principal, method: str, *arguments: Any, caller: Principal | None = None) -> Any:
        row = self.systems[canister_id].methods()[method]
        response = await self.systems[canister_id].query(caller or somebody(), method, _encoded(row, arguments))
        return self._value(row, response)

    def _value(self, row: NativeMethod, response: object) -> Any:
        if isinstance(response, Reject):
            raise Trapped(response.message)
        assert isinstance(response, Reply)
        return candid.decode(response.data, [row.result])[0]

    def certified_data(self, canister_id: Principal) -> bytes | None:
        return self.subnet.state.native_certified_data(canister_id.bytes)

    def canister(self, cycles: int = 0) -> Principal:
        """A new empty canister."""
        changes = self.subnet.commits.changes()
        made = self.canisters.create_canister(changes, Settings(controllers=()), cycles, UserChange(somebody()))
        self.subnet.commits.commit(changes)
        return made

    def cycles_of(self, canister_id: Principal) -> int:
        return self.subnet.state.canisters[canister_id].cycles


@asynccontextmanager
async def open_world(folder: Path | None = None) -> AsyncIterator[SystemWorld]:
    subnet = await Subnet.open(folder, subnet_id=SUBNET, root_key=b"", run=False)
    try:
        yield SystemWorld(subnet)
    finally:
        await subnet.close()


def _encoded(row: NativeMethod, arguments: tuple[Any, ...]) -> bytes:
    return candid.encode(
        list(row.arguments), [_filled(type_, value) for type_, value in zip(row.arguments, arguments, strict=True)]
    )


def _filled(type_: Any, value: Any) -> Any:
    if type(type_).__name__ != "RecordClass":
        return value
    absent: dict[str, object] = {
        name: [] for name, field in type_._fields.items() if type(field).__name__ == "OptClass"
    }
    return {**absent, **value}


def digest_of(encoded_tree: bytes) -> bytes:
    """The root hash of a hash tree in CBOR."""
    return hash_tree.digest(hash_tree.from_cbor_value(cbor.loads(encoded_tree)))


@pytest.fixture
async def world() -> AsyncIterator[SystemWorld]:
    async with open_world() as opened:
        yield opened
