"""`icmigrate replica start`, `stop` and `status`: the embedded replica of the state folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from icmigrate.commands.command import UNCHANGED, Option, command
from icmigrate.commands.outcome import Outcome

if TYPE_CHECKING:
    from icmigrate.commands.session import Session
    from icmigrate.replica.daemon import DaemonInfo


@command(state="The replica was not started.")
def start(
    session: Session,
    port: Annotated[
        int | None,
        Option(metavar="N", min=0, max=65535, help="Where to listen; 0: any free port [default: as last time]."),
    ] = None,
    foreground: Annotated[bool, Option("--foreground", help="Stay until Ctrl-C or SIGTERM.")] = False,
    allow_host: Annotated[
        list[str] | None,
        Option(metavar="NAME", help="Answer as this host too, and to its pages; repeatable.", show_default=False),
    ] = None,
) -> Outcome:
    """Start the embedded replica, unless it runs."""
    from icmigrate.networks import embedded

    if foreground:
        embedded.serve(
            session.state_dir,
            port,
            lambda info: session.progress.note("the replica listens", **vars(info)),
            allow_host or (),
        )
        return Outcome({"running": False}, lambda people: people.say("the replica has stopped"))
    return _outcome(embedded.start(session.state_dir, port, allow_host or ()))


@command(state="The replica may still run.")
def stop(session: Session) -> Outcome:
    """Stop the embedded replica; its state stays."""
    from icmigrate.networks import embedded

    stopped = embedded.stop(session.state_dir)
    words = "the replica has stopped" if stopped else "no replica was running"
    return Outcome({"running": False, "stopped": stopped}, lambda people: people.say(words))


@command(state=UNCHANGED)
def status(session: Session) -> Outcome:
    """Tell whether the replica runs, and where."""
    from icmigrate.networks import embedded

    return _outcome(embedded.running(session.state_dir))


def _outcome(info: DaemonInfo | None) -> Outcome:
    if info is None:
        return Outcome({"running": False}, lambda people: people.say("no replica is running"))
    words = f"the replica listens at {info.url} (process {info.pid})"
    return Outcome({"running": True, **vars(info)}, lambda people: people.say(words))
