"""Interface Specification, "Canister settings"."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from icmigrate.protocol.principal import Principal


class LogVisibility(StrEnum):
    """Who may read; with ALLOWED_VIEWERS also the principals listed beside it."""

    CONTROLLERS = "controllers"
    PUBLIC = "public"
    ALLOWED_VIEWERS = "allowed_viewers"


@dataclass(frozen=True, slots=True)
class Visibility:
    """Who may read something of a canister, besides its controllers."""

    kind: LogVisibility = LogVisibility.CONTROLLERS
    viewers: tuple[Principal, ...] = ()


CREATED_WASM_MEMORY_LIMIT = 3_221_225_472
"""What the IC's create_canister sets unless told otherwise; provisionally made canisters have no limit."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Section "Canister settings"; defaults are the specification's."""

    controllers: tuple[Principal, ...]
    compute_allocation: int = 0
    memory_allocation: int = 0
    freezing_threshold: int = 2_592_000  # seconds
    reserved_cycles_limit: int = 5_000_000_000_000
    minimum_incoming_canister_call_cycles: int = 0
    log_visibility: Visibility = Visibility()
    log_memory_limit: int = 4_096
    snapshot_visibility: Visibility = Visibility()
    status_visibility: Visibility = Visibility()
    wasm_memory_limit: int = 0
    wasm_memory_threshold: int = 0
    environment_variables: tuple[tuple[str, str], ...] = ()
