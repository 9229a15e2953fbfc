"""HTTP Gateway Protocol, "Overview": from a plain HTTP request to a canister's verified response, step by step.

Responses to queries are verified like on the IC; below `<canister id>.raw.localhost` they are passed on as they are.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import web
from multidict import CIMultiDict

from icmigrate.protocol.hash_of_map import hash_of_map
from icmigrate.protocol.principal import ANONYMOUS, Principal
from icmigrate.replica.errors.rejected import Rejected
from icmigrate.replica.gateway import cors as gateway_cors
from icmigrate.replica.gateway import request as gateway_request
from icmigrate.replica.gateway import response_verification
from icmigrate.replica.gateway.errors import Cause, GatewayError, error_of_reject
from icmigrate.replica.gateway.request import Headers, HttpRequest
from icmigrate.replica.gateway.response import (
    HttpResponse,
    Streaming,
    content_length,
    decode_part,
    decode_response,
    require_well_formed,
    unusable,
)
from icmigrate.replica.gateway.response_verification import HttpExchange, VerificationError
from icmigrate.replica.http.ingress_filter import IngressFilter
from icmigrate.replica.state.calls import Ingress
from icmigrate.replica.state.responses import Reply, Response
from icmigrate.replica.subnet.subnet import Subnet

METHODS = (*gateway_cors.METHODS, "OPTIONS")
UPDATE_SECONDS = 300.0
VERIFIED_CALLBACKS = 4
"""Streamed bodies of up to so many callbacks are put together and verified. What is longer is passed on as it comes,
not verified: nobody could hold it."""
MAX_PARTS = 1000
"""Parts of a body, at most."""
PIECE = 1 << 18

NOT_PASSED_ON = frozenset(
    {"connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Headers of one connection, which say nothing about the canister's response."""

CANISTER = web.RequestKey("canister", Principal)
TYPED = web.ResponseKey("typed", bool)
"""Whether the canister named a Content-Type."""


@dataclass(frozen=True)
class ClientResponse:
    """What the client gets: `body` and, after it, `rest`; `length` of both where it is known."""

    status: int
    headers: Headers
    body: bytes
    length: int | None
    rest: AsyncIterator[bytes] | None = None


