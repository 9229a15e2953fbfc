"""Interface Specification, "The system": one subnet of one node that executes canisters.

`Subnet` is what everything outside (endpoints, ingress filter, management canister, gateway) talks to. All methods
belong to the event loop's thread; canister code runs in worker threads behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from icmigrate.protocol.principal import MANAGEMENT_CANISTER, Principal
from icmigrate.replica.execution.commit_or_rollback import Executor
from icmigrate.replica.state.calls import Ingress, IngressState, IngressStatus, SenderInfo
from icmigrate.replica.state.clock import Clock
from icmigrate.replica.state.fees import Fees
from icmigrate.replica.state.limits import Limits
from icmigrate.replica.state.responses import Reject, Response
from icmigrate.replica.state.subnet_state import SubnetState
from icmigrate.replica.storage.changes import Changes
from icmigrate.replica.storage.store import Store
from icmigrate.replica.subnet.commits import Commits
from icmigrate.replica.subnet.native_canister import NativeCanister
from icmigrate.replica.subnet.queries import Queries
from icmigrate.replica.subnet.scheduler import Scheduler
from icmigrate.replica.subnet.threads import Threads


class Subnet:
    """One subnet. Open it with `await Subnet.open(...)`, close it with `await close()`.

    `state` is what is true after the last commit: look, do not touch.
    """

    def __init__(
        self,
        store: Store,
        state: SubnetState,
        executor: Executor,
        clock: Clock,
        heartbeats: bool,
        data_certificate: Callable[[Principal], bytes] | None,
    ) -> None:
        self.store = store
        self.state = state
        self.executor = executor
        self.fees = executor.fees
        self.limits = executor.limits
        self.subnet_id = executor.subnet_id
        self.root_key = executor.root_key
        self.commits = Commits(state, store, clock)
        self.threads = Threads(executor.limits)
        self.scheduler = Scheduler(self.commits, executor, clock, self.threads, heartbeats)
        self._queries = Queries(self.scheduler, state, self.threads, executor, clock, data_certificate)
        self._clock = clock
        self._forgot_at = 0
        self._unfinished: dict[bytes, Ingress] = {}

    @classmethod
    async def open(
        cls,
        folder: Path | None,
        *,
        subnet_id: Principal,
        root_key: bytes,
        natives: Sequence[NativeCanister] = (),
        data_certificate: Callable[[Principal], bytes] | None = None,
        fees: Fees | None = None,
        limits: Limits | None = None,
        clock: Clock | None = None,
        heartbeats: bool = True,
        run: bool = True,
    ) -> Subnet:
        """Opens the state in `folder` (made if absent; None: nothing outlives `close`) and starts to work.

        `data_certificate(canister_id)` gives the certificate that queries see. With `run=False` nothing is
        executed before `start()`, for those who add native canisters first. Raises `StateInUse` when another
        process has the folder open.
        """
        store = Store(folder)
        state, waiting, last_time = store.load()
        clock = clock or Clock()
        clock.not_before(last_time)
        store.collect(state)
        executor = Executor(store, fees or Fees(), limits or Limits(), subnet_id, root_key)
        subnet = cls(store, state, executor, clock, heartbeats, data_certificate)
        subnet._unfinished = waiting
        for native in natives:
            subnet.add_native(native)
        if run:
            subnet.start()
        return subnet

    def start(self) -> None:
        """Begins to execute; what waited when the state was closed comes first."""
        self.scheduler.start(self._unfinished)
        self._unfinished = {}

    def suspend(self) -> None:
        """Executes nothing more; messages are still accepted and durable, and executed after the next open."""
        self.scheduler.suspend()

    async def close(self) -> None:
        """Closes the state. Messages whose execution does not end within a second, and all that wait, are
        executed after the next open."""
        await self.scheduler.close()
        self.executor.instances.close()
        self.store.close()

    def time_ns(self) -> int:
        """The subnet's time: never goes back, also not over a restart."""
        return self._clock.time_ns()

    def add_native(self, canister: NativeCanister) -> None:
        """Adds a native canister after opening (the management canister needs the subnet to be made)."""
        self.scheduler.natives[canister.id] = canister
        if canister.id == MANAGEMENT_CANISTER:  # which canisters of the root subnet reach by a subnet's id, too
            self.scheduler.natives[self.subnet_id] = canister

    # ------------------------------------------------------------------------------------ calls from outside

    async def submit(self, ingress: Ingress) -> IngressStatus:
        """Accepts an authenticated, filtered update call; it is durable when this returns.

        A request id that is known already is not executed again: its present status is returned.
        """
        known = self.state.ingress.get(ingress.request_id)
        if known is not None:
            return known
        if self.scheduler.failure is not None:
            raise self.scheduler.failure
        status = IngressStatus(
            IngressState.RECEIVED,
            ingress.sender,
            ingress.effective_canister_id,
            ingress.ingress_expiry,
            canister_id=ingress.canister_id,
        )
        changes = self.commits.changes()
        self._forget_old(changes)
        changes.set_ingress(ingress.request_id, status)
        self.commits.commit(changes, accepted=ingress)
        self.scheduler.enqueue(ingress)
        return status

    def _forget_old(self, changes: Changes) -> None:
        """Now and then drops the statuses of requests that can neither be sent nor asked for again."""
        now, limits = changes.time_ns, self.limits
        if now - self._forgot_at < limits.ingress_slack:
            return
        self._forgot_at = now
        for request_id, status in self.state.ingress.items():
            over = status.ingress_expiry + limits.ingress_slack < now
            if over and status.is_terminal and status.answered_at + limits.ingress_retention < now:
                changes.set_ingress(request_id, None)

    def ingress_status(self, request_id: bytes) -> IngressStatus | None:
        """What became of a request; None when nothing is known of it."""
        return self.state.ingress.get(request_id)

    async def wait(self, request_id: bytes, timeout: float) -> IngressStatus | None:
        """The status as soon as it is terminal, or whatever it is after `timeout` seconds."""
        await self.commits.wait(request_id, timeout)
        return self.state.ingress.get(request_id)

    async def inspect_message(self, ingress: Ingress) -> Reject | None:
        """Runs canister_inspect_message, if the canister has one; None when it accepts."""
        return await self._queries.inspect(ingress)

    async def query(
        self,
        caller: Principal,
        canister_id: Principal,
        method_name: str,
        arg: bytes,
        sender_info: SenderInfo | None = None,
    ) -> Response:
        """A query call: `canister_query` or `canister_composite_query` of a canister, or a native query."""
        return await self._queries.query(caller, canister_id, method_name, arg, sender_info)

    async def settle(self) -> None:
        """Returns when no message can be executed now (tests: instead of sleeping)."""
        await self.scheduler.settle()
