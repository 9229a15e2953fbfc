"""A plain client of the HTTPS interface: signs, posts, and checks every certificate."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from icmigrate.protocol import candid, cbor, certificate, envelope
from icmigrate.protocol.certificate import Certificate
from icmigrate.protocol.identity import AnonymousIdentity, Ed25519Identity, Identity
from icmigrate.protocol.leb128 import decode_unsigned
from icmigrate.protocol.principal import MANAGEMENT_CANISTER, Principal
from icmigrate.replica.management import candid_types as types
from icmigrate.replica.management.method_table import METHODS
from icmigrate.replica.server import RunningReplica

MINUTE = 60 * 10**9


class Rejected(Exception):
    """A call or query was rejected; `certified` tells whether by a certificate."""

    def __init__(self, code: int, message: str, error_code: str, certified: bool) -> None:
        super().__init__(f"{error_code} ({code}): {message}")
        self.code, self.message, self.error_code, self.certified = code, message, error_code, certified


@dataclass(frozen=True)
class Answer:
    """An HTTP answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def cbor(self) -> dict[str, Any]:
        value = cbor.loads(self.body)
        assert isinstance(value, dict)
        return value


@dataclass(frozen=True)
class Target:
    """Where a replica listens, what its certificates are checked against, and its time (nanoseconds)."""

    url: str
    root_key: bytes
    time_ns: Callable[[], int]


