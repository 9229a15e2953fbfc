"""Plumbing: the command line. Parses, wires, shows; the work is elsewhere, and imported only when it is to be done."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from icmigrate.commands.session import Session
    from icmigrate.console.console import Console
    from icmigrate.console.people import People
    from icmigrate.replica.daemon import DaemonInfo

OK, BUG, USAGE, INTERRUPTED = 0, 1, 2, 8

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Moves one user's capsule out of a shared canister into a canister of their own, and proves that it did.",
    epilog="Exit codes: 0 done, 2 usage, 3 refused by preflight, 4 verification difference, 5 network or replica, "
    "6 not authorized, 7 out of cycles, 8 interrupted and resumable, 9 another run holds it; 1 is a bug.",
)
replica_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The embedded local replica.")
app.add_typer(replica_app, name="replica")

COMMON: dict[str, Any] = {
    "network": Annotated[
        str | None, typer.Option("--network", help="embedded (default), dfx, icp, ic or an http(s) URL.")
    ],
    "identity": Annotated[
        str | None, typer.Option("--identity", help="A PEM file, or the name of a dfx or icp-cli identity.")
    ],
    "hub": Annotated[str | None, typer.Option("--hub", help="The hub's canister id.")],
    "state_dir": Annotated[
        str | None, typer.Option("--state", help="Folder of replica, ids and database [default: .icmigrate].")
    ],
    "json": Annotated[bool | None, typer.Option("--json", help="JSON lines on stdout, the last one the result.")],
}
CapsuleArgument = Annotated[
    str | None, typer.Argument(metavar="CAPSULE", help="Its id, or its owner's principal.", show_default=False)
]


@dataclass
class Outcome:
    """What a command found: for programs, and how to show it to people. `exit_code` is 0 unless said otherwise."""

    result: Mapping[str, object]
    show: Callable[[People], None]
    exit_code: int = OK


Command = Callable[..., Awaitable[Outcome] | Outcome]


def command(on: typer.Typer, name: str, state: str) -> Callable[[Command], Command]:
    """Makes a function a command: adds the common options, runs it, shows its outcome or its error.

    `state` says how things stand when the command did not come to its end.
    """

    def register(function: Command) -> Command:
        signature = inspect.signature(function, locals={"Session": object}, eval_str=True)
        own = [parameter for parameter in signature.parameters.values() if parameter.name != "session"]
        keyword = inspect.Parameter.KEYWORD_ONLY
        common = [inspect.Parameter(key, keyword, default=None, annotation=kind) for key, kind in COMMON.items()]

        @functools.wraps(function)
        def run(**given: Any) -> None:
            flags = {key: given.pop(key) for key in COMMON}
            raise typer.Exit(perform(functools.partial(function, **given), flags, state))

        del run.__wrapped__  # its own signature is the one to read
        run.__signature__ = signature.replace(parameters=[*own, *common], return_annotation=None)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *common]}
        on.command(name)(run)
        return function

    return register


# ---- running a command -----------------------------------------------------------------------------


def perform(function: Command, flags: Mapping[str, Any], state: str) -> int:
    """Runs one command from its flags to its exit code."""
    from icmigrate.console.console import Console
    from icmigrate.errors import IcmigrateError
    from icmigrate.settings import config

    try:
        settings = config.load(flags, os.environ, Path.cwd())
    except IcmigrateError as error:
        return fail(Console(json_lines=bool(flags.get("json"))), error, "")
    from icmigrate.commands.session import Session

    console = Console(json_lines=settings.json_lines)
    session = Session(settings, console.progress)
    try:
        started = function(session)
        outcome = started if isinstance(started, Outcome) else asyncio.run(until_told_to_end(started))
    except BaseException as error:  # noqa: BLE001 - the one place where everything ends
        console.progress.close(finished=False)
        if is_interrupt(error):
            session.undo_start()
        return fail(console, error, state)
    console.progress.close(finished=True)
    outcome.show(console.people)
    console.result(ok=outcome.exit_code == OK, **outcome.result)
    return outcome.exit_code


async def until_told_to_end(work: Awaitable[Outcome]) -> Outcome:
    """The work's outcome; SIGTERM ends it like Ctrl-C."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def is_interrupt(error: BaseException) -> bool:
    """Whether somebody wanted the command to end."""
    return isinstance(error, KeyboardInterrupt | asyncio.CancelledError)


