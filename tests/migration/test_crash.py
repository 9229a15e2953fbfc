"""The toolkit is killed at every single request, the replica in the middle of the work: the next run ends it."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from icmigrate.contract.migrations import CreationFee, MigrationPhase
from icmigrate.contract.records import MovedTo
from icmigrate.networks import embedded
from tests.migration import program
from tests.migration.proxy import Proxy
from tests.processes import SECONDS, TookTooLong, gone
from tests.worlds.hub import CHUNK, HubWorld, deploy_world, full_capsule

BLOBS = (1_000, 40_000, CHUNK + 1)
CHUNKS = 4
WINDOW = 2

pytestmark = pytest.mark.timeout(1800)  # each is many migrations


@dataclass
class Run:
    """One `icmigrate migrate` in a process of its own."""

    world: HubWorld
    capsule_id: str
    url: str
    state_dir: Path
    process: BaseProcess | None = None

    def start(self) -> BaseProcess:
        key = self.state_dir / "operator.pem"
        if not key.exists():
            key.write_text(self.world.operator.to_pem())
            key.chmod(0o600)
        self.process = program.started(
            [
                "migrate",
                self.capsule_id,
                "--json",
                "--network",
                self.url,
                "--hub",
                self.world.hub_id,
                "--identity",
                key,
            ],
            {"ICMIGRATE_STATE_DIR": str(self.state_dir), "ICMIGRATE_WINDOW": str(WINDOW)},
            self.complaints,
        )
        return self.process

    @property
    def complaints(self) -> Path:
        return self.state_dir / "standard-error"

    def kill(self) -> None:
        if self.process is not None and self.process.is_alive():
            self.process.kill()

    async def to_the_end(self) -> int:
        process = self.process or self.start()
        await asyncio.to_thread(process.join, SECONDS)
        if process.is_alive():
            process.kill()
            raise TookTooLong(f"a migration has not ended after {SECONDS:g} s")
        complaint = self.complaints.read_text()
        assert "Traceback" not in complaint, complaint
        assert process.exitcode is not None
        return process.exitcode


async def check_migrated(world: HubWorld, capsule_id: str, chunks: int) -> None:
    """One personal canister, equal roots, nothing sent twice beyond the window, cycles accounted for."""
    async with world.toolkit() as toolkit:
        migrations = [m for m in (await toolkit.hub.migration_list()).items if m.capsule_id == capsule_id]
        assert [m.phase for m in migrations] == [MigrationPhase.CUT_OVER]
        (migration,) = migrations
        assert migration.canister_id is not None
        assert await toolkit.hub.registry_home(capsule_id) == MovedTo(canister_id=migration.canister_id)
        personal = toolkit.personal(migration.canister_id)
        assert (await personal.import_status()).root == migration.root
        assert [entry.operation for entry in migration.ledger].count(CreationFee()) == 1
        calls = {cost.operation: cost.calls for cost in await personal.cycles_by_operation()}
        assert calls["import_put_chunk"] <= chunks + WINDOW
        assert (await personal.cycles()).balance <= migration.endowment


async def test_a_migration_killed_at_any_call_is_ended_by_the_next_run(world: HubWorld, tmp_path: Path) -> None:
    """Kills the toolkit at call after call, in turns before it arrives and before it is answered.

    Every second call is struck: neighbours are pages of one list or chunks of one window.
    """
    proxy = Proxy(world.network.url)
    async with proxy.running(), world.toolkit() as toolkit:
        number, finished = 0, False
        while not finished:
            number += 2
            capsule_id = await full_capsule(toolkit.hub, blobs=BLOBS)
            run = Run(world, capsule_id, proxy.url, tmp_path)
            strike_at(proxy, number, run, answered=number % 4 == 0)
            run.start()
            finished = await run.to_the_end() == 0
            again = Run(world, capsule_id, world.network.url, tmp_path)
            assert await again.to_the_end() == 0
            await check_migrated(world, capsule_id, CHUNKS)
        assert number > 40, "the proxy saw too few calls for a whole migration"


def strike_at(proxy: Proxy, number: int, run: Run, *, answered: bool) -> None:
    """Kills the run at its call `number`; the HTTP check's requests change nothing and are not counted."""
    proxy.requests = 0

    def strike(at: int) -> None:
        if at == number:
            run.kill()

    proxy.before, proxy.after = (lambda at: None, strike) if answered else (strike, lambda at: None)


async def test_the_replica_is_killed_in_the_middle_and_nothing_acknowledged_is_lost(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    replica_dir, toolkit_dir = tmp_path_factory.mktemp("replica"), tmp_path_factory.mktemp("toolkit")
    info = embedded.start(replica_dir)
    try:
        world = await deploy_world(embedded.as_network(info), toolkit_dir)
        async with world.toolkit() as toolkit:
            capsule_id = await full_capsule(toolkit.hub, blobs=(12 * CHUNK, 5 * CHUNK + 7, 1_000))
        codes = []
        async with Proxy(world.network.url).running() as proxy:
            proxy.before = lambda number: restart_replica(replica_dir) if number % 10 == 0 else None
            for _ in range(40):
                codes.append(await Run(world, capsule_id, proxy.url, toolkit_dir).to_the_end())
                if codes[-1] == 0:
                    break
        assert codes[-1] == 0
        assert set(codes[:-1]) <= {5}
        info = embedded.start(replica_dir)
        restarted = HubWorld(embedded.as_network(info), world.operator, world.hub_id, toolkit_dir)
        await check_migrated(restarted, capsule_id, 12 + 6 + 1 + 9 * WINDOW)
    finally:
        embedded.stop(replica_dir)


def restart_replica(state_dir: Path) -> None:
    """Kills the replica and starts it again at the same port, once the killed process is gone."""
    info = embedded.running(state_dir)
    if info is not None:
        os.kill(info.pid, signal.SIGKILL)
        gone(info.pid)
        embedded.start(state_dir, info.port)
