"""@dfinity/agent, the official JavaScript agent under its former name, in its generations."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from icmigrate.protocol.principal import Principal
from tests.replica.official.conftest import CLIENTS, Daemon, npm_packages, run_script

PACKAGES = ["agent", "candid", "identity", "principal"]


@pytest.mark.parametrize("version", ["0.15.7", "0.21.4", "1.4.0", "2.4.1", "3.4.3"])
def test_a_former_generation_finds_nothing_wrong(
    replica: Daemon, greeter: Principal, tmp_path: Path, version: str
) -> None:
    manifest = {"private": True, "dependencies": {f"@dfinity/{name}": version for name in PACKAGES}}
    (tmp_path / "package.json").write_text(json.dumps(manifest))
    folder = npm_packages(tmp_path / "package.json")
    shutil.copy(CLIENTS / "generations.cjs", folder)
    said = run_script(folder, "generations.cjs", replica.info.url, replica.info.root_key, greeter.to_str())
    assert said == "nothing wrong\n"
