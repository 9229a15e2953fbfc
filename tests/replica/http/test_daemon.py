"""The replica as a background process of a state folder."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from icmigrate.protocol import cbor
from icmigrate.replica import daemon
from icmigrate.replica.daemon import DaemonInfo, ReplicaDaemonError
from tests.processes import gone


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "state"
    daemon.stop(tmp_path / "state")


async def root_key(url: str) -> bytes:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/api/v2/status") as answer:
        status = cbor.loads(await answer.read())
        assert isinstance(status, dict)
        key = status["root_key"]
        assert isinstance(key, bytes)
        return key


def test_it_answers_when_start_returns_and_is_gone_when_stop_returns(folder: Path) -> None:
    assert daemon.status(folder) is None and not daemon.stop(folder)
    info = daemon.start(folder, 0)
    assert asyncio.run(root_key(info.url)).hex() == info.root_key
    assert daemon.status(folder) == info
    assert daemon.stop(folder)
    assert daemon.status(folder) is None
    with pytest.raises(ProcessLookupError):
        gone(info.pid)
        os.kill(info.pid, 0)


def test_files_in_the_current_folder_are_not_taken_for_its_own_modules(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ic", "queue", "secrets"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('this is another module')")
    monkeypatch.chdir(tmp_path)
    assert daemon.status(folder) is None
    assert asyncio.run(root_key(daemon.start(folder, 0).url))


def test_a_second_start_answers_the_running_one_also_at_the_same_moment(folder: Path) -> None:
    found: list[DaemonInfo] = []
    starts = [threading.Thread(target=lambda: found.append(daemon.start(folder, 0)), daemon=True) for _ in range(3)]
    for start in starts:
        start.start()
    for start in starts:
        start.join(60)
    assert len(found) == 3 and len(set(found)) == 1


def test_a_killed_one_is_not_taken_for_running_and_keys_survive(folder: Path) -> None:
    first = daemon.start(folder, 0)
    os.kill(first.pid, signal.SIGKILL)
    gone(first.pid)
    assert (folder / daemon.INFO).exists() and daemon.status(folder) is None
    second = daemon.start(folder, 0)
    assert second.pid != first.pid and second.root_key == first.root_key


def test_what_prevents_a_start_is_told(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ReplicaDaemonError, match=str(port)):
            daemon.start(folder, port)
    assert daemon.status(folder) is None


def test_the_folder_of_a_running_one_is_not_served_twice(folder: Path) -> None:
    daemon.start(folder, 0)
    with pytest.raises(ReplicaDaemonError, match="running already"):
        daemon.run(folder, 0, lambda info: None)


def test_its_record_says_where_it_is_and_keeps_no_secret(folder: Path) -> None:
    daemon.start(folder, 0)
    record = json.loads((folder / daemon.INFO).read_text())
    assert set(record) == {"pid", "port", "url", "root_key", "allowed_hosts"}


def test_a_start_right_after_a_kill_starts_anew(folder: Path) -> None:
    for _ in range(3):
        killed = daemon.start(folder, 0)
        os.kill(killed.pid, signal.SIGKILL)
        assert daemon.start(folder, 0).pid != killed.pid


def test_a_replica_that_is_stuck_ends_nevertheless(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = daemon.start(folder, 0)
    os.kill(info.pid, signal.SIGSTOP)
    monkeypatch.setattr(daemon, "STOP_SECONDS", 0.1)
    with pytest.raises(ReplicaDaemonError, match="does not end"):
        daemon.stop(folder)
    os.kill(info.pid, signal.SIGCONT)
    gone(info.pid)
    assert daemon.status(folder) is None


def test_a_replica_ends_when_its_folder_is_deleted(folder: Path) -> None:
    info = daemon.start(folder, 0)
    shutil.rmtree(folder)
    gone(info.pid)


def test_a_replica_ends_when_another_folder_takes_the_place_of_its_own(folder: Path) -> None:
    first = daemon.start(folder, 0)
    shutil.rmtree(folder)
    second = daemon.start(folder, 0)
    gone(first.pid)
    assert daemon.status(folder) == second
    assert asyncio.run(root_key(second.url)).hex() == second.root_key


@pytest.mark.parametrize("name", ["state.db", "keys.cbor"])
def test_a_damaged_file_is_named(folder: Path, name: str) -> None:
    daemon.start(folder, 0)
    daemon.stop(folder)
    (folder / name).write_bytes(b"damaged" * 1000)
    with pytest.raises(ReplicaDaemonError, match=f"{name} is damaged") as refused:
        daemon.start(folder, 0)
    assert refused.value.hint == daemon.UNREADABLE
    assert "Traceback" not in (folder / daemon.LOG).read_text()


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ReplicaDaemonError, match="cannot be used"):
        daemon.start(tmp_path / "file", 0)
    (tmp_path / "state" / "state.db").mkdir(parents=True)
    with pytest.raises(ReplicaDaemonError, match="cannot be used"):
        daemon.start(tmp_path / "state", 0)
