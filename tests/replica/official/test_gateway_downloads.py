"""curl downloads a large file whose parts an official library certifies: whole, in ranges, and taken up again."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.prerequisites import program
from tests.processes import done
from tests.replica.official.asset_router import AssetRouter
from tests.replica.official.conftest import Daemon

FILE = random.Random(12).randbytes(12_000_000)
PART = 2_000_000
"""Bytes of a part that the library certifies."""


@pytest.fixture(scope="module")
def router(replica: Daemon) -> AssetRouter:
    router = AssetRouter.install(replica)
    router.publish({"/file.bin": ("application/x-file", FILE), "/small.txt": ("text/plain", b"small")})
    return router


def curl(url: str, *options: str) -> tuple[str, dict[str, str]]:
    """The status that curl saw, and the headers by lower-case name."""
    host = url.split("/")[2].split(":")[0]
    port = url.split("/")[2].split(":")[1]
    command = [program("curl"), "-sS", "-D", "-", "--resolve", f"{host}:{port}:127.0.0.1", *options, url]
    status, *lines = done(command).strip().splitlines()
    headers = (line.partition(": ") for line in lines)
    return status.split()[1], {name.lower(): value for name, _, value in headers}


def test_the_whole_file_comes_as_one_answer(router: AssetRouter, tmp_path: Path) -> None:
    status, headers = curl(f"{router.url}/file.bin", "-o", str(tmp_path / "file"))
    assert (status, headers["content-length"], headers["content-type"]) == ("200", "12000000", "application/x-file")
    assert "content-range" not in headers
    assert (tmp_path / "file").read_bytes() == FILE


@pytest.mark.parametrize("part", [0, 1, 5])
def test_a_range_is_the_part_that_the_canister_certifies_for_it(router: AssetRouter, tmp_path: Path, part: int) -> None:
    first = part * PART
    status, headers = curl(f"{router.url}/file.bin", "-o", str(tmp_path / "part"), "-r", f"{first}-")
    assert (status, headers["content-range"]) == ("206", f"bytes {first}-{first + PART - 1}/12000000")
    assert (tmp_path / "part").read_bytes() == FILE[first : first + PART]


def test_a_small_file_needs_no_parts(router: AssetRouter, tmp_path: Path) -> None:
    status, headers = curl(f"{router.url}/small.txt", "-o", str(tmp_path / "file"))
    assert (status, headers["content-length"]) == ("200", "5")
    assert (tmp_path / "file").read_bytes() == b"small"


def test_a_download_is_taken_up_part_by_part(router: AssetRouter, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(FILE[:PART])
    for part in range(1, 6):
        status, _ = curl(f"{router.url}/file.bin", "-o", str(file), "-C", "-")
        assert status == "206" and file.stat().st_size == (part + 1) * PART
    assert file.read_bytes() == FILE
