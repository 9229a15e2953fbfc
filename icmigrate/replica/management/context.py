"""Interface Specification, "The IC management canister": what a management method has at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from icmigrate.protocol.principal import Principal
from icmigrate.replica.management.operations import CanisterOperations
from icmigrate.replica.management.snapshots import Snapshots
from icmigrate.replica.state.calls import CanisterOrigin
from icmigrate.replica.state.history import CanisterChange, ChangeOrigin, UserChange
from icmigrate.replica.storage.changes import Changes
from icmigrate.replica.subnet.native_canister import NativeCall
from icmigrate.replica.subnet.subnet import Subnet

Record = Mapping[str, Any]
"""A decoded Candid record: `opt` is a list of none or one, a variant a dict of one."""


def optional(value: list[Any]) -> Any:
    """The value of a decoded `opt`, or None."""
    return value[0] if value else None


@dataclass(frozen=True, slots=True)
class Context:
    """One call: what may be done to canisters, the transaction it is done in, and the call itself."""

    canisters: CanisterOperations
    snapshots: Snapshots
    changes: Changes
    call: NativeCall

    @property
    def subnet(self) -> Subnet:
        return self.canisters.subnet

    @property
    def caller(self) -> Principal:
        return self.call.caller

    def change_origin(self, record: Record) -> ChangeOrigin:
        """The originator as the canister history names it."""
        if isinstance(self.call.origin, CanisterOrigin):
            return CanisterChange(self.caller, optional(record.get("sender_canister_version", [])))
        return UserChange(self.caller)
