"""Candid specification, "Services": a canister that the replica answers itself, as a table of methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from icmigrate.protocol import candid
from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import Principal
from icmigrate.replica.errors import canister_errors
from icmigrate.replica.management.candid_types import Type
from icmigrate.replica.management.operations import CanisterOperations
from icmigrate.replica.state.calls import SystemOrigin
from icmigrate.replica.state.responses import Reply, Response
from icmigrate.replica.storage.changes import Changes
from icmigrate.replica.subnet.native_canister import NativeCall


def result(ok: Type, error: Type) -> Type:
    """What most methods answer with: `variant { Ok; Err }`."""
    return T.Variant({"Ok": ok, "Err": error})


class Failure(Exception):
    """The `Err` that a method answers with: an alternative's name, and its fields or content.

    It is an answer like any other: what was written before stays, so it is raised before anything is.
    """

    def __init__(self, name: str, content: object = None, **fields: object) -> None:
        super().__init__(name)
        self.name = name
        self.content = fields or content


class Trap(Exception):
    """The canister calls `ic0.trap` with this message; nothing of the call remains."""


@dataclass(frozen=True, slots=True)
class MethodCall:
    """One execution of a method: the call, its transaction, and in query calls who makes the data certificate."""

    received: NativeCall
    changes: Changes
    data_certificate: Callable[[], bytes] | None = None

    @property
    def is_replicated(self) -> bool:
        return self.data_certificate is None

    @property
    def certificate(self) -> bytes | None:
        """The certificate of the certified data; none in replicated execution."""
        return None if self.data_certificate is None else self.data_certificate()

    @property
    def caller(self) -> Principal:
        return self.received.caller

    @property
    def now(self) -> int:
        """Nanoseconds since 1970."""
        return self.changes.time_ns


@dataclass(frozen=True, slots=True)
class NativeMethod:
    """One method: its Candid types, and what computes the result from the call and decoded arguments."""

    arguments: tuple[Type, ...]
    result: Type
    run: Callable[..., object]
    is_query: bool = False
    target: str | None = None
    """The field of the argument that names the canister to be worked on."""


def query(result: Type, run: Callable[..., object], *arguments: Type) -> NativeMethod:
    """A query method."""
    return NativeMethod(arguments, result, run, is_query=True)


class SystemCanister(ABC):
    """A canister that is a table of methods. Its state are records of its namespace (see `Changes.native_get`)."""

    id: Principal

    def __init__(self, operations: CanisterOperations, data_certificate: Callable[[Principal], bytes]) -> None:
        self._operations = operations
        self._data_certificate = data_certificate
        self._methods = self.methods()

    @abstractmethod
    def methods(self) -> dict[str, NativeMethod]:
        """The table."""

    def install(self, changes: Changes) -> None:
        """What canister_init does: runs once in the life of a state folder. Most have nothing to do."""
        return

    def target(self, method_name: str, arg: bytes) -> Principal | None:
        method = self._methods.get(method_name)
        if method is None or method.target is None:
            return None
        try:
            (record,) = candid.decode(arg, list(method.arguments))
        except candid.CandidError:
            return None
        target = record[method.target] if isinstance(record, dict) else None
        return target if isinstance(target, Principal) else None

    async def execute(self, call: NativeCall, changes: Changes) -> Response:
        return self._run(self._methods.get(call.method_name), MethodCall(call, changes), "update")

    async def query(self, caller: Principal, method_name: str, arg: bytes) -> Response:
        method = self._methods.get(method_name)
        received = NativeCall(SystemOrigin(), caller, method_name, arg)
        changes = Changes(self._operations.subnet.state, self._operations.subnet.time_ns())
        call = MethodCall(received, changes, partial(self._data_certificate, self.id))
        return self._run(method if method and method.is_query else None, call, "query")

    def _run(self, method: NativeMethod | None, call: MethodCall, kind: str) -> Response:
        if method is None:
            return canister_errors.MethodNotFound(kind, call.received.method_name).reject(self.id)
        try:
            arguments = candid.decode(call.received.arg, list(method.arguments))
        except candid.CandidError as error:
            return canister_errors.CalledTrap(f"failed to decode call arguments: {error}").reject(self.id)
        try:
            value = method.run(call, *arguments)
        except Failure as failure:
            value = {"Err": {failure.name: failure.content}}
        except Trap as trap:
            return canister_errors.CalledTrap(str(trap)).reject(self.id)
        return Reply(candid.encode([method.result], [value]))
