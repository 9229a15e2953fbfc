"""A replica behind HTTP: its parts are put together here, and taken apart again.

`running_replica` serves inside this event loop, for tests and for whoever wants the replica's objects;
`serve` runs one until the process is told to end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from icmigrate.protocol.principal import Principal
from icmigrate.replica.certification.certifier import Certifier
from icmigrate.replica.certification.keys import FILE_NAME, Keys
from icmigrate.replica.gateway.handler import Gateway, complete_headers
from icmigrate.replica.http import connections
from icmigrate.replica.http.callers import Callers
from icmigrate.replica.http.endpoints import Endpoints
from icmigrate.replica.http.ingress_filter import IngressFilter
from icmigrate.replica.management.canister import ManagementCanister
from icmigrate.replica.state.clock import Clock
from icmigrate.replica.state.fees import Fees
from icmigrate.replica.state.limits import Limits
from icmigrate.replica.subnet.native_canister import NativeCanister
from icmigrate.replica.subnet.subnet import Subnet
from icmigrate.replica.system_canisters.installed import system_canisters

LOOK_SECONDS = 5.0
"""How often a served replica looks whether its folder is still there."""


@dataclass(frozen=True)
class RunningReplica:
    """What `running_replica` gives: where it listens, and its parts."""

    url: str
    port: int
    subnet: Subnet
    keys: Keys
    clock: Clock

    @property
    def root_key(self) -> bytes:
        return self.keys.root_key

    def canister_url(self, canister_id: Principal) -> str:
        """Where a browser finds the canister's pages."""
        return f"http://{canister_id.to_str()}.localhost:{self.port}"


@asynccontextmanager
async def running_replica(
    folder: Path | None = None,
    port: int = 0,
    *,
    fees: Fees | None = None,
    limits: Limits | None = None,
    clock: Clock | None = None,
    heartbeats: bool = True,
    allowed_hosts: Iterable[str] = (),
) -> AsyncIterator[RunningReplica]:
    """Serves the replica of a state folder (None: in memory) on this machine's `port` (0: any free one).

    Who may talk to it, and what `allowed_hosts` adds, is said in `http/callers.py`.

    Raises CannotListen when the port is taken, StateInUse, StateUnknown, StateDamaged, or OSError when the folder
    cannot be used.
    """
    clock = clock or Clock()
    keys = Keys.open(folder)
    subnet = await Subnet.open(
        folder,
        subnet_id=keys.subnet_id,
        root_key=keys.root_key,
        data_certificate=lambda canister_id: certifier.data_certificate(canister_id),
        fees=fees,
        limits=limits,
        clock=clock,
        heartbeats=heartbeats,
    )
    try:
        certifier = Certifier(keys, subnet)
        management = ManagementCanister(subnet)
        systems = system_canisters(subnet, certifier.data_certificate)
        natives: tuple[NativeCanister, ...] = (management, *systems)
        for native in natives:
            subnet.add_native(native)
        filter = IngressFilter(subnet, management, [system.id for system in systems])
        application = connections.application(Callers(frozenset(allowed_hosts)))
        application.on_response_prepare.insert(0, complete_headers)
        application.add_routes(Endpoints(subnet, certifier, filter).routes())
        application.add_routes(Gateway(subnet, filter, keys.root_key).routes())
        async with connections.served(application, port) as port:
            try:
                yield RunningReplica(f"http://127.0.0.1:{port}", port, subnet, keys, clock)
            finally:
                subnet.suspend()
    finally:
        await subnet.close()


async def serve(
    folder: Path | None,
    port: int,
    on_ready: Callable[[RunningReplica], None],
    on_end: Callable[[], None],
    *,
    allowed_hosts: Iterable[str] = (),
) -> None:
    """Serves until SIGTERM or SIGINT, or until the folder is deleted; `on_ready` is called when requests are
    answered, `on_end` when it ends.

    Raises what `running_replica` raises, and the error because of which the replica cannot go on.
    """
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with running_replica(folder, port, allowed_hosts=allowed_hosts) as running:
        keys = None if folder is None else folder / FILE_NAME
        known = None if keys is None else keys.stat()  # before anybody can delete it
        on_ready(running)
        scheduler = running.subnet.scheduler
        endings = [
            asyncio.ensure_future(ending) for ending in (ended.wait(), scheduler.failed(), _deleted(keys, known))
        ]
        await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
        for ending in endings:
            ending.cancel()
        on_end()
        if scheduler.failure is not None:
            raise scheduler.failure


async def _deleted(keys: Path | None, known: os.stat_result | None) -> None:
    """Returns when the state folder is gone, or another is in its place: nobody will find this replica again."""
    if keys is None or known is None:
        await asyncio.Event().wait()
        return
    with contextlib.suppress(FileNotFoundError):
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not _is_same(keys, known):
                return


def _is_same(path: Path, known: os.stat_result) -> bool:
    """Raises FileNotFoundError. A file that cannot be looked at for another reason is not taken for gone."""
    try:
        return os.path.samestat(path.stat(), known)
    except FileNotFoundError:
        raise
    except OSError:
        return True
