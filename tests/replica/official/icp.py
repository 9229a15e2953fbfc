"""icp, the official command line (Rust agent), in a project and a home of its own."""

from __future__ import annotations

import json
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.processes import Running, run, started
from tests.replica.official.conftest import Daemon

ENVIRONMENT = "here"


def icp_binary(npm_clients: Path) -> Path:
    return npm_clients / "node_modules" / "@icp-sdk" / "icp-cli-linux-x64" / "bin" / "icp"


class Icp:
    """The command in a project of its own, on the replica as a connected network, as the identity `tester`."""

    def __init__(self, npm_clients: Path, folder: Path, replica: Daemon, canisters: list[dict[str, Any]]) -> None:
        self._binary = icp_binary(npm_clients)
        self.folder = folder
        home = folder / "home"
        home.mkdir()
        self.environment = {
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "ICP_TELEMETRY_DISABLED": "1",
            "ICP_ENVIRONMENT": ENVIRONMENT,
            "NO_COLOR": "1",
        }
        project = {
            "networks": [
                {
                    "name": ENVIRONMENT,
                    "mode": "connected",
                    "url": replica.info.url,
                    "root-key": replica.info.root_key,
                }
            ],
            "environments": [{"name": ENVIRONMENT, "network": ENVIRONMENT}],
            "canisters": canisters,
        }
        (folder / "icp.yaml").write_text(json.dumps(project))  # JSON is YAML
        self("identity", "new", "tester", "--storage", "plaintext", "-q")
        self("identity", "default", "tester")

    def __call__(self, *arguments: str, fails: bool = False) -> str:
        """Standard output of a command that has to succeed (or to fail; then standard error)."""
        ended = run([self._binary, *arguments], cwd=self.folder, env=self.environment)
        assert (ended.returncode != 0) == fails, f"icp {' '.join(arguments)}\n{ended.stdout}\n{ended.stderr}"
        return ended.stderr if fails else ended.stdout

    def start(self, *arguments: str) -> AbstractContextManager[Running]:
        """A command that runs on."""
        return started([self._binary, *arguments], cwd=self.folder, env=self.environment)

    def canister(self, *arguments: str, fails: bool = False) -> str:
        """`icp canister ...`"""
        return self("canister", *arguments, fails=fails)

    def json(self, *arguments: str) -> Any:
        """What a command prints with --json."""
        return json.loads(self(*arguments, "--json"))

    def created(self, *arguments: str) -> str:
        """The id of a new canister that belongs to no project."""
        return self.canister("create", "--detached", "-q", *arguments).strip()


def prebuilt(name: str, **fields: object) -> dict[str, Any]:
    """A canister of a project whose module is the file `NAME.wasm`."""
    return {"name": name, "build": {"steps": [{"type": "pre-built", "path": f"{name}.wasm"}]}, **fields}
