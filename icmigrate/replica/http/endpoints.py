"""Interface Specification, "HTTPS Interface": the endpoints below /api, one handler a kind of request.

Handlers read like the specification's steps: parse, authenticate, check the URL, filter, execute, sign.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.metadata import version

from aiohttp import web

from icmigrate.protocol import cbor
from icmigrate.protocol.envelope import Envelope
from icmigrate.replica.certification import read_permissions
from icmigrate.replica.certification.certifier import Certifier
from icmigrate.replica.errors.rejected import Rejected
from icmigrate.replica.http.authentication import authenticated
from icmigrate.replica.http.ingress_filter import IngressFilter
from icmigrate.replica.http.requests import BadRequest, EffectiveId, parse_call, parse_target, require_hosted
from icmigrate.replica.state.calls import Ingress
from icmigrate.replica.state.responses import Reject
from icmigrate.replica.storage.errors import is_shortage
from icmigrate.replica.subnet.subnet import Subnet

SYNC_CALL_SECONDS = 10.0
"""How long a synchronous call waits for its certificate before it answers 202."""

CBOR = "application/cbor"
CORS = {
    "Access-Control-Allow-Methods": "HEAD, GET, POST",
    "Access-Control-Allow-Headers": (
        "Accept, Authorization, Cache-Control, Content-Type, Cookie, DNT, If-Modified-Since, If-None-Match, Range, "
        "User-Agent, X-Requested-With, X-Ic-Canister-Id"
    ),
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Length, Content-Range",
    "Access-Control-Max-Age": "600",
    "Vary": "Origin",
}
"""What pages may call, as the gateways before the replicas answer; which pages may, `callers.py` says."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Endpoints:
    """The handlers of one replica."""

    subnet: Subnet
    certifier: Certifier
    filter: IngressFilter

    def routes(self) -> list[web.RouteDef]:
        """Every path of the interface. `{id}` is the effective canister or subnet id."""
        asynchronous, synchronous = self._handler(self.call_async), self._handler(self.call_sync)
        query, read_state = self._handler(self.query), self._handler(self.read_state)
        posts = {
            "/api/v2/{kind:canister}/{id}/call": asynchronous,
            "/api/v3/{kind:canister}/{id}/call": synchronous,
            "/api/v4/{kind:canister|subnet}/{id}/call": synchronous,
            "/api/v2/{kind:canister}/{id}/query": query,
            "/api/v3/{kind:canister|subnet}/{id}/query": query,
            "/api/v2/{kind:canister|subnet}/{id}/read_state": read_state,
            "/api/v3/{kind:canister|subnet}/{id}/read_state": read_state,
        }
        return [
            web.get("/api/v2/status", self._handler(self.status)),
            *(web.post(path, handler) for path, handler in posts.items()),
            *(web.options(path, preflight) for path in ("/api/v2/status", *posts)),
            web.route("*", "/api/v2/status", _not_allowed("GET,HEAD")),
            *(web.route("*", path, _not_allowed("POST")) for path in posts),
            # Other paths below /api may be a canister's own.
            web.route("*", "/api/{version:v[0-9]+}/{path:.*}", self._handler(_unknown_path)),
        ]

    def _handler(self, handle: Handler) -> Handler:
        """`handle` with its refusals turned into plain text answers."""

        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                return await handle(request)
            except BadRequest as refusal:
                return web.Response(status=refusal.status, text=str(refusal), headers=CORS)
            except (OSError, sqlite3.OperationalError) as error:
                if not is_shortage(error):
                    raise
                return web.Response(status=503, text=f"The replica has no room: {error}.", headers=CORS)

        return answer

    async def status(self, request: web.Request) -> web.Response:
        """Section "Status endpoint"."""
        return _cbor(
            {
                "impl_version": f"icmigrate-{version('icmigrate')}",
                "replica_health_status": "healthy",
                "root_key": self.subnet.root_key,
            }
        )

    async def call_async(self, request: web.Request) -> web.Response:
        """Section "Request: Asynchronous Call"."""
        message = await self._call(request)
        if isinstance(message, Reject):
            return _cbor(_reject(message))
        await self.subnet.submit(message)
        return web.Response(status=202, headers=CORS)

    async def call_sync(self, request: web.Request) -> web.Response:
        """Section "Request: Call": waits for the certified answer for a while."""
        message = await self._call(request)
        if isinstance(message, Reject):
            return _cbor({"status": "non_replicated_rejection", **_reject(message)})
        await self.subnet.submit(message)
        status = await self.subnet.wait(message.request_id, SYNC_CALL_SECONDS)
        if status is None or not status.is_terminal:
            return web.Response(status=202, headers=CORS)
        certificate = self.certifier.call_certificate(message.request_id)
        return _cbor({"status": "replied", "certificate": certificate})

    async def _call(self, request: web.Request) -> Ingress | Reject:
        """The message of a call request, ready to be submitted, or why the ingress filter refuses it."""
        parsed, target, size = await self._read(request, "call")
        call = parse_call(parsed, target)
        largest = self.subnet.limits.ingress_payload
        if size > largest:
            raise BadRequest(
                413,
                f"Request 0x{call.request_id.hex()} is too large. Message byte size {size} is larger than the "
                f"max allowed {largest}.",
            )
        try:
            self.filter.check_target(call, target, is_query=False)
            # What was accepted once is only asked about again: its answer stands.
            if self.subnet.ingress_status(call.request_id) is None:
                await self.filter.check_call(call)
        except Rejected as rejected:
            return rejected.reject
        return call

    async def query(self, request: web.Request) -> web.Response:
        """Section "Request: Query call"."""
        parsed, target, _ = await self._read(request, "query")
        call = parse_call(parsed, target)
        try:
            self.filter.check_target(call, target, is_query=True)
            response = await self.subnet.query(
                call.sender, call.canister_id, call.method_name, call.arg, call.sender_info
            )
        except Rejected as rejected:
            response = rejected.reject
        return _cbor(self.certifier.signed_query_response(call.request_id, response))

    async def read_state(self, request: web.Request) -> web.Response:
        """Section "Request: Read state"."""
        parsed, target, _ = await self._read(request, "read_state")
        paths = _paths(parsed)
        try:
            read_permissions.authorize(
                paths,
                state=self.subnet.state,
                sender=parsed.sender,
                effective=target.id,
                is_subnet_request=target.is_subnet,
                root_subnet=self.subnet.subnet_id,
                is_v2=request.path.startswith("/api/v2/"),
                targets=_delegation_targets(parsed),
            )
        except read_permissions.PathRefused as refused:
            raise BadRequest(refused.status, str(refused)) from None
        certificate = self.certifier.certificate(paths, is_subnet_request=target.is_subnet)
        return _cbor({"certificate": certificate})

    async def _read(self, request: web.Request, request_type: str) -> tuple[Envelope, EffectiveId, int]:
        """The authenticated envelope of a request, what its URL names, and its size in bytes."""
        target = parse_target(
            request.match_info["id"],
            is_subnet=request.match_info["kind"] == "subnet",
            subnet_id=self.subnet.subnet_id,
        )
        require_hosted(target)
        body = await _body(request)
        parsed = authenticated(body, request_type, self.subnet.time_ns(), self.subnet.root_key)
        return parsed, target, len(body)


