"""Settings, networks and identities, before anything is connected."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from icmigrate.errors import Usage
from icmigrate.networks.canister_ids import CanisterIds
from icmigrate.networks.network import Network
from icmigrate.networks.resolve import resolve
from icmigrate.protocol.certificate import MAINNET_ROOT_KEY
from icmigrate.protocol.identity import Ed25519Identity
from icmigrate.settings import config
from icmigrate.settings.identity_choice import choose_identity

HUB = "rwlgt-iiaaa-aaaaa-aaaaa-cai"
OTHER = "rrkah-fqaaa-aaaaa-aaaaq-cai"
LOCAL = Network("embedded", "http://127.0.0.1:5000", b"key", is_local=True)


def test_flags_count_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "icmigrate.toml").write_text('network = "dfx"\nwindow = 2\nstate_dir = "there"\njson = true\n')
    environment = {"ICMIGRATE_NETWORK": "ic", "ICMIGRATE_HUB": HUB, "ICMIGRATE_IDENTITY": ""}
    settings = config.load({"hub": OTHER, "network": None}, environment, tmp_path)
    assert (settings.network, settings.hub, settings.window) == ("ic", OTHER, 2)
    assert (settings.state_dir, settings.json_lines, settings.identity) == (tmp_path / "there", True, None)


@pytest.mark.parametrize(
    ("flags", "environment", "file", "named"),
    [
        ({"hub": "nonsense"}, {}, "", ["command line, hub", "not a principal"]),
        ({}, {"ICMIGRATE_WINDOW": "many"}, "", ["ICMIGRATE_WINDOW", "integer", "1 to 64"]),
        ({}, {"ICMIGRATE_WINDOW": "65"}, "", ["ICMIGRATE_WINDOW", "64"]),
        ({}, {"ICMIGRATE_JSON": "perhaps"}, "", ["ICMIGRATE_JSON", "true or false"]),
        ({}, {"ICMIGRATE_ROOT_KEY": "00ff"}, "", ["ICMIGRATE_ROOT_KEY", "133 bytes"]),
        ({}, {}, "windows = 8\n", ["icmigrate.toml", "windows", "network, hub"]),
        ({}, {}, "window = [\n", ["icmigrate.toml"]),
        ({}, {}, 'database_url = "mysql://x"\n', ["icmigrate.toml, database_url", "sqlite:///FILE"]),
    ],
)
def test_a_wrong_setting_is_named_with_its_origin_and_what_is_allowed(
    flags: dict[str, Any], environment: dict[str, str], file: str, named: list[str], tmp_path: Path
) -> None:
    (tmp_path / "icmigrate.toml").write_text(file)
    with pytest.raises(Usage) as refused:
        config.load(flags, environment, tmp_path)
    for words in named:
        assert words in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize("key", ["network", "identity", "root_key", "database_url"])
def test_a_projects_file_does_not_choose_for_a_network_elsewhere(key: str, tmp_path: Path) -> None:
    chosen = {"network": "ic", "identity": "k.pem", "root_key": MAINNET_ROOT_KEY.hex(), "database_url": "sqlite:///x"}
    (tmp_path / "icmigrate.toml").write_text(f'{key} = "{chosen[key]}"\nhub = "{HUB}"\n')
    elsewhere = resolve("ic")
    with pytest.raises(Usage, match=key):
        config.load({}, {}, tmp_path).require_own_choice(elsewhere)
    config.load({}, {}, tmp_path).require_own_choice(LOCAL)
    said = {f"ICMIGRATE_{key.upper()}": chosen[key]}
    config.load({}, said, tmp_path).require_own_choice(elsewhere)


@pytest.mark.parametrize(
    ("name", "url", "is_local", "root_key"),
    [
        ("ic", "https://icp-api.io", False, MAINNET_ROOT_KEY),
        ("dfx", "http://127.0.0.1:4943", True, None),
        ("icp", "http://127.0.0.1:8000", True, None),
        ("http://localhost:4943", "http://localhost:4943", True, None),
        ("http://127.0.0.1:1/", "http://127.0.0.1:1", True, None),
        ("http://[::1]:4943", "http://[::1]:4943", True, None),
        ("https://icp0.io", "https://icp0.io", False, MAINNET_ROOT_KEY),
    ],
)
def test_only_a_network_on_this_machine_is_trusted_with_its_own_root_key(
    name: str, url: str, is_local: bool, root_key: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    found = resolve(name)
    assert (found.url, found.is_local, found.root_key) == (url, is_local, root_key)


@pytest.mark.parametrize(
    "name",
    [
        "mainnet",
        "",
        "http://",
        "ftp://x",
        "http://example.org",
        "https://u:p@example.org",
        "https://x.org/api",
        "http://x:y",
    ],
)
def test_what_is_no_network_is_refused(name: str) -> None:
    with pytest.raises(Usage):
        resolve(name)


def test_the_port_that_dfx_wrote_down_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    port = tmp_path / ".dfx/network/local/webserver-port"
    port.parent.mkdir(parents=True)
    port.write_text("50123")
    assert resolve("dfx").url == "http://127.0.0.1:50123"


def test_asset_urls_need_no_name_service_locally_and_a_host_of_their_own_on_mainnet() -> None:
    assert LOCAL.asset_url(HUB, "/asset/m/original?token=t") == (
        f"http://127.0.0.1:5000/asset/m/original?token=t&canisterId={HUB}"
    )
    assert LOCAL.asset_url(HUB, "/health") == f"http://127.0.0.1:5000/health?canisterId={HUB}"
    assert LOCAL.gateway(HUB) == f"http://{HUB}.localhost:5000"
    assert resolve("ic").asset_url(HUB, "/health") == f"https://{HUB}.icp0.io/health"


def test_canister_ids_are_kept_and_those_of_dfx_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dfx = Network("dfx", "http://127.0.0.1:4943", None, is_local=True)
    ids = CanisterIds(tmp_path / "state", dfx)
    assert ids.get("hub") is None
    theirs = tmp_path / ".dfx/local/canister_ids.json"
    theirs.parent.mkdir(parents=True)
    theirs.write_text(json.dumps({"hub": {"local": OTHER}}))
    assert ids.get("hub") == OTHER
    ids.put("hub", HUB)
    assert ids.get("hub") == HUB
    assert CanisterIds(tmp_path / "state", LOCAL).get("hub") is None


@pytest.mark.parametrize("content", ["[]", "{", '{"hub": 1}', '{"hub": {"dfx": "nonsense"}}'])
def test_a_broken_list_of_canister_ids_is_named(content: str, tmp_path: Path) -> None:
    ids = CanisterIds(tmp_path, Network("dfx", "", None, is_local=True))
    ids.path.parent.mkdir()
    ids.path.write_text(content)
    with pytest.raises(Usage, match=r"canister_ids\.json"):
        ids.get("hub")


def test_a_development_key_is_made_once_for_its_user_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ICMIGRATE_IDENTITY_PEM", raising=False)
    first = choose_identity(None, LOCAL, tmp_path / "state")
    second = choose_identity(None, LOCAL, tmp_path / "state")
    key = tmp_path / "state" / "identity.pem"
    assert first.sender() == second.sender()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert list(key.parent.iterdir()) == [key]


def test_no_key_is_made_for_mainnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ICMIGRATE_IDENTITY_PEM", raising=False)
    with pytest.raises(Usage) as refused:
        choose_identity(None, resolve("ic"), tmp_path)
    assert "--identity" in refused.value.hint
    assert not list(tmp_path.iterdir())


def test_the_environments_key_counts_on_every_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = Ed25519Identity.generate()
    monkeypatch.setenv("ICMIGRATE_IDENTITY_PEM", identity.to_pem())
    for on in (LOCAL, resolve("ic")):
        assert choose_identity(None, on, tmp_path).sender() == identity.sender()
