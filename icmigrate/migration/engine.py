"""Runs the workflow durably: DBOS keeps each phase's result in SQLite or PostgreSQL, chosen by one URL.

One process at a time works on a capsule (a lock file holds that), under an executor id of its own, so that
starting the engine resumes this capsule's interrupted run and nobody else's.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSClient, SetWorkflowID, WorkflowHandleAsync
from dbos._serialization import Serializer
from pydantic import BaseModel

from icmigrate.errors import HeldByAnother, IcmigrateError, VerificationDifference
from icmigrate.migration import steps, workflow
from icmigrate.migration.blobs import CopyCount
from icmigrate.migration.steps import MigrationReport
from icmigrate.migration.wiring import Wiring

APPLICATION_VERSION = "1"
"""Pinned: recovery passes over runs of another version. Changes when the phases or their records change."""

UNFINISHED = ("PENDING", "ENQUEUED", "DELAYED")


async def migrate(wiring: Wiring, capsule_id: str) -> MigrationReport:
    """Migrates a capsule, from wherever an earlier run left it; a migrated one is only reported on."""
    with held(wiring.state_dir, wiring.hub.canister_id, capsule_id):
        home = await wiring.hub.registry_home(capsule_id)
        if isinstance(home, dict):
            return await steps.report(wiring, capsule_id, None, CopyCount(), None, None, time.time())
        return await _run(wiring, capsule_id)


async def _run(wiring: Wiring, capsule_id: str) -> MigrationReport:
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


@contextmanager
def held(state_dir: Path, hub_id: str, capsule_id: str) -> Iterator[None]:
    """Holds the capsule for this process. Raises `HeldByAnother`."""
    folder = state_dir / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(f"{hub_id}/{capsule_id}".encode()).hexdigest()[:16]
    with (folder / name).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HeldByAnother(f"another run works on capsule {capsule_id}") from None
        yield


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


class RecordSerializer(Serializer):
    """Keeps pydantic records, plain values and errors as JSON that a person can read."""

    def name(self) -> str:
        return "icmigrate_json"

    def serialize(self, data: Any) -> str:
        return json.dumps(data, default=_to_json)

    def deserialize(self, serialized_data: str) -> Any:
        return json.loads(serialized_data, object_hook=_from_json)


def _to_json(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {
            "record": f"{type(value).__module__}:{type(value).__name__}",
            "value": value.model_dump_json(),
        }
    if isinstance(value, BaseException):
        return {
            "error": f"{type(value).__module__}:{type(value).__name__}",
            "message": str(value),
            "hint": getattr(value, "hint", None),
        }
    raise TypeError(f"{type(value).__name__} is not kept in the engine's database")


def _from_json(value: dict[str, Any]) -> Any:
    if value.keys() == {"record", "value"}:
        return _ours(value["record"], BaseModel).model_validate_json(value["value"])
    if value.keys() == {"error", "message", "hint"}:
        try:
            kind = _ours(value["error"], IcmigrateError)
        except TypeError:
            return RuntimeError(value["message"])
        error = IcmigrateError.__new__(kind)  # its own parameters are not kept, only what it said
        IcmigrateError.__init__(error, value["message"], hint=value["hint"])
        return error
    return value


def _ours(name: str, base: type[Any]) -> type[Any]:
    """A class of this package by its `module:name`. Raises `TypeError` for any other."""
    module, _, attribute = name.partition(":")
    kind = getattr(import_module(module), attribute, None) if module.startswith("icmigrate.") else None
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise TypeError(f"{name} is not a {base.__name__} of this package")
    return kind