class Client:
    """One user of a replica. `running` is there when it runs in this process."""

    def __init__(
        self,
        target: Target | RunningReplica,
        session: aiohttp.ClientSession,
        identity: Identity | None = None,
    ) -> None:
        if isinstance(target, RunningReplica):
            self._running: RunningReplica | None = target
            target = Target(target.url, target.root_key, target.subnet.time_ns)
        else:
            self._running = None
        self.target = target
        self.session = session
        self.identity = identity or Ed25519Identity.generate()

    @property
    def running(self) -> RunningReplica:
        assert self._running is not None
        return self._running

    @property
    def principal(self) -> Principal:
        return self.identity.sender()

    def as_user(self, identity: Identity | None = None) -> Client:
        """Another user of the same replica."""
        return Client(self._running or self.target, self.session, identity)

    def anonymous(self) -> Client:
        return self.as_user(AnonymousIdentity())

    # ------------------------------------------------------------------------------------------ raw HTTP

    async def post(self, path: str, body: bytes, content_type: str = "application/cbor") -> Answer:
        async with self.session.post(
            self.target.url + path, data=body, headers={"Content-Type": content_type}
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, *, host: str | None = None, method: str = "GET", **options: Any) -> Answer:
        headers = dict(options.pop("headers", {}))
        if host is not None:
            headers["Host"] = host
        async with self.session.request(
            method, URL(self.target.url + path, encoded=True), headers=headers, allow_redirects=False, **options
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    def content(self, request_type: str, **fields: object) -> dict[str, object]:
        expiry = fields.pop("ingress_expiry", time.time_ns() + 4 * MINUTE)
        content = {"request_type": request_type, "ingress_expiry": expiry, "sender": self.principal.bytes}
        return {**content, **fields}

    def call_content(self, canister_id: Principal, method: str, arg: bytes, **fields: object) -> dict[str, object]:
        return self.content(
            "call", canister_id=canister_id.bytes, method_name=method, arg=arg, nonce=os.urandom(16), **fields
        )

    # ------------------------------------------------------------------------------------------ requests

    async def update(
        self,
        canister_id: Principal,
        method: str,
        arg: bytes = b"DIDL\0\0",
        *,
        effective: Principal | None = None,
        version: int = 4,
    ) -> bytes:
        content = self.call_content(canister_id, method, arg)
        target = (effective or canister_id).to_str()
        answer = await self.post(f"/api/v{version}/canister/{target}/call", envelope.sign(content, self.identity))
        if answer.status == 202:
            return await self.polled(effective or canister_id, envelope.request_id(content))
        assert answer.status == 200, (answer.status, answer.body)
        return self.outcome(answer.cbor(), envelope.request_id(content))

    async def polled(self, effective: Principal, request_id: bytes) -> bytes:
        """The reply of a call that takes longer than a synchronous call waits. Raises Rejected."""
        path = [b"request_status", request_id]
        async with asyncio.timeout(120):
            while True:
                status = await self.read_state(effective, path)
                if status.lookup(*path, "status") in (b"replied", b"rejected"):
                    return self.reply(status, request_id)
                await asyncio.sleep(0.2)  # as agents do

    def outcome(self, answer: dict[str, Any], request_id: bytes) -> bytes:
        """The reply in the answer of a synchronous call. Raises Rejected."""
        if answer["status"] == "non_replicated_rejection":
            raise Rejected(answer["reject_code"], answer["reject_message"], answer["error_code"], False)
        return self.reply(self.verified(answer["certificate"]), request_id)

    def reply(self, certified: Certificate, request_id: bytes) -> bytes:
        path = (b"request_status", request_id)
        if certified.lookup(*path, "status") == b"rejected":
            code, message, error = (
                certified.lookup(*path, leaf) for leaf in ("reject_code", "reject_message", "error_code")
            )
            assert code is not None and message is not None and error is not None
            raise Rejected(decode_unsigned(code), message.decode(), error.decode(), True)
        assert certified.lookup(*path, "status") == b"replied"
        reply = certified.lookup(*path, "reply")
        assert reply is not None
        return reply

    def verified(self, data: bytes) -> Certificate:
        return certificate.verify(data, self.target.root_key, effective_canister_id=None, now_ns=self.target.time_ns())

    async def query(
        self, canister_id: Principal, method: str, arg: bytes = b"DIDL\0\0", *, effective: Principal | None = None
    ) -> bytes:
        content = self.content("query", canister_id=canister_id.bytes, method_name=method, arg=arg)
        target = (effective or canister_id).to_str()
        answer = await self.post(f"/api/v3/canister/{target}/query", envelope.sign(content, self.identity))
        assert answer.status == 200, (answer.status, answer.body)
        result = answer.cbor()
        if result["status"] == "rejected":
            raise Rejected(result["reject_code"], result["reject_message"], result["error_code"], False)
        data = result["reply"]["arg"]
        assert isinstance(data, bytes)
        return data

    async def read_state(self, effective: Principal, *paths: list[bytes], version: int = 3) -> Certificate:
        answer = await self.post(f"/api/v{version}/canister/{effective.to_str()}/read_state", self.read_request(*paths))
        assert answer.status == 200, (answer.status, answer.body)
        return self.verified(answer.cbor()["certificate"])

    def read_request(self, *paths: list[bytes]) -> bytes:
        return envelope.sign(self.content("read_state", paths=list(paths)), self.identity)

    # ------------------------------------------------------------------------------- management canister

    async def manage(self, method: str, record: dict[str, Any] | None = None) -> Any:
        """An update call to the management canister; fields of the argument that are opt may be left out."""
        row = METHODS[method]
        arg = encode(row.argument, record or {})
        effective = record[row.target] if record and row.target else MANAGEMENT_CANISTER
        data = await self.update(MANAGEMENT_CANISTER, method, arg, effective=effective)
        return candid.decode(data, [row.result])[0] if row.result else None

    async def manage_query(self, method: str, record: dict[str, Any]) -> Any:
        row = METHODS[method]
        data = await self.query(
            MANAGEMENT_CANISTER, method, encode(row.argument, record), effective=record[row.target or ""]
        )
        return candid.decode(data, [row.result])[0]

    async def create(self, **settings: object) -> Principal:
        """A new canister of this user."""
        made = await self.manage(
            "provisional_create_canister_with_cycles", {"settings": [given(settings)]} if settings else {}
        )
        canister_id: Principal = made["canister_id"]
        return canister_id

    async def install(
        self, module: bytes, canister_id: Principal | None = None, *, mode: str = "install", arg: bytes = b""
    ) -> Principal:
        """The module installed in a canister, a new one unless given."""
        canister_id = canister_id or await self.create()
        content: list[object] | None = [] if mode == "upgrade" else None
        await self.manage(
            "install_code",
            {"canister_id": canister_id, "mode": {mode: content}, "wasm_module": module, "arg": arg},
        )
        return canister_id


def given(settings: Mapping[str, object]) -> dict[str, list[object]]:
    """A canister_settings record that has these settings only."""
    return {name: [settings[name]] if name in settings else [] for name in types.SETTING_TYPES}


def encode(type_: types.Type, record: dict[str, Any]) -> bytes:
    """The argument of a method; fields of the record that are opt may be left out."""
    if type_ is None:
        return candid.encode([], [])
    absent: dict[str, list[object]] = {
        name: [] for name, field in type_._fields.items() if type(field).__name__ == "OptClass"
    }
    return candid.encode([type_], [{**absent, **record}])
