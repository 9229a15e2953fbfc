"""Which system canisters a subnet has, and the first time that a state folder gets them.

Each is a table of methods over records of its own, which are part of the subnet's state: what a call changes is
one transaction with everything else that it does, for example creating a canister.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from icmigrate.protocol.principal import Principal
from icmigrate.replica.management.operations import CanisterOperations
from icmigrate.replica.subnet.subnet import Subnet
from icmigrate.replica.system_canisters.cycles_index import CyclesIndex
from icmigrate.replica.system_canisters.cycles_ledger import CyclesLedger
from icmigrate.replica.system_canisters.cycles_minting import CyclesMinting
from icmigrate.replica.system_canisters.icp_index import IcpIndex
from icmigrate.replica.system_canisters.icp_ledger import IcpLedger
from icmigrate.replica.system_canisters.system_canister import SystemCanister

INSTALLED = "installed"
"""Namespace of the records that tell which system canisters a state folder has, by canister id."""


def system_canisters(subnet: Subnet, data_certificate: Callable[[Principal], bytes]) -> Sequence[SystemCanister]:
    """The system canisters of a subnet, those installed which this state has not seen yet."""
    operations = CanisterOperations(subnet)
    icp_ledger = IcpLedger(operations, data_certificate)
    cycles_ledger = CyclesLedger(operations, data_certificate)
    systems: Sequence[SystemCanister] = (
        icp_ledger,
        IcpIndex(operations, data_certificate, icp_ledger),
        cycles_ledger,
        CyclesIndex(operations, data_certificate, cycles_ledger),
        CyclesMinting(operations, data_certificate, icp_ledger, cycles_ledger),
    )
    changes = subnet.commits.changes()
    for system in systems:
        if changes.native_get(INSTALLED, system.id.bytes) is None:
            system.install(changes)
            changes.native_put(INSTALLED, system.id.bytes, b"1")
    subnet.commits.commit(changes)
    return systems
