"""The embedded replica as a network: the one of a state folder is found, started at its port, stopped."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from icmigrate.errors import NetworkError, Usage
from icmigrate.networks.network import EMBEDDED, Network
from icmigrate.replica import daemon
from icmigrate.replica.daemon import DaemonInfo
from icmigrate.replica.storage import private_files

FOLDER = "replica"
PORT_FILE = "port"
NAME = re.compile(r"[a-z0-9_][a-z0-9_.-]*|[0-9a-f:.]*:[0-9a-f:.]*")
"""A host, or an address of IPv6 without brackets."""


def folder_of(state_dir: Path) -> Path:
    """Where the replica of a state folder keeps its own state."""
    return state_dir / FOLDER


def running(state_dir: Path) -> DaemonInfo | None:
    """The replica of this state folder, if it runs."""
    return daemon.status(folder_of(state_dir))


def start(state_dir: Path, port: int | None = None, allowed_hosts: Sequence[str] = ()) -> DaemonInfo:
    """Starts the replica unless it runs. Without `port` at the one of last time, so that URLs stay valid.

    It answers as this machine's own hosts and as `allowed_hosts`. Raises `NetworkError` when it runs already and
    listens at another port than the one asked for, or does not answer as a host that is to be allowed.
    """
    names = _names(allowed_hosts)
    info = daemon.start(folder_of(state_dir), choose_port(state_dir) if port is None else port, names)
    if missing := ", ".join(name for name in names if name not in info.allowed_hosts):
        raise NetworkError(
            f"The replica of {state_dir} runs already, and does not answer as {missing}.",
            hint="End it with `icmigrate replica stop` first.",
        )
    if port and info.port != port:
        raise NetworkError(
            f"The replica of {state_dir} runs already, at port {info.port}.",
            hint="End it with `icmigrate replica stop` first, or leave out --port.",
        )
    remember_port(state_dir, info)
    return info


def serve(
    state_dir: Path, port: int | None, on_ready: Callable[[DaemonInfo], None], allowed_hosts: Sequence[str] = ()
) -> None:
    """Runs the replica in this process until Ctrl-C or SIGTERM."""

    def ready(info: DaemonInfo) -> None:
        remember_port(state_dir, info)
        on_ready(info)

    names = _names(allowed_hosts)
    daemon.run(folder_of(state_dir), choose_port(state_dir) if port is None else port, ready, names)


def _names(hosts: Sequence[str]) -> list[str]:
    """Hosts as they are compared with those of requests."""
    names = [host.lower().removesuffix(".") for host in hosts]
    for name in names:
        if not NAME.fullmatch(name):
            raise Usage(f"{name!r} is not the name of a host: it has no scheme, no port and no path.")
    return names


def stop(state_dir: Path) -> bool:
    """Stops the replica and waits for its end; false when none was running."""
    return daemon.stop(folder_of(state_dir))


def choose_port(state_dir: Path) -> int:
    """The port of last time if it is free, otherwise 0: any free one."""
    try:
        port = int((folder_of(state_dir) / PORT_FILE).read_text())
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except (OSError, ValueError, OverflowError):
        return 0
    return port


def remember_port(state_dir: Path, info: DaemonInfo) -> None:
    """Keeps the port for the next start."""
    private_files.write_text(folder_of(state_dir) / PORT_FILE, str(info.port))


def as_network(info: DaemonInfo) -> Network:
    """The network that a running replica is; its root key is known from its own folder."""
    return Network(EMBEDDED, info.url.rstrip("/"), bytes.fromhex(info.root_key), is_local=True)
