"""Interface Specification, "Certification": certificates, delegations and the ranges they are good for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from icmigrate.errors import CborError, CertificateError
from icmigrate.protocol import bls, cbor, hash_tree, leb128
from icmigrate.protocol.hash_tree import Absent, Found, HashTree, Unknown
from icmigrate.protocol.principal import Principal

__all__ = [
    "MAINNET_ROOT_KEY",
    "Certificate",
    "CertificateError",
    "Delegation",
    "create",
    "verify",
    "verify_undated",
]

MAINNET_ROOT_KEY = bytes.fromhex(
    "308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c05030201036100"
    "814c0e6ec71fab583b08bd81373c255c3c371b2e84863c98a4f1e08b74235d14"
    "fb5d9c0cd546d9685f913a0c0b2cc5341583bf4b4392e467db96d65b9bb4cb71"
    "7112f8472e0d5a4d14505ffd7484b01291091c5f87b98883463f98091a0baaae"
)

STATE_ROOT_DOMAIN = b"\x0dic-state-root"
MAX_AGE_NS = 300 * 10**9
# A subnet's delegation is only made anew when its replica is upgraded, about once a week.
MAX_DELEGATION_AGE_NS = 30 * 24 * 3600 * 10**9


@dataclass(frozen=True)
class Delegation:
    """The root key's word for a subnet's key: an encoded certificate of `/subnet/<id>/public_key`."""

    subnet_id: Principal
    certificate: bytes


@dataclass(frozen=True)
class Certificate:
    """A verified certificate. `time_ns` is nanoseconds since 1970."""

    tree: HashTree
    time_ns: int
    delegation: Delegation | None = None
    delegation_tree: HashTree | None = None

    def lookup(self, *path: bytes | str) -> bytes | None:
        """The value at `path`, None when proven absent. Raises `CertificateError` when it proves neither."""
        return _value(self.tree, path)

    def labels(self, *path: bytes | str) -> list[bytes]:
        """The labels right below `path`, as far as the certificate reveals them."""
        return hash_tree.list_labels(self.tree, _labels(path))

    def subnet_id(self, root_key_der: bytes) -> Principal:
        """The subnet that signed."""
        return self.delegation.subnet_id if self.delegation else Principal.self_authenticating(root_key_der)


def create(tree: HashTree, secret_key: bls.SecretKey, delegation: Delegation | None = None) -> bytes:
    """The encoded certificate of `tree`, which has to reveal `/time`."""
    content: dict[str, object] = {
        "tree": hash_tree.to_cbor_value(tree),
        "signature": secret_key.sign(STATE_ROOT_DOMAIN + hash_tree.digest(tree)),
    }
    if delegation is not None:
        content["delegation"] = {
            "subnet_id": delegation.subnet_id.bytes,
            "certificate": delegation.certificate,
        }
    return cbor.dumps(content)


def verify(
    data: bytes,
    root_key_der: bytes,
    *,
    effective_canister_id: Principal | None,
    now_ns: int,
    max_age_ns: int = MAX_AGE_NS,
    subnet_id: Principal | None = None,
) -> Certificate:
    """The certificate that `data` encodes, verified. Raises `CertificateError`.

    `effective_canister_id` has to lie in the delegation's canister ranges; None leaves that out, for what
    is true of a whole subnet. With `subnet_id` the signer has to be that subnet. Its time may differ from
    `now_ns` by `max_age_ns` at most.
    """
    certificate = verify_undated(data, root_key_der, effective_canister_id=effective_canister_id)
    _require_recent(certificate.time_ns, now_ns, max_age_ns, "certificate")
    if certificate.delegation_tree is not None:
        _require_recent(_time(certificate.delegation_tree), now_ns, MAX_DELEGATION_AGE_NS, "delegation")
    if subnet_id is not None and certificate.subnet_id(root_key_der) != subnet_id:
        raise CertificateError("the certificate is of another subnet")
    return certificate


def verify_undated(data: bytes, root_key_der: bytes, *, effective_canister_id: Principal | None) -> Certificate:
    """As `verify`, whatever the certificate's time: for canister signatures, which stay valid."""
    content = _parse(data)
    signer, delegation_tree = root_key_der, None
    if content.delegation is not None:
        delegation_tree = _verify_delegation(content.delegation, root_key_der)
        signer = _required(delegation_tree, "subnet", content.delegation.subnet_id.bytes, "public_key")
        if effective_canister_id is not None:
            _require_in_range(delegation_tree, content.delegation.subnet_id, effective_canister_id)
    if not bls.verify(signer, STATE_ROOT_DOMAIN + hash_tree.digest(content.tree), content.signature):
        raise CertificateError("the certificate's signature is not valid")
    return Certificate(content.tree, _time(content.tree), content.delegation, delegation_tree)


