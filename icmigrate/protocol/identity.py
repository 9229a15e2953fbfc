"""Interface Specification, "Authentication": who signs a request, and with what."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256K1,
    SECP256R1,
    EllipticCurve,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from icmigrate.errors import Usage
from icmigrate.protocol.delegation import Delegation, SignedDelegation
from icmigrate.protocol.principal import ANONYMOUS, Principal
from icmigrate.protocol.signature import encode_der_as_raw, verify_signature

__all__ = [
    "AnonymousIdentity",
    "DelegatedIdentity",
    "Ed25519Identity",
    "Identity",
    "Prime256v1Identity",
    "Secp256k1Identity",
    "from_pem",
    "load_identity",
    "verify_signature",
]


class Identity:
    """One who signs requests. Its key never shows: not in `repr`, not in errors."""

    delegations: Sequence[SignedDelegation] = ()

    def sender(self) -> Principal:
        """The id under which canisters see the caller."""
        public_key = self.public_key_der()
        return ANONYMOUS if public_key is None else Principal.self_authenticating(public_key)

    def public_key_der(self) -> bytes | None:
        """The key that the sender's id comes from, in DER; None for the anonymous identity."""
        raise NotImplementedError

    def sign(self, message: bytes) -> bytes:
        """The signature on `message`, domain separator included by the caller."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.sender()})"


class AnonymousIdentity(Identity):
    """Nobody: requests are not signed."""

    def public_key_der(self) -> None:
        return None

    def sign(self, message: bytes) -> bytes:
        raise ValueError("the anonymous identity does not sign")


class _KeyIdentity(Identity):
    def __init__(self, key: Ed25519PrivateKey | EllipticCurvePrivateKey) -> None:
        self._key = key
        self._der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self._sender = Principal.self_authenticating(self._der)

    def sender(self) -> Principal:
        return self._sender

    def public_key_der(self) -> bytes:
        return self._der

    def to_pem(self) -> str:
        """The secret key as PKCS #8 in PEM, not encrypted."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


class Ed25519Identity(_KeyIdentity):
    """Signs with Ed25519."""

    _key: Ed25519PrivateKey

    @staticmethod
    def generate() -> Ed25519Identity:
        """A new random key."""
        return Ed25519Identity(Ed25519PrivateKey.generate())

    @staticmethod
    def from_seed(seed: bytes) -> Ed25519Identity:
        """The key of a 32-byte seed."""
        return Ed25519Identity(Ed25519PrivateKey.from_private_bytes(seed))

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


class _EcdsaIdentity(_KeyIdentity):
    _key: EllipticCurvePrivateKey

    def sign(self, message: bytes) -> bytes:
        return encode_der_as_raw(self._key.sign(message, ECDSA(SHA256())))


class Secp256k1Identity(_EcdsaIdentity):
    """Signs with ECDSA on secp256k1."""

    @staticmethod
    def generate() -> Secp256k1Identity:
        """A new random key."""
        return Secp256k1Identity(generate_private_key(SECP256K1()))


class Prime256v1Identity(_EcdsaIdentity):
    """Signs with ECDSA on P-256."""

    @staticmethod
    def generate() -> Prime256v1Identity:
        """A new random key."""
        return Prime256v1Identity(generate_private_key(SECP256R1()))


class DelegatedIdentity(Identity):
    """Signs with `inner` for the holder of another key, who delegated to it through `delegations`."""

    def __init__(self, inner: Identity, public_key_der: bytes, delegations: Sequence[SignedDelegation]) -> None:
        self._inner = inner
        self._der = public_key_der
        self.delegations = tuple(delegations)

    @staticmethod
    def delegate(
        holder: Identity,
        to: Identity,
        *,
        expiration_ns: int,
        targets: Sequence[Principal] | None = None,
        permissions: str | None = None,
    ) -> DelegatedIdentity:
        """Has `holder` (which may itself be delegated) delegate to the key of `to`, until `expiration_ns`.

        `targets` restricts to requests to these canisters, `permissions` "queries" to queries and read_state.
        """
        holder_key, to_key = holder.public_key_der(), to.public_key_der()
        if holder_key is None or to_key is None:
            raise ValueError("the anonymous identity takes no part in delegations")
        delegation = Delegation(
            to_key,
            expiration_ns,
            None if targets is None else tuple(target.bytes for target in targets),
            permissions,
        )
        signed = SignedDelegation(delegation, holder.sign(delegation.signed_bytes()))
        return DelegatedIdentity(to, holder_key, (*holder.delegations, signed))

    def public_key_der(self) -> bytes:
        return self._der

    def sign(self, message: bytes) -> bytes:
        return self._inner.sign(message)


# -- keys in files --------------------------------------------------------------------------------------


