"""Interface Specification, "The IC management canister": creating, setting, starting, stopping, topping up, deleting.

One function a method, called with the decoded argument after the caller was authorized; what it returns is encoded as
the result. Errors are raised as Rejected.
"""

from __future__ import annotations

from icmigrate.protocol.hash_of_map import hash_of_map
from icmigrate.replica.errors.rejected import Rejected
from icmigrate.replica.management import rejects
from icmigrate.replica.management import settings as management_settings
from icmigrate.replica.management.candid_types import Record, given
from icmigrate.replica.management.management_call import ManagementCall
from icmigrate.replica.state.settings import CREATED_WASM_MEMORY_LIMIT
from icmigrate.replica.subnet.native_canister import Deferred


async def create_canister(call: ManagementCall, record: Record) -> Record:
    required = call.subnet.fees.canister_creation
    sent = call.received.cycles
    if sent < required:
        raise Rejected(rejects.insufficient_cycles_for_create_canister(sent, required))
    limits, given_settings = call.subnet.limits, record["settings"]
    settings = management_settings.initial(call.caller, given_settings, limits, CREATED_WASM_MEMORY_LIMIT)
    call.received.accept(sent)
    origin = call.change_origin(record)
    canister_id = call.canisters.create_canister(
        call.changes, settings, sent, origin, fee=required, variables_hash=_variables_hash(record)
    )
    return {"canister_id": canister_id}


async def provisional_create_canister_with_cycles(call: ManagementCall, record: Record) -> Record:
    amount = given(record["amount"])
    canister_id = call.canisters.create_canister(
        call.changes,
        management_settings.initial(call.caller, record["settings"], call.subnet.limits),
        call.subnet.fees.default_provisional_balance if amount is None else amount,
        call.change_origin(record),
        given(record["specified_id"]),
        variables_hash=_variables_hash(record),
    )
    return {"canister_id": canister_id}


def _variables_hash(record: Record) -> bytes | None:
    """What the history tells about the environment variables, if any list of them was given."""
    for settings in record["settings"]:
        for variables in settings["environment_variables"]:
            return hash_of_map({variable["name"]: variable["value"] for variable in variables})
    return None


async def update_settings(call: ManagementCall, record: Record) -> None:
    canister = call.changes.existing(record["canister_id"])
    settings = management_settings.updated(canister.settings, record["settings"], call.subnet.limits)
    if settings.reserved_cycles_limit < canister.reserved_cycles:
        raise Rejected(
            rejects.reserved_cycles_limit_is_too_low(canister.reserved_cycles, settings.reserved_cycles_limit)
        )
    by = call.change_origin(record) if record["settings"]["controllers"] else None
    call.canisters.update_settings(call.changes, canister.id, settings, by)


async def start_canister(call: ManagementCall, record: Record) -> None:
    call.canisters.start_canister(call.changes, record["canister_id"])


async def stop_canister(call: ManagementCall, record: Record) -> Deferred | None:
    return call.canisters.stop_canister(call.changes, record["canister_id"], call.received)


async def delete_canister(call: ManagementCall, record: Record) -> None:
    if record["canister_id"] == call.caller:
        raise Rejected(rejects.delete_canister_self(call.caller))
    call.canisters.delete_canister(call.changes, record["canister_id"])


async def deposit_cycles(call: ManagementCall, record: Record) -> None:
    amount = call.received.accept(call.received.cycles)
    call.canisters.deposit_cycles(call.changes, record["canister_id"], amount)


async def provisional_top_up_canister(call: ManagementCall, record: Record) -> None:
    call.canisters.deposit_cycles(call.changes, record["canister_id"], record["amount"])
