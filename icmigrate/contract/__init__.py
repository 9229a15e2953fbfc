"""What is agreed with our canisters: their interfaces as the `.did` files describe them, records, and errors."""

from __future__ import annotations

from functools import cache

from icmigrate import wasm
from icmigrate.protocol.candid.description import Description


@cache
def interface(canister: str) -> Description:
    """The interface of a canister (`hub` or `personal`), read from the `.did` file that ships with its module."""
    return Description(wasm.candid(canister))
