"""@icp-sdk/core, the official JavaScript agent, with every verification on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from icmigrate.protocol.principal import Principal
from tests.replica.official.conftest import CLIENTS, Daemon, foreign_module, run_script


@pytest.fixture(scope="session")
def signer(replica: Daemon) -> Principal:
    """A canister that delegates by canister signatures."""
    return replica.install(foreign_module("signer"))


# Each script, and the canisters that it is given.
SCRIPTS = {
    "core.mjs": ["keeper"],
    "core_state.mjs": ["greeter"],
    "core_signers.mjs": ["greeter", "signer"],
    "core_limits.mjs": ["greeter", "keeper"],
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_official_agent_finds_nothing_wrong(
    npm_clients: Path, replica: Daemon, request: pytest.FixtureRequest, script: str
) -> None:
    canisters = [request.getfixturevalue(name).to_str() for name in SCRIPTS[script]]
    passed = run_script(npm_clients, script, replica.info.url, replica.info.root_key, *canisters)
    checks = re.findall(r"^  async '(.*)'\(\)", (CLIENTS / script).read_text(), re.MULTILINE)
    assert passed.splitlines() == checks
