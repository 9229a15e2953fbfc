"""`icmigrate` in processes that are forked off one which has imported everything: each begins at once."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [__name__, "icmigrate.cli", "icmigrate.migration.migrate", "icmigrate.engine.engine", "icmigrate.commands.session"]
)


def started(arguments: Sequence[object], environment: Mapping[str, str], errors: Path) -> BaseProcess:
    """The program under way, its standard error in a file."""
    process = _FORKS.Process(target=_run, args=([*map(str, arguments)], dict(environment), errors), daemon=True)
    process.start()
    return process


def _run(arguments: list[str], environment: dict[str, str], errors: Path) -> None:
    os.environ.update(environment)
    with Path(os.devnull).open("wb") as nowhere, errors.open("wb") as file:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["icmigrate", *arguments]
    runpy.run_module("icmigrate", run_name="__main__", alter_sys=True)
