"""HTTP Gateway Protocol: plain HTTP requests, answered by canisters.

The canister is named by the host, `<canister id>.localhost`, or by `?canisterId=`. Responses to queries are
verified like on the IC; below `<canister id>.raw.localhost` they are passed on as they are.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import IO, Any

from aiohttp import web
from multidict import CIMultiDict

from icmigrate.protocol import candid
from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.candid_extract import extract
from icmigrate.protocol.hash_of_map import hash_of_map
from icmigrate.protocol.principal import ANONYMOUS, Principal
from icmigrate.replica import response_verification
from icmigrate.replica.ingress import IngressFilter
from icmigrate.replica.replica import Replica
from icmigrate.replica.response_verification import HttpExchange, VerificationError
from icmigrate.replica.state import Ingress, Refused, Reject, RejectCode, Reply, Response

BLOB = T.Vec(T.Nat8)
HEADERS = T.Vec(T.Tuple(T.Text, T.Text))
_REQUEST = {"method": T.Text, "url": T.Text, "headers": HEADERS, "body": BLOB}
HTTP_REQUEST = T.Record({**_REQUEST, "certificate_version": T.Opt(T.Nat16)})
HTTP_UPDATE_REQUEST = T.Record(_REQUEST)
HTTP_RESPONSE = T.Record(
    {
        "status_code": T.Nat16,
        "headers": HEADERS,
        "body": BLOB,
        "upgrade": T.Opt(T.Bool),
        "streaming_strategy": T.Opt(T.Variant({"Callback": T.Record({"callback": T.Reserved, "token": T.Reserved})})),
    }
)
STREAMING_RESPONSE = T.Record({"body": BLOB, "token": T.Opt(T.Reserved)})

UPDATE_SECONDS = 60.0
MAX_CALLBACKS = 10_000
SPOOL_BYTES = 8 << 20
"""Bytes of a body that is being verified which are kept in memory; more go to a temporary file."""
PIECE = 1 << 20
UNTYPED = web.ResponseKey("untyped", bool)
"""Marks an answer for which the canister named no Content-Type."""

NOT_PASSED_ON = frozenset(
    {"connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Headers of one connection, which say nothing about the canister's response."""


class GatewayError(Exception):
    """The request is answered with this status and a line of text instead of a canister's response."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class CanisterRequest:
    """One HTTP request, as the canister sees it."""

    canister_id: Principal
    is_raw: bool
    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes

    def candid(self) -> dict[str, object]:
        return {"method": self.method, "url": self.url, "headers": self.headers, "body": self.body}


@dataclass(frozen=True)
class CanisterResponse:
    """The first part of a canister's response; `next_token` (Candid) leads to the rest of the body."""

    status_code: int
    headers: list[tuple[str, str]]
    body: bytes
    callback: str = ""
    next_token: bytes | None = None


