"""Interface Specification, "The IC management canister": who may call a method on a canister."""

from __future__ import annotations

from enum import Enum, auto

from icmigrate.protocol.principal import Principal
from icmigrate.replica.errors.rejected import Rejected
from icmigrate.replica.management import rejects
from icmigrate.replica.state.canister import Canister
from icmigrate.replica.state.settings import LogVisibility, Visibility


class May(Enum):
    """Who may call a method that works on a canister."""

    ANYONE = auto()
    CONTROLLERS = auto()
    CONTROLLERS_OR_SELF = auto()
    STATUS_VIEWERS = auto()
    SNAPSHOT_VIEWERS = auto()
    LOG_VIEWERS = auto()


def may_call(may: May, canister: Canister, caller: Principal) -> bool:
    """Whether `caller` has the right `may` on this canister."""
    settings = canister.settings
    is_controller = caller in settings.controllers
    match may:
        case May.ANYONE:
            return True
        case May.CONTROLLERS:
            return is_controller
        case May.CONTROLLERS_OR_SELF:
            return is_controller or caller == canister.id
        case May.STATUS_VIEWERS:
            return is_controller or caller == canister.id or _sees(settings.status_visibility, caller)
        case May.SNAPSHOT_VIEWERS:
            return is_controller or _sees(settings.snapshot_visibility, caller)
        case May.LOG_VIEWERS:
            return is_controller or _sees(settings.log_visibility, caller)


def _sees(visibility: Visibility, caller: Principal) -> bool:
    if visibility.kind is LogVisibility.ALLOWED_VIEWERS:
        return caller in visibility.viewers
    return visibility.kind is LogVisibility.PUBLIC


def authorize(may: May, canister: Canister, caller: Principal) -> None:
    """Raises Rejected unless `caller` has the right `may` on this canister."""
    if may_call(may, canister, caller):
        return
    if may is May.LOG_VIEWERS:
        raise Rejected(rejects.not_allowed_to_read(caller, "canister logs"))
    raise Rejected(rejects.invalid_controller(canister.id, canister.settings.controllers, caller))
