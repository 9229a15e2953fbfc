"""Interface Specification, "Canister history": who changed a canister, and how."""

from __future__ import annotations

from dataclasses import dataclass

from icmigrate.protocol.principal import Principal


@dataclass(frozen=True, slots=True)
class UserChange:
    """A change that a user made by an ingress message."""

    user_id: Principal


@dataclass(frozen=True, slots=True)
class CanisterChange:
    """A change that a canister made; `canister_version` is the optional sender_canister_version it gave."""

    canister_id: Principal
    canister_version: int | None = None


ChangeOrigin = UserChange | CanisterChange


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One entry of the canister history (section "Canister history").

    `kind` is the Candid tag of change_details (creation, code_uninstall, code_deployment, load_snapshot,
    controllers_change, rename_canister); the fields that belong to it are set, the others are empty.
    """

    timestamp_nanos: int
    canister_version: int
    origin: ChangeOrigin
    kind: str
    controllers: tuple[Principal, ...] = ()
    mode: str = ""
    module_hash: bytes = b""
    snapshot_id: bytes = b""
    snapshot_version: int = 0
    taken_at: int = 0
    environment_variables_hash: bytes | None = None
    snapshot_source: str = "taken_from_canister"
    """As in Snapshot, of the one that was loaded."""
    from_canister_id: Principal | None = None
    """Whose snapshot was loaded, if it was another canister's."""
