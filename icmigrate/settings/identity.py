"""Plumbing: the identity that a command acts as."""

from __future__ import annotations

import os
from pathlib import Path

from icmigrate.errors import Usage
from icmigrate.networks.network import Network
from icmigrate.protocol.identity import IDENTITY_VARIABLE, Ed25519Identity, Identity, load_identity

DEVELOPMENT_KEY = "identity.pem"


def choose(spec: str | None, network: Network, state_dir: Path) -> Identity:
    """The identity named by `spec` or by the environment; on a local network one made for development otherwise.

    Raises `Usage` on any other network when none is named: a key that only lies in a state folder is soon lost,
    and with it what it controls.
    """
    if spec or os.environ.get(IDENTITY_VARIABLE):
        return load_identity(spec)
    if not network.is_local:
        raise Usage(
            f"network {network.name} needs an identity and none is named",
            hint="Use --identity with a PEM file or the name of a dfx or icp-cli identity, "
            f"or set {IDENTITY_VARIABLE}.",
        )
    return kept(state_dir / DEVELOPMENT_KEY)


def kept(file: Path) -> Identity:
    """The identity in `file`, made and written there (readable by its user only) if there is none yet."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write(Ed25519Identity.generate().to_pem())
        # Whoever comes second keeps what the first has written.
        try:
            os.link(draft, file)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return load_identity(str(file))