class Gateway:
    """Answers every HTTP request that is not one to the replica's own interface."""

    def __init__(self, subnet: Subnet, filter: IngressFilter, root_key: bytes) -> None:
        self._subnet = subnet
        self._filter = filter
        self._root_key = root_key

    def routes(self) -> list[web.RouteDef]:
        return [web.route("*", "/{path:.*}", self.handle)]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One HTTP request from a browser."""
        if request.method not in METHODS:
            return _own(web.Response(status=405, headers={"Allow": ", ".join(METHODS)}))
        is_preflight = request.method == "OPTIONS"
        try:
            answer = await self._answer(await _canister_request(request))
        except GatewayError as error:
            for_browser = request.headers.get("User-Agent", "").startswith("Mozilla/")
            return _own(web.Response() if is_preflight else error.answer(for_browser=for_browser))
        if is_preflight and not gateway_cors.answers_preflight(answer.status, answer.headers, answer.body):
            return _own(web.Response())
        return await _send(request, answer)

    # ---------------------------------------------------------------------------------- the protocol's steps

    async def _answer(self, asked: HttpRequest) -> ClientResponse:
        """Section "Overview", steps 4 to 10."""
        response = await self._http_request(asked)
        is_replicated = response.upgrade
        if is_replicated:
            response = await self._http_request_update(asked)
        body, streaming = await self._streamed(asked, response)
        headers = response.headers
        if streaming is None and not is_replicated:
            headers = self._certified_headers(asked, response, body)
        require_well_formed(response.status_code, headers)
        if streaming is not None:
            length = content_length(headers)
            further = self._further_parts(asked, streaming, None if length is None else length - len(body))
            return ClientResponse(response.status_code, headers, body, length, further)
        if response.status_code == 206 and not asked.is_range_request:
            return self._joined(asked, response, headers)
        return ClientResponse(response.status_code, headers, body, len(body))

    async def _http_request(self, asked: HttpRequest) -> HttpResponse:
        data = await self._query(asked.target.canister_id, "http_request", asked.query_arg())
        return decode_response(data, asked.target.canister_id)

    async def _http_request_update(self, asked: HttpRequest) -> HttpResponse:
        """Section "Upgrade to Update Calls"."""
        data = await self._update(asked.target.canister_id, "http_request_update", asked.update_arg())
        return decode_response(data, asked.target.canister_id)

    def _certified_headers(self, asked: HttpRequest, response: HttpResponse, body: bytes) -> Headers:
        """Section "Response Verification": the headers that may be passed on."""
        if asked.target.is_raw:
            return response.headers
        exchange = HttpExchange(
            asked.method, asked.url, asked.headers, asked.body, response.status_code, response.headers, body
        )
        try:
            verified = response_verification.verify(
                exchange,
                canister_id=asked.target.canister_id,
                root_key=self._root_key,
                now_ns=self._subnet.time_ns(),
                minimum_version=self._minimum_version(asked.target.canister_id),
            )
        except VerificationError as error:
            raise GatewayError(Cause.BACKEND_RESPONSE_VERIFICATION, str(error)) from None
        if verified.version == 1 and 300 <= response.status_code <= 399:
            raise GatewayError(Cause.INTERNAL_SERVER_ERROR, "Response verification v1 does not allow redirects")
        return verified.headers

    def _minimum_version(self, canister_id: Principal) -> int:
        """The highest version that the canister says it supports ("Response Verification Version Assertion")."""
        canister = self._subnet.state.canisters.get(canister_id)
        sections = canister.module.sections if canister and canister.module else ()
        for section in sections:
            if section.name == "supported_certificate_versions" and section.is_public:
                versions = section.content.decode(errors="replace").split(",")
                return max((int(version) for version in versions if version.strip() in ("1", "2")), default=1)
        return 1

    # ---------------------------------------------------------------------------------- bodies of several messages

    async def _streamed(self, asked: HttpRequest, response: HttpResponse) -> tuple[bytes, Streaming | None]:
        """The body as far as it can be verified, and where it goes on if that is not all of it."""
        parts, streaming = [response.body], response.streaming
        for _ in range(VERIFIED_CALLBACKS):
            if streaming is None:
                break
            part, streaming = await self._next_part(asked, streaming)
            parts.append(part)
        return b"".join(parts), streaming

    async def _further_parts(
        self, asked: HttpRequest, streaming: Streaming, announced: int | None
    ) -> AsyncIterator[bytes]:
        """What the callback gives from now on; raises `GatewayError` unless it has as many bytes as `announced`."""
        following: Streaming | None = streaming
        received = 0
        for _ in range(MAX_PARTS):
            if following is None:
                if announced not in (None, received):
                    raise unusable("The body has not the length that Content-Length says")
                return
            part, following = await self._next_part(asked, following)
            received += len(part)
            yield part
        raise unusable("The streaming callback does not come to an end")

    async def _next_part(self, asked: HttpRequest, streaming: Streaming) -> tuple[bytes, Streaming | None]:
        """Section "Response Body Streaming"."""
        part, token = decode_part(await self._query(asked.target.canister_id, streaming.callback, streaming.token))
        return part, None if token is None else Streaming(streaming.callback, token)

    def _joined(self, asked: HttpRequest, response: HttpResponse, headers: Headers) -> ClientResponse:
        """The whole of a body whose first part came with status 206, unasked: the other way to stream."""
        part = response.content_range()
        if part.first != 0:
            raise unusable("the first chunk does not begin at byte 0")
        kept = [(name, value) for name, value in headers if name.lower() not in ("content-range", "content-length")]
        further = self._further_ranges(asked, part.last + 1, part.total)
        return ClientResponse(200, kept, response.body, part.total, further)

    async def _further_ranges(self, asked: HttpRequest, received: int, total: int) -> AsyncIterator[bytes]:
        """The parts that follow the first `received` bytes, each verified by itself."""
        for _ in range(MAX_PARTS):
            if received == total:
                return
            range_asked = asked.from_byte(received)
            response = await self._http_request(range_asked)
            self._certified_headers(range_asked, response, response.body)
            part = response.content_range()
            if response.streaming or not part.first <= received <= part.last or part.total != total:
                raise unusable(f"bytes from {received} were asked for, and {part} came")
            yield response.body[received - part.first :]
            received = part.last + 1
        raise unusable("The body has too many parts")

    # ---------------------------------------------------------------------------------- calls

    async def _query(self, canister_id: Principal, method_name: str, arg: bytes) -> bytes:
        return _reply(await self._subnet.query(ANONYMOUS, canister_id, method_name, arg))

    async def _update(self, canister_id: Principal, method_name: str, arg: bytes) -> bytes:
        if len(arg) > self._subnet.limits.ingress_payload:
            raise GatewayError(Cause.CLIENT_BODY_TOO_LARGE)
        expiry = self._subnet.time_ns() + self._subnet.limits.ingress_ttl
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
        except Rejected as rejected:
            raise error_of_reject(rejected.reject) from None
        await self._subnet.submit(ingress)
        status = await self._subnet.wait(ingress.request_id, UPDATE_SECONDS)
        if status is None or status.response is None:
            raise GatewayError(Cause.BACKEND_HTTP_GATEWAY, "The request timed out.")
        return _reply(status.response)


def _reply(response: Response) -> bytes:
    if isinstance(response, Reply):
        return response.data
    raise error_of_reject(response)


# ------------------------------------------------------------------------------------------- plain HTTP


async def _canister_request(request: web.Request) -> HttpRequest:
    target = gateway_request.target(request.headers, request.rel_url)
    request[CANISTER] = target.canister_id
    url = gateway_request.path_and_query(request.raw_path)
    headers = gateway_request.text_headers(request.raw_headers)
    return HttpRequest(target, request.method, url, headers, await request.read())


async def _send(request: web.Request, answer: ClientResponse) -> web.StreamResponse:
    headers = CIMultiDict((name, value) for name, value in answer.headers if name.lower() not in NOT_PASSED_ON)
    sent = web.StreamResponse(status=answer.status, headers=headers)
    sent[TYPED] = "Content-Type" in headers
    has_body = request.method != "HEAD" and answer.status not in (204, 304)
    sent.content_length = answer.length if has_body else content_length(answer.headers) or answer.length
    await sent.prepare(request)
    try:
        if has_body:
            await _write(sent, answer.body)
            if answer.rest is not None:
                async for part in answer.rest:
                    await _write(sent, part)
    except GatewayError:
        # The status is sent already: all that can be done is to end before the end, for the client to see.
        if request.transport is not None:
            request.transport.abort()
        return sent
    except ConnectionError as gone:
        gone.with_traceback(None)  # The connection remembers the error, and with it would the body stay.
        return sent
    await sent.write_eof()
    return sent


async def _write(sent: web.StreamResponse, part: bytes) -> None:
    """In pieces, so that what a slow client has yet to take is not kept twice."""
    for at in range(0, len(part), PIECE):
        await sent.write(memoryview(part)[at : at + PIECE])


def _own(answer: web.Response) -> web.Response:
    """An answer that is not the canister's."""
    answer[TYPED] = bool(answer.body)
    return answer


async def complete_headers(request: web.Request, answer: web.StreamResponse) -> None:
    """Before an answer of the gateway is sent: what the gateway adds to it, and what only aiohttp would.

    Where the canister names no Content-Type, the gateway does not either, so that browsers look for themselves.
    """
    if TYPED not in answer:
        return
    if not answer[TYPED]:
        answer.headers.popall("Content-Type", None)
    for name, value in gateway_cors.headers_for(request.method).items():
        answer.headers.setdefault(name, value)
    answer.headers["X-Request-Id"] = str(uuid.uuid4())
    if CANISTER in request:
        answer.headers["X-IC-Canister-Id"] = request[CANISTER].to_str()
