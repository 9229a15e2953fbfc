"""ic-agent and ic-utils, the official Rust agent, newer than the one in icp: every method of its builders, verified."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from icmigrate.protocol.principal import Principal
from tests.prerequisites import program
from tests.processes import done
from tests.replica.official.conftest import BUILDING, Daemon, built_rarely, cache_folder, digest_of, once

SOURCES = Path(__file__).parent / "rust_client"


@pytest.fixture(scope="module")
def client() -> Path:
    """The program, built once; that takes some minutes of processor time."""
    folder = cache_folder() / f"rust-client-{digest_of([SOURCES])}"
    target, manifest = cache_folder() / "rust-client-target", SOURCES / "Cargo.toml"
    with once(folder) as needed:
        if needed:
            built_rarely()
            options = ["--quiet", "--locked", "--manifest-path", str(manifest), "--target-dir", str(target)]
            done([program("cargo"), "build", *options], seconds=BUILDING)
            shutil.copy(target / "debug" / "rust-client", folder)
            (folder / "installed").touch()
    return folder / "rust-client"


def test_ic_agent_finds_nothing_wrong(replica: Daemon, greeter: Principal, greeter_module: Path, client: Path) -> None:
    info = replica.info
    arguments = [info.url, info.root_key, replica.subnet_id(), greeter.to_str(), str(greeter_module)]
    assert done([client, *arguments]) == "nothing wrong\n"
