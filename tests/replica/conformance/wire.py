"""Interface Specification, "HTTPS Interface": requests as bytes, for tests where the protocol is the point."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from icmigrate.errors import CanisterReject
from icmigrate.protocol import cbor, certificate, envelope
from icmigrate.protocol.certificate import Certificate
from icmigrate.protocol.identity import Ed25519Identity, Identity
from icmigrate.protocol.leb128 import decode_unsigned
from icmigrate.protocol.principal import Principal
from icmigrate.replica.server import RunningReplica

MINUTE = 60 * 10**9


@dataclass(frozen=True)
class Answer:
    """An HTTP answer as it came."""

    status: int
    content_type: str
    body: bytes

    @property
    def map(self) -> dict[str, Any]:
        """The CBOR map in the body, which has the self-describing tag."""
        assert self.body.startswith(b"\xd9\xd9\xf7")
        value = cbor.loads(self.body)
        assert isinstance(value, dict)
        return value

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass(frozen=True)
class Wire:
    """Somebody who writes requests by hand. Times are the replica's, also when it is ahead."""

    replica: RunningReplica
    session: aiohttp.ClientSession
    identity: Identity

    @property
    def sender(self) -> Principal:
        return self.identity.sender()

    def used_by(self, identity: Identity) -> Wire:
        return Wire(self.replica, self.session, identity)

    # -- contents

    def expiry(self) -> int:
        return self.replica.subnet.time_ns() + 4 * MINUTE

    def content(self, request_type: str, **fields: object) -> dict[str, Any]:
        return {
            "request_type": request_type,
            "sender": self.sender.bytes,
            "ingress_expiry": self.expiry(),
            **fields,
        }

    def call_content(self, canister_id: Principal, method: str, arg: bytes, **fields: object) -> dict[str, Any]:
        about = {"canister_id": canister_id.bytes, "method_name": method, "arg": arg, "nonce": os.urandom(16)}
        return self.content("call", **{**about, **fields})

    def query_content(self, canister_id: Principal, method: str, arg: bytes, **fields: object) -> dict[str, Any]:
        about = {"canister_id": canister_id.bytes, "method_name": method, "arg": arg}
        return self.content("query", **{**about, **fields})

    def read_content(self, *paths: Sequence[bytes], **fields: object) -> dict[str, Any]:
        return self.content("read_state", **{"paths": [list(path) for path in paths], **fields})

    def sign(self, content: Mapping[str, object]) -> bytes:
        return envelope.sign(content, self.identity)

    # -- requests

    async def post(self, path: str, body: bytes, content_type: str = "application/cbor") -> Answer:
        headers = {"Content-Type": content_type}
        async with self.session.post(self.replica.url + path, data=body, headers=headers) as answer:
            return Answer(answer.status, answer.headers.get("Content-Type", ""), await answer.read())

    async def get(self, path: str) -> Answer:
        async with self.session.get(self.replica.url + path) as answer:
            return Answer(answer.status, answer.headers.get("Content-Type", ""), await answer.read())

    async def call(self, content: Mapping[str, Any], effective: Principal | None = None, version: int = 4) -> Answer:
        target = (effective or Principal(content["canister_id"])).to_str()
        return await self.post(f"/api/v{version}/canister/{target}/call", self.sign(content))

    async def query(self, content: Mapping[str, Any], effective: Principal | None = None, version: int = 3) -> Answer:
        target = (effective or Principal(content["canister_id"])).to_str()
        return await self.post(f"/api/v{version}/canister/{target}/query", self.sign(content))

    async def read(self, effective: Principal, *paths: Sequence[bytes], version: int = 3) -> Answer:
        body = self.sign(self.read_content(*paths))
        return await self.post(f"/api/v{version}/canister/{effective.to_str()}/read_state", body)

    # -- certificates

    def verified(self, encoded: bytes, canister_id: Principal | None = None) -> Certificate:
        """The certificate, checked against the root key and the replica's time."""
        now = self.replica.subnet.time_ns()
        return certificate.verify(encoded, self.replica.root_key, effective_canister_id=canister_id, now_ns=now)

    def outcome(self, answer: Answer, content: Mapping[str, object]) -> bytes:
        """The certified reply in the answer to a call. Raises CanisterReject."""
        assert (answer.status, answer.map["status"]) == (200, "replied"), answer
        return self.reply_in(self.verified(answer.map["certificate"]), envelope.request_id(content))

    def reply_in(self, certified: Certificate, request_id: bytes) -> bytes:
        path = (b"request_status", request_id)
        if certified.lookup(*path, "status") == b"rejected":
            code, message = certified.lookup(*path, "reject_code"), certified.lookup(*path, "reject_message")
            error_code = certified.lookup(*path, "error_code")
            assert code is not None and message is not None and error_code is not None
            raise CanisterReject(decode_unsigned(code), message.decode(), error_code.decode())
        assert certified.lookup(*path, "status") == b"replied"
        reply = certified.lookup(*path, "reply")
        assert reply is not None
        return reply


@asynccontextmanager
async def wire_to(replica: RunningReplica, identity: Identity | None = None) -> AsyncIterator[Wire]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield Wire(replica, session, identity or Ed25519Identity.generate())


def refused(answer: Answer, status: int = 400) -> str:
    """A client's mistake: a status and a line of text."""
    assert answer.status == status, (answer.status, answer.body)
    assert answer.content_type.startswith("text/plain")
    assert "Traceback" not in answer.text
    return answer.text


def outside(signed: bytes, **changes: object) -> bytes:
    """The envelope with parts outside its content replaced; None takes one away."""
    outer = cbor.loads(signed)
    assert isinstance(outer, dict)
    return cbor.dumps({name: value for name, value in {**outer, **changes}.items() if value is not None})
