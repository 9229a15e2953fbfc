"""Interface Specification, "Cycles": charging a canister for executions, messages and resources.

What things cost is in `state/fees.py`; what the canister's own code sends, accepts or burns is counted in
`system_api/cycles.py` while it executes.
"""

from __future__ import annotations

from icmigrate.replica.state.canister import Canister, CycleUse
from icmigrate.replica.state.fees import SECONDS_PER_DAY, Fees

_CYCLE_DAY = SECONDS_PER_DAY * 1_000_000_000
"""Resources cost so many cycles a day and are counted in nanoseconds of that: this many make one cycle."""


def available(fees: Fees, canister: Canister) -> int:
    """Cycles that may be spent without freezing the canister; negative when it is frozen."""
    return canister.cycles - max(0, fees.freezing_limit(canister) - canister.reserved_cycles)


def spend(canister: Canister, amount: int, refund: int = 0, use: CycleUse = CycleUse.INSTRUCTIONS) -> Canister:
    """Takes a fee from the balance; `refund` was taken before and is given back."""
    amount = min(amount, canister.cycles + refund)
    return canister.with_(cycles=canister.cycles + refund - amount).consuming(use, amount)


def charge_resources(fees: Fees, canister: Canister, until: int) -> Canister:
    """Charges memory and compute allocation up to the time `until`; what it could not pay it owes."""
    elapsed = until - canister.charged_until
    if elapsed <= 0:
        return canister
    due = fees.idle_per_day(canister) * elapsed + canister.burned_remainder
    amount = due // _CYCLE_DAY
    from_reserve = min(amount, canister.reserved_cycles)
    from_balance = min(amount - from_reserve, canister.cycles)
    paid = from_reserve + from_balance
    for_compute = min(paid, fees.compute_per_day(canister) * elapsed // _CYCLE_DAY)
    charged = canister.with_(
        reserved_cycles=canister.reserved_cycles - from_reserve,
        cycles=canister.cycles - from_balance,
        burned_remainder=due - paid * _CYCLE_DAY,
        charged_until=until,
    )
    charged = charged.consuming(CycleUse.MEMORY, paid - for_compute)
    return charged.consuming(CycleUse.COMPUTE_ALLOCATION, for_compute) if for_compute else charged


def owes(canister: Canister) -> bool:
    """Whether the canister could not pay its resources when they were last charged."""
    return canister.burned_remainder >= _CYCLE_DAY
