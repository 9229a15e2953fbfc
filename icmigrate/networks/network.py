"""Plumbing: which network a command talks to, and which canisters of ours are there.

A local network's root key is fetched from it; any other must prove itself by the pinned key of mainnet or by
one that the settings name. The embedded replica is started and found by `embedded.py`.
"""

from __future__ import annotations

import ipaddress
import json
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from icmigrate.errors import Usage
from icmigrate.protocol.agent import Agent
from icmigrate.protocol.certificate import MAINNET_ROOT_KEY
from icmigrate.protocol.identity import Identity
from icmigrate.protocol.principal import Principal

EMBEDDED = "embedded"
MAINNET = "ic"
MAINNET_URL = "https://icp-api.io"
MAINNET_GATEWAY = "icp0.io"
DFX_PORT = 4943
ICP_PORT = 8000
NAMES = f"{EMBEDDED}, dfx, icp, {MAINNET} or an http(s) URL"


@dataclass(frozen=True)
class Network:
    """A network that speaks the Internet Computer's HTTP interface at `url`.

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


def resolve(name: str, root_key: bytes | None = None) -> Network:
    """The network of a `--network` value other than `embedded`."""
    match name:
        case "ic":
            return Network(MAINNET, MAINNET_URL, MAINNET_ROOT_KEY, is_local=False)
        case "dfx":
            return _local("dfx", _dfx_port(Path.cwd()) or DFX_PORT)
        case "icp":
            return _local("icp", ICP_PORT)
        case _ if name.startswith(("http://", "https://")):
            return _from_url(name, root_key)
        case _:
            raise Usage(f"there is no network {name!r}", hint=f"--network takes {NAMES}.")


def _local(name: str, port: int) -> Network:
    return Network(name, f"http://127.0.0.1:{port}", None, is_local=True)


def _from_url(text: str, root_key: bytes | None) -> Network:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Usage(f"{text!r} is not a URL: {error}") from None
    if not host or parts.query or parts.fragment or parts.path not in ("", "/"):
        raise Usage(f"{text!r} is not the URL of a network", hint="Give scheme, host and port only.")
    if parts.username or parts.password:
        raise Usage("the URL of a network carries no user name or password")
    local = _is_loopback(host)
    if not local and parts.scheme != "https" and root_key is None:
        # Certificates would still be checked, but private bytes would travel readable by everybody.
        raise Usage(f"{text!r} is not on this machine and not https", hint="Use an https URL.")
    name = f"{host.replace(':', '-')}-{port}" if port else host
    key = None if local and root_key is None else root_key or MAINNET_ROOT_KEY
    return Network(name, f"{parts.scheme}://{parts.netloc}", key, is_local=local)


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _dfx_port(folder: Path) -> int | None:
    """The port of the dfx network that runs for this project or for this user, if it wrote one down."""
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    candidates = [
        folder / ".dfx/network/local/webserver-port",
        data / "dfx/network/local/webserver-port",
    ]
    for candidate in candidates:
        try:
            return int(candidate.read_text())
        except (OSError, ValueError):
            continue
    return None


async def connect(network: Network, identity: Identity, *, window: int = 8) -> Agent:
    """An agent for the network, as the identity; at most `window` calls in flight. Not entered yet."""
    return Agent(
        network.url,
        identity,
        root_key=network.root_key,
        fetch_root_key=network.root_key is None,
        window=window,
    )


class CanisterIds:
    """The canisters of one network by name, kept in `<state folder>/<network>/canister_ids.json`.

    dfx's own files (`canister_ids.json`, `.dfx/<network>/canister_ids.json`) are read too, never written.
    """

    def __init__(self, state_dir: Path, network: Network) -> None:
        self._network = network.name
        self.path = state_dir / network.name / "canister_ids.json"

    def get(self, name: str) -> str | None:
        """The id of the canister `name`, or `None` when nobody wrote one down."""
        dfx_network = "local" if self._network == "dfx" else self._network
        own = _read_ids(self.path).get(name)
        if own is not None:
            return _checked(own.get(self._network), self.path)
        for file in (Path("canister_ids.json"), Path(".dfx") / dfx_network / "canister_ids.json"):
            found = _read_ids(file).get(name, {}).get(dfx_network)
            if found is not None and self._network != EMBEDDED:
                return _checked(found, file)
        return None

    def put(self, name: str, canister_id: str) -> None:
        """Writes the id down, whole or not at all."""
        ids = _read_ids(self.path)
        ids[name] = {self._network: canister_id}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps(ids, indent=2) + "\n")
        draft.replace(self.path)


def _read_ids(file: Path) -> dict[str, dict[str, str]]:
    try:
        content = json.loads(file.read_text())
        return {name: dict(networks) for name, networks in content.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise Usage(f"{file} is not a list of canister ids: {error}") from None


def _checked(canister_id: str | None, file: Path) -> str | None:
    if canister_id is None:
        return None
    try:
        return Principal.from_str(canister_id).to_str()
    except ValueError as error:
        raise Usage(f"{file}: {error}") from None
