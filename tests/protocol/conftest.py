"""Fixtures around a replica with one small canister."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from icmigrate.protocol.agent import Agent
from tests.worlds.agent import AgentWorld, Network, new_world


@pytest.fixture(scope="session")
async def world() -> AsyncIterator[AgentWorld]:
    async with new_world() as made:
        yield made


@pytest.fixture
async def network(world: AgentWorld) -> Network:
    return Network(world.replica.url)


@pytest.fixture
async def agent(world: AgentWorld, network: Network) -> AsyncIterator[Agent]:
    """The same caller as the world's agent, behind a network that can be disturbed."""
    async with Agent(world.replica.url, world.agent.identity, fetch_root_key=True, transport=network) as made:
        network.paths.clear()
        yield made
