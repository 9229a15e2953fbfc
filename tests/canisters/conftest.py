"""A wiring for the whole of a module, so that what is built with it can be shared by its tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from icmigrate.migration.context import Wiring
from tests.world import World


@pytest_asyncio.fixture(scope="module")
async def module_wiring(world: World) -> AsyncIterator[Wiring]:
    async with world.wiring() as wired:
        yield wired
