"""Phase 10: those whom an owner has consented to become the only controllers. Irreversible.

An owner consents in a call to the personal canister, and the hub asks it: an operator alone hands nothing off.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from icmigrate.contract.record import Record
from icmigrate.contract.records import MovedTo, PrincipalPerson
from icmigrate.engine.lease import lease
from icmigrate.errors import CallRejected, NotAuthorized, PreflightRefused, VerificationDifference
from icmigrate.migration.toolkit import Toolkit
from icmigrate.personal.client import PersonalClient
from icmigrate.proof.certified_data import certified_home
from icmigrate.proof.module import require_module
from icmigrate.protocol.principal import Principal

Confirm = Callable[[str], None]
"""Is told what will be done and cannot be undone; raises where that is not wanted."""


class HandoffReport(Record):
    """The personal canister's controllers as the network certifies them."""

    capsule_id: str
    canister_id: str
    controllers: list[str]


async def handoff(toolkit: Toolkit, capsule_id: str, recovery: str | None, confirm: Confirm) -> HandoffReport:
    """Hands the personal canister off and reads its controllers back certified.

    An owner consents to all owners and `recovery`; anybody else uses the consent that is there.
    """
    with lease(toolkit.state_dir, toolkit.hub.canister_id, capsule_id):
        personal = await _home(toolkit, capsule_id)
        found = await _controllers(toolkit, personal)
        if toolkit.hub.canister_id not in found:
            _require_recovery(recovery, found, f"capsule {capsule_id} is handed off already, to")
            # the answer to the call that did it may have been lost: the hub then writes it down now
            with suppress(NotAuthorized, CallRejected):
                await toolkit.hub.migration_handoff(capsule_id)
        else:
            await require_module(toolkit.agent, personal.canister_id, toolkit.personal_module)
            await _agree(toolkit, personal, capsule_id, recovery, confirm)
            await toolkit.hub.migration_handoff(capsule_id)
        return await _read_back(toolkit, capsule_id, personal)


async def _home(toolkit: Toolkit, capsule_id: str) -> PersonalClient:
    home = await certified_home(toolkit.hub, capsule_id)
    if not isinstance(home, MovedTo):
        raise PreflightRefused(
            f"capsule {capsule_id} is not cut over; nothing was changed",
            hint=f"Run `icmigrate migrate {capsule_id}` first.",
        )
    return toolkit.personal(home.canister_id)


async def _agree(
    toolkit: Toolkit, personal: PersonalClient, capsule_id: str, recovery: str | None, confirm: Confirm
) -> None:
    """Sees to it that there is an owner's consent; gives it as an owner, after the confirmation."""
    capsule = await personal.capsules_get(capsule_id, certified=True)
    owners = [owner.person.principal for owner in capsule.owners if isinstance(owner.person, PrincipalPerson)]
    is_owner = toolkit.agent.identity.sender().to_str() in owners
    if is_owner:
        controllers = list(dict.fromkeys([*owners, recovery] if recovery else owners))
    else:
        controllers = await _consented(personal, capsule_id)
        _require_recovery(recovery, controllers, f"an owner of capsule {capsule_id} has consented to")
    confirm(
        f"canister {personal.canister_id} with capsule {capsule_id} gets these controllers and no others: "
        f"{', '.join(controllers)}. The hub and its operators have no part in it any more. This cannot be undone."
    )
    if is_owner:
        await personal.handoff_consent(controllers)


async def _consented(personal: PersonalClient, capsule_id: str) -> list[str]:
    consent = await personal.handoff_consent_get(certified=True)
    if consent is None:
        raise PreflightRefused(
            f"no owner has consented to the handoff of capsule {capsule_id}; nothing was changed",
            hint=f"An owner runs `icmigrate handoff {capsule_id}`, with --recovery if they wish, as themselves.",
        )
    return consent.controllers


def _require_recovery(recovery: str | None, controllers: list[str], known: str) -> None:
    if recovery is not None and recovery not in controllers:
        raise PreflightRefused(
            f"{known} {', '.join(controllers)}: {recovery} is not among them; nothing was changed",
            hint="Run the command without --recovery, or have an owner run it before the handoff.",
        )


async def _controllers(toolkit: Toolkit, personal: PersonalClient) -> list[str]:
    certified = await toolkit.agent.controllers(Principal.from_str(personal.canister_id))
    return sorted(controller.to_str() for controller in certified)


async def _read_back(toolkit: Toolkit, capsule_id: str, personal: PersonalClient) -> HandoffReport:
    controllers = await _controllers(toolkit, personal)
    if toolkit.hub.canister_id in controllers or not controllers:
        raise VerificationDifference(
            f"after handoff canister {personal.canister_id} has controllers {', '.join(controllers) or 'none'}"
        )
    return HandoffReport(capsule_id=capsule_id, canister_id=personal.canister_id, controllers=controllers)
