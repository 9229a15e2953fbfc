"""A replica that is killed under mixed load comes back with all that it acknowledged, once and whole."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from icmigrate.replica import daemon
from icmigrate.replica.server import running_replica
from tests.processes import gone
from tests.replica.http.client import Client, Target
from tests.replica.http.kill_load import Acknowledged, check, load, prepare


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    daemon.stop(tmp_path)


async def live(folder: Path, known: Acknowledged | None, calls: int, how: signal.Signals) -> Acknowledged:
    """One life of the replica, which ends after so many answers."""
    info = await asyncio.to_thread(daemon.start, folder, 0)
    async with aiohttp.ClientSession() as session:
        target = Target(info.url, bytes.fromhex(info.root_key), time.time_ns)
        client = Client(target, session, known.identity if known else None)
        known = known or await prepare(client)
        working = asyncio.create_task(load(client, known, random.Random(calls)))
        async with asyncio.timeout(120):
            while len(known.replied) < calls and not working.done():
                await asyncio.sleep(0)
            os.kill(info.pid, how)
            await working
    await asyncio.to_thread(gone, info.pid)
    return known


async def test_what_was_acknowledged_is_there_after_every_death(folder: Path) -> None:
    known: Acknowledged | None = None
    for calls, how in ((7, signal.SIGKILL), (40, signal.SIGTERM), (90, signal.SIGKILL)):
        known = await live(folder, known, calls, how)
        async with running_replica(folder) as running, aiohttp.ClientSession() as session:
            await check(running, Client(running, session, known.identity), known)
