"""The ids of our canisters on each network, kept as JSON in the state folder; those of dfx are read too."""

from __future__ import annotations

import json
from pathlib import Path

from icmigrate.errors import Usage
from icmigrate.networks.network import EMBEDDED, Network
from icmigrate.protocol.principal import Principal


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
