"""@icp-sdk/canisters: official clients of the ledgers, their indexes and the minting canister, and their interfaces."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from icmigrate.protocol.principal import Principal
from tests.replica.official.conftest import Daemon, run_script
from tests.worlds.system_canisters import open_world


def test_icp_and_cycles_are_moved_by_the_official_clients(
    npm_clients: Path, replica: Daemon, keeper: Principal
) -> None:
    replica_at = (replica.info.url, replica.info.root_key)
    assert run_script(npm_clients, "ledgers.mjs", *replica_at, keeper.to_str()).endswith("done\n")


INTERFACES = {
    "ryjl3-tyaaa-aaaaa-aaaba-cai": "ledger-icp/ledger.did",
    "qhbym-qaaaa-aaaaa-aaafq-cai": "ledger-icp/index.did",
    "rkp4c-7iaaa-aaaaa-aaaca-cai": "cmc/cmc.did",
    "um5iw-rqaaa-aaaaq-qaaba-cai": "cycles-ledger/cycles-ledger.did",
    "ul4oc-4iaaa-aaaaq-qaabq-cai": "ledger-icrc/icrc_index.did",
}
LEFT_OUT = {
    "http_request",
    # For the governance canister only, which is not there:
    "set_authorized_subnetwork_list",
    "update_subnet_type",
    "change_subnet_type_assignment",
}
METHOD = re.compile(r"(\w+)\s*:\s*\(")


@pytest.mark.parametrize(("canister_id", "interface"), INTERFACES.items())
async def test_every_method_of_the_published_interface_is_there(
    npm_clients: Path, canister_id: str, interface: str
) -> None:
    declarations = npm_clients / "node_modules" / "@icp-sdk" / "canisters" / "declarations"
    text = re.sub(r"//.*", "", (declarations / interface).read_text())
    _, _, service = text.partition("service :")[2].partition("->")
    _, *parts = METHOD.split(service)
    published = {name: ") query" in rest for name, rest in zip(parts[::2], parts[1::2], strict=True)}
    assert len(published) == service.count("->")  # none was overlooked
    async with open_world() as world:
        methods = world.systems[Principal.from_str(canister_id)].methods()
    present = {name: method.is_query for name, method in methods.items()}
    assert published.keys() - LEFT_OUT <= present.keys()
    assert all(present[name] == published[name] for name in published.keys() - LEFT_OUT)