def fail(console: Console, error: BaseException, state: str) -> int:
    """Says what happened, how things stand and what to do next; answers the exit code."""
    from icmigrate.errors import IcmigrateError

    cause = first_cause(error)
    if is_interrupt(cause):
        message, hint, code = "interrupted", "Run the same command again: it continues.", INTERRUPTED
    elif isinstance(cause, IcmigrateError):
        message, hint, code = str(cause), cause.hint, cause.exit_code
    elif isinstance(cause, BrokenPipeError):
        # Nobody reads any more; what is still in the buffer must not fail at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INTERRUPTED
    else:
        message = bug(cause)
        hint, code = "Set ICMIGRATE_DEBUG=1 to see where, and report it.", BUG
    if os.environ.get("ICMIGRATE_DEBUG"):
        traceback.print_exception(cause, file=sys.stderr)
    console.error(message, state, hint)
    kind = "Interrupted" if code == INTERRUPTED else type(cause).__name__
    console.result(ok=False, exit_code=code, error=kind, message=message, state=state, hint=hint)
    return code


def bug(error: BaseException) -> str:
    return f"this is a bug in icmigrate: {type(error).__name__}: {error}"


def first_cause(error: BaseException) -> BaseException:
    """The error to report of a group of errors: one that is not a bug, if there is any."""
    from icmigrate.errors import IcmigrateError

    if not isinstance(error, BaseExceptionGroup):
        return error
    causes = [first_cause(inner) for inner in error.exceptions]
    return next((cause for cause in causes if isinstance(cause, IcmigrateError)), causes[0])


def main() -> None:
    """The program `icmigrate`."""
    try:
        code = typer.main.get_command(app).main(prog_name="icmigrate", standalone_mode=False)
    except typer.TyperException as error:
        sys.exit(refuse_arguments(error))
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:
        if os.environ.get("ICMIGRATE_DEBUG"):
            raise
        print(f"error: {bug(error)}", "Set ICMIGRATE_DEBUG=1 to see where.", sep="\n", file=sys.stderr)
        code = BUG
    sys.exit(code or OK)


def refuse_arguments(error: typer.TyperException) -> int:
    """Reports arguments that do not parse; a group without its command shows its help."""
    message = error.format_message()
    if message.startswith("Usage:"):
        print(message)
        return USAGE
    from icmigrate.console.console import Console
    from icmigrate.errors import Usage

    context = getattr(error, "ctx", None)
    path = context.command_path if context else "icmigrate"
    console = Console(json_lines="--json" in sys.argv[1:])
    return fail(console, Usage(message, hint=f"`{path} --help` shows what it takes."), "Nothing was done.")


# ---- the embedded replica --------------------------------------------------------------------------

UNCHANGED = "Nothing was changed."


@command(replica_app, "start", state="The replica was not started.")
def replica_start(
    session: Session,
    port: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, max=65535, help="Where to listen; 0: any free port [default: as last time]."),
    ] = None,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay until Ctrl-C or SIGTERM.")] = False,
) -> Outcome:
    """Start the embedded replica, unless it runs."""
    from icmigrate.networks import embedded

    if foreground:
        embedded.serve(session.state_dir, port, lambda info: session.progress.note("the replica listens", **vars(info)))
        return Outcome({"running": False}, lambda people: people.say("the replica has stopped"))
    return about_replica(embedded.start(session.state_dir, port))


@command(replica_app, "stop", state="The replica may still run.")
def replica_stop(session: Session) -> Outcome:
    """Stop the embedded replica; its state stays."""
    from icmigrate.networks import embedded

    stopped = embedded.stop(session.state_dir)
    words = "the replica has stopped" if stopped else "no replica was running"
    return Outcome({"running": False, "stopped": stopped}, lambda people: people.say(words))


@command(replica_app, "status", state=UNCHANGED)
def replica_status(session: Session) -> Outcome:
    """Tell whether the replica runs, and where."""
    from icmigrate.networks import embedded

    return about_replica(embedded.running(session.state_dir))


def about_replica(info: DaemonInfo | None) -> Outcome:
    if info is None:
        return Outcome({"running": False}, lambda people: people.say("no replica is running"))
    words = f"the replica listens at {info.url} (process {info.pid})"
    return Outcome({"running": True, **vars(info)}, lambda people: people.say(words))


# ---- the hub ---------------------------------------------------------------------------------------


