"""What every phase works with: network, identity, canisters and limits, put together by the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from icmigrate import wasm
from icmigrate.hub.client import HubClient
from icmigrate.networks.gateway import Gateway
from icmigrate.networks.network import Network
from icmigrate.personal.client import PersonalClient
from icmigrate.progress import Progress
from icmigrate.protocol.agent import Agent


@dataclass(frozen=True)
class Toolkit:
    """The canisters, the identity and the limits that one run works with.

    `window` is the number of chunks on their way at a time: the toolkit's memory is about three times
    `window` chunks, whatever the capsule's size. `database_url` is where the durable engine keeps its steps,
    `personal_module` the SHA-256 of the only module that a personal canister may run.
    """

    network: Network
    agent: Agent
    gateway: Gateway
    hub: HubClient
    state_dir: Path
    database_url: str
    window: int = 8
    personal_module: bytes = field(default_factory=lambda: wasm.module_hash("personal"))
    progress: Progress = field(default_factory=Progress)

    def personal(self, canister_id: str) -> PersonalClient:
        return PersonalClient(self.agent, canister_id)
