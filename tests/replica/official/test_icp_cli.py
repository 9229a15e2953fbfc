"""icp, the official command line (Rust agent), on a connected network: everything that it does with a canister."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from icmigrate.protocol.leb128 import encode_unsigned
from tests.replica.http.canisters import KEEPER
from tests.replica.official.conftest import Daemon
from tests.replica.official.icp import Icp, prebuilt


@pytest.fixture(scope="module")
def icp(npm_clients: Path, replica: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Icp:
    folder = tmp_path_factory.mktemp("icp")
    section = b"\x10icp:public hello" + b"world"
    (folder / "keeper.wasm").write_bytes(KEEPER + b"\0" + encode_unsigned(len(section)) + section)
    return Icp(npm_clients, folder, replica, [prebuilt("keeper")])


def test_a_canister_lives_its_whole_life(icp: Icp) -> None:
    assert "healthy" in icp("network", "ping", "here")
    icp("build")
    icp.canister("create", "keeper")
    assert "Running" in icp.canister("status", "keeper")
    icp.canister("install", "keeper")
    icp("deploy")
    icp.canister("call", "keeper", "log", '("hello")')
    assert '"hello"' in icp.canister("call", "keeper", "get", "()", "--query")
    assert "0x4449444c" in icp.canister("logs", "keeper")
    assert "IC0503" in icp.canister("call", "keeper", "fail", '("why")', fails=True)
    assert "world" in icp.canister("metadata", "keeper", "hello")

    icp.canister("settings", "update", "keeper", "--freezing-threshold", "40d", "--add-controller", "aaaaa-aa", "-f")
    shown = icp.canister("settings", "show", "keeper")
    assert "3_456_000" in shown and "aaaaa-aa" in shown
    icp.canister("top-up", "keeper", "--amount", "5t")
    assert "cycles" in icp("cycles", "balance")
    icp("cycles", "transfer", "1t", "2vxsx-fae")

    icp.canister("stop", "keeper")
    assert "Stopped" in icp.canister("status", "keeper")
    canister_id = icp.canister("status", "keeper", "--id-only").strip()
    icp.canister("delete", "keeper")
    assert "not found" in icp("canister", "status", canister_id, fails=True)


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
    assert "not found" in icp("canister", "status", "rkp4c-7iaaa-aaaaa-aaaca-cai", fails=True)
    assert "Controllers" in icp("canister", "status", foreign)  # what is public about it
    assert "control" in icp("canister", "stop", foreign, fails=True)
