"""Mixed load on a replica that is killed, and what must be true of its state afterwards."""

from __future__ import annotations

import asyncio
import hashlib
import random
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp

from icmigrate.protocol import envelope
from icmigrate.protocol.identity import Ed25519Identity
from icmigrate.protocol.principal import Principal
from icmigrate.replica.management.operations import CanisterOperations
from icmigrate.replica.management.snapshots import Snapshots
from icmigrate.replica.server import RunningReplica
from icmigrate.replica.state.calls import IngressState
from tests.replica.http.client import Client, given
from tests.worlds.bare_replica import wasm

PLACES = 50
CELL = wasm(
    f"""
    (table funcref (elem $paid))
    (data (i32.const 16) "take")
    (global $g (mut i32) (i32.const 0))
    (func $count (local $i i32)
      (global.set $g (i32.add (global.get $g) (i32.const 1)))
      (i32.store (i32.const 0) (global.get $g))
      (loop $l
        (i32.store (i32.add (i32.const 131072) (i32.mul (local.get $i) (i32.const 4096))) (global.get $g))
        (call $stable64_write (i64.extend_i32_u (i32.mul (local.get $i) (i32.const 20480)))
          (i64.const 0) (i64.const 4))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $l (i32.lt_u (local.get $i) (i32.const {PLACES}))))
      (call $certified_data_set (i32.const 0) (i32.const 4)))
    (func $answer
      (call $msg_reply_data_append (i32.const 0) (i32.const 4)) (call $msg_reply))
    (func $wake (drop (call $global_timer_set (i64.add (call $time) (i64.const 30000000)))))
    (func (export "canister_init") (drop (call $stable64_grow (i64.const 20))) (call $wake))
    (func (export "canister_global_timer")
      (i32.store (i32.const 4) (i32.add (i32.load (i32.const 4)) (i32.const 1))) (call $wake))
    (func (export "canister_update add") (call $count) (call $answer))
    (func (export "canister_update take")
      (call $msg_cycles_accept128 (i64.const 0) (i64.const 500000) (i32.const 256)) (call $count) (call $answer))
    (func (export "canister_update pay")
      (call $msg_arg_data_copy (i32.const 1024) (i32.const 0) (i32.const 10))
      (call $call_new (i32.const 1024) (i32.const 10) (i32.const 16) (i32.const 4)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
      (call $call_cycles_add128 (i64.const 0) (i64.const 1000000))
      (drop (call $call_perform)))
    (func $paid (param i32) (call $count) (call $answer))
    (func (export "canister_query places") (local $i i32)
      (i32.store (i32.const 8192) (global.get $g))
      (loop $l
        (i32.store (i32.add (i32.const 8196) (i32.mul (local.get $i) (i32.const 8)))
          (i32.load (i32.add (i32.const 131072) (i32.mul (local.get $i) (i32.const 4096)))))
        (call $stable64_read (i64.extend_i32_u (i32.add (i32.const 8200) (i32.mul (local.get $i) (i32.const 8))))
          (i64.extend_i32_u (i32.mul (local.get $i) (i32.const 20480))) (i64.const 4))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $l (i32.lt_u (local.get $i) (i32.const {PLACES}))))
      (call $msg_reply_data_append (i32.const 8192) (i32.const {4 + 8 * PLACES})) (call $msg_reply))
    """,
    "(memory 16)",
)
CYCLES = 100_000_000_000_000


@dataclass
class Acknowledged:
    """What the replica said was done, over all its lives."""

    identity: Ed25519Identity
    cells: list[Principal] = field(default_factory=list)
    sent: list[tuple[int, bytes]] = field(default_factory=list)
    """Cell and request id of every call, answered or not, of which the status is still kept."""
    replied: set[bytes] = field(default_factory=set)
    counted: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    """What the cells' counters were when last looked at."""
    guests: dict[Principal, set[str]] = field(default_factory=dict)
    chunks: set[bytes] = field(default_factory=set)
    snapshots: set[bytes] = field(default_factory=set)
    threshold: int = 2_592_000
    """The freezing threshold of the first cell, which only rises; the last rise may be doubtful."""


async def prepare(client: Client) -> Acknowledged:
    """Two cells that count, and two that pay each other."""
    assert isinstance(client.identity, Ed25519Identity)
    known = Acknowledged(client.identity)
    for _ in range(4):
        made = await client.manage("provisional_create_canister_with_cycles", {"amount": [CYCLES]})
        known.cells.append(await client.install(CELL, made["canister_id"]))
    return known


async def load(client: Client, known: Acknowledged, rng: random.Random) -> None:
    """Works until the replica is gone."""
    workers: list[Callable[[], Awaitable[None]]] = [lambda cell=cell: _count(client, known, cell) for cell in range(4)]  # type: ignore[misc]
    workers += [lambda: _administer(client, known, rng), lambda: _visit(client, known, rng)]
    await asyncio.gather(*(_until_gone(worker) for worker in workers))


async def _until_gone(worker: Callable[[], Awaitable[None]]) -> None:
    try:
        while True:
            await worker()
    except (aiohttp.ClientError, ConnectionError):
        return
    except AssertionError as error:
        if error.args != ((202, b""),):  # which is answered by one that is ending
            raise


