"""Interface Specification, "The IC management canister": canisters that the replica answers itself.

The management canister is the one that every replica has; the same door serves natively answered system
canisters. A native canister is given to `Replica.open` and sees the subnet only through `Changes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from icmigrate.protocol.principal import Principal
from icmigrate.replica.state.calls import Origin
from icmigrate.replica.state.responses import Response

if TYPE_CHECKING:
    from icmigrate.replica.storage.changes import Changes


@dataclass(frozen=True, slots=True)
class Deferred:
    """The answer is owed and comes later from the replica itself (stop_canister)."""


@dataclass(slots=True)
class NativeCall:
    """One replicated call to a native canister.

    `cycles` is what is attached and not yet accepted; what is left when the call ends is refunded.
    """

    origin: Origin
    caller: Principal
    method_name: str
    arg: bytes
    cycles: int = 0

    def accept(self, amount: int) -> int:
        """Takes up to `amount` of the attached cycles; returns what was taken."""
        taken = min(amount, self.cycles)
        self.cycles -= taken
        return taken


class NativeCanister(Protocol):
    """A canister implemented by the replica."""

    @property
    def id(self) -> Principal: ...

    def target(self, method_name: str, arg: bytes) -> Principal | None:
        """The canister that this call works on: nothing else runs on that one meanwhile. Never raises."""

    async def execute(self, call: NativeCall, changes: Changes) -> Response | Deferred:
        """Executes in one transaction: it is committed with a Reply or Deferred, and undone (accepted
        cycles returned) with a Reject or when `Rejected` is raised. Any other exception is a mistake of the replica."""

    async def query(self, caller: Principal, method_name: str, arg: bytes) -> Response:
        """Answers a query call from outside without changing anything."""
