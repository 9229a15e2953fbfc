"""A network that speaks the Internet Computer's HTTP interface: its URL, its root key, the URLs of its canisters."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from icmigrate.protocol.agent import Agent
from icmigrate.protocol.identity import Identity

EMBEDDED = "embedded"
"""The name of the network that the embedded replica is."""
MAINNET_GATEWAY = "icp0.io"


@dataclass(frozen=True)
class Network:
    """A network at `url`.

    `root_key` (DER) is what certificates must be signed by; `None` on a local network, where it is fetched.
    """

    name: str
    url: str
    root_key: bytes | None
    is_local: bool

    def gateway(self, canister_id: str) -> str:
        """The base URL of a canister's HTTP interface in a browser, without a slash at its end."""
        if not self.is_local:
            return f"https://{canister_id}.{MAINNET_GATEWAY}"
        parts = urlsplit(self.url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{canister_id}.localhost{port}"

    def asset_url(self, canister_id: str, path: str) -> str:
        """The URL of `path` (with its query), usable as it stands: no name under `localhost` to look up."""
        if not self.is_local:
            return self.gateway(canister_id) + path
        joint = "&" if "?" in path else "?"
        return f"{self.url}{path}{joint}canisterId={canister_id}"


async def connect(network: Network, identity: Identity, *, window: int = 8) -> Agent:
    """An agent for the network, as the identity; at most `window` calls in flight. Not entered yet."""
    return Agent(
        network.url,
        identity,
        root_key=network.root_key,
        fetch_root_key=network.root_key is None,
        window=window,
    )
