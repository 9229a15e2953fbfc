"""Phase 7: certified manifests and access matrices of both sides must be equal."""

from __future__ import annotations

from icmigrate.migration.context import Wiring
from icmigrate.proof import verify as proof
from icmigrate.proof.verify import VerifyReport


async def verify(wiring: Wiring, capsule_id: str, canister_id: str) -> VerifyReport:
    """What was compared. Raises `VerificationDifference` with every difference named."""
    wiring.progress.phase("verify")
    report = await proof.verify(wiring.hub, wiring.personal(canister_id), capsule_id, wiring.personal_module)
    report.require_equal()
    return report
