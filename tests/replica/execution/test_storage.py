"""A state folder that is full, damaged or not to be written."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from icmigrate.replica.certification.keys import Keys
from icmigrate.replica.state.limits import Limits
from icmigrate.replica.state.responses import Reply
from icmigrate.replica.storage.errors import StateDamaged, is_shortage
from tests.replica.execution.test_durability import COUNTER, counts
from tests.worlds.bare_replica import BareWorld, open_world, wasm


@contextmanager
def no_file_descriptors() -> Iterator[None]:
    """This process can open no file; those it has stay."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@contextmanager
def full_database(world: BareWorld) -> Iterator[None]:
    """The database may not grow."""
    run = world.subnet.store._database.execute
    (pages,) = run("PRAGMA page_count").fetchone()
    run(f"PRAGMA max_page_count={pages}")
    try:
        yield
    finally:
        run("PRAGMA max_page_count=1000000000")


async def test_a_message_that_finds_no_room_is_executed_once_there_is_some(tmp_path: Path) -> None:
    world = await open_world(tmp_path)
    canister_id = await world.canister(COUNTER)
    await world.call(canister_id, "count")
    await world.subnet.settle()
    world.subnet.executor.instances.forget(canister_id)
    with no_file_descriptors():  # its memory cannot be loaded
        request_id = await world.send(canister_id, "count")
        await world.subnet.settle()
        status = world.subnet.ingress_status(request_id)
        assert status is not None and not status.is_terminal
    await world.answer(request_id)
    assert await counts(world) == [2]
    await world.subnet.close()


async def test_a_message_that_is_not_accepted_for_want_of_room_was_never_there(tmp_path: Path) -> None:
    world = await open_world(tmp_path)
    canister_id = await world.canister(COUNTER)
    message = world.ingress(canister_id, "count", bytes(1 << 20))
    with full_database(world), pytest.raises(Exception, match="full") as caught:
        await world.subnet.submit(message)
    assert is_shortage(caught.value)
    assert world.subnet.ingress_status(message.request_id) is None
    await world.subnet.submit(message)
    await world.answer(message.request_id)
    assert await counts(world) == [1]
    await world.subnet.close()


GREEDY = wasm(
    """
    (func (export "canister_update count")
      (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
      (call $msg_reply_data_append (i32.const 0) (i32.const 1000000)) (call $msg_reply))
    (func (export "canister_query get") (call $msg_reply_data_append (i32.const 0) (i32.const 4)) (call $msg_reply))
    """,
    "(memory 16)",
)
"""Its answers need room."""


async def test_what_was_executed_but_not_committed_is_executed_again_from_the_state_before(tmp_path: Path) -> None:
    world = await open_world(tmp_path)
    canister_id = await world.canister(GREEDY)
    request_id = await world.send(canister_id, "count")
    with full_database(world):
        await world.subnet.settle()
        status = world.subnet.ingress_status(request_id)
        assert status is not None and not status.is_terminal
        assert await world.ask(canister_id, "get") == bytes(4)
    reply = await world.answer(request_id)
    assert isinstance(reply, Reply) and reply.data[:4] == b"\1\0\0\0"
    assert await world.ask(canister_id, "get") == b"\1\0\0\0"
    await world.subnet.close()


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize("offset", [0, 5, 9, 20, 30, 5000, -1])
async def test_a_damaged_page_log_is_named_and_not_served(tmp_path: Path, offset: int) -> None:
    world = await open_world(tmp_path)
    canister_id = await world.canister(COUNTER)
    await world.call(canister_id, "count")
    await world.subnet.close()
    (log,) = (tmp_path / "memory").glob("*.log.*")
    flip(log, offset)
    world = await open_world(tmp_path)
    with pytest.raises(StateDamaged, match=log.name):
        await world.ask(canister_id, "all")
    await world.subnet.close()


@pytest.mark.parametrize("length", [0, 7, 100, 5000])
async def test_a_torn_page_log_is_named_and_not_served(tmp_path: Path, length: int) -> None:
    world = await open_world(tmp_path)
    canister_id = await world.canister(COUNTER)
    await world.call(canister_id, "count")
    await world.subnet.close()
    (log,) = (tmp_path / "memory").glob("*.log.*")
    log.write_bytes(log.read_bytes()[:length])
    world = await open_world(tmp_path)
    with pytest.raises(StateDamaged, match=log.name):
        await world.ask(canister_id, "all")
    await world.subnet.close()


@pytest.mark.parametrize("memory", ["heap", "stable"])
@pytest.mark.parametrize("length", [None, 0, 4096])
async def test_a_lost_or_shortened_page_image_is_named_and_not_served(
    tmp_path: Path, memory: str, length: int | None
) -> None:
    world = await open_world(tmp_path, limits=Limits(page_log_bytes=0))
    canister_id = await world.canister(COUNTER)
    await world.call(canister_id, "count")
    await world.subnet.settle()
    assert world.state(canister_id).memory.log_length == 0
    await world.subnet.close()
    (image,) = (tmp_path / "memory").glob(f"*.{memory}.*")
    if length is None:
        image.unlink()
    else:
        os.truncate(image, length)
    world = await open_world(tmp_path)
    with pytest.raises(StateDamaged, match=image.name):
        await world.ask(canister_id, "all")
    await world.subnet.close()


async def test_a_damaged_module_is_named(tmp_path: Path) -> None:
    world = await open_world(tmp_path)
    canister_id = await world.canister(COUNTER)
    await world.subnet.close()
    (module,) = (tmp_path / "modules").iterdir()
    flip(module, -1)
    world = await open_world(tmp_path)
    with pytest.raises(StateDamaged, match=module.name):
        await world.ask(canister_id, "all")
    await world.subnet.close()


@pytest.mark.parametrize("content", [b"", b"not a database" * 1000, b"SQLite format 3\0" + bytes(5000)])
async def test_a_damaged_database_is_named(tmp_path: Path, content: bytes) -> None:
    await (await open_world(tmp_path)).subnet.close()
    (tmp_path / "state.db").write_bytes(content)
    if not content:  # a database that holds nothing is a new one
        await (await open_world(tmp_path)).subnet.close()
        return
    with pytest.raises(StateDamaged, match=r"state\.db"):
        await open_world(tmp_path)


def test_damaged_keys_are_named(tmp_path: Path) -> None:
    Keys.open(tmp_path)
    flip(tmp_path / "keys.cbor", 3)
    with pytest.raises(StateDamaged, match=r"keys\.cbor"):
        Keys.open(tmp_path)


async def test_damage_ends_the_process_rather_than_going_on_with_it(tmp_path: Path) -> None:
    world = await open_world(tmp_path)
    canister_id = await world.canister(COUNTER)
    await world.call(canister_id, "count")
    await world.subnet.close()
    (log,) = (tmp_path / "memory").glob("*.log.*")
    flip(log, 5000)
    world = await open_world(tmp_path)
    await world.send(canister_id, "count")
    async with asyncio.timeout(10):
        await world.subnet.scheduler.failed()
    assert isinstance(world.subnet.scheduler.failure, StateDamaged)
    await world.subnet.close()
