"""Plumbing: a fresh replica for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.replica.execution.world import World, open_world


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    opened = await open_world()
    yield opened
    await opened.replica.close()
