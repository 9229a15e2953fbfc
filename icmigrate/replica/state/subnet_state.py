"""Interface Specification, "Abstract behavior": the state of one subnet after the last commit.

Only the event loop's thread changes it, and only by replacing a record at a commit (`storage/changes.py`); readers on
that thread may look at any time and never see half a message. Times are nanoseconds since 1970, amounts are cycles,
sizes are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from icmigrate.protocol.principal import Principal
from icmigrate.replica.state.calls import IngressStatus, Message
from icmigrate.replica.state.canister import Canister

CERTIFIED_DATA = "certified_data"
"""Namespace of what native canisters certify, by canister id."""


@dataclass(slots=True)
class SubnetState:
    """The whole subnet after the last commit. Written by `storage/changes.py` alone."""

    canisters: dict[Principal, Canister] = field(default_factory=dict)
    ingress: dict[bytes, IngressStatus] = field(default_factory=dict)
    messages: dict[int, Message] = field(default_factory=dict)
    """Requests and responses between canisters, by id, in order of sending."""
    next_canister: int = 0
    """The next number for a fresh canister id."""
    next_message: int = 0
    executed: int = 0
    """How many messages were executed, ever."""
    consumed_by_deleted: int = 0
    """Cycles that deleted canisters consumed, with what they had left."""
    native: dict[tuple[str, bytes], bytes] = field(default_factory=dict)
    """Small records of natively implemented canisters: (namespace, key) to value."""

    def native_certified_data(self, canister_id: bytes) -> bytes | None:
        """What a natively implemented canister certifies, if it does."""
        return self.native.get((CERTIFIED_DATA, canister_id))
