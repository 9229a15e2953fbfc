"""What the `Error` variant of `hub.did` and `personal.did` becomes in the toolkit's error tree."""

from __future__ import annotations

from typing import Any

from icmigrate.errors import (
    HeldByAnother,
    IcmigrateError,
    NetworkError,
    NotAuthorized,
    OutOfCycles,
    PreflightRefused,
    Usage,
    VerificationDifference,
)


class NotFound(Usage):
    """The canister has nothing under that id."""

    hint = "`icmigrate capsules` lists what the hub holds."


class InvalidArgument(Usage):
    """The canister found an argument outside its bounds, or a broken reference."""


class Conflict(PreflightRefused):
    """The canister holds other content under the same id, or is in another phase."""

    hint = "`icmigrate status` shows how far the migration has come."


class CapsuleMigrating(HeldByAnother):
    """The capsule is read-only while it is being migrated."""

    hint = "Try again when the migration has ended; `icmigrate status` shows how far it has come."
    retryable = False


class CapsuleMoved(PreflightRefused):
    """The capsule lives in the personal canister `canister_id` now."""

    hint = "Ask that canister."

    def __init__(self, message: str, canister_id: str) -> None:
        super().__init__(message)
        self.canister_id = canister_id


class OutOfStorage(PreflightRefused):
    """The canister has no room left."""


class UpstreamRefused(NetworkError):
    """Another canister or the system refused the canister that was asked."""

    retryable = True


_KINDS: dict[str, type[IcmigrateError]] = {
    "NotFound": NotFound,
    "Unauthorized": NotAuthorized,
    "Invalid": InvalidArgument,
    "Conflict": Conflict,
    "Migrating": CapsuleMigrating,
    "DigestMismatch": VerificationDifference,
    "OutOfStorage": OutOfStorage,
    "Upstream": UpstreamRefused,
}


def canister_error(canister_id: str, method: str, error: dict[str, Any]) -> IcmigrateError:
    """The error to raise for an `Err` answer of `method`, in plain form."""
    ((kind, detail),) = error.items()
    where = f"canister {canister_id}, {method}"
    match kind:
        case "Moved":
            return CapsuleMoved(f"{where}: the capsule has moved to canister {detail}", detail)
        case "OutOfCycles":
            return OutOfCycles(
                f"{where}: needs {detail['needed']:,} cycles and has {detail['available']:,} available",
                hint=f"Top up canister {canister_id}, then run the same command again.",
            )
        case _:
            return _KINDS[kind](f"{where}: {detail}")
