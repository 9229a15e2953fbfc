"""The embedded replica as a network: the one of a state folder is found, started at its port, stopped."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

from icmigrate.errors import NetworkError
from icmigrate.networks.network import EMBEDDED, Network
from icmigrate.replica import daemon
from icmigrate.replica.daemon import DaemonInfo

FOLDER = "replica"
PORT_FILE = "port"


def folder_of(state_dir: Path) -> Path:
    """Where the replica of a state folder keeps its own state."""
    return state_dir / FOLDER


def running(state_dir: Path) -> DaemonInfo | None:
    """The replica of this state folder, if it runs."""
    return daemon.status(folder_of(state_dir))


def start(state_dir: Path, port: int | None = None) -> DaemonInfo:
    """Starts the replica unless it runs. Without `port` at the one of last time, so that URLs stay valid.

    Raises `NetworkError` when it runs already and listens at another port than the one asked for.
    """
    info = daemon.start(folder_of(state_dir), choose_port(state_dir) if port is None else port)
    if port and info.port != port:
        raise NetworkError(
            f"The replica of {state_dir} runs already, at port {info.port}.",
            hint="End it with `icmigrate replica stop` first, or leave out --port.",
        )
    remember_port(state_dir, info)
    return info


def serve(state_dir: Path, port: int | None, on_ready: Callable[[DaemonInfo], None]) -> None:
    """Runs the replica in this process until Ctrl-C or SIGTERM."""

    def ready(info: DaemonInfo) -> None:
        remember_port(state_dir, info)
        on_ready(info)

    daemon.run(folder_of(state_dir), choose_port(state_dir) if port is None else port, ready)


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
    (folder_of(state_dir) / PORT_FILE).write_text(str(info.port))


def as_network(info: DaemonInfo) -> Network:
    """The network that a running replica is; its root key is known from its own folder."""
    return Network(EMBEDDED, info.url.rstrip("/"), bytes.fromhex(info.root_key), is_local=True)
