"""icp-py-core, as it comes from the package index, in an environment of its own and with verification on."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from icmigrate.protocol.principal import Principal
from tests.processes import done
from tests.replica.official.conftest import CLIENTS, INSTALLING, Daemon, cache_folder, once

# It cannot read what newer versions of cbor2 make of tagged answers.
REQUIREMENTS = ["icp-py-core==2.3.1", "cbor2<6", "httpx[http2]", "pyblst"]


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of an environment with the requirements installed; that is done once."""
    digest = hashlib.sha256(f"{sys.version}{REQUIREMENTS}".encode()).hexdigest()[:16]
    folder = cache_folder() / f"python-{digest}"
    interpreter = folder / "bin" / "python"
    with once(folder) as needed:
        if needed:
            done([sys.executable, "-m", "venv", folder])
            done([interpreter, "-m", "pip", "install", "--quiet", *REQUIREMENTS], seconds=INSTALLING)
            (folder / "installed").touch()
    return interpreter


def test_icp_py_core_finds_nothing_wrong(replica: Daemon, greeter: Principal, python: Path) -> None:
    script = CLIENTS / "python" / "icp_py_core.py"
    arguments = [replica.info.url, replica.info.root_key, replica.subnet_id(), greeter.to_str()]
    assert done([python, script, *arguments]) == "nothing wrong\n"
