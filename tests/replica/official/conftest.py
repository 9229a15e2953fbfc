"""Official clients, installed from their registry into a cache folder, and a replica in a process of its own."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from icmigrate.protocol import candid
from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import Principal
from icmigrate.replica import daemon
from icmigrate.replica.daemon import DaemonInfo
from tests.prerequisites import missing, program
from tests.processes import done, run
from tests.replica.http.canisters import KEEPER
from tests.replica.http.client import Client, Target

CLIENTS = Path(__file__).parent / "clients"
CANISTERS = Path(__file__).parent / "canisters"
BUILD = Path(__file__).parents[3] / "scripts/build-foreign-canisters"
NO_RUST = 69
INSTALLING, BUILDING = 600, 1500
"""Seconds that the first use of a client or of a canister may take."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test that uses a client or a canister may have to build it."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(INSTALLING + BUILDING))


def cache_folder() -> Path:
    """Where what was installed or built for these tests stays."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "icmigrate"


@contextmanager
def once(folder: Path) -> Iterator[bool]:
    """Whether a folder has yet to be filled, which nobody else does meanwhile; who fills it puts `installed` in it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not (folder / "installed").exists()


def npm_packages(manifest: Path, *options: str) -> Path:
    """A folder with the packages of a package.json installed; that is done once."""
    npm = program("npm")
    program("node")
    content = manifest.read_bytes()
    folder = cache_folder() / f"npm-{hashlib.sha256(content).hexdigest()[:16]}"
    with once(folder) as needed:
        if needed:
            (folder / "package.json").write_bytes(content)
            done([npm, "install", "--no-audit", "--no-fund", "--silent", *options], seconds=INSTALLING, cwd=folder)
            (folder / "installed").touch()
    return folder


@pytest.fixture(scope="session")
def npm_clients() -> Path:
    """A folder with the packages of clients/package.json installed, and our scripts beside them."""
    folder = npm_packages(CLIENTS / "package.json")
    with once(folder):
        for script in CLIENTS.glob("*.[cm]js"):
            if not (folder / script.name).exists() or (folder / script.name).read_bytes() != script.read_bytes():
                shutil.copy(script, folder)
    return folder


def built_rarely() -> None:
    """Skips the test that would have to build what takes long, unless all is to be built."""
    if not os.environ.get("ICMIGRATE_ALL_FOREIGN"):
        pytest.skip("it takes long to build: ICMIGRATE_ALL_FOREIGN=1 has it built")
    if os.environ.get("ICMIGRATE_NO_RUST"):
        missing("Rust is not to be used here")


def foreign_module(name: str) -> bytes:
    """The module of a canister in canisters/; the first use of it builds it, which takes a minute or two."""
    rare = "\nrare = true" in (CANISTERS / name / "Cargo.toml").read_text()
    built = run([BUILD, name], seconds=BUILDING, env=os.environ | ({"ICMIGRATE_NO_RUST": "1"} if rare else {}))
    if rare and built.returncode == NO_RUST:
        built_rarely()
        built = run([BUILD, name], seconds=BUILDING)
    if built.returncode == NO_RUST:
        missing("there is no Rust here to build canisters of public crates with")
    assert built.returncode == 0, built.stderr
    return Path(built.stdout.strip()).read_bytes()


def run_script(folder: Path, script: str, *arguments: object) -> str:
    """What one of our scripts beside the official packages prints; it has to succeed."""
    return done(["node", script, *map(str, arguments)], seconds=300, cwd=folder)


def digest_of(paths: Iterable[Path], *words: str) -> str:
    """A name for what is made of these files, and of the files in these folders, in the way that `words` say."""
    digest = hashlib.sha256("\n".join(words).encode())
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(f"\n{file.name} {file.stat().st_size}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def compile_motoko(npm_clients: Path, persistence: str, program: str, folder: Path, *versions: str) -> None:
    """Puts the modules VERSION.wasm of a program in clients/motoko into the folder. Each is compiled once."""
    source = CLIENTS / "motoko" / program
    made_of = [source.parent, CLIENTS / "motoko.mjs", CLIENTS / "package.json"]
    modules = cache_folder() / "motoko" / digest_of(made_of, persistence, program, *versions)
    with once(modules) as needed:
        if needed:
            run_script(npm_clients, "motoko.mjs", persistence, source, modules, *versions)
            (modules / "installed").touch()
    for version in versions:
        shutil.copy(modules / f"{version}.wasm", folder)


@dataclass(frozen=True)
class Daemon:
    """A replica in a process of its own."""

    info: DaemonInfo

    def subnet_id(self) -> str:
        """The id of the one subnet, as text."""
        return Principal.self_authenticating(bytes.fromhex(self.info.root_key)).to_str()

    def target(self) -> Target:
        return Target(self.info.url, bytes.fromhex(self.info.root_key), time.time_ns)

    def run(self, use: Any) -> Any:
        """What `use(client)` returns, with a client of this replica."""

        async def main() -> Any:
            async with aiohttp.ClientSession(auto_decompress=False) as session:
                return await use(Client(self.target(), session))

        return asyncio.run(main())

    def install(self, module: bytes, arg: bytes = b"") -> Principal:
        canister_id: Principal = self.run(lambda client: client.install(module, arg=arg))
        return canister_id


@pytest.fixture(scope="session")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("replica")
    yield Daemon(daemon.start(folder, 0))
    daemon.stop(folder)


@pytest.fixture(scope="session")
def keeper(replica: Daemon) -> Principal:
    return replica.install(KEEPER)


@pytest.fixture(scope="session")
def greeter_module(npm_clients: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Motoko canister with an interface of its own."""
    folder = tmp_path_factory.mktemp("greeter")
    compile_motoko(npm_clients, "enhanced", "greeter.mo", folder, "one", "two")
    return folder / "one.wasm"


@pytest.fixture(scope="session")
def greeter(replica: Daemon, greeter_module: Path) -> Principal:
    return replica.install(greeter_module.read_bytes(), candid.encode([T.Text], ["Hello"]))
