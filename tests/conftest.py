"""One replica process and one hub for all tests of canisters and migrations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import hypothesis
import pytest
import pytest_asyncio

from icmigrate.migration.toolkit import Toolkit
from icmigrate.networks import embedded
from icmigrate.networks.network import Network
from tests.worlds.hub import HubWorld, deploy_world

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
async def world(local_network: Network, tmp_path_factory: pytest.TempPathFactory) -> HubWorld:
    return await deploy_world(local_network, tmp_path_factory.mktemp("toolkit"))


@pytest_asyncio.fixture
async def toolkit(world: HubWorld) -> AsyncIterator[Toolkit]:
    async with world.toolkit() as opened:
        yield opened
