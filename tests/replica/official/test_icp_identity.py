"""icp with each kind of identity that it has: the replica accepts what they sign and knows who they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.replica.official.conftest import Daemon, compile_motoko
from tests.replica.official.icp import Icp

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

# How the key of an identity that is imported is made and written.
KEYS: dict[str, tuple[Callable[[], PrivateKey], PrivateFormat]] = {
    "secp256k1": (lambda: ec.generate_private_key(ec.SECP256K1()), PrivateFormat.TraditionalOpenSSL),
    "prime256v1": (lambda: ec.generate_private_key(ec.SECP256R1()), PrivateFormat.PKCS8),
    "ed25519": (ed25519.Ed25519PrivateKey.generate, PrivateFormat.PKCS8),
}
PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def icp(npm_clients: Path, replica: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Icp:
    folder = tmp_path_factory.mktemp("identities")
    compile_motoko(npm_clients, "enhanced", "greeter.mo", folder, "one", "two")
    icp = Icp(npm_clients, folder, replica, [])
    (folder / "password").write_text(PASSWORD)
    icp("identity", "new", "locked", "--storage", "password", "--storage-password-file", "password", "-q")
    icp("identity", "new", "sown", "--storage", "plaintext", "--output-seed", "seed")
    for curve, (make, written) in KEYS.items():
        (folder / f"{curve}.pem").write_bytes(make().private_bytes(Encoding.PEM, written, NoEncryption()))
        icp("identity", "import", curve, "--from-pem", f"{curve}.pem", "--storage", "plaintext")
        icp("identity", "import", f"seed-{curve}", "--from-seed-file", "seed", "--seed-curve", curve,
            "--storage", "plaintext")  # fmt: skip
    return icp


@pytest.fixture(scope="module")
def greeter(icp: Icp) -> str:
    canister_id = icp.created()
    icp.canister("install", canister_id, "--wasm", "one.wasm", "--args", '("Hello")')
    return canister_id


IDENTITIES = ["tester", "anonymous", "locked", "sown", *KEYS, *(f"seed-{curve}" for curve in KEYS)]


def is_known(icp: Icp, greeter: str, identity: str, principal: str) -> None:
    """Whether calls and queries of the identity come from the principal, and it can own a canister."""
    options = ["--identity", identity, "--identity-password-file", "password"]
    for query in ([], ["--query"]):
        assert principal in icp.canister("call", greeter, "whoami", "()", *query, *options)
    assert icp.json("canister", "status", icp.created(*options), *options)["settings"]["controllers"] == [principal]


@pytest.mark.parametrize("identity", IDENTITIES)
def test_who_signs_is_who_is_known(icp: Icp, greeter: str, identity: str) -> None:
    principal = icp("identity", "principal", "--identity", identity, "--identity-password-file", "password")
    is_known(icp, greeter, identity, principal.strip())


@pytest.mark.parametrize("owner", KEYS)
def test_who_was_delegated_to_acts_for_the_owner_where_it_may(icp: Icp, greeter: str, owner: str) -> None:
    principal = icp("identity", "principal", "--identity", owner).strip()
    session, bound = f"session-{owner}", f"bound-{owner}"
    for name, options in ((session, []), (bound, ["--canisters", greeter])):
        public_key = icp("identity", "delegation", "request", name, "--storage", "plaintext")
        (icp.folder / f"{name}.pub").write_text(public_key)
        chain = icp("identity", "delegation", "sign", "--identity", owner, "--key-pem", f"{name}.pub",
                    "--duration", "1h", *options)  # fmt: skip
        (icp.folder / f"{name}.json").write_text(chain)
        icp("identity", "delegation", "use", name, "--from-json", f"{name}.json")
    is_known(icp, greeter, session, principal)
    assert principal in icp.canister("call", greeter, "whoami", "()", "--identity", bound)
    assert "delegation" in icp.canister("create", "--detached", "--identity", bound, fails=True)
