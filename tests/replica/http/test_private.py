"""What a replica keeps is its user's alone, and nobody else's process is taken for it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
import wasmtime

from icmigrate.protocol.principal import Principal
from icmigrate.replica import daemon
from icmigrate.replica.daemon import DaemonInfo, ReplicaDaemonError
from icmigrate.replica.wasm.compiler import Compiler
from tests.prerequisites import missing, program
from tests.replica.http.canisters import KEEPER
from tests.replica.http.client import Client, Target


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "project" / "state"
    daemon.stop(tmp_path / "project" / "state")


@pytest.fixture
def lax() -> Iterator[None]:
    """A umask that takes nothing away."""
    before = os.umask(0)
    yield
    os.umask(before)


async def work(info: DaemonInfo) -> Principal:
    """Lets the replica write every kind of file that it has."""
    target = Target(info.url, bytes.fromhex(info.root_key), time.time_ns)
    async with aiohttp.ClientSession() as session:
        client = Client(target, session)
        canister = await client.install(KEEPER)
        await client.update(canister, "set", b"kept")
        await client.manage("upload_chunk", {"canister_id": canister, "chunk": b"chunk"})
        await client.manage("take_canister_snapshot", {"canister_id": canister})
    return canister


async def kept_by(info: DaemonInfo, canister: Principal) -> bytes:
    async with aiohttp.ClientSession() as session:
        return await Client(Target(info.url, bytes.fromhex(info.root_key), time.time_ns), session).query(
            canister, "get"
        )


def open_to_others(folder: Path) -> dict[str, str]:
    """What is in a folder that others may do anything with, and its mode."""
    found = [folder, *folder.rglob("*")]
    return {str(path): oct(path.lstat().st_mode) for path in found if path.lstat().st_mode & 0o077}


def kinds(folder: Path) -> set[str]:
    return {path.relative_to(folder).parts[0] for path in folder.rglob("*") if path.is_file()}


ALL_KINDS = {"keys.cbor", "state.db", "memory", "modules", "chunks", "snapshots", daemon.LOG, daemon.INFO}


def test_whatever_it_writes_in_the_background_is_its_users_alone(folder: Path, lax: None) -> None:
    asyncio.run(work(daemon.start(folder, 0)))
    assert kinds(folder) >= ALL_KINDS
    assert not open_to_others(folder.parent)


def test_whatever_it_writes_in_the_foreground_is_its_users_alone(folder: Path, lax: None) -> None:
    command = [sys.executable, "-m", "icmigrate", "replica", "start", "--foreground", "--json", "--state", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        info = daemon.status(folder / "replica")
        assert info is not None
        asyncio.run(work(info))
        assert not open_to_others(folder)
        process.send_signal(signal.SIGTERM)


def test_what_is_there_already_is_closed_to_others(folder: Path) -> None:
    asyncio.run(work(daemon.start(folder, 0)))
    daemon.stop(folder)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o777 if path.is_dir() else 0o666)
    daemon.start(folder, 0)
    assert not open_to_others(folder)


def test_native_code_that_others_could_put_there_is_not_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    canister = asyncio.run(work(daemon.start(folder, 0)))
    daemon.stop(folder)
    (kept,) = (folder / "compiled").iterdir()
    kept.write_bytes(Compiler().compile(bytes(wasmtime.wat2wasm("(module)")), None).serialize())
    (folder / "compiled").chmod(0o777)
    assert asyncio.run(kept_by(daemon.start(folder, 0), canister)) == b"kept"


def test_a_log_that_is_a_link_is_not_written_to(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "profile").write_text("mine")
    folder.mkdir(parents=True)
    (folder / daemon.LOG).symlink_to(tmp_path / "profile")
    with pytest.raises(ReplicaDaemonError, match="cannot be used"):
        daemon.start(folder, 0)
    assert (tmp_path / "profile").read_text() == "mine"


def test_a_folder_with_a_link_that_another_user_put_there_is_not_served(folder: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only the superuser makes links of others")
    folder.mkdir(parents=True)
    (folder / "state.db").symlink_to(tmp_path / "mine")
    os.lchown(folder / "state.db", 12345, 12345)
    with pytest.raises(ReplicaDaemonError, match="another user's"):
        daemon.start(folder, 0)
    assert not (tmp_path / "mine").exists()


def test_the_secrets_of_whoever_starts_it_are_not_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICMIGRATE_IDENTITY_PEM", "-----BEGIN PRIVATE KEY-----")
    monkeypatch.setenv("ICMIGRATE_DATABASE_URL", "postgresql://user:password@host/database")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    info = daemon.start(folder, 0)
    environment = Path(f"/proc/{info.pid}/environ").read_bytes().split(b"\0")
    names = {line.partition(b"=")[0].decode() for line in environment if line}
    assert {"PATH", "LC_ALL"} <= names
    assert all(name in daemon.ENVIRONMENT or name.startswith("LC_") for name in names)


# ------------------------------------------------------------------------------------------- whose process it is


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with replicas."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def test_a_process_that_only_the_record_names_is_not_ended(folder: Path, stranger: subprocess.Popen[bytes]) -> None:
    info = daemon.start(folder, 0)
    record = (folder / daemon.INFO).read_text()
    (folder / daemon.INFO).write_text(json.dumps({**json.loads(record), "pid": stranger.pid}))
    with pytest.raises(ReplicaDaemonError, match=f"process {stranger.pid}.*is not the one that holds") as refused:
        daemon.stop(folder)
    assert "container" in refused.value.hint
    assert stranger.poll() is None
    (folder / daemon.INFO).write_text(record)
    assert daemon.status(folder) == info


def test_a_folder_held_by_who_is_no_replica_ends_nobody(folder: Path, stranger: subprocess.Popen[bytes]) -> None:
    folder.mkdir(parents=True)
    holds = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    command = [sys.executable, "-c", holds, str(folder / daemon.RUNNING)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        record = {"pid": stranger.pid, "port": 1, "url": "http://127.0.0.1:1", "root_key": "00"}
        (folder / daemon.INFO).write_text(json.dumps(record))
        with pytest.raises(ReplicaDaemonError, match="is not the one that holds"):
            daemon.stop(folder)
        assert stranger.poll() is None and holder.poll() is None
        holder.kill()


STOPS_ELSEWHERE = """
import json, pathlib, subprocess, sys
from icmigrate.replica import daemon
folder = pathlib.Path(sys.argv[1])
with subprocess.Popen(["sleep", "600"]) as stranger:
    record = json.loads((folder / daemon.INFO).read_text())
    (folder / daemon.INFO).write_text(json.dumps({**record, "pid": stranger.pid}))
    try:
        daemon.stop(folder)
    except daemon.ReplicaDaemonError as error:
        print(stranger.poll(), error)
    stranger.kill()
"""


def test_the_number_of_a_process_means_another_one_in_another_container(folder: Path) -> None:
    isolated = [program("unshare"), "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*isolated, "true"], capture_output=True).returncode:
        missing("this machine makes no process namespaces")
    info = daemon.start(folder, 0)
    record = (folder / daemon.INFO).read_text()
    run = subprocess.run(
        [*isolated, sys.executable, "-c", STOPS_ELSEWHERE, str(folder)], capture_output=True, text=True, timeout=60
    )
    assert run.stdout.startswith("None The replica of") and "is not the one that holds" in run.stdout, run.stderr
    (folder / daemon.INFO).write_text(record)
    assert daemon.status(folder) == info