def from_pem(pem: str | bytes, password: str | bytes | None = None) -> Identity:
    """The identity of a secret key in PEM: Ed25519, secp256k1 or P-256, as PKCS #8 or SEC 1.

    Raises `Usage` for anything else; the message never contains any of it.
    """
    data = _without_parameters(pem.encode() if isinstance(pem, str) else pem)
    secret = password.encode() if isinstance(password, str) else password
    try:
        key = load_pem_private_key(_as_version_1(data), secret)
    except TypeError:
        raise Usage(
            "the key is encrypted and no password is given" if secret is None else "the key is not encrypted"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise Usage("not a secret key in PEM, or the wrong password for it") from None
    if isinstance(key, Ed25519PrivateKey):
        return Ed25519Identity(key)
    if isinstance(key, EllipticCurvePrivateKey):
        kinds: dict[type[EllipticCurve], type[_EcdsaIdentity]] = {
            SECP256K1: Secp256k1Identity,
            SECP256R1: Prime256v1Identity,
        }
        kind = kinds.get(type(key.curve))
        if kind is not None:
            return kind(key)
    raise Usage("a key of this kind cannot sign requests; use Ed25519, secp256k1 or P-256")


def _without_parameters(pem: bytes) -> bytes:
    """OpenSSL writes a block of curve parameters before a SEC 1 key; the key names its curve itself."""
    end = b"-----END EC PARAMETERS-----"
    return pem[pem.index(end) + len(end) :].lstrip() if end in pem else pem


_PEM_BEGIN, _PEM_END = b"-----BEGIN PRIVATE KEY-----", b"-----END PRIVATE KEY-----"
_VERSION_1, _VERSION_2 = b"\x02\x01\x00", b"\x02\x01\x01"


def _as_version_1(pem: bytes) -> bytes:
    """A key in PKCS #8 version 2, which older dfx and ic-py write and OpenSSL does not read, in version 1."""
    text = pem.strip()
    if not text.startswith(_PEM_BEGIN) or not text.endswith(_PEM_END):
        return pem
    try:
        der = base64.b64decode(text[len(_PEM_BEGIN) : -len(_PEM_END)])
        content = der[_der_item(der, 0)[0] :]
        if not content.startswith(_VERSION_2):
            return pem
        _, algorithm_end = _der_item(content, len(_VERSION_2))
        _, key_end = _der_item(content, algorithm_end)
    except (ValueError, IndexError):
        return pem
    body = _VERSION_1 + content[len(_VERSION_2) : key_end]
    if len(body) > 0xFF:  # no key that can sign requests is that long
        return pem
    length = bytes((len(body),) if len(body) < 0x80 else (0x81, len(body)))
    return b"\n".join((_PEM_BEGIN, base64.encodebytes(b"\x30" + length + body).strip(), _PEM_END, b""))


def _der_item(der: bytes, at: int) -> tuple[int, int]:
    """Where the content of the DER item at `at` begins and ends."""
    length, begin = der[at + 1], at + 2
    if length >= 0x80:
        size = length - 0x80
        length, begin = int.from_bytes(der[begin : begin + size], "big"), begin + size
    return begin, begin + length


IDENTITY_VARIABLE = "ICMIGRATE_IDENTITY_PEM"
ANONYMOUS_NAME = "anonymous"


def load_identity(spec: str | None = None, password: str | bytes | None = None) -> Identity:
    """The identity that `spec` names. Raises `Usage` when there is none, or its key cannot be read.

    `spec` is the path of a PEM file, "anonymous", or the name of an identity of dfx or icp-cli that is kept
    in a plain file. Without it the environment's ICMIGRATE_IDENTITY_PEM counts: a key in PEM, or the path
    of one.
    """
    if not spec:
        variable = os.environ.get(IDENTITY_VARIABLE, "")
        if not variable:
            raise Usage("no identity given", hint=f"Use --identity, or set {IDENTITY_VARIABLE}.")
        return from_pem(variable, password) if "-----BEGIN" in variable else load_identity(variable, password)
    if spec == ANONYMOUS_NAME:
        return AnonymousIdentity()
    candidates = [Path(spec).expanduser()]
    if Path(spec).name == spec and spec not in (".", ".."):
        candidates += _kept_by_tools(spec)
    for path in candidates:
        if path.is_file():
            return _read(path, password)
    raise Usage(
        f"no identity {spec!r}: neither a PEM file nor a plain-file identity of dfx or icp-cli",
        hint="Export it: `dfx identity export NAME > key.pem`, or `icp identity export NAME > key.pem`.",
    )


def _kept_by_tools(name: str) -> list[Path]:
    """Where dfx and icp-cli keep the key of an identity in a plain file."""
    home = Path.home()
    dfx = Path(os.environ.get("DFX_CONFIG_ROOT", home)) / ".config" / "dfx"
    if "ICP_HOME" in os.environ:
        icp_cli = Path(os.environ["ICP_HOME"])
    elif sys.platform == "darwin":
        icp_cli = home / "Library" / "Application Support" / "org.dfinity.icp-cli"
    else:
        icp_cli = Path(os.environ.get("XDG_DATA_HOME", home / ".local" / "share")) / "icp-cli"
    return [dfx / "identity" / name / "identity.pem", icp_cli / "identity" / "keys" / f"{name}.pem"]


def _read(path: Path, password: str | bytes | None) -> Identity:
    try:
        return from_pem(path.read_bytes(), password)
    except OSError as error:
        raise Usage(f"cannot read {path}: {error.strerror}") from None
    except Usage as error:
        raise Usage(f"{path}: {error}", hint=error.hint) from None
