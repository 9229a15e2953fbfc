"""Interface Specification, "Certification" and "Request: Query call": the keys that a replica signs with.

The root key signs certificates, the node key signs answers to queries. One subnet, which is the root subnet,
so certificates need no delegation. Both keys are made once per state folder and kept in it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from icmigrate.errors import CborError
from icmigrate.protocol import bls, cbor
from icmigrate.protocol.principal import Principal
from icmigrate.replica.storage.errors import StateDamaged

FILE_NAME = "keys.cbor"


@dataclass(frozen=True)
class Keys:
    """Root and node key of one replica and the ids that follow from them."""

    root: bls.SecretKey = field(repr=False)
    node: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> Keys:
        """Fresh keys."""
        return cls(bls.SecretKey.generate(), Ed25519PrivateKey.generate())

    @classmethod
    def open(cls, folder: Path | None) -> Keys:
        """The keys of a state folder, made at the first opening; without a folder they live as long as this.

        Raises StateDamaged.
        """
        if folder is None:
            return cls.generate()
        path = folder / FILE_NAME
        if path.exists():
            try:
                return cls._load(path.read_bytes())
            except (CborError, LookupError, TypeError, ValueError) as error:
                raise StateDamaged(path, str(error)) from error
        keys = cls.generate()
        folder.mkdir(parents=True, exist_ok=True)
        _write_privately(path, cbor.dumps({"root": keys.root.to_bytes(), "node": keys.node.private_bytes_raw()}))
        return keys

    @classmethod
    def _load(cls, data: bytes) -> Keys:
        stored = cbor.loads(data)
        if not isinstance(stored, dict):
            raise ValueError("it does not hold two keys")
        root = bls.SecretKey.from_bytes(stored["root"])
        return cls(root, Ed25519PrivateKey.from_private_bytes(stored["node"]))

    @cached_property
    def root_key(self) -> bytes:
        """The public key that clients trust, DER, 133 bytes."""
        return self.root.public_key_der()

    @cached_property
    def node_key(self) -> bytes:
        """The node's public key, DER, 44 bytes."""
        return self.node.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @cached_property
    def subnet_id(self) -> Principal:
        return Principal.self_authenticating(self.root_key)

    @cached_property
    def node_id(self) -> Principal:
        return Principal.self_authenticating(self.node_key)


def _write_privately(path: Path, data: bytes) -> None:
    """Writes the file whole or not at all, readable by its owner only."""
    partial = path.with_suffix(".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
