"""The settings of a command: from flags, else the environment (`ICMIGRATE_*`), else `icmigrate.toml`, else defaults."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator

from icmigrate.errors import Usage
from icmigrate.networks.network import Network
from icmigrate.protocol.principal import Principal

FILE = "icmigrate.toml"
PREFIX = "ICMIGRATE_"
USERS_CHOICE = frozenset({"network", "identity", "root_key", "database_url"})
"""What a project's file does not choose for a network that is not on this machine."""


class Settings(BaseModel):
    """Where and as whom a command works, checked before it begins."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    network: str = Field("embedded", description="embedded, dfx, icp, ic or an http(s) URL")
    hub: str | None = Field(None, description="the hub's canister id")
    identity: str | None = Field(None, description="a PEM file, or the name of a dfx or icp-cli identity")
    root_key: str | None = Field(None, description="the root key (DER, hex) of a network that is not mainnet")
    state_dir: Path = Field(Path(".icmigrate"), description="where replica, ids and the database are kept")
    database_url: str | None = Field(None, description="sqlite:///FILE or postgresql://USER@HOST/NAME")
    window: int = Field(8, ge=1, le=64, description="chunks on their way at a time, 1 to 64")
    json_lines: bool = Field(False, alias="json", description="true or false: JSON lines on stdout")

    @field_validator("hub")
    @classmethod
    def _is_principal(cls, value: str | None) -> str | None:
        return None if value is None else Principal.from_str(value).to_str()

    @field_validator("root_key")
    @classmethod
    def _is_der(cls, value: str | None) -> str | None:
        if value is not None and len(bytes.fromhex(value)) != 133:
            raise ValueError("a root key has 133 bytes (266 hexadecimal digits)")
        return value

    @field_validator("database_url")
    @classmethod
    def _is_database(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
            raise ValueError("a database is sqlite:///FILE or postgresql://USER@HOST/NAME")
        return value

    _from_file: frozenset[str] = PrivateAttr(frozenset())

    def require_own_choice(self, network: Network) -> None:
        """Raises `Usage` where a project's file chooses what is the user's to choose.

        A checkout may come from anybody. Whoever chooses network, key or root key of a network that is not on this
        machine has the user's calls signed and sent where they like.
        """
        chosen = sorted(self._from_file & USERS_CHOICE)
        if chosen and not network.is_local:
            raise Usage(
                f"{FILE} of this folder chooses {' and '.join(chosen)} for network {network.name}, "
                "which is not on this machine; nothing was sent",
                hint="If that is what you want, say it yourself, by a flag or in the environment: "
                + ", ".join(f"{PREFIX}{key.upper()}" for key in chosen)
                + ".",
            )

    @property
    def database(self) -> str:
        """The URL of the durable engine's database."""
        return self.database_url or f"sqlite:///{(self.state_dir / 'icmigrate.sqlite').absolute()}"

    @property
    def root_key_der(self) -> bytes | None:
        return bytes.fromhex(self.root_key) if self.root_key else None


def load(flags: Mapping[str, Any], environment: Mapping[str, str], folder: Path) -> Settings:
    """The settings of one command; a flag not given is `None`. Raises `Usage` with origin and key."""
    file = folder / FILE
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    layers = [
        (str(file), _from_file(file)),
        ("environment", _from_environment(environment)),
        ("command line", {key: value for key, value in flags.items() if value is not None}),
    ]
    for name, layer in layers:
        values |= layer
        origin |= dict.fromkeys(layer, name)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        where = f"{PREFIX}{key.upper()}" if origin[key] == "environment" else f"{origin[key]}, {key}"
        reason = first["msg"].removeprefix("Value error, ")
        raise Usage(f"{where}: {reason}", hint=_allowed(key)) from None
    settings._from_file = frozenset(key for key, name in origin.items() if name == str(file))
    return settings


def _from_file(file: Path) -> dict[str, Any]:
    try:
        content = tomli.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomli.TOMLDecodeError) as error:
        raise Usage(f"{file}: {error}") from None
    if "state_dir" in content and isinstance(content["state_dir"], str):
        # A relative folder in the file is meant from where the file is.
        content["state_dir"] = file.parent / content["state_dir"]
    return content


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        key: environment[PREFIX + key.upper()] for key in _keys() if environment.get(PREFIX + key.upper(), "") != ""
    }


def _keys() -> dict[str, str]:
    """Every key as it is written, with what is allowed."""
    return {field.alias or name: field.description or "" for name, field in Settings.model_fields.items()}


def _allowed(key: str) -> str:
    keys = _keys()
    return f"{key} is {keys[key]}." if key in keys else f"The keys are {', '.join(keys)}."
