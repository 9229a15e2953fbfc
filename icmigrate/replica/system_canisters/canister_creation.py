"""cmc.did, `create_canister`: how the cycles minting canister creates canisters, and with what arguments."""

from __future__ import annotations

from typing import Any

from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import Principal
from icmigrate.replica.errors.rejected import Rejected
from icmigrate.replica.management import rejects
from icmigrate.replica.management import settings as management_settings
from icmigrate.replica.management.candid_types import CANISTER_SETTINGS, Record, given
from icmigrate.replica.management.operations import CanisterOperations
from icmigrate.replica.state.history import CanisterChange
from icmigrate.replica.state.settings import CREATED_WASM_MEMORY_LIMIT
from icmigrate.replica.storage.changes import Changes
from icmigrate.replica.subnet.subnet import Subnet

CYCLES_MINTING_CANISTER = Principal.from_str("rkp4c-7iaaa-aaaaa-aaaca-cai")

SUBNET_TYPE = "application"
"""The type of the one subnet that there is."""
MINIMUM_CYCLES = 100_000_000_000
"""With fewer cycles nothing is tried."""
BAD_REQUEST_PENALTY = 100_000_000
"""Cycles that an attempt costs which fails."""

SUBNET_SELECTION = T.Variant(
    {
        "Subnet": T.Record({"subnet": T.Principal}),
        "Filter": T.Record({"subnet_type": T.Opt(T.Text)}),
    }
)
CREATION_FIELDS = {"settings": T.Opt(CANISTER_SETTINGS), "subnet_selection": T.Opt(SUBNET_SELECTION)}


class CreationFailed(Exception):
    """No canister was created, for a reason in the words of the cycles minting canister."""


def create_canister(
    operations: CanisterOperations,
    changes: Changes,
    creator: Principal,
    cycles: int,
    settings: list[Any],
    selection: Record | None,
) -> Principal:
    """A canister that `creator` controls unless `settings` (opt canister_settings) name others. Raises CreationFailed.

    `cycles` pay the creation fee; the rest is the canister's balance.
    """
    _check_selection(operations.subnet, creator, selection)
    required = operations.subnet.fees.canister_creation
    try:
        if cycles < required:
            raise Rejected(rejects.insufficient_cycles_for_create_canister(cycles, required))
        limits = operations.subnet.limits
        chosen = management_settings.initial(creator, settings, limits, CREATED_WASM_MEMORY_LIMIT)
        origin = CanisterChange(CYCLES_MINTING_CANISTER)
        return operations.create_canister(changes, chosen, cycles, origin, fee=required)
    except Rejected as rejected:
        reject, subnet = rejected.reject, operations.subnet.subnet_id.to_str()
        text = f"Creating canister in subnet {subnet} failed with code {reject.code.value}: {reject.message}"
        raise CreationFailed(text) from None


def _check_selection(subnet: Subnet, creator: Principal, selection: Record | None) -> None:
    match selection:
        case {"Subnet": {"subnet": wanted}} if wanted != subnet.subnet_id:
            raise CreationFailed(
                f"Subnet {wanted.to_str()} does not exist or {creator.to_str()} is not authorized to deploy to "
                "that subnet."
            )
        case {"Filter": {"subnet_type": subnet_type}} if given(subnet_type) not in (None, SUBNET_TYPE):
            raise CreationFailed(f"Provided subnet type {given(subnet_type)} does not exist")
