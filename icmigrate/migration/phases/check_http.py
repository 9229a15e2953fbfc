"""Phase 8: both canisters must answer the same asset requests alike."""

from __future__ import annotations

from icmigrate.migration.toolkit import Toolkit
from icmigrate.proof import http
from icmigrate.proof.http import HttpReport


async def check_http(toolkit: Toolkit, capsule_id: str, canister_id: str) -> HttpReport:
    """What was compared. Raises `VerificationDifference` with every difference named."""
    report = await compare_http(toolkit, capsule_id, canister_id)
    report.require_passed()
    return report


async def compare_http(toolkit: Toolkit, capsule_id: str, canister_id: str) -> HttpReport:
    """The same without judging it."""
    toolkit.progress.phase("check HTTP")
    return await http.check_http(
        toolkit.hub,
        toolkit.personal(canister_id),
        capsule_id,
        network=toolkit.network,
        gateway=toolkit.gateway,
        window=toolkit.window,
        progress=toolkit.progress,
    )
