"""Interface Specification, "Principals": the ids of the subnet's canisters."""

from __future__ import annotations

from icmigrate.protocol.principal import Principal

_SUFFIX = b"\x01\x01"


def canister_id(number: int) -> Principal:
    """The canister id that a subnet gives for its n-th canister."""
    return Principal(number.to_bytes(8, "big") + _SUFFIX)


FIRST_CANISTER = canister_id(0)
LAST_CANISTER = canister_id((1 << 64) - 1)
"""The subnet hosts every id of the form u64 || 01 01, also those of canisters not created yet."""


def in_canister_ranges(principal: Principal) -> bool:
    """Whether this subnet is where a canister of that id would live."""
    number = principal.bytes
    return len(number) == len(FIRST_CANISTER.bytes) and FIRST_CANISTER.bytes <= number <= LAST_CANISTER.bytes