@command(app, "deploy", state="A hub that exists already is as it was or upgraded; no data is lost.")
async def deploy(session: Session) -> Outcome:
    """Create or upgrade the hub.

    The personal module goes into the hub's Wasm store. Done again, it finds that all is done.
    """
    from icmigrate.commands import views
    from icmigrate.hub import deploy as deployment

    network = await session.network()
    async with session.agent(network) as agent:
        ids, hub = session.ids(network), session.settings.hub
        report = await deployment.deploy(agent, network, ids, hub, session.progress)
    return Outcome(report.model_dump(mode="json"), views.show_deploy(report))


@command(app, "ingest", state="What was sent is kept; the same command sends the rest.")
async def ingest(
    session: Session,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of photos, videos, documents, anything.")],
    capsule: Annotated[
        str | None, typer.Argument(metavar="CAPSULE", help="Its id, or its owner's principal [default: your own].")
    ] = None,
) -> Outcome:
    """Bring a folder of files into a capsule.

    Without a capsule into your own, which is made if there is none. Done again, it sends what is missing.
    """
    from icmigrate.capsule import ingest as ingestion
    from icmigrate.capsule.find import find_capsule
    from icmigrate.commands import views

    ingestion.require_folder(folder)
    async with session.wiring() as wiring:
        given = await find_capsule(wiring.hub, capsule) if capsule else (await wiring.hub.capsules_create()).id
        report = await ingestion.ingest(wiring.hub, given, folder, session.progress, window=wiring.window)
    return Outcome(report.model_dump(mode="json"), views.show_ingest(report))


@command(app, "capsules", state=UNCHANGED)
async def capsules(session: Session) -> Outcome:
    """List the capsules of the hub."""
    from icmigrate.commands import views
    from icmigrate.contract.client import all_pages

    async with session.wiring() as wiring:
        found = [capsule async for capsule in all_pages(wiring.hub.capsules_list)]
    listed = [capsule.model_dump(mode="json") for capsule in found]
    return Outcome({"hub": wiring.hub.canister_id, "capsules": listed}, views.show_capsules(found))


@command(app, "show", state=UNCHANGED)
async def show(session: Session, capsule: CapsuleArgument = None) -> Outcome:
    """Show what a capsule holds and where it lives."""
    from icmigrate.capsule.find import find_capsule, read_capsule
    from icmigrate.commands import views

    async with session.wiring() as wiring:
        detail = await read_capsule(wiring.hub, await find_capsule(wiring.hub, capsule))
    return Outcome(detail.model_dump(mode="json"), views.show_capsule(detail))


# ---- migration -------------------------------------------------------------------------------------


@command(app, "plan", state=UNCHANGED)
async def plan(session: Session, capsule: CapsuleArgument = None) -> Outcome:
    """Quote a migration; spends nothing.

    Tells sizes, calls and cycles, and what stands in its way.
    """
    from icmigrate.capsule.find import find_capsule
    from icmigrate.commands import views
    from icmigrate.errors import PreflightRefused
    from icmigrate.migration.plan import make_plan

    async with session.wiring() as wiring:
        quoted = await make_plan(wiring, await find_capsule(wiring.hub, capsule))
    result = {**quoted.model_dump(mode="json"), "feasible": quoted.feasible}
    return Outcome(result, views.show_plan(quoted), OK if quoted.feasible else PreflightRefused.exit_code)


@command(
    app,
    "migrate",
    state="The capsule is whole: the hub is its home until cut-over. `icmigrate status` shows how far it has come.",
)
async def migrate(session: Session, capsule: CapsuleArgument = None) -> Outcome:
    """Move a capsule into a canister of its own.

    The same command continues after any interruption.
    """
    from icmigrate.capsule.find import find_capsule
    from icmigrate.commands import views
    from icmigrate.migration.migrate import migrate as migrate_capsule

    async with session.wiring() as wiring:
        report = await migrate_capsule(wiring, await find_capsule(wiring.hub, capsule))
    return Outcome(report.model_dump(mode="json"), views.show_migration(report))


@command(app, "status", state=UNCHANGED)
async def status(session: Session, capsule: CapsuleArgument = None) -> Outcome:
    """Tell how far a migration has come."""
    from icmigrate.capsule.find import find_capsule
    from icmigrate.commands import views
    from icmigrate.migration import status as migration_status

    async with session.wiring() as wiring:
        found = await migration_status.status(wiring, await find_capsule(wiring.hub, capsule))
    return Outcome(found.model_dump(mode="json"), views.show_status(found))


