"""One replica process and one hub for all tests of canisters and migrations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import hypothesis
import pytest
import pytest_asyncio

from icmigrate.migration.context import Wiring
from icmigrate.networks import embedded
from icmigrate.networks.network import Network
from tests.world import World, deploy_world

# How fast a machine is says nothing about the code.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")


@pytest.fixture(scope="session")
def local_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    state_dir = tmp_path_factory.mktemp("replica")
    info = embedded.start(state_dir)
    try:
        yield embedded.as_network(info)
    finally:
        embedded.stop(state_dir)


@pytest_asyncio.fixture(scope="session")
async def world(local_network: Network, tmp_path_factory: pytest.TempPathFactory) -> World:
    return await deploy_world(local_network, tmp_path_factory.mktemp("toolkit"))


@pytest_asyncio.fixture
async def wiring(world: World) -> AsyncIterator[Wiring]:
    async with world.wiring() as wired:
        yield wired
