"""The durable engine: runs workflows on DBOS, which keeps the result of each of their steps in a database.

It is opened once a process and serves any number of runs side by side. A run that was interrupted goes on at the
step it was in, in whatever process asks for it next; nobody else takes it up, because each process listens to a
queue of its own only. Steps run in the event loop of whoever asked: agents, keys and connections stay out of the
engine, which works in threads and a loop of its own.
"""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from dbos import DBOS, DBOSClient, DBOSConfig, SetWorkflowID, WorkflowHandle
from sqlalchemy.exc import SQLAlchemyError

from icmigrate.engine import database
from icmigrate.engine.serializer import RecordSerializer
from icmigrate.errors import DatabaseUnavailable, IcmigrateError, VerificationDifference
from icmigrate.progress import Progress

Context = TypeVar("Context")
Result = TypeVar("Result")
StepResult = TypeVar("StepResult")
Arguments = ParamSpec("Arguments")
Given = ParamSpec("Given")

APPLICATION_VERSION = "2"
"""Changes when the phases or their records change: a run of another version begins anew at its first step."""
UNFINISHED = ("PENDING", "ENQUEUED", "DELAYED")
POLL_SECONDS = 0.1
MAX_RUNS = 64
"""Most runs that are waited for side by side."""


class Steps(Generic[Context]):
    """What a workflow calls its steps with: each is run once, and its recorded result is answered ever after."""

    def __init__(self, context: Context, loop: asyncio.AbstractEventLoop) -> None:
        self._context = context
        self._loop = loop

    async def __call__(
        self,
        step: Callable[Concatenate[Context, Arguments], Awaitable[StepResult]],
        *arguments: Arguments.args,
        **named: Arguments.kwargs,
    ) -> StepResult:
        """Runs one step, or answers its recorded result when an earlier process has ended it."""

        async def work() -> StepResult:
            return await step(self._context, *arguments, **named)

        async def run() -> StepResult:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), self._loop))

        return await DBOS.run_step_async({"name": step.__name__}, run)


class Engine(Generic[Context, Given, Result]):
    """Runs one workflow durably; `async with` opens and closes it. There is one in a process at a time.

    The workflow is a coroutine function; it takes its steps, and arguments that are plain values or records.
    """

    def __init__(
        self, database_url: str, workflow: Callable[Concatenate[Steps[Context], Given], Awaitable[Result]]
    ) -> None:
        self._database_url = database_url
        self._workflow = workflow
        self._workflow_name = getattr(workflow, "__name__", "workflow")
        self._name = f"process-{uuid.uuid4().hex}"
        self._steps: dict[str, Steps[Context]] = {}
        """Of the runs that this process was asked for, by the family of their ids."""
        self._threads = ThreadPoolExecutor(MAX_RUNS, thread_name_prefix="engine")

    async def __aenter__(self) -> Self:
        try:
            await self._in_thread(self._open)
        except BaseException as error:
            await self._in_thread(self._discard)
            self._threads.shutdown(wait=False)
            if isinstance(error, SQLAlchemyError | sqlite3.Error | OSError):
                reason = getattr(error, "orig", None) or error
                raise DatabaseUnavailable(f"the engine's database cannot be opened: {reason}") from error
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._in_thread(self._close)
        self._threads.shutdown(wait=False)

    async def run(
        self, family: str, context: Context, progress: Progress, *arguments: Given.args, **named: Given.kwargs
    ) -> Result:
        """Starts the workflow, or goes on with the run of this family that was interrupted.

        `family` is what the ids of all runs for the same thing begin with; one run of a family at a time.
        """
        self._steps[family] = Steps(context, asyncio.get_running_loop())
        try:
            interrupted = await self._in_thread(self._interrupted, family)
            if interrupted is not None:
                try:
                    return await self._result_of(interrupted)
                except VerificationDifference:
                    raise
                except IcmigrateError as error:
                    # The canisters may have moved on since; they are asked again from the first step.
                    progress.note("the interrupted run could not go on, starting over", reason=str(error))
            return await self._result_of(await self._in_thread(self._start, family, arguments, named))
        finally:
            del self._steps[family]

    async def _result_of(self, handle: WorkflowHandle[Result]) -> Result:
        return await self._in_thread(partial(handle.get_result, polling_interval_sec=POLL_SECONDS))

    async def _in_thread(self, function: Callable[..., StepResult], *arguments: object) -> StepResult:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *arguments))

    # ---- in a thread of the engine's own

    def _open(self) -> None:
        database.prepare(self._database_url)
        DBOS(
            config=DBOSConfig(
                name="icmigrate",
                system_database_url=self._database_url,
                application_version=APPLICATION_VERSION,
                executor_id=self._name,
                serializer=RecordSerializer(),
                log_level="CRITICAL",
                console_log_level="CRITICAL",
            )
        )
        DBOS.listen_queues([self._name])
        self._registered = DBOS.workflow(name=self._workflow_name, max_recovery_attempts=None)(self._executing())
        DBOS.launch()
        DBOS.register_queue(self._name, polling_interval_sec=POLL_SECONDS)

    def _executing(self) -> Callable[..., Any]:
        async def execute(family: str, *arguments: Given.args, **named: Given.kwargs) -> Result:
            return await self._workflow(self._steps[family], *arguments, **named)

        return execute

    def _close(self) -> None:
        DBOS.delete_queue(self._name)
        self._discard()

    def _discard(self) -> None:
        """Whatever was opened: a process that could not open one engine may open another."""
        DBOS.destroy(destroy_registry=True)

    def _interrupted(self, family: str) -> WorkflowHandle[Result] | None:
        """The newest run of the family, taken up by this process, if it has not ended."""
        runs = DBOS.list_workflows(workflow_id_prefix=family, sort_desc=True, limit=1, load_input=False)
        if not runs or runs[0].status not in UNFINISHED:
            return None
        if runs[0].app_version != APPLICATION_VERSION:
            DBOS.cancel_workflow(runs[0].workflow_id)
            return None
        return DBOS.resume_workflow(runs[0].workflow_id, queue_name=self._name)

    def _start(self, family: str, arguments: tuple[object, ...], named: dict[str, object]) -> WorkflowHandle[Result]:
        number = len(DBOS.list_workflows(workflow_id_prefix=family, load_input=False, load_output=False)) + 1
        with SetWorkflowID(f"{family}-{number:06}"):
            handle: WorkflowHandle[Result] = DBOS.start_workflow(self._registered, family, *arguments, **named)
            return handle


def forget_runs(database_url: str, family: str) -> None:
    """Ends the interrupted runs of a family, so that the next one begins at the first step."""
    if not database.exists(database_url):
        return
    client = DBOSClient(system_database_url=database_url, serializer=RecordSerializer())
    try:
        runs = client.list_workflows(workflow_id_prefix=family, status=list(UNFINISHED), load_input=False)
        client.cancel_workflows([run.workflow_id for run in runs])
    finally:
        client.destroy()
