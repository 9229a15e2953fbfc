"""The command line's help, and the README that repeats it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli
import typer

from icmigrate import errors
from icmigrate.cli import app
from icmigrate.commands.command import COMMON
from icmigrate.settings.config import Settings
from tests.processes import run

README = (Path(__file__).parents[2] / "README.md").read_text()
SLOW = {"dbos", "wasmtime", "rich", "pydantic", "aiohttp", "PIL", "sqlalchemy", "ic", "cryptography", "asyncio.run"}


def commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


ALL = dict(commands(typer.main.get_command(app), "icmigrate"))


def usage(path: str, command: Any) -> str:
    """The command with its own arguments and options as the README writes them."""
    words = [path]
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            words.append(parameter.metavar if parameter.required else f"[{parameter.metavar}]")
        elif parameter.name not in COMMON and parameter.name != "help":
            value = "" if parameter.is_flag else f" {parameter.metavar}"
            words.append(f"[{parameter.opts[0]}{value}]")
    return " ".join(words)


def test_the_readme_lists_every_command_with_its_arguments_and_help() -> None:
    lines = dict(re.findall(r"^(icmigrate .*?) +# (.*)$", README, re.MULTILINE))
    wanted = {usage(path, command): command.help.split("\n")[0] for path, command in ALL.items()}
    assert lines == wanted


def test_the_readme_lists_every_exit_code() -> None:
    documented = {int(code) for code in re.findall(r"^\| (\d+) \| ", README, re.MULTILINE)}
    tree = [errors.IcmigrateError]
    for kind in tree:
        tree += kind.__subclasses__()
    assert documented == {0} | {kind.exit_code for kind in tree}


def test_the_readme_lists_every_setting_in_a_file_that_parses() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    keys = {field.alias or name for name, field in Settings.model_fields.items()}
    assert tomli.loads(block).keys() == keys


@pytest.mark.parametrize("path", ALL)
def test_every_command_has_the_common_options_and_help_for_each_parameter(path: str) -> None:
    parameters = {parameter.name: parameter for parameter in ALL[path].params}
    assert parameters.keys() >= COMMON.keys()
    assert all(parameter.help for parameter in parameters.values())


@pytest.mark.parametrize("arguments", [["--help"], ["migrate", "--help"], ["replica", "start", "--help"]])
def test_help_imports_nothing_slow(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        "from icmigrate.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    ended = run([sys.executable, "-c", program, *arguments])
    assert ended.returncode == 0, ended.stderr
    assert "Usage: icmigrate" in ended.stdout
    assert not SLOW & set(ended.stderr.split()) - ({"pydantic"} if len(arguments) > 1 else set())
