"""icp on canisters that belong to no project: creation, settings, installation, snapshots, calls through a proxy."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from icmigrate.protocol.leb128 import encode_unsigned
from tests.replica.http.canisters import KEEPER
from tests.replica.official.conftest import Daemon, compile_motoko, foreign_module
from tests.replica.official.icp import Icp

OTHER = "uxrrr-q7777-77774-qaaaq-cai"
DAY = 86_400


def padded(module: bytes, size: int) -> bytes:
    """The module with a custom section of `size` bytes that do not compress."""
    section = b"\x03pad" + random.Random(size).randbytes(size)
    return module + b"\0" + encode_unsigned(len(section)) + section


@pytest.fixture(scope="module")
def icp(npm_clients: Path, replica: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Icp:
    folder = tmp_path_factory.mktemp("canisters")
    compile_motoko(npm_clients, "enhanced", "greeter.mo", folder, "one", "two")
    modules = {"keeper": KEEPER, "compressed": gzip.compress(KEEPER), "big": padded(KEEPER, 3_000_000)}
    for name, module in modules.items():
        (folder / f"{name}.wasm").write_bytes(module)
    return Icp(npm_clients, folder, replica, [])


def shown(icp: Icp, canister_id: str) -> dict[str, Any]:
    """The settings, as `canister status` prints them."""
    settings: dict[str, Any] = icp.json("canister", "status", canister_id)["settings"]
    return settings


# fmt: off
CREATION: list[tuple[list[str], str, object]] = [
    (["--controller", "aaaaa-aa", "--controller", "2vxsx-fae", "--controller", "OWN"], "controllers",
     ["OWN", "aaaaa-aa", "2vxsx-fae"]),
    (["--compute-allocation", "1", "--cycles", "60t"], "compute_allocation", "1"),
    (["--memory-allocation", "2.5kib"], "memory_allocation", "2_560"),
    (["--freezing-threshold", "2w"], "freezing_threshold", f"{14 * DAY:_}"),
    (["--reserved-cycles-limit", "3t"], "reserved_cycles_limit", "3_000_000_000_000"),
]

SETTINGS: list[tuple[list[str], str, object]] = [
    (["--add-controller", OTHER, "--add-controller", "aaaaa-aa"], "controllers", ["OWN", "aaaaa-aa", OTHER]),
    (["--remove-controller", OTHER], "controllers", ["OWN", "aaaaa-aa"]),
    (["--remove-all-controllers", "--add-controller", "OWN"], "controllers", ["OWN"]),
    (["--compute-allocation", "0"], "compute_allocation", "0"),
    (["--memory-allocation", "5mib"], "memory_allocation", "5_242_880"),
    (["--freezing-threshold", "1000"], "freezing_threshold", "1_000"),
    (["--reserved-cycles-limit", "6t"], "reserved_cycles_limit", "6_000_000_000_000"),
    (["--wasm-memory-limit", "4gib"], "wasm_memory_limit", "4_294_967_296"),
    (["--wasm-memory-threshold", "1gib"], "wasm_memory_threshold", "1_073_741_824"),
    (["--log-memory-limit", "2mib"], "log_memory_limit", "2_097_152"),
    (["--log-visibility", "public"], "log_visibility", {"type": "Public"}),
    (["--set-log-viewer", OTHER], "log_visibility", {"type": "AllowedViewers", "value": [OTHER]}),
    (["--add-log-viewer", "2vxsx-fae", "--remove-log-viewer", OTHER], "log_visibility",
     {"type": "AllowedViewers", "value": ["2vxsx-fae"]}),
    (["--snapshot-visibility", "public"], "snapshot_visibility", {"type": "Public"}),
    (["--set-snapshot-viewer", OTHER], "snapshot_visibility", {"type": "AllowedViewers", "value": [OTHER]}),
    (["--status-visibility", "public"], "status_visibility", {"type": "Public"}),
    (["--set-status-viewer", OTHER], "status_visibility", {"type": "AllowedViewers", "value": [OTHER]}),
    (["--add-environment-variable", "A=1", "--add-environment-variable", "B=2"], "environment_variables",
     [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]),
    (["--remove-environment-variable", "A"], "environment_variables", [{"name": "B", "value": "2"}]),
]
# fmt: on


@pytest.fixture(scope="module")
def settled(icp: Icp) -> str:
    return icp.created()


def own(icp: Icp, given: Any) -> Any:
    """`given` with OWN replaced by the principal of the identity."""
    return json.loads(json.dumps(given).replace("OWN", icp("identity", "principal").strip()))


@pytest.mark.parametrize(("options", "setting", "value"), CREATION, ids=lambda given: str(given)[:40])
def test_a_canister_is_created_with_a_setting(icp: Icp, options: list[str], setting: str, value: object) -> None:
    assert equal(shown(icp, icp.created(*own(icp, options)))[setting], own(icp, value))


@pytest.mark.parametrize(("options", "setting", "value"), SETTINGS, ids=lambda given: str(given)[:40])
def test_a_setting_is_changed(icp: Icp, settled: str, options: list[str], setting: str, value: object) -> None:
    icp.canister("settings", "update", settled, "-f", *own(icp, options))
    assert equal(shown(icp, settled)[setting], own(icp, value))


def equal(left: Any, right: Any) -> bool:
    """Whether both are the same; the order of principals is the replica's own."""
    principals = isinstance(left, list) and all(isinstance(item, str) for item in left)
    return bool(sorted(left) == sorted(right) if principals else left == right)


