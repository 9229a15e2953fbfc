"""Runs the workflow durably: DBOS keeps each phase's result in SQLite or PostgreSQL, chosen by one URL.

Each capsule's runs have an executor id of their own, so that starting the engine resumes this capsule's
interrupted run and nobody else's. Whoever starts it holds the capsule (`lock.py`).
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dbos import DBOS, DBOSClient, SetWorkflowID, WorkflowHandleAsync

from icmigrate.engine.serializer import RecordSerializer
from icmigrate.errors import IcmigrateError, VerificationDifference
from icmigrate.migration import workflow
from icmigrate.migration.context import Wiring
from icmigrate.migration.steps import MigrationReport

APPLICATION_VERSION = "1"
"""Pinned: recovery passes over runs of another version. Changes when the phases or their records change."""

UNFINISHED = ("PENDING", "ENQUEUED", "DELAYED")


async def run(wiring: Wiring, capsule_id: str) -> MigrationReport:
    """Starts the workflow, or goes on with the run of this capsule that was interrupted."""
    workflow.wirings[capsule_id] = wiring
    family = run_family(wiring, capsule_id)
    prepare(wiring.database_url)
    DBOS(
        config={
            "name": "icmigrate",
            "system_database_url": wiring.database_url,
            "application_version": APPLICATION_VERSION,
            "executor_id": family,
            "serializer": RecordSerializer(),
            "log_level": "CRITICAL",
            "console_log_level": "CRITICAL",
        }
    )
    DBOS.launch()
    try:
        runs = await DBOS.list_workflows_async(workflow_id_prefix=family, sort_desc=True, load_input=False)
        if runs and runs[0].status in UNFINISHED:
            try:
                interrupted: WorkflowHandleAsync[MigrationReport] = await DBOS.retrieve_workflow_async(
                    runs[0].workflow_id
                )
                return await interrupted.get_result(polling_interval_sec=0.1)
            except VerificationDifference:
                raise
            except IcmigrateError as error:
                # The canisters may have moved on since; they are asked again from the first phase.
                wiring.progress.note("the interrupted run could not go on, starting over", reason=str(error))
        with SetWorkflowID(f"{family}-{len(runs) + 1:06}"):
            handle = await DBOS.start_workflow_async(workflow.migrate, capsule_id, time.time())
        return await handle.get_result()
    finally:
        await asyncio.to_thread(DBOS.destroy)
        # The engine has put its own executor in the loop, and shut it down.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())
        del workflow.wirings[capsule_id]


def forget_runs(wiring: Wiring, capsule_id: str) -> None:
    """Ends the interrupted runs of a capsule, so that the next one begins at the first phase."""
    file = _sqlite_file(wiring.database_url)
    if file is not None and not file.exists():
        return
    client = DBOSClient(system_database_url=wiring.database_url, serializer=RecordSerializer())
    try:
        runs = client.list_workflows(
            workflow_id_prefix=run_family(wiring, capsule_id), status=list(UNFINISHED), load_input=False
        )
        client.cancel_workflows([run.workflow_id for run in runs])
    finally:
        client.destroy()


def run_family(wiring: Wiring, capsule_id: str) -> str:
    """What the ids of all runs of this capsule on this network begin with."""
    root_key = hashlib.sha256(wiring.agent.root_key).hexdigest()[:8]
    return f"migrate-{root_key}-{wiring.hub.canister_id}-{capsule_id}-run"


def prepare(database_url: str) -> None:
    """Puts a SQLite database into WAL mode, so that readers and the writer do not wait for each other."""
    file = _sqlite_file(database_url)
    if file is None:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(file)
    try:
        connection.execute("pragma journal_mode=wal")
    finally:
        connection.close()


def _sqlite_file(database_url: str) -> Path | None:
    scheme, _, path = database_url.partition(":///")
    return Path(path) if scheme == "sqlite" else None
