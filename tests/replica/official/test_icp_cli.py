"""icp, the official command line (Rust agent), on a connected network: everything that it does with a canister."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from icmigrate.protocol.leb128 import encode_unsigned
from tests.replica.http.canisters import KEEPER
from tests.replica.official.conftest import Daemon


class Icp:
    """The command in a project of its own, with an identity of its own."""

    def __init__(self, binary: Path, folder: Path, replica: Daemon) -> None:
        self._binary = binary
        self._folder = folder
        home = folder / "home"
        home.mkdir()
        self._environment = {
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "ICP_TELEMETRY_DISABLED": "1",
            "NO_COLOR": "1",
        }
        section = b"\x10icp:public hello" + b"world"
        module = KEEPER + b"\0" + encode_unsigned(len(section)) + section
        (folder / "keeper.wasm").write_bytes(module)
        (folder / "icp.yaml").write_text(
            "networks:\n"
            f"  - {{name: here, mode: connected, url: {replica.info.url}, root-key: {replica.info.root_key}}}\n"
            "environments:\n"
            "  - {name: here, network: here}\n"
            "canisters:\n"
            "  - {name: keeper, build: {steps: [{type: pre-built, path: keeper.wasm}]}}\n"
        )
        self("identity", "new", "tester", "--storage", "plaintext", "-q")
        self("identity", "default", "tester")

    def __call__(self, *arguments: str, fails: bool = False) -> str:
        """Standard output of a command that has to succeed (or to fail; then standard error)."""
        done = subprocess.run(
            [str(self._binary), *arguments],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode != 0) == fails, f"icp {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stderr if fails else done.stdout

    def canister(self, *arguments: str, fails: bool = False) -> str:
        """`icp canister ...` in the environment."""
        return self("canister", *arguments, "-e", "here", fails=fails)


@pytest.fixture(scope="module")
def icp(npm_clients: Path, replica: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Icp:
    binary = npm_clients / "node_modules" / "@icp-sdk" / "icp-cli-linux-x64" / "bin" / "icp"
    return Icp(binary, tmp_path_factory.mktemp("icp"), replica)


def test_a_canister_lives_its_whole_life(icp: Icp) -> None:
    assert "healthy" in icp("network", "ping", "here")
    icp("build")
    icp.canister("create", "keeper")
    assert "Running" in icp.canister("status", "keeper")
    icp.canister("install", "keeper")
    icp("deploy", "-e", "here")
    icp.canister("call", "keeper", "log", '("hello")')
    assert '"hello"' in icp.canister("call", "keeper", "get", "()", "--query")
    assert "0x4449444c" in icp.canister("logs", "keeper")
    assert "IC0503" in icp.canister("call", "keeper", "fail", '("why")', fails=True)
    assert "world" in icp.canister("metadata", "keeper", "hello")

    icp.canister("settings", "update", "keeper", "--freezing-threshold", "40d", "--add-controller", "aaaaa-aa", "-f")
    shown = icp.canister("settings", "show", "keeper")
    assert "3_456_000" in shown and "aaaaa-aa" in shown
    icp.canister("top-up", "keeper", "--amount", "5t")
    assert "cycles" in icp("cycles", "balance", "-e", "here")
    icp("cycles", "transfer", "1t", "2vxsx-fae", "-e", "here")

    icp.canister("stop", "keeper")
    assert "Stopped" in icp.canister("status", "keeper")
    canister_id = icp.canister("status", "keeper", "--id-only").strip()
    icp.canister("delete", "keeper")
    assert "not found" in icp("canister", "status", canister_id, "-n", "here", fails=True)


def test_snapshots_are_taken_carried_and_restored(icp: Icp, tmp_path: Path) -> None:
    icp.canister("create", "keeper")
    icp.canister("install", "keeper")
    icp.canister("call", "keeper", "set", '("before")')
    icp.canister("stop", "keeper")
    icp.canister("snapshot", "create", "keeper")

    def snapshots() -> list[str]:
        listed = json.loads(icp.canister("snapshot", "list", "keeper", "--json"))
        return [snapshot["snapshot_id"] for snapshot in listed["snapshots"]]

    (taken,) = snapshots()
    icp.canister("snapshot", "download", "keeper", taken, "-o", str(tmp_path / "snapshot"))
    icp.canister("start", "keeper")
    icp.canister("call", "keeper", "set", '("after")')
    icp.canister("stop", "keeper")
    icp.canister("snapshot", "upload", "keeper", "-i", str(tmp_path / "snapshot"))
    (uploaded,) = set(snapshots()) - {taken}
    icp.canister("snapshot", "restore", "keeper", uploaded)
    icp.canister("start", "keeper")
    assert '"before"' in icp.canister("call", "keeper", "get", "()", "--query")
    for snapshot in (taken, uploaded):
        icp.canister("snapshot", "delete", "keeper", snapshot)
    assert snapshots() == []


def test_what_is_not_there_or_not_allowed_is_told(icp: Icp, replica: Daemon) -> None:
    foreign = replica.install(KEEPER).to_str()
    assert "not found" in icp("canister", "status", "rkp4c-7iaaa-aaaaa-aaaca-cai", "-n", "here", fails=True)
    assert "Controllers" in icp("canister", "status", foreign, "-n", "here")  # what is public about it
    assert "control" in icp("canister", "stop", foreign, "-n", "here", fails=True)
