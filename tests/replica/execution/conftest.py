"""A fresh replica for each test, or an executor for a file of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from icmigrate.replica.execution.commit_or_rollback import Executor
from icmigrate.replica.state.fees import Fees
from icmigrate.replica.state.limits import Limits
from icmigrate.replica.storage.store import Store
from tests.worlds.bare_replica import ROOT_KEY, SUBNET, BareWorld, open_world


@pytest_asyncio.fixture
async def world() -> AsyncIterator[BareWorld]:
    opened = await open_world()
    yield opened
    await opened.subnet.close()


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Executor:
    return Executor(Store(tmp_path_factory.mktemp("executor")), Fees(), Limits(), SUBNET, ROOT_KEY)
