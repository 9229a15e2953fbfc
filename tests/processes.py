"""Programs of others and of ours that tests start: each has so long, then it is terminated, killed, and its test fails.

Every program leads a process group of its own, so that what it started ends with it.
"""

from __future__ import annotations

import os
import queue
import select
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

SECONDS = 120.0
"""How long a program may take, unless a test says otherwise."""
GRACE = 10.0
"""How long it may take to end when it is told to."""

Words = Sequence[str | os.PathLike[str]]


class TookTooLong(AssertionError):
    """A program that had to be stopped."""


def run(
    command: Words,
    *,
    seconds: float = SECONDS,
    grace: float = GRACE,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end, whatever its exit code."""
    process = subprocess.Popen(
        command, cwd=cwd, env=env, text=True, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = process.communicate(stdin, timeout=seconds)
    except subprocess.TimeoutExpired:
        how = "was terminated" if end(process, grace) else "ignored SIGTERM and was killed"
        raise TookTooLong(f"{shown(command)} took longer than {seconds:g} s and {how}\n{_left(process)}") from None
    except BaseException:
        _signal(process.pid, signal.SIGKILL)
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def done(command: Words, *, seconds: float = SECONDS, cwd: Path | None = None, stdin: str = "") -> str:
    """What a program prints that has to succeed."""
    ended = run(command, seconds=seconds, cwd=cwd, stdin=stdin)
    assert ended.returncode == 0, f"{shown(command)}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


class Running:
    """A program under way, whose output is read line by line."""

    def __init__(self, process: subprocess.Popen[str], command: Words) -> None:
        assert process.stdout is not None
        self.process, self._command = process, command
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(process.stdout,), daemon=True).start()

    def _read(self, output: IO[str]) -> None:
        with output:
            for line in output:
                self._lines.put(line)
        self._lines.put("")

    def line(self, seconds: float = SECONDS) -> str:
        """The next line of its output, "" after the last."""
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise TookTooLong(f"{shown(self._command)} said nothing for {seconds:g} s") from None
        if not line:
            self._lines.put("")
        return line

    def lines(self) -> Iterator[str]:
        """All that is still to come."""
        while line := self.line():
            yield line

    def ends(self, seconds: float = SECONDS) -> int:
        """Its exit code, when it has ended by itself."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise TookTooLong(f"{shown(self._command)} has not ended after {seconds:g} s") from None


@contextmanager
def started(
    command: Words,
    *,
    grace: float = GRACE,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    with_errors: bool = False,
) -> Iterator[Running]:
    """A program that runs on until the test is done with it, with its standard error as part of its output or not read.

    It ends here if it has not ended yet. It fails the test when it does not obey.
    """
    process = subprocess.Popen(
        command, cwd=cwd, env=env, text=True, start_new_session=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT if with_errors else subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield Running(process, command)
    except BaseException:
        end(process, grace)
        raise
    if not end(process, grace):
        raise TookTooLong(f"{shown(command)} ignored SIGTERM and was killed")


def end(process: subprocess.Popen[str], grace: float = GRACE) -> bool:
    """Ends a process and all that it started; whether it did so when it was told to."""
    obeyed = True
    if process.poll() is None:
        _signal(process.pid, signal.SIGTERM)
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            obeyed = False
    _signal(process.pid, signal.SIGKILL)
    process.wait(grace)
    return obeyed


def gone(pid: int, seconds: float = SECONDS) -> None:
    """Returns when a process has ended; a child of this one is reaped."""
    with suppress(ProcessLookupError, ChildProcessError):
        handle = os.pidfd_open(pid)
        try:
            if not select.select([handle], [], [], seconds)[0]:
                raise TookTooLong(f"process {pid} has not ended after {seconds:g} s")
        finally:
            os.close(handle)
        os.waitpid(pid, os.WNOHANG)


def shown(command: Words) -> str:
    return " ".join(map(str, command))


def _left(process: subprocess.Popen[str]) -> str:
    """What a process said that has ended; somebody else may still hold its pipes."""
    try:
        out, err = process.communicate(timeout=1)
    except subprocess.TimeoutExpired:
        return "(its output is still open)"
    return f"{out}\n{err}"


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)
