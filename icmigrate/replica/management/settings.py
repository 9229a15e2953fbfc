"""Interface Specification, "IC method create_canister": canister settings, from Candid and back."""

from __future__ import annotations

from dataclasses import replace

from icmigrate.protocol.principal import Principal
from icmigrate.replica.errors.rejected import Rejected
from icmigrate.replica.management.candid_types import Record
from icmigrate.replica.management.rejects import contract_violation, invalid_management_payload, log_memory_limit
from icmigrate.replica.state.limits import Limits
from icmigrate.replica.state.settings import LogVisibility, Settings, Visibility

MAX_ENVIRONMENT_VARIABLE_LENGTH = 128
LOG_MEMORY_LIMITS = range(4 << 10, (2 << 20) + 1)
RANGES = {
    "compute_allocation": ("ComputeAllocation expected to be in the range [0..100]", 100),
    "memory_allocation": ("MemoryAllocation expected to be in the range [0..2^64-1]", (1 << 64) - 1),
    "freezing_threshold": ("Freezing threshold expected to be in the range of [0..2^64-1]", (1 << 64) - 1),
    "reserved_cycles_limit": ("Cycles expected to be in the range of [0..2^128-1]", (1 << 128) - 1),
    "minimum_incoming_canister_call_cycles": ("Cycles expected to be in the range of [0..2^128-1]", (1 << 128) - 1),
    "log_memory_limit": ("Log memory limit expected to be in the range of [0..2^64-1]", (1 << 64) - 1),
    "wasm_memory_limit": ("Wasm memory limit expected to be in the range of [0..2^48]", 1 << 48),
    "wasm_memory_threshold": ("Wasm memory threshold expected to be in the range of [0..2^48]", 1 << 48),
}
"""The settings that are numbers: what is said of a value beyond the highest."""


def updated(settings: Settings, given: Record, limits: Limits) -> Settings:
    """`settings` with what a `canister_settings` record gives replaced; what it leaves out stays.

    Raises Rejected when a value is out of its range.
    """
    changes: dict[str, object] = {}
    for name, (expected, highest) in RANGES.items():
        for value in given[name]:
            if value > highest:
                raise Rejected(contract_violation(f"{expected}, got {value}"))
            changes[name] = value
    for bytes_ in given["log_memory_limit"]:
        if bytes_ not in LOG_MEMORY_LIMITS:
            too_low = bytes_ < LOG_MEMORY_LIMITS.start
            limit = LOG_MEMORY_LIMITS[0 if too_low else -1]
            raise Rejected(log_memory_limit(bytes_, limit, too="low" if too_low else "high"))
    for controllers in given["controllers"]:
        _check_length(controllers, limits.controllers)
        changes["controllers"] = tuple(sorted(set(controllers)))
    for name in ("log_visibility", "snapshot_visibility", "status_visibility"):
        for value in given[name]:
            changes[name] = _visibility(value, limits)
    for variables in given["environment_variables"]:
        changes["environment_variables"] = _environment(variables, limits)
    return replace(settings, **changes)  # type: ignore[arg-type]


def initial(creator: Principal, given: list[Record], limits: Limits, wasm_memory_limit: int = 0) -> Settings:
    """Those of a new canister: `creator` controls it unless the records of `given` say otherwise. Raises Rejected."""
    settings = Settings(controllers=(creator,), wasm_memory_limit=wasm_memory_limit)
    for record in given:
        settings = updated(settings, record, limits)
    return settings


def _visibility(value: Record, limits: Limits) -> Visibility:
    ((kind, viewers),) = value.items()
    if kind != LogVisibility.ALLOWED_VIEWERS:
        return Visibility(LogVisibility(kind))
    _check_length(viewers, limits.controllers)
    return Visibility(LogVisibility.ALLOWED_VIEWERS, tuple(viewers))


def _check_length(principals: list[Principal], highest: int) -> None:
    if len(principals) > highest:
        raise Rejected(
            invalid_management_payload(
                f"Error decoding candid: Deserialize error: The number of elements exceeds maximum allowed {highest}"
            )
        )


def _environment(variables: list[Record], limits: Limits) -> tuple[tuple[str, str], ...]:
    if len(variables) > limits.environment_variables:
        raise Rejected(
            invalid_management_payload(
                f"Too many environment variables: {len(variables)} (max: {limits.environment_variables})"
            )
        )
    environment = {variable["name"]: variable["value"] for variable in variables}
    if len(environment) < len(variables):
        raise Rejected(invalid_management_payload("Duplicate environment variables are not allowed"))
    for name, value in environment.items():
        for what, text in (("name", name), ("value", value)):
            if len(text.encode()) > MAX_ENVIRONMENT_VARIABLE_LENGTH:
                raise Rejected(
                    invalid_management_payload(
                        f'Environment variable {what} "{text}" exceeds the maximum allowed length of '
                        f"{MAX_ENVIRONMENT_VARIABLE_LENGTH}."
                    )
                )
    return tuple(sorted(environment.items()))


def definite(settings: Settings) -> Record:
    """The settings as a `definite_canister_settings` record."""
    record: dict[str, object] = {name: getattr(settings, name) for name in RANGES}
    record["controllers"] = list(settings.controllers)
    for name in ("log_visibility", "snapshot_visibility", "status_visibility"):
        visibility: Visibility = getattr(settings, name)
        viewers = list(visibility.viewers) if visibility.kind is LogVisibility.ALLOWED_VIEWERS else None
        record[name] = {visibility.kind.value: viewers}
    record["environment_variables"] = [{"name": name, "value": value} for name, value in settings.environment_variables]
    return record
