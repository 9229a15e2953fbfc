"""The program `icmigrate` as a subprocess, in a folder with a replica and a hub of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from icmigrate.contract.records import PrincipalPerson
from icmigrate.hub.client import HubClient
from icmigrate.hub.deploy import HUB
from icmigrate.networks import embedded
from icmigrate.networks.canister_ids import CanisterIds
from icmigrate.networks.network import connect
from icmigrate.protocol.identity import Ed25519Identity
from icmigrate.settings.identity_choice import choose_identity
from tests.processes import Running, run, started

PROGRAM = Path(sys.executable).with_name("icmigrate")

Line = dict[str, Any]

# Tests that were started in the background ignore SIGINT, and so would the programs that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Shell:
    """A folder in which commands are run as one identity."""

    folder: Path
    identity: Path | None = None

    def command(self, *arguments: object) -> list[str]:
        identity = ["--identity", str(self.identity)] if self.identity else []
        return [str(PROGRAM), *map(str, arguments), *identity]

    def plain(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Runs a command as a person would, without a terminal."""
        return run(self.command(*arguments), cwd=self.folder, env=environment())

    def lines(self, *arguments: object, code: int = 0) -> list[Line]:
        """Runs a command with JSON lines; its exit code must be `code`, its last line the result."""
        ended = self.plain(*arguments, "--json")
        assert ended.returncode == code, ended.stdout + ended.stderr
        lines = [json.loads(line) for line in ended.stdout.splitlines()]
        assert [line["event"] for line in lines].count("result") == 1
        assert lines[-1]["event"] == "result"
        assert lines[-1]["ok"] == (code == 0)
        return lines

    def result(self, *arguments: object, code: int = 0) -> Line:
        return self.lines(*arguments, code=code)[-1]

    def start(self, *arguments: object) -> AbstractContextManager[Running]:
        """Starts a command with JSON lines."""
        return started(self.command(*arguments, "--json"), cwd=self.folder, env=environment())


def environment() -> dict[str, str]:
    """The environment without settings of whoever runs the tests."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ICMIGRATE_")}
    return kept | {key: value for key in ("ICMIGRATE_WASM_DIR",) if (value := os.environ.get(key))}


@pytest.fixture(scope="session")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Whoever deployed the hub, on a replica that runs as long as the tests do."""
    shell = Shell(tmp_path_factory.mktemp("operator"))
    shell.result("replica", "start")
    try:
        shell.result("deploy")
        yield shell
    finally:
        shell.result("replica", "stop")


@pytest.fixture
def owner(operator: Shell, tmp_path: Path) -> Shell:
    """Somebody new, with no rights but on a capsule that the operator has made and invited."""
    key = tmp_path / "owner.pem"
    identity = Ed25519Identity.generate()
    key.write_text(identity.to_pem())
    asyncio.run(let_in(operator.folder / ".icmigrate", identity))
    return Shell(operator.folder, key)


async def let_in(state_dir: Path, identity: Ed25519Identity) -> None:
    """What an operator does for somebody new."""
    network = embedded.as_network(embedded.start(state_dir))
    hub_id = CanisterIds(state_dir, network).get(HUB)
    assert hub_id is not None
    async with await connect(network, choose_identity(None, network, state_dir)) as agent:
        hub = HubClient(agent, hub_id)
        capsule = await hub.capsules_create(PrincipalPerson(principal=identity.sender().to_str()))
        await hub.migration_invite(capsule.id)


@pytest.fixture
def stranger(operator: Shell, tmp_path: Path) -> Shell:
    """Somebody whom nobody has let in."""
    key = tmp_path / "stranger.pem"
    key.write_text(Ed25519Identity.generate().to_pem())
    return Shell(operator.folder, key)


@pytest.fixture
def empty(tmp_path: Path) -> Shell:
    """A folder in which nothing has been done yet."""
    return Shell(tmp_path)
