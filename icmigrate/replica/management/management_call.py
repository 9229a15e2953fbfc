"""Interface Specification, "The IC management canister": what a management method has at hand."""

from __future__ import annotations

from dataclasses import dataclass

from icmigrate.protocol.principal import Principal
from icmigrate.replica.management.candid_types import Record, given
from icmigrate.replica.management.operations import CanisterOperations
from icmigrate.replica.management.snapshots import Snapshots
from icmigrate.replica.state.calls import CanisterOrigin
from icmigrate.replica.state.history import CanisterChange, ChangeOrigin, UserChange
from icmigrate.replica.storage.changes import Changes
from icmigrate.replica.subnet.native_canister import NativeCall
from icmigrate.replica.subnet.subnet import Subnet


@dataclass(frozen=True, slots=True)
class ManagementCall:
    """One call: what may be done to canisters, the transaction it is done in, and the call as it was received."""

    canisters: CanisterOperations
    snapshots: Snapshots
    changes: Changes
    received: NativeCall

    @property
    def subnet(self) -> Subnet:
        return self.canisters.subnet

    @property
    def caller(self) -> Principal:
        return self.received.caller

    def change_origin(self, record: Record) -> ChangeOrigin:
        """The originator as the canister history names it."""
        if isinstance(self.received.origin, CanisterOrigin):
            return CanisterChange(self.caller, given(record.get("sender_canister_version", [])))
        return UserChange(self.caller)
