"""The state folder: what a commit wrote is there after the process was killed at any moment.

    lock            held by the process that has the folder open
    state.db        SQLite: canisters, ingress, messages, native records, counters; one transaction a message
    memory/         page images and page logs of the canisters (page_files.py)
    modules/        modules as uploaded, by hash; what wasmtime made of them is in `compiled_files.py`
    chunks/         chunks of the Wasm chunk stores, by hash
    snapshots/      memories of snapshots

Files named by hash are written before the transaction that needs them and collected when nothing does. A killed
process loses nothing: the kernel keeps what it wrote. Of the machine's own death the database comes out whole (it
is synced at checkpoints), perhaps some seconds old; page logs and files are checked when they are read.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cbor2 import CBORDecodeError

from icmigrate.protocol.principal import Principal
from icmigrate.replica.state.calls import Ingress, IngressStatus, Message
from icmigrate.replica.state.canister import Canister
from icmigrate.replica.state.code import InstalledModule
from icmigrate.replica.state.subnet_state import SubnetState
from icmigrate.replica.storage import codec
from icmigrate.replica.storage.changes import Changes
from icmigrate.replica.storage.compiled_files import shared_folder
from icmigrate.replica.storage.errors import StateDamaged, StateInUse, StateUnknown
from icmigrate.replica.storage.page_files import PageFiles
from icmigrate.replica.storage.private_files import make_folder

VERSION = 3
DATABASE = "state.db"
_SETTINGS = """
PRAGMA locking_mode=EXCLUSIVE;
PRAGMA journal_mode=WAL;
PRAGMA synchronous=NORMAL;
PRAGMA wal_autocheckpoint=2000;
"""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS counters (id INTEGER PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS canister (id BLOB PRIMARY KEY, record BLOB NOT NULL, module BLOB);
CREATE TABLE IF NOT EXISTS module (hash BLOB PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS ingress (request_id BLOB PRIMARY KEY, record BLOB NOT NULL, message BLOB);
CREATE TABLE IF NOT EXISTS message (id INTEGER PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS native (namespace TEXT, key BLOB, value BLOB NOT NULL, PRIMARY KEY (namespace, key))
    WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Counters:
    """What the subnet counts; `time` is that of the last commit."""

    version: int = VERSION
    time: int = 0
    next_canister: int = 0
    next_message: int = 0
    executed: int = 0
    consumed_by_deleted: int = 0


class Store:
    """The open state folder. The database is used by the event loop's thread alone."""

    def __init__(self, folder: Path | None) -> None:
        self._temporary = None if folder else tempfile.TemporaryDirectory(prefix="icmigrate-replica-")
        self.folder = folder if folder else Path(self._temporary.name)  # type: ignore[union-attr]
        make_folder(self.folder)
        self._lock = _lock(self.folder / "lock")
        self.modules = self._subfolder("modules")
        self.compiled = shared_folder(fallback=self.folder / "compiled")
        self.chunks = self._subfolder("chunks")
        self.snapshots = self._subfolder("snapshots")
        self._memory = self._subfolder("memory")
        self._known_modules: dict[bytes, InstalledModule] = {}
        path = self.folder / DATABASE
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        with _damage_of(path):
            self._database.executescript(_SETTINGS + _SCHEMA)
            version = self._counters().version
        if version != VERSION:
            raise StateUnknown(f"the state in {self.folder} has version {version}, not {VERSION}")

    def _subfolder(self, name: str) -> Path:
        path = self.folder / name
        make_folder(path)
        return path

    def close(self) -> None:
        """Lets go of the folder; a temporary one is deleted."""
        self._database.close()
        self._lock.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    def _counters(self) -> Counters:
        row = self._database.execute("SELECT record FROM counters").fetchone()
        counters: Counters = codec.loads(Counters, row[0]) if row else Counters()
        return counters

    # -------------------------------------------------------------------------------------- opening

    def load(self) -> tuple[SubnetState, dict[bytes, Ingress], int]:
        """The state, the ingress messages not yet finished, and the time of the last commit.

        Raises StateDamaged.
        """
        with _damage_of(self.folder / DATABASE):
            return self._load()

    def _load(self) -> tuple[SubnetState, dict[bytes, Ingress], int]:
        query = self._database.execute
        state = SubnetState()
        for digest, record in query("SELECT hash, record FROM module"):
            self._known_modules[digest] = codec.loads(InstalledModule, record)
        for record, digest in query("SELECT record, module FROM canister"):
            canister: Canister = codec.loads(Canister, record)
            if digest is not None:
                canister = canister.with_(module=self._known_modules[digest])
            state.canisters[canister.id] = canister
        waiting: dict[bytes, Ingress] = {}
        for request_id, record, message in query("SELECT request_id, record, message FROM ingress ORDER BY rowid"):
            state.ingress[request_id] = codec.loads(IngressStatus, record)
            if message is not None:
                waiting[request_id] = codec.loads(Ingress, message)
        for identifier, record in query("SELECT id, record FROM message ORDER BY id"):
            state.messages[identifier] = codec.loads(Message, record)
        for namespace, key, value in query("SELECT namespace, key, value FROM native"):
            state.native[namespace, key] = value
        counters = self._counters()
        state.next_canister = counters.next_canister
        state.next_message = counters.next_message
        state.executed = counters.executed
        state.consumed_by_deleted = counters.consumed_by_deleted
        return state, waiting, counters.time

    # -------------------------------------------------------------------------------------- committing

    def commit(self, changes: Changes, accepted: Ingress | None = None) -> None:
        """Writes a transaction. `accepted` is an ingress message that is taken in by it."""
        database, modules = self._database, self._known_modules.copy()
        try:
            database.execute("BEGIN")
            self._write(changes, accepted)
            database.execute("COMMIT")
        except BaseException:
            self._known_modules = modules
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise

    def _write(self, changes: Changes, accepted: Ingress | None) -> None:
        run = self._database.execute
        for canister_id, canister in changes.canisters.items():
            if canister is None:
                run("DELETE FROM canister WHERE id = ?", (canister_id.bytes,))
            else:
                self._write_canister(canister)
        for request_id, status in changes.ingress.items():
            if status is None:
                run("DELETE FROM ingress WHERE request_id = ?", (request_id,))
                continue
            record = codec.dumps(IngressStatus, status)
            if accepted is not None and accepted.request_id == request_id:
                message = codec.dumps(Ingress, accepted)
                run("INSERT OR REPLACE INTO ingress VALUES (?, ?, ?)", (request_id, record, message))
            elif status.is_terminal or request_id in changes.executed:
                run(
                    "INSERT INTO ingress VALUES (?, ?, NULL) ON CONFLICT (request_id) "
                    "DO UPDATE SET record = excluded.record, message = NULL",
                    (request_id, record),
                )
            else:
                run("UPDATE ingress SET record = ? WHERE request_id = ?", (record, request_id))
        for identifier, message_record in changes.messages.items():
            if message_record is None:
                run("DELETE FROM message WHERE id = ?", (identifier,))
            else:
                run("INSERT INTO message VALUES (?, ?)", (identifier, codec.dumps(Message, message_record)))
        for (namespace, key), value in changes.native.items():
            if value is None:
                run("DELETE FROM native WHERE namespace = ? AND key = ?", (namespace, key))
            else:
                run("INSERT OR REPLACE INTO native VALUES (?, ?, ?)", (namespace, key, value))
        counters = Counters(
            VERSION,
            changes.time_ns,
            changes.next_canister,
            changes.next_message,
            changes.executed_total,
            changes.consumed_by_deleted,
        )
        run("INSERT OR REPLACE INTO counters VALUES (0, ?)", (codec.dumps(Counters, counters),))

    def _write_canister(self, canister: Canister) -> None:
        """The module's facts are shared by all canisters that have it."""
        digest = None
        if canister.module is not None:
            digest = canister.module.hash
            if digest not in self._known_modules:
                record = codec.dumps(InstalledModule, canister.module)
                self._database.execute("INSERT OR REPLACE INTO module VALUES (?, ?)", (digest, record))
                self._known_modules[digest] = canister.module
        record = codec.dumps(Canister, canister.with_(module=None))
        self._database.execute("INSERT OR REPLACE INTO canister VALUES (?, ?, ?)", (canister.id.bytes, record, digest))

    # -------------------------------------------------------------------------------------- files

    def page_files(self, canister_id: Principal) -> PageFiles:
        """The files with a canister's memories, to be closed by the caller."""
        return PageFiles(self._memory, canister_id.bytes.hex())

    def snapshot_path(self, snapshot_id: bytes, kind: str) -> Path:
        """The file with one part of a snapshot: heap, stable or module."""
        return self.snapshots / f"{snapshot_id.hex()}.{kind}"

    def remove_snapshot(self, snapshot_id: bytes) -> None:
        """Deletes the files of a snapshot."""
        for kind in ("heap", "stable", "module"):
            self.snapshot_path(snapshot_id, kind).unlink(missing_ok=True)

    @staticmethod
    def put(folder: Path, data: bytes) -> bytes:
        """Keeps bytes under their SHA-256, which is returned."""
        digest = hashlib.sha256(data).digest()
        path = folder / digest.hex()
        if not path.exists():
            partial = path.with_suffix(f".{threading.get_ident()}.partial")
            try:
                partial.write_bytes(data)
                partial.replace(path)
            except OSError:
                partial.unlink(missing_ok=True)
                raise
        return digest

    @staticmethod
    def get(folder: Path, digest: bytes) -> bytes | None:
        """The bytes kept under a SHA-256, or None. Raises StateDamaged when they have another one."""
        path = folder / digest.hex()
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        if hashlib.sha256(data).digest() != digest:
            raise StateDamaged(path, "its SHA-256 is not its name")
        return data

    def collect(self, state: SubnetState) -> None:
        """Deletes the files that no canister needs (at opening, when nothing runs)."""
        modules: set[str] = set()
        chunks: set[str] = set()
        snapshots: set[str] = set()
        memories: set[str] = set()
        for canister in state.canisters.values():
            memories.add(canister.id.bytes.hex())
            chunks.update(digest.hex() for digest in canister.chunks)
            if canister.module is not None:
                modules.add(canister.module.hash.hex())
            for snapshot in canister.snapshots.values():
                snapshots.add(snapshot.id.hex())
                chunks.update(digest.hex() for digest, _ in snapshot.chunks)
                if snapshot.module is not None:
                    modules.add(snapshot.module.hash.hex())
        for folder, keep in (
            (self.modules, modules),
            (self.chunks, chunks),
            (self.snapshots, snapshots),
            (self._memory, memories),
        ):
            for entry in os.scandir(folder):
                if entry.name.split(".")[0] not in keep:
                    Path(entry.path).unlink(missing_ok=True)


@contextmanager
def _damage_of(path: Path) -> Iterator[None]:
    """Raises StateDamaged for whatever the database holds that was never written."""
    try:
        yield
    except sqlite3.OperationalError:  # no room, no permission
        raise
    except (sqlite3.DatabaseError, CBORDecodeError, LookupError, TypeError, ValueError) as error:
        raise StateDamaged(path, str(error) or type(error).__name__) from error


def _lock(path: Path) -> IO[bytes]:
    """Holds the folder for this process."""
    handle = path.open("ab")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        raise StateInUse(f"{path.parent} is in use by another process") from None
    return handle
