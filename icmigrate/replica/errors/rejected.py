"""The exception of an operation that cannot be done, with the reject that its caller gets."""

from __future__ import annotations

from icmigrate.replica.state.canister import Canister
from icmigrate.replica.state.responses import Reject


class Rejected(Exception):
    """Raised by an operation that cannot be done; whoever began the transaction undoes it and rejects.

    `charged` is the canister's record as it becomes nevertheless (the fee of a failed installation, its log).
    """

    def __init__(self, reject: Reject, charged: Canister | None = None) -> None:
        super().__init__(f"{reject.error_code}: {reject.message}")
        self.reject = reject
        self.charged = charged
