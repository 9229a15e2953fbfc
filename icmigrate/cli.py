"""The program `icmigrate`: its commands, each under its function's name, in the order of the help."""

from __future__ import annotations

import sys

import typer

from icmigrate.commands import replica
from icmigrate.commands.abort import abort
from icmigrate.commands.capsules import capsules
from icmigrate.commands.check_http import check_http
from icmigrate.commands.demo import demo
from icmigrate.commands.deploy import deploy
from icmigrate.commands.doctor import doctor
from icmigrate.commands.handoff import handoff
from icmigrate.commands.ingest import ingest
from icmigrate.commands.migrate import migrate
from icmigrate.commands.plan import plan
from icmigrate.commands.run import run_program
from icmigrate.commands.show import show
from icmigrate.commands.status import status
from icmigrate.commands.verify import verify

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Moves one user's capsule out of a shared canister into a canister of their own, and proves that it did.",
    epilog="Exit codes: 0 done, 2 usage, 3 refused by preflight, 4 verification difference, 5 network or replica, "
    "6 not authorized, 7 out of cycles, 8 interrupted and resumable, 9 another run holds it; 1 is a bug.",
)
COMMANDS = (deploy, ingest, capsules, show, plan, migrate, status, verify, check_http, abort, handoff, doctor, demo)
for command in COMMANDS:
    app.command()(command)

replica_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The embedded local replica.")
for command in (replica.start, replica.stop, replica.status):
    replica_app.command()(command)
app.add_typer(replica_app, name="replica")


def main() -> None:
    """Runs the program and exits."""
    sys.exit(run_program(app))
