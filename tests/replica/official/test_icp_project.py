"""icp on projects: two canisters written in Motoko with settings and arguments, built, deployed, synchronised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.replica.official.conftest import Daemon, compile_motoko
from tests.replica.official.icp import Icp

SETTINGS: dict[str, Any] = {
    "compute_allocation": 1,
    "memory_allocation": "64mib",
    "freezing_threshold": "40d",
    "reserved_cycles_limit": "1t",
    "wasm_memory_limit": "1gib",
    "wasm_memory_threshold": "512mib",
    "log_memory_limit": "64kib",
    "log_visibility": "public",
    "environment_variables": {"MOOD": "fine"},
}


def greeter(name: str, **fields: Any) -> dict[str, Any]:
    copy = f'cp {name}.wasm "$ICP_WASM_OUTPUT_PATH"'
    return {"name": name, "build": {"steps": [{"type": "script", "commands": [copy]}]}, **fields}


@pytest.fixture(scope="module")
def icp(npm_clients: Path, replica: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Icp:
    folder = tmp_path_factory.mktemp("project")
    compile_motoko(npm_clients, "enhanced", "greeter.mo", folder, "one", "two")
    sync = {"steps": [{"type": "script", "command": "icp canister call one count '()' > synced"}]}
    one = greeter("one", init_args='("Hello")', settings=SETTINGS, sync=sync)
    return Icp(npm_clients, folder, replica, [one, greeter("two", init_args='("Hi")')])


@pytest.fixture(scope="module")
def deployed(icp: Icp, npm_clients: Path) -> dict[str, str]:
    """The ids of the project's canisters. The script that synchronises calls icp itself."""
    icp.environment["PATH"] += f":{npm_clients / 'node_modules/@icp-sdk/icp-cli-linux-x64/bin'}"
    canisters = icp.json("deploy", "-y", "--cycles", "60t")["canisters"]
    return {canister["name"]: canister["canister_id"] for canister in canisters}


def test_what_has_to_be_known_of_the_project_is_told(icp: Icp, replica: Daemon) -> None:
    assert "MOOD" in icp("project", "show")
    assert "here" in icp("network", "list").split() and "here" in icp("environment", "list").split()
    assert icp.json("network", "status", "here")["root_key"] == replica.info.root_key
    assert "healthy" in icp("network", "ping", "here", "--wait-healthy")


def test_a_deployed_project_has_its_settings_arguments_and_variables(icp: Icp, deployed: dict[str, str]) -> None:
    assert icp.json("canister", "list") == {"canisters": ["one", "two"]}
    assert icp.canister("status", "-i").split() == [deployed["one"], deployed["two"]]
    assert '"Hello, you!"' in icp.canister("call", "one", "greet", '("you")')
    assert '"Hi, you!"' in icp.canister("call", "two", "greet", '("you")', "--query")
    settings = icp.json("canister", "status", "one")["settings"]
    assert settings["compute_allocation"] == "1"
    assert settings["memory_allocation"] == f"{64 << 20:_}"
    assert settings["freezing_threshold"] == f"{40 * 86_400:_}"
    assert settings["reserved_cycles_limit"] == f"{10**12:_}"
    assert settings["wasm_memory_limit"] == f"{1 << 30:_}"
    assert settings["log_visibility"] == {"type": "Public"}
    assert '"fine"' in icp.canister("call", "one", "variable", '("MOOD")')
    assert deployed["two"] in icp.canister("call", "one", "variable", '("PUBLIC_CANISTER_ID:two")')
    assert (icp.folder / "synced").read_text().startswith("(1 : nat)")


def test_deploying_again_upgrades_and_keeps_the_state(icp: Icp, deployed: dict[str, str]) -> None:
    before = icp.canister("call", "two", "count", "()")
    icp("deploy", "-y", "two")
    assert before == "(1 : nat)\n" and icp.canister("call", "two", "count", "()") == "(2 : nat)\n"
    icp("deploy", "-y", "two", "--mode", "reinstall", "--args", '("Hi")')
    assert icp.canister("call", "two", "count", "()") == "(1 : nat)\n"
    icp("sync", "one")
    assert (icp.folder / "synced").read_text() == "(2 : nat)\n"


