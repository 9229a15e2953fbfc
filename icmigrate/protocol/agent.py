"""Interface Specification, "HTTPS Interface": calls, queries and certified reads, as a client makes them.

Nothing is believed that is not proven: outcomes of calls and state by certificates under the network's root
key, answers to queries by the signature of a node that such a certificate names.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from icmigrate.errors import (
    CallRejected,
    CallUnknown,
    CanisterReject,
    CborError,
    CertificateError,
    HttpStatusError,
    NetworkError,
    QueryRejected,
    TransportError,
    Unreachable,
)
from icmigrate.protocol import cbor, certificate, leb128
from icmigrate.protocol.certificate import MAINNET_ROOT_KEY, Certificate
from icmigrate.protocol.envelope import SignedRequest, prepare
from icmigrate.protocol.identity import Identity
from icmigrate.protocol.node_keys import SubnetNodes
from icmigrate.protocol.principal import Principal
from icmigrate.protocol.transport import Answer, HttpTransport, RetryingTransport, Transport

# Less than the 5 minutes that replicas allow: clocks may differ.
EXPIRY_NS = 4 * 60 * 10**9
FIRST_PAUSE_SECONDS = 0.01
LONGEST_PAUSE_SECONDS = 1.0
# How long to wait for a replica that is gone before giving up a call whose outcome is open.
PATIENCE_SECONDS = 60.0
NODE_KEYS_AGE_NS = 3600 * 10**9
NONCE_LENGTH = 16

CALL_VERSIONS = ("v4", "v3", "v2")
READ_VERSIONS = ("v3", "v2")

CanisterId = Principal | str
Path = Sequence[bytes | str]


@dataclass(frozen=True)
class Status:
    """What a replica says about itself. Not certified."""

    root_key: bytes | None
    health: str | None
    version: str | None


@dataclass(frozen=True)
class CanisterInfo:
    """What the network certifies about a canister, to everybody.

    `module_hash` is the SHA-256 of the installed module as it was uploaded, None for an empty canister.
    """

    module_hash: bytes | None
    controllers: list[Principal]


class Agent:
    """Speaks to one network as one identity. Use it as `async with`.

    `root_key` (DER) is what certificates have to be signed by; without it mainnet's, or with
    `fetch_root_key`, which is for local networks only, the one that the replica names. `window` calls and
    queries at most are in flight.
    """

    def __init__(
        self,
        url: str,
        identity: Identity,
        *,
        root_key: bytes | None = None,
        fetch_root_key: bool = False,
        window: int = 8,
        transport: Transport | None = None,
    ) -> None:
        self.url = url
        self.identity = identity
        self.window = window
        self._root_key = root_key if root_key is not None or fetch_root_key else MAINNET_ROOT_KEY
        connection = transport if transport is not None else HttpTransport(url)
        self._transport = RetryingTransport(connection, attempts=8)
        # A first contact is not worth waiting for: a wrong URL should show at once.
        self._impatient = RetryingTransport(connection, attempts=3)
        self._slots = asyncio.Semaphore(window)
        self._call_versions: tuple[str, ...] = CALL_VERSIONS
        self._subnets: list[SubnetNodes] = []
        self._learning = asyncio.Lock()

    async def __aenter__(self) -> Self:
        if self._root_key is None:
            try:
                self._root_key = (await self.status()).root_key
            except BaseException:
                await self._transport.close()
                raise
            if self._root_key is None:
                raise NetworkError(f"{self.url} names no root key")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.close()

    @property
    def root_key(self) -> bytes:
        """The root key (DER) that certificates are checked against."""
        if self._root_key is None:
            raise RuntimeError("the agent is used outside `async with`")
        return self._root_key

    async def status(self) -> Status:
        """What the replica says about itself ("Request: Status endpoint")."""
        answer = _map(await self._impatient.get("/api/v2/status"))
        root_key, health = answer.get("root_key"), answer.get("replica_health_status")
        version = answer.get("impl_version")
        return Status(
            root_key if isinstance(root_key, bytes) else None,
            health if isinstance(health, str) else None,
            version if isinstance(version, str) else None,
        )

    # -- queries

    async def query(
        self,
        canister_id: CanisterId,
        method: str,
        arg: bytes,
        *,
        effective_canister_id: CanisterId | None = None,
    ) -> bytes:
        """The reply to a query, its signature by a node of the canister's subnet verified.

        Raises `QueryRejected`, `CertificateError` or a `TransportError`.
        """
        target = _principal(canister_id)
        effective = target if effective_canister_id is None else _principal(effective_canister_id)
        request = self._prepare(
            {
                "request_type": "query",
                "canister_id": target.bytes,
                "method_name": method,
                "arg": arg,
                "ingress_expiry": _expiry(),
            }
        )
        async with self._slots:
            answer = await self._post_read(f"canister/{effective}/query", request)
        response = _map(answer)
        nodes = await self._nodes_of(effective, response)
        nodes.verify(request.request_id, response, now_ns=time.time_ns())
        match response:
            case {"status": "replied", "reply": {"arg": bytes(reply)}}:
                return reply
            case {"status": "rejected", "reject_code": int(code), "reject_message": str(message)}:
                raise QueryRejected(code, message, _error_code(response))
        raise NetworkError("malformed answer to a query")

    async def _nodes_of(self, canister_id: Principal, response: Mapping[str, object]) -> SubnetNodes:
        """The nodes of the canister's subnet: those known, unless old or lacking one that signed."""
        async with self._learning:
            recent = time.time_ns() - NODE_KEYS_AGE_NS
            for nodes in self._subnets:
                if nodes.time_ns > recent and nodes.has_canister(canister_id) and nodes.knows_signers(response):
                    return nodes
            learned = SubnetNodes.of(await self.read_state([["subnet"]], canister_id), self.root_key)
            if not learned.has_canister(canister_id):
                raise CertificateError(f"canister {canister_id} is not on the subnet that answered")
            others = [nodes for nodes in self._subnets if nodes.subnet_id != learned.subnet_id]
            self._subnets = [learned, *others]
            return learned

    # -- calls

    async def update(
        self,
        canister_id: CanisterId,
        method: str,
        arg: bytes,
        *,
        effective_canister_id: CanisterId | None = None,
    ) -> bytes:
        """The certified reply to an update call.

        Raises `CanisterReject` (certified), `CallRejected` (refused before execution), `CallUnknown` when
        no outcome can be had before the call expires, `CertificateError` or a `TransportError` when it was
        not accepted.
        """
        target = _principal(canister_id)
        effective = target if effective_canister_id is None else _principal(effective_canister_id)
        expiry = _expiry()
        request = self._prepare(
            {
                "request_type": "call",
                "canister_id": target.bytes,
                "method_name": method,
                "arg": arg,
                "nonce": secrets.token_bytes(NONCE_LENGTH),
                "ingress_expiry": expiry,
            }
        )
        async with self._slots:
            return await _Call(self, request, effective, expiry).outcome()

    async def submit(self, request: SignedRequest, effective: Principal) -> Mapping[str, object] | None:
        """Hands in a call: the answer, or None if it is accepted and goes on ("Request: Call")."""
        for version in self._call_versions:
            path = f"/api/{version}/canister/{effective}/call"
            try:
                answer = await self._transport.post(path, request.envelope, may_repeat=False)
            except HttpStatusError as error:
                if error.status == 404 and version != self._call_versions[-1]:
                    continue
                raise
            # Whatever was not found once is not asked for again.
            self._call_versions = self._call_versions[self._call_versions.index(version) :]
            return None if answer.status == 202 else _map(answer)
        raise AssertionError("there is a last version")

    # -- certified state

    async def read_state(self, paths: Sequence[Path], effective_canister_id: CanisterId) -> Certificate:
        """A verified certificate that reveals what is at and below `paths` ("Request: Read state")."""
        effective = _principal(effective_canister_id)
        labels = [[label.encode() if isinstance(label, str) else label for label in path] for path in paths]
        request = self._prepare({"request_type": "read_state", "paths": labels, "ingress_expiry": _expiry()})
        answer = _map(await self._post_read(f"canister/{effective}/read_state", request))
        return self._verified(answer, effective)

    def _verified(self, answer: Mapping[str, object], effective: Principal) -> Certificate:
        encoded = answer.get("certificate")
        if not isinstance(encoded, bytes):
            raise CertificateError("the answer has no certificate")
        # The empty principal lies on no subnet: it stands for "wherever you are".
        return certificate.verify(
            encoded,
            self.root_key,
            effective_canister_id=effective if effective.bytes else None,
            now_ns=time.time_ns(),
        )

    async def canister_info(self, canister_id: CanisterId) -> CanisterInfo:
        """Certified module hash and controllers of a canister."""
        id_ = _principal(canister_id)
        root: Path = ("canister", id_.bytes)
        read = await self.read_state([[*root, "module_hash"], [*root, "controllers"]], id_)
        return CanisterInfo(read.lookup(*root, "module_hash"), _controllers(read.lookup(*root, "controllers")))

    async def module_hash(self, canister_id: CanisterId) -> bytes | None:
        """The certified SHA-256 of the canister's module as it was uploaded, None if it has none."""
        id_ = _principal(canister_id)
        path: Path = ("canister", id_.bytes, "module_hash")
        return (await self.read_state([path], id_)).lookup(*path)

    async def controllers(self, canister_id: CanisterId) -> list[Principal]:
        """The certified controllers of the canister; none if there is no such canister."""
        id_ = _principal(canister_id)
        path: Path = ("canister", id_.bytes, "controllers")
        return _controllers((await self.read_state([path], id_)).lookup(*path))

    async def metadata(self, canister_id: CanisterId, name: str) -> bytes | None:
        """The certified content of the module's custom section `icp:public <name>`, None if absent."""
        id_ = _principal(canister_id)
        path: Path = ("canister", id_.bytes, "metadata", name)
        return (await self.read_state([path], id_)).lookup(*path)

    # -- requests

    def _prepare(self, content: Mapping[str, object]) -> SignedRequest:
        return prepare(content, self.identity)

    async def _post_read(self, what: str, request: SignedRequest) -> Answer:
        try:
            return await self._transport.post(f"/api/{READ_VERSIONS[0]}/{what}", request.envelope)
        except HttpStatusError as error:
            if error.status != 404:
                raise
        return await self._transport.post(f"/api/{READ_VERSIONS[1]}/{what}", request.envelope)


