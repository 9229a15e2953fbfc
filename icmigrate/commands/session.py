"""What a command works with: network, identity, agent, hub, capsule, opened as the settings say when it asks."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from icmigrate.capsule.find import find_capsule
from icmigrate.errors import Usage
from icmigrate.hub.client import HubClient
from icmigrate.hub.deploy import HUB
from icmigrate.migration.toolkit import Toolkit
from icmigrate.networks import embedded
from icmigrate.networks.canister_ids import CanisterIds
from icmigrate.networks.gateway import GatewayClient, RetryingGateway
from icmigrate.networks.network import EMBEDDED, Network, connect
from icmigrate.networks.resolve import resolve
from icmigrate.progress import Progress
from icmigrate.protocol.agent import Agent
from icmigrate.protocol.identity import Identity
from icmigrate.protocol.retry import Retry
from icmigrate.settings.config import Settings
from icmigrate.settings.identity_choice import choose_identity

GATEWAY_ATTEMPTS = 12
"""How often a request to a canister's HTTP side is tried: for about half a minute."""


@dataclass
class Session:
    """One command's settings, where it reports to, and what it opens."""

    settings: Settings
    progress: Progress = field(default_factory=Progress)
    started_replica: bool = False
    """Whether this command started the embedded replica."""

    @property
    def state_dir(self) -> Path:
        return self.settings.state_dir

    async def network(self) -> Network:
        """The network; an embedded replica that does not run is started."""
        if self.settings.network != EMBEDDED:
            network = resolve(self.settings.network, self.settings.root_key_der)
            self.settings.require_own_choice(network)
            return network
        if embedded.running(self.state_dir) is None:
            self.started_replica = True
        info = await asyncio.to_thread(embedded.start, self.state_dir)
        if self.started_replica:
            self.progress.note("started the embedded replica", url=info.url, stop_it_with="icmigrate replica stop")
        return embedded.as_network(info)

    def stop_command(self) -> str:
        """What to type to stop the embedded replica."""
        program = "icmigrate" if shutil.which("icmigrate") else sys.argv[0]
        own_folder = self.state_dir.absolute() != (Path.cwd() / ".icmigrate")
        return f"{program} replica stop" + (f" --state {self.state_dir}" if own_folder else "")

    def undo_start(self) -> None:
        """Stops the embedded replica if it was this command that started it."""
        if self.started_replica:
            embedded.stop(self.state_dir)
            self.started_replica = False

    def identity(self, network: Network) -> Identity:
        return choose_identity(self.settings.identity, network, self.state_dir)

    def ids(self, network: Network) -> CanisterIds:
        return CanisterIds(self.state_dir, network)

    @asynccontextmanager
    async def agent(self, network: Network, identity: Identity | None = None) -> AsyncIterator[Agent]:
        """An agent for the network, as the chosen identity or another one."""
        async with await connect(network, identity or self.identity(network), window=self.settings.window) as agent:
            yield agent

    @asynccontextmanager
    async def toolkit(self, identity: Identity | None = None) -> AsyncIterator[Toolkit]:
        """The hub and all that work on its capsules needs. Raises `Usage` when no hub is known."""
        network = await self.network()
        hub_id = self.settings.hub or self.ids(network).get(HUB)
        if hub_id is None:
            raise Usage(
                f"no hub is known on network {network.name}",
                hint="Run `icmigrate deploy`, or give the hub's canister id with --hub.",
            )
        async with self.agent(network, identity) as agent, GatewayClient() as gateway:
            yield Toolkit(
                network=network,
                agent=agent,
                gateway=RetryingGateway(gateway, Retry(GATEWAY_ATTEMPTS)),
                hub=HubClient(agent, hub_id),
                state_dir=self.state_dir,
                database_url=self.settings.database,
                window=self.settings.window,
                progress=self.progress,
            )

    @asynccontextmanager
    async def capsule(self, given: str | None, module: str | None = None) -> AsyncIterator[tuple[Toolkit, str]]:
        """What `toolkit` gives, and the id of the capsule that the command line means.

        `module` is the SHA-256 (hex) of the personal module to trust, if it is not the one of this release.
        """
        async with self.toolkit() as toolkit:
            trusting = replace(toolkit, personal_module=_sha256(module)) if module else toolkit
            yield trusting, await find_capsule(toolkit.hub, given)


def _sha256(text: str) -> bytes:
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise Usage(f"--module: {text!r} is not a SHA-256 (64 hexadecimal digits)")
    return digest