def test_the_subnet_can_be_chosen(icp: Icp, replica: Daemon) -> None:
    assert icp.created("--subnet", replica.subnet_id())
    assert "aaaaa-aa" in icp.canister("create", "--detached", "--subnet", "aaaaa-aa", fails=True)


def test_icp_pays_for_a_canister(icp: Icp) -> None:
    canister_id = icp.created("--with-icp", "1", "--identity", "anonymous")
    status = icp.json("canister", "status", canister_id, "--identity", "anonymous")
    assert status["settings"]["controllers"] == ["2vxsx-fae"]
    assert int(status["cycles"].replace("_", "")) > 10**12


@pytest.mark.parametrize("module", ["keeper", "compressed", "big"])
def test_each_mode_installs_what_it_should(icp: Icp, module: str) -> None:
    canister_id = icp.created()

    def install(mode: str, *, fails: bool = False) -> str:
        return icp.canister("install", canister_id, "--wasm", f"{module}.wasm", "--mode", mode, "-y", fails=fails)

    install("auto")
    icp.canister("call", canister_id, "set", '("kept")')
    assert "IC0514" in install("install", fails=True)
    install("reinstall")
    assert icp.canister("call", canister_id, "get", "()", "--query", "-o", "hex").strip() == ""
    install("upgrade")
    install("auto")


def test_the_heap_of_a_motoko_canister_outlives_an_upgrade_and_can_be_thrown_away(icp: Icp) -> None:
    canister_id = icp.created()
    icp.canister("install", canister_id, "--wasm", "one.wasm", "--args", '("Hello")', "-y")

    def counted_after(*options: str) -> str:
        icp.canister("call", canister_id, "count", "()")
        icp.canister("install", canister_id, "--wasm", "two.wasm", "--args", '("Hello")', "-y", *options)
        assert '"two"' in icp.canister("call", canister_id, "version", "()", "--query")
        return icp.canister("call", canister_id, "count", "()").strip()

    assert counted_after() == "(2 : nat)"
    assert counted_after("--mode", "upgrade", "--wasm-memory-persistence", "keep") == "(4 : nat)"
    assert counted_after("--mode", "upgrade", "--wasm-memory-persistence", "replace") == "(1 : nat)"
    icp.canister("install", canister_id, "--wasm", "keeper.wasm", "--mode", "reinstall", "-y")