class _Call:
    """One update call on its way to its outcome."""

    def __init__(self, agent: Agent, request: SignedRequest, effective: Principal, expiry_ns: int) -> None:
        self._agent = agent
        self._request = request
        self._effective = effective
        self._expiry_ns = expiry_ns

    async def outcome(self) -> bytes:
        """The reply. Raises as `Agent.update` does."""
        try:
            answer = await self._agent.submit(self._request, self._effective)
        except TransportError as error:
            if not _may_have_arrived(error):
                raise
            return await self._poll(is_accepted=False)
        if answer is not None:
            reply = self._reply(answer)
            if reply is not None:
                return reply
        return await self._poll(is_accepted=True)

    def _reply(self, answer: Mapping[str, object]) -> bytes | None:
        """The reply of a synchronous answer, None if the call goes on."""
        if "certificate" in answer:
            return self._certified_reply(self._agent._verified(answer, self._effective))
        code, message = answer.get("reject_code"), answer.get("reject_message")
        if isinstance(code, int) and isinstance(message, str):
            raise CallRejected(code, message, _error_code(answer))
        raise CallUnknown(self._request.request_id, "malformed answer to a call")

    def _certified_reply(self, read: Certificate) -> bytes | None:
        root: Path = ("request_status", self._request.request_id)
        match read.lookup(*root, "status"):
            case b"replied":
                reply = read.lookup(*root, "reply")
                if reply is None:
                    raise CertificateError("a replied call has no reply")
                return reply
            case b"rejected":
                raise _certified_reject(read, root)
            case b"done":
                raise CallUnknown(self._request.request_id, "its reply is no longer kept")
        return None

    async def _poll(self, *, is_accepted: bool) -> bytes:
        """Reads the call's status until it has an outcome or can no longer get one.

        A call that may not have arrived is handed in again: the same request is never executed twice.
        """
        pause = FIRST_PAUSE_SECONDS
        patience_ends = time.monotonic() + PATIENCE_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, LONGEST_PAUSE_SECONDS)
            try:
                reply, is_known, now_ns = await self._look()
                if not is_known and not is_accepted and now_ns <= self._expiry_ns:
                    is_accepted, reply = await self._resubmit()
            except TransportError as error:
                # The replica may have been restarted and have forgotten a call that it only received.
                is_accepted = False
                if time.monotonic() > patience_ends or not error.retryable:
                    raise CallUnknown(self._request.request_id, str(error)) from error
                continue
            if reply is not None:
                return reply
            if not is_known and now_ns > self._expiry_ns:
                raise CallUnknown(self._request.request_id, "it expired without a certified outcome")
            patience_ends = time.monotonic() + PATIENCE_SECONDS

    async def _look(self) -> tuple[bytes | None, bool, int]:
        """The reply if there is one, whether the call is known, and the replica's time."""
        path: Path = ("request_status", self._request.request_id)
        read = await self._agent.read_state([path], self._effective)
        reply = self._certified_reply(read)
        return reply, read.lookup(*path, "status") is not None, read.time_ns

    async def _resubmit(self) -> tuple[bool, bytes | None]:
        try:
            answer = await self._agent.submit(self._request, self._effective)
        except HttpStatusError as error:
            # A refusal now says nothing about what came of the first time.
            if error.status < 500 and error.status != 429:
                return True, None
            raise
        return True, None if answer is None else self._reply(answer)