class Gateway:
    """Answers every HTTP request that is not one to the replica's own interface."""

    def __init__(self, replica: Replica, filter: IngressFilter, root_key: bytes) -> None:
        self._replica = replica
        self._filter = filter
        self._root_key = root_key

    def routes(self) -> list[web.RouteDef]:
        return [web.route("*", "/{path:.*}", self.handle)]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One HTTP request from a browser."""
        try:
            asked = await _canister_request(request)
            response, is_replicated = await self._respond(asked)
            if is_replicated or asked.is_raw:
                return await self._pass_on(request, asked, response)
            return await self._verify_and_pass_on(request, asked, response)
        except GatewayError as error:
            return web.Response(status=error.status, text=f"{error}\n")

    # ---------------------------------------------------------------------------------- asking the canister

    async def _respond(self, asked: CanisterRequest) -> tuple[CanisterResponse, bool]:
        """The response, and whether it came by an update call and needs no certificate."""
        if len(asked.body) > self._replica.limits.ingress_payload:
            raise GatewayError(413, "payload_too_large")
        arg = candid.encode([HTTP_REQUEST], [{**asked.candid(), "certificate_version": [2]}])
        data = await self._query(asked.canister_id, "http_request", arg)
        record = _decode(data, HTTP_RESPONSE)
        if record["upgrade"] != [True]:
            return _canister_response(asked.canister_id, data, record), False
        arg = candid.encode([HTTP_UPDATE_REQUEST], [asked.candid()])
        data = await self._update(asked.canister_id, "http_request_update", arg)
        return _canister_response(asked.canister_id, data, _decode(data, HTTP_RESPONSE)), True

    async def _query(self, canister_id: Principal, method_name: str, arg: bytes) -> bytes:
        return _reply(await self._replica.query(ANONYMOUS, canister_id, method_name, arg))

    async def _update(self, canister_id: Principal, method_name: str, arg: bytes) -> bytes:
        expiry = self._replica.time_ns() + self._replica.limits.ingress_ttl
        content = {
            "request_type": "call",
            "sender": ANONYMOUS.bytes,
            "nonce": os.urandom(16),
            "ingress_expiry": expiry,
            "canister_id": canister_id.bytes,
            "method_name": method_name,
            "arg": arg,
        }
        ingress = Ingress(hash_of_map(content), ANONYMOUS, canister_id, method_name, arg, expiry, canister_id)
        try:
            await self._filter.check_call(ingress)
        except Refused as refused:
            raise _rejected(refused.reject) from None
        await self._replica.submit(ingress)
        status = await self._replica.wait(ingress.request_id, UPDATE_SECONDS)
        if status is None or status.response is None:
            raise GatewayError(504, "The canister did not answer in time.")
        return _reply(status.response)

    async def _body(self, asked: CanisterRequest, response: CanisterResponse) -> AsyncIterator[bytes]:
        """The whole body, part by part ("Response Body Streaming")."""
        yield response.body
        token = response.next_token
        for _ in range(MAX_CALLBACKS):
            if token is None:
                return
            data = await self._query(asked.canister_id, response.callback, token)
            yield _decode(data, STREAMING_RESPONSE)["body"]
            token = extract(data, ["token"], content=True)  # decoded just now: it cannot fail
        raise GatewayError(502, "The canister's streaming callback does not come to an end.")

    # ---------------------------------------------------------------------------------- answering

    async def _pass_on(
        self, request: web.Request, asked: CanisterRequest, response: CanisterResponse
    ) -> web.StreamResponse:
        """Sends the response part by part as it comes."""
        if response.next_token is None or asked.method == "HEAD":
            return _whole(response)
        answer = _in_parts(response)
        await answer.prepare(request)
        try:
            async for part in self._body(asked, response):
                await answer.write(part)
        except GatewayError:
            # The status is sent already: all that can be done is to end before the end, for the client to see.
            if request.transport is not None:
                request.transport.abort()
            return answer
        await answer.write_eof()
        return answer

    async def _verify_and_pass_on(
        self, request: web.Request, asked: CanisterRequest, response: CanisterResponse
    ) -> web.StreamResponse:
        """Collects the whole body, verifies it, and only then sends anything."""
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as body:
            digest = hashlib.sha256()
            async for part in self._body(asked, response):
                digest.update(part)
                body.write(part)
            self._verify(asked, response, digest.digest(), body)
            if response.next_token is None:
                return _whole(response)
            answer = _in_parts(response)
            answer.content_length = body.tell()
            await answer.prepare(request)
            if asked.method != "HEAD":
                body.seek(0)
                while piece := body.read(PIECE):
                    await answer.write(piece)
            await answer.write_eof()
            return answer

    def _verify(self, asked: CanisterRequest, response: CanisterResponse, digest: bytes, body: IO[bytes]) -> None:
        def read_body() -> bytes:
            body.seek(0)
            return body.read()

        exchange = HttpExchange(
            asked.method,
            asked.url,
            asked.headers,
            asked.body,
            response.status_code,
            response.headers,
            digest,
            read_body,
        )
        try:
            response_verification.verify(
                exchange,
                canister_id=asked.canister_id,
                root_key=self._root_key,
                now_ns=self._replica.time_ns(),
                minimum_version=self._minimum_version(asked.canister_id),
            )
        except VerificationError as error:
            raise GatewayError(503, f"response_verification_error: {error}") from None

    def _minimum_version(self, canister_id: Principal) -> int:
        """The highest version that the canister says it supports ("Response Verification Version Assertion")."""
        canister = self._replica.state.canisters.get(canister_id)
        sections = canister.module.sections if canister and canister.module else ()
        for section in sections:
            if section.name == "supported_certificate_versions" and section.is_public:
                versions = section.content.decode(errors="replace").split(",")
                return max((int(version) for version in versions if version.strip() in ("1", "2")), default=1)
        return 1


# ------------------------------------------------------------------------------------------- requests


async def _canister_request(request: web.Request) -> CanisterRequest:
    canister_id, is_raw = _resolve(request)
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise GatewayError(413, "payload_too_large") from None
    headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in request.raw_headers]
    return CanisterRequest(canister_id, is_raw, request.method, request.raw_path, headers, body)


def _resolve(request: web.Request) -> tuple[Principal, bool]:
    """The canister that a request is for, and whether unverified responses are asked for."""
    host = request.host.rsplit(":", 1)[0] if not request.host.endswith("]") else request.host
    labels = host.lower().split(".")
    is_raw = labels[1:2] == ["raw"]
    text = labels[0] if labels[-1] == "localhost" and len(labels) == (3 if is_raw else 2) else None
    text = text or request.query.get("canisterId")
    if text is None:
        raise GatewayError(400, "canister_id_not_resolved: neither the host nor ?canisterId= names a canister")
    try:
        return Principal.from_str(text), is_raw
    except ValueError:
        raise GatewayError(400, f"canister_id_incorrect: {text!r} is not a canister id") from None


# ------------------------------------------------------------------------------------------- responses


def _decode(data: bytes, type_: Any) -> dict[str, Any]:
    try:
        (record,) = candid.decode(data, [type_])
    except candid.CandidError as error:
        raise GatewayError(502, f"The canister's response is not an HTTP response: {error}") from None
    if not isinstance(record, dict):
        raise TypeError(f"a record was decoded to {type(record).__name__}")
    return record


def _canister_response(canister_id: Principal, data: bytes, record: dict[str, Any]) -> CanisterResponse:
    headers = [(name, value) for name, value in record["headers"]]
    for name, value in headers:
        if not name.isascii() or any(character in name + value for character in "\r\n\0"):
            raise GatewayError(502, "The canister's response has a malformed header.")
    response = CanisterResponse(record["status_code"], headers, record["body"])
    if not 200 <= response.status_code <= 599:
        raise GatewayError(502, f"The canister's response has the status {response.status_code}.")
    if not record["streaming_strategy"]:
        return response
    callback = extract(data, ["streaming_strategy", "Callback", "callback"])
    token = extract(data, ["streaming_strategy", "Callback", "token"])
    if callback is None:
        return response
    (reference,) = candid.decode(callback)
    if not isinstance(reference, list) or reference[0] != canister_id:
        raise GatewayError(502, "The streaming callback is not a method of the canister.")
    return replace(response, callback=str(reference[1]), next_token=token)


def _headers(response: CanisterResponse) -> CIMultiDict[str]:
    return CIMultiDict([(name, value) for name, value in response.headers if name.lower() not in NOT_PASSED_ON])


def _in_parts(response: CanisterResponse) -> web.StreamResponse:
    """The answer to be streamed."""
    answer = web.StreamResponse(status=response.status_code, headers=_headers(response))
    answer[UNTYPED] = "Content-Type" not in answer.headers
    return answer


def _whole(response: CanisterResponse) -> web.Response:
    answer = web.Response(status=response.status_code, headers=_headers(response), body=response.body)
    answer[UNTYPED] = "Content-Type" not in answer.headers
    return answer


async def leave_untyped(_request: web.Request, answer: web.StreamResponse) -> None:
    """Before an answer is sent: where the canister names no Content-Type, the gateway does not either, so that
    browsers look for themselves. aiohttp would call it a download."""
    if answer.get(UNTYPED):
        answer.headers.popall("Content-Type", None)


def _reply(response: Response) -> bytes:
    if isinstance(response, Reply):
        return response.data
    raise _rejected(response)


def _rejected(reject: Reject) -> GatewayError:
    status = 404 if reject.code is RejectCode.DESTINATION_INVALID else 502
    return GatewayError(
        status, f"Replica Error: reject code {reject.code.name}, error code {reject.error_code}, {reject.message}"
    )
