"""icp, the official command line: ICP and cycles, as on a local network of its own (its guide "Tokens and Cycles")."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.replica.http.canisters import KEEPER
from tests.replica.official.conftest import Daemon
from tests.replica.official.icp import Icp, prebuilt

ON = ("-e", "here")
SUBACCOUNT = "1"
CYCLES_LEDGER = "um5iw-rqaaa-aaaaq-qaaba-cai"


class Wallet:
    """One identity of the command."""

    def __init__(self, icp: Icp, name: str) -> None:
        self._icp, self.name = icp, name
        if name != "anonymous":
            icp("identity", "new", name, "--storage", "plaintext", "-q")
        self.principal = self("identity", "principal").strip()

    def __call__(self, *arguments: str, fails: bool = False) -> str:
        return self._icp(*arguments, "--identity", self.name, fails=fails)

    def token(self, *arguments: str, fails: bool = False) -> str:
        return self("token", *arguments, *ON, fails=fails)

    def cycles(self, *arguments: str, fails: bool = False) -> str:
        return self("cycles", *arguments, *ON, fails=fails)


@pytest.fixture(scope="module")
def icp(npm_clients: Path, replica: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Icp:
    folder = tmp_path_factory.mktemp("icp-cycles")
    (folder / "keeper.wasm").write_bytes(KEEPER)
    return Icp(npm_clients, folder, replica, [prebuilt("keeper")])


@pytest.fixture(scope="module")
def bank(icp: Icp) -> Wallet:
    """The anonymous principal, which local networks give ICP to."""
    return Wallet(icp, "anonymous")


@pytest.fixture(scope="module")
def bob(icp: Icp) -> Wallet:
    return Wallet(icp, "bob")


@pytest.fixture
def alice(icp: Icp, bank: Wallet, request: pytest.FixtureRequest) -> Wallet:
    """Somebody new with 10 ICP."""
    wallet = Wallet(icp, f"alice-{request.node.name[:40]}")
    assert "Balance: 0 ICP" in wallet.token("balance")
    bank.token("transfer", "10", wallet.principal)
    return wallet


def test_icp_is_sent_to_principals_accounts_and_account_identifiers(icp: Icp, alice: Wallet, bob: Wallet) -> None:
    assert f"Transferred 1.10000000 ICP to {bob.principal}" in alice.token("transfer", "1.1", bob.principal)
    assert "Balance: 8.89990000 ICP" in alice.token("icp", "balance")
    assert "Balance: 1.10000000 ICP" in bob.token("balance")
    identifier = bob("identity", "account-id").strip()
    assert identifier in alice.token("transfer", "1.1", identifier)
    assert "Balance: 2.20000000 ICP" in bob.token("balance")
    icrc1 = bob("identity", "account-id", "--of-subaccount", SUBACCOUNT, "--format", "icrc1").strip()
    alice.token("transfer", "0.5", icrc1)
    assert "Balance: 0.50000000 ICP" in bob.token("balance", "--subaccount", SUBACCOUNT)
    bob.token("transfer", "0.1", alice.principal, "--from-subaccount", SUBACCOUNT)
    assert "Balance: 0.39990000 ICP" in bob.token("balance", "--subaccount", SUBACCOUNT)
    assert "insufficient funds" in alice.token("transfer", "100", bob.principal, fails=True)


def test_icp_becomes_cycles(alice: Wallet) -> None:
    minted = alice.cycles("mint", "--icp", "1", "--to-subaccount", SUBACCOUNT)
    assert "Minted 3_519_900_000_000 cycles" in minted and "new balance: 3_519_900_000_000 cycles" in minted
    assert "Balance: 3_519_900_000_000 cycles" in alice.cycles("balance", "--subaccount", SUBACCOUNT)
    assert "Balance: 8.99990000 ICP" in alice.token("balance")
    assert "Minted 1_000_0" in alice.cycles("mint", "--cycles", "1t", "--to-subaccount", "2")
    assert "Insufficient funds" in alice.cycles("mint", "--icp", "1000", fails=True)


def test_cycles_are_sent(alice: Wallet, bob: Wallet) -> None:
    alice.cycles("mint", "--icp", "1", "--to-subaccount", SUBACCOUNT)
    alice.cycles("transfer", "2t", bob.principal, "--from-subaccount", SUBACCOUNT, "--to-subaccount", SUBACCOUNT)
    assert "Balance: 1_519_800_000_000 cycles" in alice.cycles("balance", "--subaccount", SUBACCOUNT)
    assert "2_000_000_000_000 cycles" in bob.cycles("balance", "--subaccount", SUBACCOUNT)
    assert "nsufficient" in alice.cycles("transfer", "9t", bob.principal, "--from-subaccount", SUBACCOUNT, fails=True)
    assert "2.0000000" in bob.token(CYCLES_LEDGER, "balance", "--subaccount", SUBACCOUNT)


@pytest.mark.parametrize("token", ["icp", CYCLES_LEDGER])
def test_spenders_are_approved(alice: Wallet, bob: Wallet, token: str) -> None:
    assert "Allowance: 0" in alice.token(token, "allowance", bob.principal)
    alice.token(token, "approve", "5", bob.principal, "--expires-in", "24h")
    shown = json.loads(bob.token(token, "allowance", bob.principal, "--of-principal", alice.principal, "--json"))
    assert shown["allowance"].startswith("5.0") and shown["expires_at"] > 0
    alice.token(token, "approve", "2", bob.principal)
    assert "Allowance: 2.0" in alice.token(token, "allowance", bob.principal)


def test_a_canister_lives_on_minted_cycles(icp: Icp, alice: Wallet) -> None:
    alice.cycles("mint", "--icp", "2")
    made = alice("canister", "create", "--detached", "--cycles", "3t", "-q").strip()
    assert json.loads(alice("canister", "status", made, "--json"))["cycles"].startswith("2_")
    alice("canister", "top-up", made, "--amount", "1t")
    assert json.loads(alice("canister", "status", made, "--json"))["cycles"].startswith("3_")
