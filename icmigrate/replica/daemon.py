"""The replica as a background process of one state folder.

Whether it runs is told by a file lock that the process holds as long as it lives, so a killed one is never
taken for a running one. `replica.json` beside it says where it listens; it is written when requests are
answered and not before. Which process it is, the kernel tells, which knows the holder of a record lock: a number in
a file may by now be another's, or one of another container.

What it writes is its user's alone. It is started with the few variables of the environment that it needs: others may
be secrets, and last as long as it does.
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
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from icmigrate.errors import NetworkError
from icmigrate.replica.storage import private_files
from icmigrate.replica.storage.errors import StateDamaged, StateInUse, StateUnknown

INFO, RUNNING, STARTING, LOG = "replica.json", "running.lock", "starting.lock", "replica.log"
PROCESS = "process.lock"
"""Held by a record lock, which goes when its holder closes the file once: only other processes open it."""
COMPILED = "compiled"
STOP_SECONDS = 60.0
START_SECONDS = 30.0
END_SECONDS = 15.0
ANSWER_SECONDS = 2.0


class ReplicaDaemonError(NetworkError):
    """The background process could not be started or stopped."""

    hint = "Remove the cause and run the same command again."


ELSEWHERE = "End it where it was started: in its container, or by the command that runs it."
ENVIRONMENT = frozenset(
    {
        *("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "XDG_CACHE_HOME"),
        *("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),  # without which some have no Python
    }
)
"""The variables that a background process is started with, besides LC_*."""
UNREADABLE = "Name another folder with --state, or remove this one; then its canisters are lost."


@dataclass(frozen=True)
class DaemonInfo:
    """A running replica: its process, where it listens, and which hosts it answers as besides this machine's own.

    `root_key` is DER in hex.
    """

    pid: int
    port: int
    url: str
    root_key: str
    allowed_hosts: tuple[str, ...] = ()


def start(state_dir: Path, port: int, allowed_hosts: Sequence[str] = ()) -> DaemonInfo:
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
        return _spawn(state_dir, port, allowed_hosts)


def run(state_dir: Path, port: int, on_ready: Callable[[DaemonInfo], None], allowed_hosts: Sequence[str] = ()) -> None:
    """Serves in this process until SIGTERM or SIGINT. Raises ReplicaDaemonError when it cannot start."""
    # Slow to import, not needed to start and stop.
    from icmigrate.replica.http.connections import CannotListen
    from icmigrate.replica.server import RunningReplica, serve
    from icmigrate.replica.storage import compiled_files

    with _usable(state_dir), private_files.private_umask(), _running(state_dir):

        def ready(running: RunningReplica) -> None:
            root_key = running.root_key.hex()
            info = DaemonInfo(os.getpid(), running.port, running.url, root_key, tuple(allowed_hosts))
            private_files.write_text(state_dir / INFO, json.dumps(asdict(info)))
            on_ready(info)

        try:
            compiled_files.discard_unsafe(state_dir / COMPILED)
            private_files.tighten(state_dir)
            asyncio.run(serve(state_dir, port, ready, _end_in_time, allowed_hosts=allowed_hosts))
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
        return _info(json.loads((state_dir / INFO).read_text()))
    except FileNotFoundError:  # it is being started, or just ended
        return None


def _info(record: Mapping[str, Any]) -> DaemonInfo:
    return DaemonInfo(**{**record, "allowed_hosts": tuple(record.get("allowed_hosts", ()))})


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
    """Ends the replica of this folder and waits until its process is gone; False when none was running.

    Raises ReplicaDaemonError without a signal to anybody when the process on record does not hold the folder.
    """
    info = status(state_dir)
    if info is None:
        return False
    is_ours = _signal(state_dir, info.pid)
    gone = threading.Thread(target=_wait_for, args=(state_dir / RUNNING,), daemon=True)
    gone.start()
    gone.join(STOP_SECONDS if is_ours else ANSWER_SECONDS)  # one that ended in between lets go of one lock first
    if gone.is_alive() and not is_ours:
        raise ReplicaDaemonError(
            f"The replica of {state_dir} cannot be ended from here: process {info.pid}, which its record names, is not "
            "the one that holds the folder.",
            hint=ELSEWHERE,
        )
    if gone.is_alive():
        raise ReplicaDaemonError(f"The replica (process {info.pid}) does not end.")
    return True


def _signal(state_dir: Path, pid: int) -> bool:
    """Tells the process to end if it is the one that holds the folder; whether it was."""
    with _process(pid) as process:
        is_ours = _holder(state_dir / PROCESS) == pid
        if is_ours and process is not None:
            signal.pidfd_send_signal(process, signal.SIGTERM)
        elif is_ours:
            os.kill(pid, signal.SIGTERM)
    return is_ours


@contextmanager
def _process(pid: int) -> Iterator[int | None]:
    """A descriptor that means this process whoever has its number later; None where there are none, or no process."""
    try:
        process = os.pidfd_open(pid)
    except (AttributeError, OSError):
        yield None
        return
    try:
        yield process
    finally:
        os.close(process)


def _holder(path: Path) -> int | None:
    """The process that holds the record lock of a file, as the kernel numbers it here; None when it is not seen."""
    # `struct flock`: start, length, process, kind, from where; Linux begins with the last two.
    layout, at_kind, at_process = ("hhqqi", 0, 4) if sys.platform == "linux" else ("qqihh", 3, 2)
    fields = [0] * 5
    fields[at_kind] = fcntl.F_WRLCK
    try:
        with path.open("rb") as file:
            answer = struct.unpack(layout, fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(layout, *fields)))
    except FileNotFoundError:
        return None
    return None if answer[at_kind] == fcntl.F_UNLCK or answer[at_process] <= 0 else answer[at_process]


def _spawn(state_dir: Path, port: int, allowed_hosts: Sequence[str]) -> DaemonInfo:
    reader, writer = os.pipe()
    # -P: what lies in the current folder is not imported.
    command = [sys.executable, "-P", "-m", "icmigrate.replica.daemon", str(state_dir), str(port), str(writer)]
    command += allowed_hosts
    environment = {name: value for name, value in os.environ.items() if name in ENVIRONMENT or name.startswith("LC_")}
    with os.fdopen(reader) as report, private_files.open_to_append(state_dir / LOG) as log:
        try:
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(writer,),
                env=environment,
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
    return _info(message)


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
        private_files.make_folder(state_dir)
        yield
    except (OSError, sqlite3.OperationalError) as error:
        raise ReplicaDaemonError(f"The folder {state_dir} cannot be used: {error}") from error


@contextmanager
def _held(path: Path) -> Iterator[None]:
    with private_files.open_to_append(path) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _running(state_dir: Path) -> Iterator[None]:
    """Holds the folder as the one replica of it, and as this process."""
    with private_files.open_to_append(state_dir / RUNNING) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ReplicaDaemonError(f"A replica of {state_dir} is running already.") from None
        with private_files.open_to_append(state_dir / PROCESS) as process:
            fcntl.lockf(process, fcntl.LOCK_EX)
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
    parser.add_argument("allowed_hosts", nargs="*", help="hosts to answer as, besides this machine's own")
    options = parser.parse_args(arguments)
    report = os.fdopen(options.report, "w")
    os.set_inheritable(options.report, False)
    try:
        run(options.state_dir, options.port, lambda info: _report(report, asdict(info)), options.allowed_hosts)
    except ReplicaDaemonError as error:
        print(error, file=sys.stderr, flush=True)
        if not report.closed:
            _report(report, {"error": str(error), "hint": error.hint})
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
