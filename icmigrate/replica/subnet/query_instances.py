"""Instances for queries that do not wait for the canister's warm one, and files that are newer than they seem.

A query that takes long reads the files of a committed state while newer ones are written. Whether it has read what
belongs together is known afterwards; if not, it is begun again with the newest state.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from icmigrate.protocol.principal import Principal
from icmigrate.replica.execution.commit_or_rollback import Executor
from icmigrate.replica.execution.instance import Instance
from icmigrate.replica.execution.warm_instances import discard
from icmigrate.replica.state.canister import Canister
from icmigrate.replica.state.subnet_state import SubnetState
from icmigrate.replica.storage.errors import StateDamaged
from icmigrate.replica.subnet.threads import Threads

T = TypeVar("T")


class Superseded(Exception):
    """A newer state was committed while the one before was being read."""


async def again_if_superseded(attempt: Callable[[], Awaitable[T]]) -> T:
    """What `attempt` gives, begun again as often as it raises Superseded."""
    while True:
        with suppress(Superseded):
            return await attempt()


class QueryInstances:
    """Belongs to the event loop's thread."""

    def __init__(self, state: SubnetState, executor: Executor, threads: Threads) -> None:
        self._state = state
        self._executor = executor
        self._threads = threads

    def folds(self, canister_id: Principal) -> int:
        """How often the canister's page log was begun to be folded."""
        return self._executor.instances.folds[canister_id]

    async def beside(self, canister: Canister) -> Instance:
        """An instance of its own with this committed state, which is the newest. Raises Superseded."""
        instance: Instance | None = None
        try:
            async with self.reading(canister, self._executor.instances.folds[canister.id]):
                instance = await self._threads.run_query(self._executor.instances.fresh, canister)
        except Superseded:
            if instance is not None:
                discard(instance)
            raise
        assert instance is not None
        return instance

    @asynccontextmanager
    async def reading(self, canister: Canister, folds: int) -> AsyncIterator[None]:
        """Reads the files of a committed state, since which the log was begun to be folded `folds` times.

        Raises Superseded when these files do not hold that state any more: they were taken away, or pages that
        are newer were folded into them. What was read is then of no use.
        """
        try:
            yield
        except (FileNotFoundError, StateDamaged):
            if self._has_its_files(canister, folds):
                raise
            raise Superseded from None
        if not self._has_its_files(canister, folds):
            raise Superseded

    def _has_its_files(self, canister: Canister, folds: int) -> bool:
        newest = self._state.canisters.get(canister.id)
        same = newest is not None and newest.memory.files == canister.memory.files
        return same and self._executor.instances.folds[canister.id] == folds
