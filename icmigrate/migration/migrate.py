"""The main job: moves a capsule from wherever an earlier run left it. The phases are in `workflow.py`."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from icmigrate.contract.records import MovedTo
from icmigrate.copy.count import CopyCount
from icmigrate.engine.lease import lease
from icmigrate.migration import workflow
from icmigrate.migration.report import MigrationReport, report
from icmigrate.migration.toolkit import Toolkit
from icmigrate.proof.certified_data import certified_home

if TYPE_CHECKING:
    from icmigrate.engine.engine import Engine

    MigrationEngine = Engine[Toolkit, [str, float], MigrationReport]


async def migrate(toolkit: Toolkit, capsule_id: str) -> MigrationReport:
    """Migrates one capsule; one that has moved already is only reported on. Raises `HeldByAnother`."""
    with lease(toolkit.state_dir, toolkit.hub.canister_id, capsule_id):
        if await has_moved(toolkit, capsule_id):
            return await report(toolkit, capsule_id, None, CopyCount(), None, None, time.time())
        async with open_engine(toolkit.database_url) as engine:
            return await run(engine, toolkit, capsule_id)


async def has_moved(toolkit: Toolkit, capsule_id: str) -> bool:
    """Whether the capsule has left the hub, certified: one lying node must not end a migration that never was."""
    return isinstance(await certified_home(toolkit.hub, capsule_id), MovedTo)


@asynccontextmanager
async def open_engine(database_url: str) -> AsyncIterator[MigrationEngine]:
    """The engine of this process, for any number of capsules."""
    # It takes half a second to import: only who needs it waits for it.
    from icmigrate.engine.engine import Engine

    async with Engine(database_url, workflow.migrate) as engine:
        yield engine


async def run(engine: MigrationEngine, toolkit: Toolkit, capsule_id: str) -> MigrationReport:
    """Runs the workflow for a capsule on an open engine. Whoever calls it has the capsule's lease."""
    return await engine.run(
        workflow.run_family(toolkit, capsule_id), toolkit, toolkit.progress, capsule_id, time.time()
    )
