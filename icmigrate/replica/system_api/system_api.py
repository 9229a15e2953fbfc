"""Interface Specification, "Canister interface (System API)": what each function of `ic0` does.

A `SystemApi` lives as long as one message execution. It has a method for each function, called with unsigned
numbers after the execution mode was checked (ic0_imports.py has the table), and collects the execution's effects;
`execution/` decides what becomes of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from icmigrate.replica.system_api.call import CallFunctions
from icmigrate.replica.system_api.canister import CanisterFunctions
from icmigrate.replica.system_api.cycles import CyclesFunctions
from icmigrate.replica.system_api.memory import MemoryFunctions
from icmigrate.replica.system_api.message import MessageFunctions


@dataclass(slots=True)
class SystemApi(MessageFunctions, CyclesFunctions, CallFunctions, CanisterFunctions, MemoryFunctions):
    """All functions on one execution's state."""
