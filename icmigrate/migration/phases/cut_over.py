"""Phase 9: the personal canister becomes the home of the capsule; the hub redirects."""

from __future__ import annotations

from icmigrate.contract.migrations import Migration
from icmigrate.contract.records import MovedTo
from icmigrate.errors import VerificationDifference
from icmigrate.migration.toolkit import Toolkit
from icmigrate.proof.certified_data import certified_home


async def cut_over(toolkit: Toolkit, capsule_id: str, root: bytes) -> Migration:
    """The migration as it is then. Raises `VerificationDifference` where the hub names another home."""
    toolkit.progress.phase("cut over")
    migration = await toolkit.hub.migration_cut_over(capsule_id, root)
    home = await certified_home(toolkit.hub, capsule_id)
    if home != MovedTo(canister_id=migration.created_canister()):
        raise VerificationDifference(f"after cut-over the hub names {home} as the home of {capsule_id}")
    return migration
