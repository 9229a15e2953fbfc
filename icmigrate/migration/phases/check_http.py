"""Phase 8: both canisters must answer the same asset requests alike."""

from __future__ import annotations

from icmigrate.migration.context import Wiring
from icmigrate.proof import http
from icmigrate.proof.http import HttpReport


async def check_http(wiring: Wiring, capsule_id: str, canister_id: str) -> HttpReport:
    """What was compared. Raises `VerificationDifference` with every difference named."""
    report = await compare_http(wiring, capsule_id, canister_id)
    report.require_passed()
    return report


async def compare_http(wiring: Wiring, capsule_id: str, canister_id: str) -> HttpReport:
    """The same without judging it."""
    wiring.progress.phase("check HTTP")
    return await http.check_http(
        wiring.hub,
        wiring.personal(canister_id),
        capsule_id,
        network=wiring.network,
        gateway=wiring.gateway,
        window=wiring.window,
        progress=wiring.progress,
    )