async def preflight(request: web.Request) -> web.Response:
    """What a page may send, if it may at all."""
    return web.Response(status=204, headers=CORS)


def _not_allowed(methods: str) -> Handler:
    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.Response(status=405, text=f"Use {methods}.", headers={**CORS, "Allow": methods})

    return refuse


async def _unknown_path(request: web.Request) -> web.Response:
    raise BadRequest(404, "No such endpoint.")


async def _body(request: web.Request) -> bytes:
    if request.content_type != CBOR:
        raise BadRequest(400, f"Unexpected content-type, expected {CBOR}.")
    return await request.read()


def _paths(parsed: Envelope) -> list[list[bytes]]:
    paths = parsed.content.get("paths")
    if not isinstance(paths, list):
        raise BadRequest(400, "Malformed request: paths is required")
    for path in paths:
        if not isinstance(path, list) or not path or not all(isinstance(label, bytes) for label in path):
            raise BadRequest(404, "Invalid path requested.")
    return paths


def _delegation_targets(parsed: Envelope) -> frozenset[bytes] | None:
    """The canisters that all delegations of the chain allow; None when none of them restricts."""
    restricted = [
        frozenset(signed.delegation.targets)
        for signed in parsed.sender_delegation
        if signed.delegation.targets is not None
    ]
    return frozenset.intersection(*restricted) if restricted else None


def _reject(reject: Reject) -> dict[str, object]:
    return {
        "reject_code": int(reject.code),
        "reject_message": reject.message,
        "error_code": reject.error_code,
    }


def _cbor(value: object) -> web.Response:
    return web.Response(body=cbor.dumps(value), content_type=CBOR, headers=CORS)
