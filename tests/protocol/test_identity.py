"""Identities and where their keys are kept."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from ic.identity import Identity as IcPyIdentity

from icmigrate.errors import Usage
from icmigrate.protocol.identity import (
    AnonymousIdentity,
    Ed25519Identity,
    Prime256v1Identity,
    Secp256k1Identity,
    from_pem,
    load_identity,
    verify_signature,
)

KINDS = [Ed25519Identity, Secp256k1Identity, Prime256v1Identity]
IDS = ["ed25519", "secp256k1", "p256"]


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_a_key_survives_its_pem_file(kind: type[Ed25519Identity | Secp256k1Identity | Prime256v1Identity]) -> None:
    identity = kind.generate()
    again = from_pem(identity.to_pem())
    assert type(again) is kind
    assert again.sender() == identity.sender()
    assert verify_signature(identity.public_key_der(), again.sign(b"message"), b"message")


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_a_key_never_shows_itself(kind: type[Ed25519Identity | Secp256k1Identity | Prime256v1Identity]) -> None:
    identity = kind.generate()
    assert repr(identity) == str(identity) == f"{kind.__name__}({identity.sender()})"


@pytest.mark.parametrize("kind", ["ed25519", "secp256k1"])
def test_ic_py_derives_the_same_sender_from_the_same_key(kind: str) -> None:
    theirs = IcPyIdentity(type=kind)
    ours = from_pem(theirs.to_pem())
    assert ours.sender() == theirs.sender()
    der, signature = theirs.sign(b"message")
    if kind == "ed25519":
        assert ours.sign(b"message") == signature
    assert verify_signature(der, signature, b"message")


def test_a_secp256k1_key_in_the_form_of_openssl_and_dfx_is_read() -> None:
    key = ec.generate_private_key(ec.SECP256K1())
    sec1 = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    with_parameters = "-----BEGIN EC PARAMETERS-----\nBgUrgQQACg==\n-----END EC PARAMETERS-----\n" + sec1
    assert from_pem(sec1).sender() == from_pem(with_parameters).sender()
    assert isinstance(from_pem(sec1), Secp256k1Identity)


def test_an_ed25519_key_with_its_public_key_as_older_dfx_wrote_it_is_read() -> None:
    key = Ed25519PrivateKey.generate()
    seed = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    der = bytes.fromhex("3053020101300506032b657004220420") + seed + bytes.fromhex("a123032100") + public
    pem = f"-----BEGIN PRIVATE KEY-----\n{base64.encodebytes(der).decode()}-----END PRIVATE KEY-----\n"
    assert from_pem(pem).sender() == Ed25519Identity(key).sender()


def test_an_encrypted_key_needs_its_password() -> None:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    assert from_pem(pem, "secret").sender() == Ed25519Identity(key).sender()
    with pytest.raises(Usage, match="no password"):
        from_pem(pem)
    with pytest.raises(Usage, match="wrong password"):
        from_pem(pem, "guess")


@pytest.mark.parametrize("pem", ["", "text", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_refused(pem: str) -> None:
    with pytest.raises(Usage):
        from_pem(pem)


def test_a_key_that_cannot_sign_requests_is_refused() -> None:
    key = rsa.generate_private_key(65537, 2048)
    with pytest.raises(Usage, match="cannot sign requests"):
        from_pem(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def test_an_identity_is_found_by_path_by_name_and_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("DFX_CONFIG_ROOT", "ICP_HOME", "XDG_DATA_HOME", "ICMIGRATE_IDENTITY_PEM"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    identities = {name: Ed25519Identity.generate() for name in ("file", "dfx", "icp")}
    places = {
        "file": tmp_path / "key.pem",
        "dfx": tmp_path / ".config/dfx/identity/of-dfx/identity.pem",
        "icp": tmp_path / "icp/identity/keys/of-icp.pem",
    }
    for name, path in places.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(identities[name].to_pem())
    monkeypatch.setenv("ICP_HOME", str(tmp_path / "icp"))
    assert load_identity("key.pem").sender() == identities["file"].sender()
    assert load_identity("~/key.pem").sender() == identities["file"].sender()
    assert load_identity("of-dfx").sender() == identities["dfx"].sender()
    assert load_identity("of-icp").sender() == identities["icp"].sender()
    assert isinstance(load_identity("anonymous"), AnonymousIdentity)
    with pytest.raises(Usage, match="no identity given"):
        load_identity()
    monkeypatch.setenv("ICMIGRATE_IDENTITY_PEM", identities["icp"].to_pem())
    assert load_identity().sender() == identities["icp"].sender()
    monkeypatch.setenv("ICMIGRATE_IDENTITY_PEM", str(places["file"]))
    assert load_identity(None).sender() == identities["file"].sender()


@pytest.mark.parametrize("spec", ["nobody", "../dfx", ".", "/nowhere/key.pem"])
def test_an_identity_that_is_not_there_is_a_mistake_of_usage(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nowhere")
    with pytest.raises(Usage, match="no identity"):
        load_identity(spec)


def test_the_message_about_a_broken_key_file_names_the_file_and_none_of_its_content(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0c2VjcmV0\n-----END PRIVATE KEY-----\n")
    with pytest.raises(Usage, match=r"key\.pem") as caught:
        load_identity(str(path))
    assert "c2Vj" not in str(caught.value)
