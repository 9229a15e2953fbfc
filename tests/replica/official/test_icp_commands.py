"""Every command of icp: what shows here that it works, or why it has nothing to do with the replica."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.processes import done
from tests.replica.official.icp import icp_binary

LOCAL = "works on files of the project or of the user only"
STARTS = "starts, stops or updates a network of its own; the replica is one to connect to"
NOT_HERE = "needs what a local network does not have"

# fmt: off
COMMANDS = {
    "build": "test_icp_cli.py",
    "canister call": "test_icp_project.py, test_icp_canister.py (--proxy)",
    "canister create": "test_icp_canister.py",
    "canister delete": "test_icp_canister.py",
    "canister install": "test_icp_canister.py",
    "canister link": LOCAL,
    "canister list": "test_icp_project.py",
    "canister logs": "test_icp_project.py",
    "canister metadata": "test_icp_cli.py, test_icp_project.py",
    "canister migrate-id": f"{NOT_HERE}: a second subnet, the migration canister",
    "canister settings show": "test_icp_project.py",
    "canister settings update": "test_icp_canister.py",
    "canister settings sync": "test_icp_project.py",
    "canister snapshot create": "test_icp_canister.py",
    "canister snapshot delete": "test_icp_canister.py",
    "canister snapshot download": "test_icp_cli.py, test_icp_canister.py",
    "canister snapshot list": "test_icp_canister.py",
    "canister snapshot restore": "test_icp_canister.py",
    "canister snapshot upload": "test_icp_cli.py, test_icp_canister.py",
    "canister start": "test_icp_cli.py",
    "canister status": "test_icp_canister.py",
    "canister stop": "test_icp_cli.py",
    "canister top-up": "test_icp_canister.py",
    "completions": LOCAL,
    "cycles balance": "test_icp_canister.py",
    "cycles mint": "test_icp_cycles.py",
    "cycles transfer": "test_icp_cycles.py",
    "deploy": "test_icp_project.py",
    "environment list": "test_icp_project.py",
    "identity account-id": LOCAL,
    "identity default": LOCAL,
    "identity delegation request": "test_icp_identity.py",
    "identity delegation sign": "test_icp_identity.py",
    "identity delegation use": "test_icp_identity.py",
    "identity delete": LOCAL,
    "identity export": LOCAL,
    "identity import": "test_icp_identity.py",
    "identity link hsm": f"{NOT_HERE}: a hardware key",
    "identity link web": f"{NOT_HERE}: a site of Internet Identity and a person who logs in",
    "identity list": LOCAL,
    "identity new": "test_icp_identity.py",
    "identity principal": "test_icp_identity.py",
    "identity reauth": f"{NOT_HERE}: a site of Internet Identity",
    "identity rename": LOCAL,
    "message send": "test_icp_project.py",
    "network list": "test_icp_project.py",
    "network ping": "test_icp_project.py",
    "network start": STARTS,
    "network status": "test_icp_project.py",
    "network stop": STARTS,
    "network update": STARTS,
    "new": LOCAL,
    "project show": "test_icp_project.py",
    "settings": LOCAL,
    "sync": "test_icp_project.py",
    "token balance": "test_icp_cycles.py",
    "token transfer": "test_icp_cycles.py",
    "token approve": "test_icp_cycles.py",
    "token allowance": "test_icp_cycles.py",
}
# fmt: on


def commands(binary: Path, *group: str) -> Iterator[str]:
    """The commands that the help texts name, those of groups in full."""
    told = done([binary, *group, "-h"])
    listed = re.search(r"^Commands:\n((?: .*\n)+)", told, re.MULTILINE)
    if listed is None:
        yield " ".join(group)
        return
    for name in re.findall(r"^  (\S+)", listed[1], re.MULTILINE):
        if name != "help":
            yield from commands(binary, *group, name)


def test_no_command_is_forgotten(npm_clients: Path) -> None:
    assert sorted(commands(icp_binary(npm_clients))) == sorted(COMMANDS)


def test_each_test_that_is_named_runs_the_command() -> None:
    for command, where in COMMANDS.items():
        for file in re.findall(r"test_\w+\.py", where):
            text = (Path(__file__).parent / file).read_text()
            assert all(f'"{word}"' in text for word in command.split() if word != "canister"), f"{command}: {where}"
