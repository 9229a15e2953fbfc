"""HTTP Gateway Protocol, "HTTP Response Decoding" and "Response Body Streaming": what canisters answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from icmigrate.protocol import candid
from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.candid.extract import extract
from icmigrate.protocol.principal import Principal
from icmigrate.replica.gateway.errors import Cause, GatewayError
from icmigrate.replica.gateway.request import BLOB, HEADERS, Headers

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

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NUMBER = "([0-9]{1,18})"
_CONTENT_RANGE = re.compile(rf"\s*bytes {_NUMBER}-{_NUMBER}/{_NUMBER}\s*")
_CONTENT_LENGTH = re.compile(_NUMBER)


@dataclass(frozen=True)
class Streaming:
    """Where the rest of a body comes from: a method of the canister, and what it is to be given (Candid)."""

    callback: str
    token: bytes


@dataclass(frozen=True)
class ContentRange:
    """Which bytes of how many a body has, first and last included (RFC 9110, section 14.4)."""

    first: int
    last: int
    total: int


@dataclass(frozen=True)
class HttpResponse:
    """What `http_request` and `http_request_update` return."""

    status_code: int
    headers: Headers
    body: bytes
    upgrade: bool
    streaming: Streaming | None

    def content_range(self) -> ContentRange:
        """Raises `GatewayError` unless it is there, consistent, and fits the body."""
        value = _header(self.headers, "content-range")
        if value is None:
            raise unusable("missing Content-Range header in 206 response")
        match = _CONTENT_RANGE.fullmatch(value)
        if match is None:
            raise unusable(f"Invalid Content-Range header {value!r}")
        content_range = ContentRange(*map(int, match.groups()))
        if content_range.last >= content_range.total or len(self.body) != content_range.last - content_range.first + 1:
            raise unusable(f"inconsistent Content-Range header {value!r} of {len(self.body)} bytes")
        return content_range


def content_length(headers: Headers) -> int | None:
    """How long the whole body is, as far as the canister says so."""
    match = _CONTENT_LENGTH.fullmatch(_header(headers, "content-length") or "")
    return int(match[1]) if match else None


def _header(headers: Headers, lower_case_name: str) -> str | None:
    return next((value for name, value in headers if name.lower() == lower_case_name), None)


def unusable(details: str) -> GatewayError:
    """The canister did answer, but there is no HTTP response to be made of it."""
    return GatewayError(Cause.BACKEND_HTTP_GATEWAY, details)


def decode_response(data: bytes, canister_id: Principal) -> HttpResponse:
    """Raises `GatewayError` for what is not a response."""
    record = _decode(data, HTTP_RESPONSE)
    headers = [(name, value) for name, value in record["headers"]]
    streaming = _streaming(data, canister_id) if record["streaming_strategy"] else None
    return HttpResponse(record["status_code"], headers, record["body"], record["upgrade"] == [True], streaming)


def _streaming(data: bytes, canister_id: Principal) -> Streaming | None:
    try:
        callback = extract(data, ["streaming_strategy", "Callback", "callback"])
        token = extract(data, ["streaming_strategy", "Callback", "token"])
        (reference,) = candid.decode(callback or b"")
    except candid.CandidError as error:
        raise unusable(f"The streaming strategy is not one: {error}") from None
    if token is None:
        return None
    if not isinstance(reference, list) or reference[0] != canister_id:
        raise unusable("The streaming callback is not a method of the canister")
    return Streaming(str(reference[1]), token)


def decode_part(data: bytes) -> tuple[bytes, bytes | None]:
    """What a streaming callback returns: a part of the body, and the token for the next (Candid), if any."""
    record = _decode(data, STREAMING_RESPONSE)
    token = extract(data, ["token"], content=True) if record["token"] else None
    return record["body"], token


def _decode(data: bytes, type_: Any) -> dict[str, Any]:
    try:
        (record,) = candid.decode(data, [type_])
    except candid.CandidError as error:
        raise unusable(f"The answer is not an HTTP response: {error}") from None
    if not isinstance(record, dict):
        raise TypeError(f"a record was decoded to {type(record).__name__}")
    return record


def require_well_formed(status_code: int, headers: Headers) -> None:
    """Raises `GatewayError` for a status and headers that HTTP does not have."""
    if not 100 <= status_code <= 999:
        raise unusable(f"invalid status code {status_code}")
    if status_code < 200:
        raise GatewayError(Cause.INTERNAL_SERVER_ERROR, f"{status_code} is no status of a whole response")
    for name, value in headers:
        if not _HEADER_NAME.fullmatch(name) or _CONTROL.search(value):
            raise unusable(f"invalid header {name!r}")