def test_who_may_see_the_status_sees_it_and_others_what_is_public(icp: Icp) -> None:
    canister_id = icp.created()
    icp.canister("install", canister_id, "--wasm", "keeper.wasm")
    own = icp("identity", "principal").strip()
    icp("identity", "new", "stranger", "--storage", "plaintext", "-q")

    def told(*options: str) -> dict[str, Any]:
        status: dict[str, Any] = icp.json("canister", "status", canister_id, *options)
        return status

    assert told()["settings"] and "settings" not in told("--identity", "stranger")
    for public in (told("--identity", "stranger"), told("--public"), told("--identity", "anonymous")):
        assert public["controllers"] == [own] and public["module_hash"] == told()["module_hash"]
    icp.canister("settings", "update", canister_id, "--status-visibility", "public", "-f")
    assert told("--identity", "stranger")["settings"] == told()["settings"]
    assert "control" in icp.canister("stop", canister_id, "--identity", "stranger", fails=True)


def test_cycles_of_a_deleted_canister_come_back_or_are_burned(icp: Icp) -> None:
    def balance() -> int:
        return int(icp("cycles", "balance", "-q").strip().replace("_", "").split()[0])

    recovered, burned = icp.created("--cycles", "5t"), icp.created("--cycles", "5t")
    icp.canister("top-up", recovered, "--amount", "5t")
    for canister_id in (recovered, burned):
        icp.canister("stop", canister_id)
    before = balance()
    icp.canister("delete", recovered)
    between = balance()
    assert between - before > 9 * 10**12
    icp.canister("delete", burned, "--no-recover-cycles")
    assert balance() == between


def snapshots(icp: Icp, canister_id: str) -> list[str]:
    return [found["snapshot_id"] for found in icp.json("canister", "snapshot", "list", canister_id)["snapshots"]]


def test_snapshots_are_replaced_and_carried_to_another_canister(icp: Icp, tmp_path: Path) -> None:
    first, second = icp.created(), icp.created()
    for canister_id in (first, second):
        icp.canister("install", canister_id, "--wasm", "one.wasm", "--args", '("Hello")')
        icp.canister("stop", canister_id)
    taken = icp.canister("snapshot", "create", first, "-q").strip()
    newer = icp.canister("snapshot", "create", first, "-q", "--replace", taken).strip()
    assert snapshots(icp, first) == [newer]
    folder = str(tmp_path / "snapshot")
    icp.canister("snapshot", "download", first, newer, "-o", folder)
    uploaded = icp.canister("snapshot", "upload", second, "-i", folder, "-q").strip()
    uploaded = icp.canister("snapshot", "upload", second, "-i", folder, "-q", "--replace", uploaded).strip()
    icp.canister("snapshot", "restore", second, uploaded)
    icp.canister("start", second)
    assert '"Hello, you!"' in icp.canister("call", second, "greet", '("you")')
    icp.canister("snapshot", "delete", second, uploaded)
    assert snapshots(icp, second) == []


def test_everything_can_be_done_through_a_proxy(icp: Icp) -> None:
    (icp.folder / "proxy.wasm").write_bytes(foreign_module("proxy"))
    proxy = icp.created("--cycles", "60t")
    icp.canister("install", proxy, "--wasm", "proxy.wasm")
    canister_id = icp.created("--proxy", proxy)

    def done(*arguments: str, fails: bool = False) -> str:
        return icp.canister(*arguments, "--proxy", proxy, fails=fails)

    done("install", canister_id, "--wasm", "one.wasm", "--args", '("Hi")', "-y")
    assert done("call", canister_id, "greet", '("you")', "--cycles", "5").strip() == '("Hi, you!")'
    assert f'(principal "{proxy}")' in done("call", canister_id, "whoami", "()")
    done("settings", "update", canister_id, "--freezing-threshold", "1d", "-f")
    assert "86_400" in done("settings", "show", canister_id)
    assert proxy in done("status", canister_id)
    assert "settings" not in icp.json("canister", "status", canister_id)
    done("stop", canister_id)
    snapshot = done("snapshot", "create", canister_id, "-q").strip()
    assert snapshot in done("snapshot", "list", canister_id)
    done("snapshot", "restore", canister_id, snapshot)
    done("snapshot", "delete", canister_id, snapshot)
    done("start", canister_id)
    done("stop", canister_id)
    done("delete", canister_id)
    assert "not found" in done("call", canister_id, "greet", '("you")', fails=True)
