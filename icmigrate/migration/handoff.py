"""Phase 10: the owner, and a recovery principal if wished, become the only controllers. Irreversible."""

from __future__ import annotations

from icmigrate.contract.migrations import Migration
from icmigrate.contract.record import Record
from icmigrate.engine.lease import lease
from icmigrate.errors import PreflightRefused, VerificationDifference
from icmigrate.migration.context import Wiring
from icmigrate.proof.module import require_module
from icmigrate.protocol.principal import Principal


class HandoffReport(Record):
    """The personal canister's controllers as the network certifies them."""

    capsule_id: str
    canister_id: str
    controllers: list[str]


async def handoff(wiring: Wiring, capsule_id: str, recovery: str | None = None) -> HandoffReport:
    """Hands the personal canister to its owner and reads the controllers back certified."""
    with lease(wiring.state_dir, wiring.hub.canister_id, capsule_id):
        migration = await wiring.hub.migration_get(capsule_id, certified=True)
        if migration is None or not migration.is_cut_over:
            raise PreflightRefused(
                f"capsule {capsule_id} is not cut over; nothing was changed",
                hint=f"Run `icmigrate migrate {capsule_id}` first.",
            )
        await require_module(wiring.agent, migration.created_canister(), wiring.personal_module)
        handed = await wiring.hub.migration_handoff(capsule_id, recovery)
        return await _read_back(wiring, handed)


async def _read_back(wiring: Wiring, handed: Migration) -> HandoffReport:
    canister_id = handed.created_canister()
    certified = await wiring.agent.controllers(Principal.from_str(canister_id))
    controllers = sorted(controller.to_str() for controller in certified)
    if wiring.hub.canister_id in controllers or not controllers:
        raise VerificationDifference(
            f"after handoff canister {canister_id} has controllers {', '.join(controllers) or 'none'}"
        )
    return HandoffReport(capsule_id=handed.capsule_id, canister_id=canister_id, controllers=controllers)
