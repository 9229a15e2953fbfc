"""Authenticators that sign as browsers and security keys do."""

from __future__ import annotations

import base64
import hashlib
import json
from abc import abstractmethod

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from cryptography.hazmat.primitives.hashes import SHA256

from icmigrate.protocol import cbor, public_key_info
from icmigrate.protocol.identity import Identity

AUTHENTICATOR_DATA = hashlib.sha256(b"example.org").digest() + b"\1\0\0\0\1"


class Passkey(Identity):
    """A key that signs assertions, of which the payload is the challenge."""

    def public_key_der(self) -> bytes:
        return public_key_info.wrap(public_key_info.COSE_KEY, cbor.dumps(self.cose()).removeprefix(cbor.SELF_DESCRIBE))

    def sign(self, message: bytes) -> bytes:
        return self.assertion(client_data(message))

    def assertion(self, client_data_json: str) -> bytes:
        signed = AUTHENTICATOR_DATA + hashlib.sha256(client_data_json.encode()).digest()
        return cbor.dumps(
            {
                "authenticator_data": AUTHENTICATOR_DATA,
                "client_data_json": client_data_json,
                "signature": self.sign_bytes(signed),
            }
        )

    @abstractmethod
    def cose(self) -> dict[int, object]:
        """The public key."""

    @abstractmethod
    def sign_bytes(self, data: bytes) -> bytes: ...


def client_data(payload: bytes) -> str:
    challenge = base64.urlsafe_b64encode(payload).rstrip(b"=").decode()
    return json.dumps({"type": "webauthn.get", "challenge": challenge, "origin": "https://example.org"})


class Es256Passkey(Passkey):
    def __init__(self) -> None:
        self._key = generate_private_key(SECP256R1())

    def cose(self) -> dict[int, object]:
        point = self._key.public_key().public_numbers()
        return {1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")}

    def sign_bytes(self, data: bytes) -> bytes:
        return self._key.sign(data, ECDSA(SHA256()))


class Rs256Passkey(Passkey):
    def __init__(self, bits: int = 2048) -> None:
        self._key = generate_rsa_key(65_537, bits)

    def cose(self) -> dict[int, object]:
        numbers = self._key.public_key().public_numbers()
        return {1: 3, 3: -257, -1: numbers.n.to_bytes(self._key.key_size // 8, "big"), -2: b"\1\0\1"}

    def sign_bytes(self, data: bytes) -> bytes:
        return self._key.sign(data, PKCS1v15(), SHA256())


class EdDsaPasskey(Passkey):
    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()

    def cose(self) -> dict[int, object]:
        return {1: 1, 3: -8, -1: 6, -2: self._key.public_key().public_bytes_raw()}

    def sign_bytes(self, data: bytes) -> bytes:
        return self._key.sign(data)
