"""A replica behind real HTTP, in this process, and a user of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest_asyncio

from icmigrate.replica.server import RunningReplica, running_replica
from tests.replica.http.client import Client


@pytest_asyncio.fixture(scope="session")
async def running() -> AsyncIterator[RunningReplica]:
    async with running_replica() as replica:
        yield replica


@pytest_asyncio.fixture(scope="session")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False) as session:
        yield session


@pytest_asyncio.fixture
async def client(running: RunningReplica, session: aiohttp.ClientSession) -> Client:
    return Client(running, session)
