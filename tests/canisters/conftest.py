"""A toolkit for the whole of a module, so that what is built with it can be shared by its tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from icmigrate.migration.toolkit import Toolkit
from tests.worlds.hub import HubWorld


@pytest_asyncio.fixture(scope="module")
async def module_toolkit(world: HubWorld) -> AsyncIterator[Toolkit]:
    async with world.toolkit() as opened:
        yield opened
