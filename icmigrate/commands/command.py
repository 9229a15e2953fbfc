"""Makes a function a command of the program: it gets the options that all have, and ends with an exit code.

Arguments and options of its own it declares by `Argument` and `Option` from here, without knowing Typer.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from typer import Argument as Argument
from typer import Exit
from typer import Option as Option

from icmigrate.commands.outcome import Outcome
from icmigrate.commands.run import run_command

COMMON: dict[str, Any] = {
    "network": Annotated[str | None, Option("--network", help="embedded (default), dfx, icp, ic or an http(s) URL.")],
    "identity": Annotated[
        str | None, Option("--identity", help="A PEM file, or the name of a dfx or icp-cli identity.")
    ],
    "hub": Annotated[str | None, Option("--hub", help="The hub's canister id.")],
    "state_dir": Annotated[
        str | None, Option("--state", help="Folder of replica, ids and database [default: .icmigrate].")
    ],
    "json": Annotated[bool | None, Option("--json", help="JSON lines on stdout, the last one the result.")],
}
"""The options of every command; their names are keys of the settings."""

CapsuleArgument = Annotated[
    str | None, Argument(metavar="CAPSULE", help="Its id, or its owner's principal.", show_default=False)
]

ModuleOption = Annotated[
    str | None, Option("--module", metavar="SHA256", help="The personal module to trust [default: this release's].")
]
UrlsOption = Annotated[bool, Option("--urls", help="Show a URL for each original; whoever has one may fetch it.")]

UNCHANGED = "Nothing was changed."
"""The state in which a command that only reads leaves things."""


def command(state: str) -> Callable[[Callable[..., Awaitable[Outcome] | Outcome]], Callable[..., None]]:
    """Adds the common options to a function that takes a session; shows its outcome or its error, and exits.

    `state` says how things stand when the command did not come to its end.
    """

    def wrap(function: Callable[..., Awaitable[Outcome] | Outcome]) -> Callable[..., None]:
        # `Session` is imported only where a command runs: its name means nothing here.
        signature = inspect.signature(function, locals={"Session": object}, eval_str=True)
        own = [parameter for parameter in signature.parameters.values() if parameter.name != "session"]
        keyword = inspect.Parameter.KEYWORD_ONLY
        common = [inspect.Parameter(key, keyword, default=None, annotation=kind) for key, kind in COMMON.items()]

        @functools.wraps(function)
        def run(**given: Any) -> None:
            flags = {key: given.pop(key) for key in COMMON}
            raise Exit(run_command(functools.partial(function, **given), flags, state))

        del run.__wrapped__  # its own signature is the one to read
        run.__signature__ = signature.replace(parameters=[*own, *common], return_annotation=None)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *common]}
        return run

    return wrap