@command(app, "verify", state=UNCHANGED)
async def verify(session: Session, capsule: CapsuleArgument = None) -> Outcome:
    """Compare hub and personal canister.

    Compares certified manifests, and everybody's access to everything; names every difference.
    """
    from icmigrate.capsule.find import find_capsule, personal_canister
    from icmigrate.commands import views
    from icmigrate.errors import VerificationDifference
    from icmigrate.proof import verify as verification

    async with session.wiring() as wiring:
        capsule_id = await find_capsule(wiring.hub, capsule)
        personal = wiring.personal(await personal_canister(wiring.hub, capsule_id))
        report = await verification.verify(wiring.hub, personal, capsule_id, wiring.personal_module)
    result = {**report.model_dump(mode="json"), "equal": report.equal}
    return Outcome(result, views.show_verification(report), OK if report.equal else VerificationDifference.exit_code)


@command(app, "check-http", state=UNCHANGED)
async def check_http(session: Session, capsule: CapsuleArgument = None) -> Outcome:
    """Compare the HTTP answers of both canisters."""
    from icmigrate.capsule.find import find_capsule, personal_canister
    from icmigrate.commands import views
    from icmigrate.errors import VerificationDifference
    from icmigrate.migration.phases.check_http import compare_http

    async with session.wiring() as wiring:
        capsule_id = await find_capsule(wiring.hub, capsule)
        canister_id = await personal_canister(wiring.hub, capsule_id)
        report = await compare_http(wiring, capsule_id, canister_id)
    passed = not report.problems
    result = {**report.model_dump(mode="json"), "passed": passed}
    return Outcome(result, views.show_http(report), OK if passed else VerificationDifference.exit_code)


@command(app, "abort", state="`icmigrate status` shows how things stand; the capsule's data is untouched.")
async def abort(session: Session, capsule: CapsuleArgument = None) -> Outcome:
    """Give a migration up before its cut-over.

    The capsule is writable again, and the cycles come back to the hub.
    """
    from icmigrate.capsule.find import find_capsule
    from icmigrate.commands import views
    from icmigrate.migration import abort as abortion

    async with session.wiring() as wiring:
        migration = await abortion.abort(wiring, await find_capsule(wiring.hub, capsule))
    return Outcome(migration.model_dump(mode="json"), views.show_abort(migration))


@command(app, "handoff", state="`icmigrate status` shows how things stand; the same command goes on.")
async def handoff(
    session: Session,
    capsule: CapsuleArgument = None,
    recovery: Annotated[
        str | None, typer.Option("--recovery", metavar="PRINCIPAL", help="One more controller, for emergencies.")
    ] = None,
) -> Outcome:
    """Leave the owner in sole control; irreversible."""
    from icmigrate.capsule.find import as_principal, find_capsule
    from icmigrate.commands import views
    from icmigrate.migration import handoff as handing

    extra = as_principal("--recovery", recovery) if recovery else None
    async with session.wiring() as wiring:
        report = await handing.handoff(wiring, await find_capsule(wiring.hub, capsule), extra)
    return Outcome(report.model_dump(mode="json"), views.show_handoff(report))


# ---- around it -------------------------------------------------------------------------------------


@command(app, "doctor", state=UNCHANGED)
async def doctor(session: Session) -> Outcome:
    """Look for what is wrong, and say what to do."""
    from icmigrate.commands import views
    from icmigrate.commands.checks import examine
    from icmigrate.errors import PreflightRefused

    checks = [check async for check in examine(session)]
    well = all(check.well for check in checks)
    result = {"well": well, "checks": [check.model_dump(mode="json") for check in checks]}
    return Outcome(result, views.show_checks(checks), OK if well else PreflightRefused.exit_code)


@command(app, "demo", state="What was done is kept; the same command continues.")
async def demo(
    session: Session,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="DIR", help="Your files [default: a small set of samples].")
    ] = None,
) -> Outcome:
    """Go the whole way once, with sample files.

    Replica, hub, a capsule full of files, its migration, and URLs to open. Works any number of times.
    """
    from icmigrate.commands import views
    from icmigrate.commands.demonstration import demonstrate

    report = await demonstrate(session, source)
    return Outcome(report.model_dump(mode="json"), views.show_demo(report, session.stop_command()))


if __name__ == "__main__":
    main()
