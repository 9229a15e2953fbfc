"""The durable engine: many runs on one, interrupted ones go on where they were, and with nobody else."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from icmigrate.engine.engine import Engine, forget_runs
from icmigrate.errors import DatabaseUnavailable
from icmigrate.progress import Progress
from tests.engine.adding import Adding, sum_up


def url_of(folder: Path) -> str:
    return f"sqlite:///{folder}/engine.sqlite"


def context(folder: Path, name: str) -> Adding:
    (folder / name).mkdir(exist_ok=True)
    return Adding(folder / name)


def interrupt(folder: Path, family: str, *version: str) -> Adding:
    """A run of another process that died in its second step."""
    traces = context(folder, family)
    command = [sys.executable, "-m", "tests.engine.interrupted_run", url_of(folder), family, str(traces.folder)]
    assert subprocess.run([*command, *version], timeout=60).returncode == 9
    assert (traces.times(1), traces.times(2)) == (1, 0)
    return traces


async def test_one_engine_runs_many_side_by_side_in_the_loop_of_who_asks(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    contexts = [context(tmp_path, f"run-{number}") for number in range(5)]
    for adding in contexts:
        adding.loop = loop
    async with Engine(url_of(tmp_path), sum_up) as engine:
        runs = [engine.run(adding.folder.name, adding, Progress(), 4) for adding in contexts]
        assert await asyncio.gather(*runs) == [10] * 5
    assert all(adding.times(number) == 1 for adding in contexts for number in range(1, 5))


async def test_a_closed_engine_leaves_the_loop_as_it_was_and_another_may_be_opened(tmp_path: Path) -> None:
    for number in (1, 2):
        async with Engine(url_of(tmp_path), sum_up) as engine:
            adding = context(tmp_path, f"run-{number}")
            assert await engine.run(adding.folder.name, adding, Progress(), 2) == 3
        assert await asyncio.to_thread(lambda: "threads of its own") == "threads of its own"


async def test_an_interrupted_run_goes_on_at_the_step_it_was_in(tmp_path: Path) -> None:
    traces = interrupt(tmp_path, "interrupted")
    async with Engine(url_of(tmp_path), sum_up) as engine:
        assert await engine.run("interrupted", traces, Progress(), 3) == 6
    assert [traces.times(number) for number in (1, 2, 3)] == [1, 1, 1]


async def test_a_run_that_was_interrupted_over_and_over_still_goes_on(tmp_path: Path) -> None:
    for _ in range(5):
        traces = context(tmp_path, "often")
        command = [sys.executable, "-m", "tests.engine.interrupted_run", url_of(tmp_path), "often", str(traces.folder)]
        assert subprocess.run(command, timeout=60).returncode == 9
    async with Engine(url_of(tmp_path), sum_up) as engine:
        assert await engine.run("often", traces, Progress(), 3) == 6
    assert [traces.times(number) for number in (1, 2, 3)] == [1, 1, 1]


async def test_an_interrupted_run_is_taken_up_by_nobody_who_works_on_something_else(tmp_path: Path) -> None:
    theirs, ours = interrupt(tmp_path, "theirs"), context(tmp_path, "ours")
    async with Engine(url_of(tmp_path), sum_up) as engine:
        for _ in range(3):
            await engine.run("ours", ours, Progress(), 2)
    assert theirs.times(2) == 0
    async with Engine(url_of(tmp_path), sum_up) as engine:
        assert await engine.run("theirs", theirs, Progress(), 3) == 6


async def test_a_run_of_another_version_begins_anew(tmp_path: Path) -> None:
    traces = interrupt(tmp_path, "old", "an earlier version")
    async with Engine(url_of(tmp_path), sum_up) as engine:
        assert await engine.run("old", traces, Progress(), 3) == 6
    assert [traces.times(number) for number in (1, 2, 3)] == [2, 1, 1]


async def test_a_forgotten_run_begins_anew(tmp_path: Path) -> None:
    traces = interrupt(tmp_path, "forgotten")
    await asyncio.to_thread(forget_runs, url_of(tmp_path), "forgotten")
    async with Engine(url_of(tmp_path), sum_up) as engine:
        assert await engine.run("forgotten", traces, Progress(), 3) == 6
    assert traces.times(1) == 2


def test_where_nothing_ever_ran_nothing_is_forgotten_and_nothing_made(tmp_path: Path) -> None:
    forget_runs(url_of(tmp_path), "nothing")
    assert list(tmp_path.iterdir()) == []


async def test_only_its_user_reads_the_database(tmp_path: Path) -> None:
    file = tmp_path / "engine.sqlite"
    file.touch(mode=0o644)
    async with Engine(url_of(tmp_path), sum_up) as engine:
        adding = context(tmp_path, "run")
        await engine.run("run", adding, Progress(), 1)
        modes = {path.name: path.stat().st_mode & 0o077 for path in tmp_path.glob("engine.sqlite*")}
    assert modes and set(modes.values()) == {0}, modes


@pytest.mark.parametrize("place", ["no server", "a folder"])
async def test_a_database_that_cannot_be_opened_is_told_and_another_may_be(tmp_path: Path, place: str) -> None:
    (tmp_path / "folder.sqlite").mkdir()
    url = "postgresql://me:secret@127.0.0.1:1/none" if place == "no server" else f"sqlite:///{tmp_path}/folder.sqlite"
    with pytest.raises(DatabaseUnavailable) as refused:
        async with Engine(url, sum_up):
            pass
    assert "secret" not in str(refused.value)
    async with Engine(url_of(tmp_path), sum_up) as engine:
        adding = context(tmp_path, "run")
        assert await engine.run("run", adding, Progress(), 2) == 3
