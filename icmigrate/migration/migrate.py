"""The main job: moves a capsule from wherever an earlier run left it. The phases are in `workflow.py`."""

from __future__ import annotations

import time

from icmigrate.contract.records import MovedTo
from icmigrate.copy.relay import CopyCount
from icmigrate.engine.lease import held
from icmigrate.migration import steps
from icmigrate.migration.context import Wiring
from icmigrate.migration.steps import MigrationReport


async def migrate(wiring: Wiring, capsule_id: str) -> MigrationReport:
    """Migrates a capsule; one that has moved already is only reported on. Raises `HeldByAnother`."""
    with held(wiring.state_dir, wiring.hub.canister_id, capsule_id):
        home = await wiring.hub.registry_home(capsule_id)
        if isinstance(home, MovedTo):
            return await steps.report(wiring, capsule_id, None, CopyCount(), None, None, time.time())
        # The engine takes half a second to import: only who needs it waits for it.
        from icmigrate.engine import engine

        return await engine.run(wiring, capsule_id)
