"""The replica as a background process of one state folder.

Whether it runs is told by a file lock that the process holds as long as it lives, so a killed one is never
taken for a running one. `replica.json` beside it says where it listens; it is written when requests are
answered and not before.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import http.client
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from icmigrate.errors import NetworkError
from icmigrate.replica.storage.errors import StateDamaged, StateInUse, StateUnknown

INFO, RUNNING, STARTING, LOG = "replica.json", "running.lock", "starting.lock", "replica.log"
STOP_SECONDS = 60.0
START_SECONDS = 30.0
END_SECONDS = 15.0
ANSWER_SECONDS = 2.0


class ReplicaDaemonError(NetworkError):
    """The background process could not be started or stopped."""

    hint = "Remove the cause and run the same command again."


UNREADABLE = "Name another folder with --state, or remove this one; then its canisters are lost."


@dataclass(frozen=True)
class DaemonInfo:
    """A running replica: its process, and where it listens. `root_key` is DER in hex."""

    pid: int
    port: int
    url: str
    root_key: str


def start(state_dir: Path, port: int) -> DaemonInfo:
    """The replica of `state_dir`, started in the background unless it runs already (then wherever it listens).

    Returns when it answers requests. Raises ReplicaDaemonError with the reason when it cannot start.
    """
    with _usable(state_dir), _held(state_dir / STARTING):  # a second start waits here until the first one is done
        deadline = time.monotonic() + START_SECONDS
        while _is_held(state_dir / RUNNING):  # by one that runs, or one that is just ending or being started
            info = _recorded(state_dir)
            if info is not None and _answers(info):
                return info
            if time.monotonic() > deadline:
                raise ReplicaDaemonError(f"Another process holds {state_dir} and does not answer.")
            time.sleep(0.05)
        return _spawn(state_dir, port)


def run(state_dir: Path, port: int, on_ready: Callable[[DaemonInfo], None]) -> None:
    """Serves in this process until SIGTERM or SIGINT. Raises ReplicaDaemonError when it cannot start."""
    # Slow to import, not needed to start and stop.
    from icmigrate.replica.http.connections import CannotListen
    from icmigrate.replica.server import RunningReplica, serve

    with _usable(state_dir), (state_dir / RUNNING).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ReplicaDaemonError(f"A replica of {state_dir} is running already.") from None

        def ready(running: RunningReplica) -> None:
            info = DaemonInfo(os.getpid(), running.port, running.url, running.root_key.hex())
            partial = state_dir / f"{INFO}.partial"
            partial.write_text(json.dumps(asdict(info)))
            partial.replace(state_dir / INFO)
            on_ready(info)

        try:
            asyncio.run(serve(state_dir, port, ready, _end_in_time))
        except (CannotListen, StateInUse) as error:
            raise ReplicaDaemonError(str(error)) from error
        except (StateUnknown, StateDamaged) as error:
            raise ReplicaDaemonError(str(error), hint=UNREADABLE) from error
        finally:
            _forget(state_dir)


def status(state_dir: Path) -> DaemonInfo | None:
    """The running replica of this folder, or None. What a killed one left behind is recognised as such."""
    info = _recorded(state_dir)
    if info is None:
        return None
    # A killed process holds its lock until its memory is freed, but answers no more. A busy one may be slow.
    return info if _answers(info) or _is_held(state_dir / RUNNING) else None


def _recorded(state_dir: Path) -> DaemonInfo | None:
    """What the process that holds this folder wrote about itself."""
    if not _is_held(state_dir / RUNNING):
        return None
    try:
        return DaemonInfo(**json.loads((state_dir / INFO).read_text()))
    except FileNotFoundError:  # it is being started, or just ended
        return None


def _forget(state_dir: Path) -> None:
    """Takes this process's own record away; another folder in the place of a deleted one has another's."""
    with contextlib.suppress(FileNotFoundError):
        if json.loads((state_dir / INFO).read_text())["pid"] == os.getpid():
            (state_dir / INFO).unlink()


def _answers(info: DaemonInfo) -> bool:
    """Whether the replica itself, not whoever has its port now, answers soon."""
    connection = http.client.HTTPConnection("127.0.0.1", info.port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/api/v2/status")
        return bytes.fromhex(info.root_key) in connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _end_in_time() -> None:
    """What a killed process loses nothing by is also good for one that cannot end: something is stuck in it."""
    timer = threading.Timer(END_SECONDS, os._exit, [0])
    timer.daemon = True
    timer.start()


def stop(state_dir: Path) -> bool:
    """Ends the replica of this folder and waits until its process is gone; False when none was running."""
    info = status(state_dir)
    if info is None:
        return False
    with contextlib.suppress(ProcessLookupError):  # it ended in between
        os.kill(info.pid, signal.SIGTERM)
    gone = threading.Thread(target=_wait_for, args=(state_dir / RUNNING,), daemon=True)
    gone.start()
    gone.join(STOP_SECONDS)
    if gone.is_alive():
        raise ReplicaDaemonError(f"The replica (process {info.pid}) does not end.")
    return True


def _spawn(state_dir: Path, port: int) -> DaemonInfo:
    reader, writer = os.pipe()
    # -P: what lies in the current folder is not imported.
    command = [sys.executable, "-P", "-m", "icmigrate.replica.daemon", str(state_dir), str(port), str(writer)]
    with os.fdopen(reader) as report, (state_dir / LOG).open("a") as log:
        try:
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(writer,),
                start_new_session=True,
            )
        finally:
            os.close(writer)
        line = report.readline()  # ends when the child reports, or when it dies
    if not line:
        raise ReplicaDaemonError(f"The replica ended while starting; see {state_dir / LOG}.")
    message = json.loads(line)
    if "error" in message:
        raise ReplicaDaemonError(message["error"], hint=message["hint"])
    return DaemonInfo(**message)


def _is_held(path: Path) -> bool:
    try:
        with path.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _wait_for(path: Path) -> None:
    with path.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)


@contextmanager
def _usable(state_dir: Path) -> Iterator[None]:
    """Makes the folder; raises ReplicaDaemonError when it or something in it cannot be written."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        yield
    except (OSError, sqlite3.OperationalError) as error:
        raise ReplicaDaemonError(f"The folder {state_dir} cannot be used: {error}") from error


@contextmanager
def _held(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _report(pipe: IO[str], message: dict[str, object]) -> None:
    pipe.write(json.dumps(message) + "\n")
    pipe.close()


def main(arguments: list[str]) -> int:
    """What the child process does: serve, and report once through the pipe that it was given."""
    parser = argparse.ArgumentParser(prog="icmigrate.replica.daemon")
    parser.add_argument("state_dir", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("report", type=int, help="file descriptor of the pipe to report to")
    options = parser.parse_args(arguments)
    report = os.fdopen(options.report, "w")
    os.set_inheritable(options.report, False)
    try:
        run(options.state_dir, options.port, lambda info: _report(report, asdict(info)))
    except ReplicaDaemonError as error:
        print(error, file=sys.stderr, flush=True)
        if not report.closed:
            _report(report, {"error": str(error), "hint": error.hint})
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
