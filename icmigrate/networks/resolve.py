"""Which network a value of `--network` means: a name or a URL; `embedded` alone is found by `embedded.py`.

A local network's root key is fetched from it; any other must prove itself by the pinned key of mainnet or by
one that the settings name.
"""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from urllib.parse import urlsplit

from icmigrate.errors import Usage
from icmigrate.networks.network import EMBEDDED, Network
from icmigrate.protocol.certificate import MAINNET_ROOT_KEY

MAINNET_URL = "https://icp-api.io"
DFX_PORT = 4943
ICP_PORT = 8000


def resolve(name: str, root_key: bytes | None = None) -> Network:
    """The network of a `--network` value other than `embedded`. Raises `Usage` when there is none of that name."""
    match name:
        case "ic":
            return Network("ic", MAINNET_URL, MAINNET_ROOT_KEY, is_local=False)
        case "dfx":
            return _local("dfx", _dfx_port(Path.cwd()) or DFX_PORT)
        case "icp":
            return _local("icp", ICP_PORT)
        case _ if name.startswith(("http://", "https://")):
            return _from_url(name, root_key)
        case _:
            hint = f"--network takes {EMBEDDED}, dfx, icp, ic or an http(s) URL."
            raise Usage(f"there is no network {name!r}", hint=hint)


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