def test_settings_that_were_changed_are_set_back(icp: Icp, deployed: dict[str, str]) -> None:
    icp.canister("settings", "update", "one", "--freezing-threshold", "1d", "-f")
    icp.canister("settings", "sync", "one")
    assert f"Freezing threshold: {40 * 86_400:_}" in icp.canister("settings", "show", "one")


def test_an_environment_without_enough_cycles_is_told_so(icp: Icp) -> None:
    refused = icp.canister("create", "--detached", "--compute-allocation", "1", "--cycles", "2t", fails=True)
    assert "Cannot increase compute allocation to 1 due to insufficient cycles" in refused


# Arguments of `canister call` for the greeter, and what it prints.
CALLS: dict[str, tuple[list[str], str]] = {
    "query": (["version", "()", "--query"], '("one")'),
    "query as an update": (["version", "()"], '("one")'),
    "candid": (["greet", '("you")', "-o", "candid"], '("Hello, you!")'),
    "hex in and out": (["version", "4449444c0000", "--args-format", "hex", "-o", "hex"], "4449444c000171036f6e65"),
    "composite query": (["greetBy", '(principal "TWO", "you")', "--query"], ', you!")'),
    "arguments of a file": (["deliver", "--args-file", "deliver.txt"], "sum = 3 : int"),
    "an interface of a file": (["version", "()", "--candid", "greeter.did"], '("one")'),
    "a big reply": (["big", "(1_000_000)", "--query", "-o", "hex"], "07" * 1000),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_can_be_made_in_many_ways(icp: Icp, deployed: dict[str, str], name: str) -> None:
    (icp.folder / "deliver.txt").write_text(
        '(record { street = "Main Street"; number = 5 : nat8; city = opt "Bern" }, vec { 4 : int; -1 : int })'
    )
    (icp.folder / "greeter.did").write_text(icp.canister("metadata", "one", "candid:service"))
    arguments, printed = CALLS[name]
    assert printed in icp.canister("call", "one", *(given.replace("TWO", deployed["two"]) for given in arguments))


def test_what_a_canister_refuses_is_told(icp: Icp, deployed: dict[str, str]) -> None:
    assert "IC0503" in icp.canister("call", "one", "fail", '("why")', fails=True)
    assert "IC0527" in icp.canister("call", "one", "greetBy", f'(principal "{deployed["two"]}", "you")', fails=True)
    assert "IC0536" in icp.canister("call", "one", "missing", "()", fails=True)
    assert "IC0301" in icp.canister("call", "uxrrr-q7777-77774-qaaaq-cai", "missing", "()", fails=True)


def test_a_message_signed_elsewhere_is_submitted(icp: Icp, deployed: dict[str, str]) -> None:
    own = icp("identity", "principal").strip()
    for arguments, answer in ((["greet", '("you")'], '("Hi, you!")'), (["whoami", "()", "--query"], own)):
        icp.canister("call", deployed["two"], *arguments, "--sign-only", f"{arguments[0]}.json")
        icp("message", "send", f"{arguments[0]}.json", "--dry-run")
        assert answer in icp("message", "send", f"{arguments[0]}.json", "-y")


def test_logs_are_filtered_and_followed(icp: Icp, deployed: dict[str, str]) -> None:
    for _ in range(3):
        icp.canister("call", "one", "count", "()")
    records = icp.json("canister", "logs", "one")["log_records"]
    second = records[1]
    index, timestamp = second["index"], second["timestamp"]

    def told(*options: str) -> list[int]:
        found = json.loads(icp.canister("logs", "one", "--json", *options))
        return [record["index"] for record in found["log_records"]]

    everything = [record["index"] for record in records]
    assert told() == everything
    assert told("--since-index", str(index)) == everything[1:]
    assert told("--until-index", str(index)) == everything[:1]
    assert told("--since", str(timestamp)) == everything[1:]
    assert told("--until", str(timestamp)) == everything[:1]
    with icp.start("canister", "logs", "one", "--follow", "--interval", "1") as following:
        shown = [following.line() for _ in everything]
        icp.canister("call", "one", "count", "()")
        assert "counted to" in following.line() and all(shown)
        following.process.kill()  # It does not always end when it is told to.