def _may_have_arrived(error: TransportError) -> bool:
    if isinstance(error, HttpStatusError):
        return error.status >= 500 and error.status != 503
    return not isinstance(error, Unreachable)


def _certified_reject(read: Certificate, root: Path) -> CanisterReject:
    code = read.lookup(*root, "reject_code")
    message = read.lookup(*root, "reject_message")
    error_code = read.lookup(*root, "error_code")
    if code is None or message is None:
        raise CertificateError("a rejected call has no reject code or message")
    try:
        number = leb128.decode_unsigned(code)
    except ValueError:
        raise CertificateError("malformed reject code") from None
    text = None if error_code is None else error_code.decode(errors="replace")
    return CanisterReject(number, message.decode(errors="replace"), text)


def _controllers(encoded: bytes | None) -> list[Principal]:
    if encoded is None:
        return []
    try:
        match cbor.loads(encoded):
            case [*ids] if all(isinstance(id_, bytes) for id_ in ids):
                return [Principal(id_) for id_ in ids if isinstance(id_, bytes)]
    except ValueError:
        pass
    raise CertificateError("malformed controllers")


def _principal(id_: CanisterId) -> Principal:
    return id_ if isinstance(id_, Principal) else Principal.from_str(id_)


def _expiry() -> int:
    return time.time_ns() + EXPIRY_NS


def _error_code(answer: Mapping[str, object]) -> str | None:
    code = answer.get("error_code")
    return code if isinstance(code, str) else None


def _map(answer: Answer) -> Mapping[str, object]:
    """The CBOR map in an answer."""
    value = cbor.loads(answer.body)
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise CborError("an answer is not a map")
    return value
