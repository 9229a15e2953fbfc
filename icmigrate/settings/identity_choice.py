"""Which identity a command acts as: the one that is named, or a development key on a local network."""

from __future__ import annotations

import os
from pathlib import Path

from icmigrate.errors import Usage
from icmigrate.networks.network import Network
from icmigrate.protocol.identity import IDENTITY_VARIABLE, Ed25519Identity, Identity, load_identity

DEVELOPMENT_KEY = "identity.pem"


def choose_identity(named: str | None, network: Network, state_dir: Path) -> Identity:
    """The identity that the setting or the environment names; on a local network otherwise the development key.

    Raises `Usage` on any other network when none is named: a key that only lies in a state folder is soon lost,
    and with it what it controls.
    """
    if named or os.environ.get(IDENTITY_VARIABLE):
        return load_identity(named)
    if not network.is_local:
        raise Usage(
            f"network {network.name} needs an identity and none is named",
            hint="Use --identity with a PEM file or the name of a dfx or icp-cli identity, "
            f"or set {IDENTITY_VARIABLE}.",
        )
    return load_or_create(state_dir / DEVELOPMENT_KEY)


def load_or_create(file: Path) -> Identity:
    """The identity in `file`. If the file is missing, a new key is written there, readable by its user only."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write(Ed25519Identity.generate().to_pem())
        # Two commands may get here at once. Unlike a rename, a link never replaces a key that the other has written.
        try:
            os.link(draft, file)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return load_identity(str(file))