@lru_cache(maxsize=64)
def _verify_delegation(delegation: Delegation, root_key_der: bytes) -> HashTree:
    """The verified tree of a delegation's certificate; the same one comes with every answer of a subnet."""
    content = _parse(delegation.certificate)
    if content.delegation is not None:
        raise CertificateError("a delegation's certificate has a delegation itself")
    if not bls.verify(root_key_der, STATE_ROOT_DOMAIN + hash_tree.digest(content.tree), content.signature):
        raise CertificateError("the delegation's signature is not valid")
    return content.tree


@dataclass(frozen=True)
class _Content:
    tree: HashTree
    signature: bytes
    delegation: Delegation | None


def _parse(data: bytes) -> _Content:
    try:
        # Three levels around the tree itself.
        content = cbor.loads(data, max_depth=hash_tree.MAX_DEPTH + 3)
    except CborError as error:
        raise CertificateError(f"the certificate is not CBOR: {error}") from None
    match content:
        case {"tree": tree, "signature": bytes(signature), **rest}:
            return _Content(hash_tree.from_cbor_value(tree), signature, _parse_delegation(rest.get("delegation")))
    raise CertificateError("not a certificate")


def _parse_delegation(value: object) -> Delegation | None:
    match value:
        case None:
            return None
        case {"subnet_id": bytes(subnet_id), "certificate": bytes(certificate)} if len(subnet_id) <= 29:
            return Delegation(Principal(subnet_id), certificate)
    raise CertificateError("not a delegation")


def _time(tree: HashTree) -> int:
    try:
        return leb128.decode_unsigned(_required(tree, "time"))
    except ValueError:
        raise CertificateError("the certificate's time is malformed") from None


def _require_recent(time_ns: int, now_ns: int, max_age_ns: int, what: str) -> None:
    if abs(now_ns - time_ns) > max_age_ns:
        seconds = (now_ns - time_ns) / 10**9
        raise CertificateError(f"the {what} is not recent: its time is {seconds:.0f} s before this machine's")


def canister_ranges(certificate: Certificate, root_key_der: bytes) -> list[tuple[bytes, bytes]]:
    """The canisters of the subnet that signed, as far as the certificate tells: inclusive ranges of ids."""
    tree = certificate.tree if certificate.delegation_tree is None else certificate.delegation_tree
    return _ranges(tree, certificate.subnet_id(root_key_der))


def _ranges(tree: HashTree, subnet_id: Principal) -> list[tuple[bytes, bytes]]:
    # Every revealed shard, or the flat list, is certified by itself: together they need not be complete.
    sharded = (b"canister_ranges", subnet_id.bytes)
    paths = [(*sharded, shard) for shard in hash_tree.list_labels(tree, sharded)]
    paths.append((b"subnet", subnet_id.bytes, b"canister_ranges"))
    leaves = [hash_tree.lookup(tree, path) for path in paths]
    return [bounds for leaf in leaves if isinstance(leaf, Found) for bounds in parse_canister_ranges(leaf.value)]


def _require_in_range(tree: HashTree, subnet_id: Principal, canister_id: Principal) -> None:
    if not any(low <= canister_id.bytes <= high for low, high in _ranges(tree, subnet_id)):
        raise CertificateError(f"the certificate's subnet is not the one of canister {canister_id}")


def parse_canister_ranges(data: bytes) -> list[tuple[bytes, bytes]]:
    """The inclusive ranges of canister ids in a `canister_ranges` leaf. Raises `CertificateError`."""
    try:
        ranges = cbor.loads(data)
    except CborError as error:
        raise CertificateError(f"canister ranges are not CBOR: {error}") from None
    found = []
    for item in ranges if isinstance(ranges, list) else [None]:
        match item:
            case [bytes(low), bytes(high)]:
                found.append((low, high))
            case _:
                raise CertificateError("malformed canister ranges")
    return found


def _labels(path: tuple[bytes | str, ...]) -> list[bytes]:
    return [label.encode() if isinstance(label, str) else label for label in path]


def _value(tree: HashTree, path: tuple[bytes | str, ...]) -> bytes | None:
    labels = _labels(path)
    match hash_tree.lookup(tree, labels):
        case Found(value):
            return value
        case Absent():
            return None
        case Unknown():
            raise CertificateError(f"the certificate does not tell about {_show(labels)}")
    raise CertificateError(f"the certificate has no value at {_show(labels)}")


def _required(tree: HashTree, *path: bytes | str) -> bytes:
    value = _value(tree, path)
    if value is None:
        raise CertificateError(f"the certificate lacks {_show(_labels(path))}")
    return value


def _show(labels: list[bytes]) -> str:
    shown = (label.decode() if label.isascii() and label.isalnum() else "0x" + label.hex() for label in labels)
    return "/" + "/".join(shown)
