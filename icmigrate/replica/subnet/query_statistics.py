"""Interface Specification, "IC method canister_status", `query_stats`: counting what leaves no trace otherwise.

Queries change no state, so they are counted beside it until an epoch is over; then the scheduler adds what was
counted to the canister's totals. What was counted since the last epoch is lost when the process ends.
"""

from __future__ import annotations

from icmigrate.protocol.principal import Principal
from icmigrate.replica.state.canister import QueryStats
from icmigrate.replica.state.responses import Reply, Response

EPOCH_NS = 60 * 1_000_000_000


class QueryStatistics:
    """What was counted in the present epoch of each canister. Belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._counted: dict[Principal, tuple[int, QueryStats]] = {}
        """When the epoch began (nanoseconds), and what was counted in it."""

    def count(self, canister_id: Principal, now: int, instructions: int, arg: bytes, response: Response) -> None:
        """One evaluated query method, its argument, and the reply or reject message it gave."""
        size = len(response.data) if isinstance(response, Reply) else len(response.message.encode())
        since, before = self._counted.get(canister_id, (now, QueryStats()))
        self._counted[canister_id] = since, before.plus(QueryStats(1, instructions, len(arg), size))

    def due(self, canister_id: Principal, now: int) -> QueryStats | None:
        """What was counted in an epoch that is over, if anything was."""
        since, counted = self._counted.get(canister_id, (now, None))
        return counted if now - since >= EPOCH_NS else None

    def forget(self, canister_id: Principal) -> None:
        """What was counted is part of the totals; the next query begins another epoch."""
        del self._counted[canister_id]
