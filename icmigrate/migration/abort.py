"""Undoes a migration up to phase 8: the capsule is writable in the hub again, and the cycles come back."""

from __future__ import annotations

from icmigrate.contract.migrations import Migration
from icmigrate.engine.engine import forget_runs
from icmigrate.engine.lease import lease
from icmigrate.errors import PreflightRefused
from icmigrate.migration.toolkit import Toolkit
from icmigrate.migration.workflow import run_family


async def abort(toolkit: Toolkit, capsule_id: str) -> Migration:
    """Gives a migration up. Raises `PreflightRefused` when there is none or it is cut over."""
    with lease(toolkit.state_dir, toolkit.hub.canister_id, capsule_id):
        migration = await toolkit.hub.migration_get(capsule_id, certified=True)
        if migration is None:
            raise PreflightRefused(f"capsule {capsule_id} has no migration to abort; nothing was changed")
        if migration.is_cut_over:
            raise PreflightRefused(
                f"capsule {capsule_id} is cut over to canister {migration.canister_id}; nothing was changed",
                hint="A migration can be aborted up to its cut-over only.",
            )
        aborted = await toolkit.hub.migration_abort(capsule_id)
        forget_runs(toolkit.database_url, run_family(toolkit, capsule_id))
        return aborted
