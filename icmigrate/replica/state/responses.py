"""Interface Specification, "Reject codes": what a call is answered with."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class RejectCode(IntEnum):
    """Section "Reject codes"."""

    SYS_FATAL = 1
    SYS_TRANSIENT = 2
    DESTINATION_INVALID = 3
    CANISTER_REJECT = 4
    CANISTER_ERROR = 5
    SYS_UNKNOWN = 6


@dataclass(frozen=True, slots=True)
class Reply:
    """A call that was answered with `ic0.msg_reply`."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Reject:
    """A call that was rejected; `error_code` is the replica's own code, for example "IC0503"."""

    code: RejectCode
    message: str
    error_code: str


Response = Reply | Reject