async def _count(client: Client, known: Acknowledged, cell: int) -> None:
    method, arg = ("add", b"") if cell < 2 else ("pay", known.cells[5 - cell].bytes)
    content = client.call_content(known.cells[cell], method, arg)
    request_id = envelope.request_id(content)
    known.sent.append((cell, request_id))
    path = f"/api/v4/canister/{known.cells[cell].to_str()}/call"
    answer = await client.post(path, envelope.sign(content, client.identity))
    if answer.status == 202:
        raise ConnectionError("the replica is ending")
    client.outcome(answer.cbor(), request_id)
    known.replied.add(request_id)


async def _administer(client: Client, known: Acknowledged, rng: random.Random) -> None:
    """Of the first cell: its chunks, snapshots and settings."""
    cell = known.cells[0]
    match rng.randrange(3):
        case 0 if len(known.chunks) == 80:  # the store takes 100
            known.chunks.clear()
            await client.manage("clear_chunk_store", {"canister_id": cell})
        case 0:
            chunk = rng.randbytes(rng.choice([10, 100_000]))
            await client.manage("upload_chunk", {"canister_id": cell, "chunk": chunk})
            known.chunks.add(hashlib.sha256(chunk).digest())
        case 1 if len(known.snapshots) < 5:
            known.snapshots.add((await client.manage("take_canister_snapshot", {"canister_id": cell}))["id"])
        case 1:
            snapshot = known.snapshots.pop()
            await client.manage("delete_canister_snapshot", {"canister_id": cell, "snapshot_id": snapshot})
        case 2:
            known.threshold += 1
            settings = given({"freezing_threshold": known.threshold})
            await client.manage("update_settings", {"canister_id": cell, "settings": settings})


async def _visit(client: Client, known: Acknowledged, rng: random.Random) -> None:
    """Canisters that come and go."""
    present = sorted((guest for guest, facts in known.guests.items() if facts), key=lambda each: each.bytes)
    if len(present) < 3:
        guest = await client.create()
        known.guests[guest] = {"there"}
        return
    guest = rng.choice(present)
    facts = known.guests.pop(guest)  # doubtful until acknowledged
    if "installed" not in facts:
        await client.install(CELL, guest)
        known.guests[guest] = {"there", "installed"}
    elif "stopped" not in facts:
        await client.manage("stop_canister", {"canister_id": guest})
        known.guests[guest] = {"there", "installed", "stopped"}
    else:
        await client.manage("delete_canister", {"canister_id": guest})
        known.guests[guest] = set()


async def check(running: RunningReplica, client: Client, known: Acknowledged) -> None:
    """Everything that was acknowledged is there, once, and nothing by halves."""
    await asyncio.gather(*(running.subnet.wait(request_id, 30) for _, request_id in known.sent))
    done = [0, 0, 0, 0]
    for cell, request_id in known.sent:
        status = running.subnet.ingress_status(request_id)
        assert status is not None or request_id not in known.replied, "an acknowledged call is not known"
        if status is not None:
            assert status.state is IngressState.REPLIED, status
            done[cell] += 1
    paid = done[2] + done[3]
    for cell, more in enumerate((done[0], done[1], paid, paid)):
        known.counted[cell] += more
        await _check_cell(running, client, known.cells[cell], known.counted[cell])
    known.sent.clear()
    known.replied.clear()
    _check_cycles(running, known)
    _check_first_cell(running, known)
    for guest, facts in known.guests.items():
        canister = running.subnet.state.canisters.get(guest)
        assert (canister is not None) == ("there" in facts)
        assert canister is None or (canister.module is not None) == ("installed" in facts)
        assert canister is None or (canister.status == "stopped") == ("stopped" in facts)
    known.guests = {guest: facts for guest, facts in known.guests.items() if facts}


async def _check_cell(running: RunningReplica, client: Client, cell: Principal, expected: int) -> None:
    places = set(struct.unpack(f"<{1 + 2 * PLACES}I", await client.query(cell, "places", b"")))
    assert places == {expected}, (places, expected)
    canister = running.subnet.state.canisters[cell]
    assert canister.global_timer, "the timer is lost"
    assert canister.certified_data == (struct.pack("<I", expected) if expected else b"")
    certified = await client.read_state(cell, [b"canister", cell.bytes, b"module_hash"])
    assert certified.lookup("canister", cell.bytes, "module_hash") == hashlib.sha256(CELL).digest()


def _check_cycles(running: RunningReplica, known: Acknowledged) -> None:
    canisters = [running.subnet.state.canisters[cell] for cell in known.cells[2:]]
    assert not any(canister.callbacks or canister.contexts for canister in canisters)
    assert sum(canister.cycles + canister.consumed_cycles for canister in canisters) == 2 * CYCLES


def _check_first_cell(running: RunningReplica, known: Acknowledged) -> None:
    subnet, canister = running.subnet, running.subnet.state.canisters[known.cells[0]]
    assert known.chunks <= set(canister.chunks)
    for digest in canister.chunks:
        assert subnet.store.get(subnet.store.chunks, digest) is not None
    assert len(canister.snapshots.keys() ^ known.snapshots) <= 1
    known.snapshots = set(canister.snapshots)
    snapshots = Snapshots(CanisterOperations(subnet))
    for snapshot in canister.snapshots.values():
        for kind in ("wasm_memory", "stable_memory"):
            snapshots.read(snapshot, kind, 0, 65_536)
    assert canister.settings.freezing_threshold in (known.threshold - 1, known.threshold)
    known.threshold = canister.settings.freezing_threshold
