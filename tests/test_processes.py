"""A program that hangs fails its test and nothing else: it is terminated, then killed, with all that it started."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.processes import TookTooLong, done, gone, run, started

# Says its process id when it ignores SIGTERM, and that of a child that ignores it too.
DEAF = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = os.fork()
if child:
    print(os.getpid(), child, flush=True)
while True:
    signal.pause()
"""


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_a_program_that_ignores_sigterm_is_killed_with_its_children_and_reported() -> None:
    with (
        pytest.raises(TookTooLong, match="ignored SIGTERM and was killed"),
        started(python(DEAF), grace=0.2) as deaf,
    ):
        processes = [int(word) for word in deaf.line().split()]
    for process in processes:
        gone(process)


def test_a_program_that_takes_too_long_is_killed_and_what_it_said_is_told(tmp_path: Path) -> None:
    with pytest.raises(TookTooLong, match=r"longer than 3 s and ignored SIGTERM and was killed\n\d+ \d+") as told:
        run(python(DEAF), seconds=3, grace=0.2)
    for process in str(told.value).splitlines()[-2].split():
        gone(int(process))


def test_a_program_that_obeys_is_only_terminated() -> None:
    with pytest.raises(TookTooLong, match="and was terminated"):
        run(python("import signal; signal.pause()"), seconds=0.1)
    with started(python("import signal; print('there', flush=True); signal.pause()")) as obedient:
        assert obedient.line() == "there\n"
    assert obedient.process.returncode == -signal.SIGTERM


def test_a_program_that_says_nothing_does_not_keep_its_test_waiting() -> None:
    with (
        started(python("import signal; signal.pause()")) as silent,
        pytest.raises(TookTooLong, match="said nothing"),
    ):
        silent.line(seconds=0.1)


def test_a_program_that_fails_inside_of_a_test_does_not_hide_the_failure() -> None:
    with pytest.raises(ZeroDivisionError), started(python(DEAF), grace=0.1) as deaf:
        deaf.line()
        _ = 1 // 0
    assert deaf.process.returncode == -signal.SIGKILL


def test_what_a_program_says_is_read_to_its_end() -> None:
    with started(python("print('one'); print('two')")) as short:
        assert list(short.lines()) == ["one\n", "two\n"]
        assert short.line() == ""
        assert short.ends() == 0
    assert done(python("print(input())"), stdin="said\n") == "said\n"
    with pytest.raises(AssertionError, match="no, thanks"):
        done(python("raise SystemExit('no, thanks')"))


def test_a_process_that_does_not_end_is_not_waited_for() -> None:
    with pytest.raises(TookTooLong):
        gone(os.getpid(), seconds=0.1)


HANGING = """
import asyncio, os, time

async def test_a_task_that_is_never_done():
    await asyncio.Event().wait()

async def test_a_loop_that_never_ends():
    while True:
        sum(range(1_000))

def test_a_pipe_that_nobody_writes_to():
    os.read(os.pipe()[0], 1)

async def test_the_next_one():
    await asyncio.sleep(0)
"""


def test_a_test_that_hangs_fails_and_the_next_ones_run(tmp_path: Path) -> None:
    (tmp_path / "test_hanging.py").write_text(HANGING)
    configuration = ["-c", str(Path(__file__).parents[1] / "pyproject.toml"), "--rootdir", str(tmp_path)]
    command = [sys.executable, "-m", "pytest", *configuration, "-p", "no:cacheprovider", "--timeout=1", "--tb=line"]
    told = run(command, cwd=tmp_path).stdout
    assert "3 failed, 1 passed" in told.splitlines()[-1], told
