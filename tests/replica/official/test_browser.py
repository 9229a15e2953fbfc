"""A page of a canister in a real browser: loaded by its host name, certified, its script running and calling back."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.replica.http.http_canisters import certified_canister
from tests.replica.official.conftest import Daemon

PAGE = b"""<!doctype html>
<title>before</title>
<p id=place>nothing yet</p>
<script>
  fetch('/index.html').then(async (again) => {
    const text = await again.text();
    const certified = again.headers.get('IC-Certificate') !== null;
    document.title = `after ${again.status}`;
    document.getElementById('place').textContent =
      `${location.hostname} certified=${certified} same=${text.includes('nothing' + ' yet')}`;
  });
</script>
"""


def browser() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("Chromium is not installed (Debian's package chromium)")
    return found


def test_a_certified_page_loads_and_its_script_reaches_the_canister(replica: Daemon, tmp_path: Path) -> None:
    program = browser()
    canister = replica.install(certified_canister(PAGE)).to_str()
    done = subprocess.run(
        [
            program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            f"--user-data-dir={tmp_path}", "--virtual-time-budget=10000", "--dump-dom",
            f"http://{canister}.localhost:{replica.info.port}/index.html",
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "<title>after 200</title>" in done.stdout, done.stderr
    assert f"{canister}.localhost certified=true same=true" in done.stdout
