"""Interface Specification, "On Low Wasm Memory": whether the hook is due."""

from __future__ import annotations

from icmigrate.replica.state.canister import Canister


def has_low_memory(canister: Canister) -> bool:
    """The hook's condition."""
    settings = canister.settings
    limit = settings.wasm_memory_limit or 1 << 32
    return limit - canister.wasm_memory_size < settings.wasm_memory_threshold


def watch_memory(canister: Canister) -> Canister:
    """Whether the hook is due, judged after whatever changes memory or settings."""
    low = has_low_memory(canister)
    if low and canister.low_memory_hook == "condition_not_satisfied":
        return canister.with_(low_memory_hook="ready")
    if not low and canister.low_memory_hook != "condition_not_satisfied":
        return canister.with_(low_memory_hook="condition_not_satisfied")
    return canister
