"""Phase 7: certified manifests and access matrices of both sides must be equal."""

from __future__ import annotations

from icmigrate.migration.toolkit import Toolkit
from icmigrate.proof import verify as proof
from icmigrate.proof.verify import VerifyReport


async def verify(toolkit: Toolkit, capsule_id: str, canister_id: str) -> VerifyReport:
    """What was compared. Raises `VerificationDifference` with every difference named."""
    toolkit.progress.phase("verify")
    report = await proof.verify(toolkit.hub, toolkit.personal(canister_id), capsule_id, toolkit.personal_module)
    report.require_equal()
    return report
