"""@icp-sdk/canisters, the official clients of the ICP ledger, its index, the minting canister and the cycles ledger."""

from __future__ import annotations

from pathlib import Path

from icmigrate.protocol.principal import Principal
from tests.replica.official.conftest import Daemon, run_script


def test_icp_and_cycles_are_moved_by_the_official_clients(
    npm_clients: Path, replica: Daemon, keeper: Principal
) -> None:
    replica_at = (replica.info.url, replica.info.root_key)
    assert run_script(npm_clients, "ledgers.mjs", *replica_at, keeper.to_str()).endswith("done\n")
