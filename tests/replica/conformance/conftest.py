"""One replica for the whole suite, and who uses it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from icmigrate.replica.server import RunningReplica, running_replica
from tests.replica.conformance.wire import Wire, wire_to
from tests.worlds.users import Canister, User, user_of


@pytest.fixture(scope="session")
async def replica() -> AsyncIterator[RunningReplica]:
    """Without heartbeats: every programmable canister exports one. The tests of heartbeats have their own."""
    async with running_replica(heartbeats=False) as running:
        yield running


@pytest.fixture(scope="session")
async def user(replica: RunningReplica) -> AsyncIterator[User]:
    async with user_of(replica) as somebody:
        yield somebody


@pytest.fixture(scope="session")
async def stranger(replica: RunningReplica) -> AsyncIterator[User]:
    """Controls nothing."""
    async with user_of(replica) as somebody:
        yield somebody


@pytest.fixture
async def canister(user: User) -> Canister:
    """A fresh programmable canister."""
    return await user.install()


@pytest.fixture(scope="module")
async def target(user: User) -> Canister:
    """A canister that these tests do not change."""
    return await user.install()


@pytest.fixture
async def other(user: User) -> Canister:
    """A second one."""
    return await user.install()


@pytest.fixture
async def wire(replica: RunningReplica) -> AsyncIterator[Wire]:
    async with wire_to(replica) as somebody:
        yield somebody


@pytest.fixture
async def replica_of_its_own() -> AsyncIterator[RunningReplica]:
    """For tests that move time, or want heartbeats."""
    async with running_replica() as running:
        yield running
