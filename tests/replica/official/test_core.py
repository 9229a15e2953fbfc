"""@icp-sdk/core, the official JavaScript agent, with every verification on."""

from __future__ import annotations

import subprocess
from pathlib import Path

from icmigrate.protocol.principal import Principal
from tests.replica.official.conftest import Daemon


def test_the_official_agent_finds_nothing_wrong(npm_clients: Path, replica: Daemon, keeper: Principal) -> None:
    done = subprocess.run(
        ["node", "core.mjs", replica.info.url, replica.info.root_key, keeper.to_str()],
        cwd=npm_clients,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 9
