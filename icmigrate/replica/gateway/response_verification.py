"""HTTP Gateway Protocol, "Response Verification", versions 1 and 2: is this response what the canister certified?

Pure: the response, the time and the root key come in; `VerificationError` says what is wrong.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from icmigrate.errors import CborError, CertificateError
from icmigrate.protocol import cbor, certificate, hash_tree
from icmigrate.protocol.hash_tree import Absent, Found, FoundTree, HashTree
from icmigrate.protocol.leb128 import encode_unsigned
from icmigrate.protocol.principal import Principal
from icmigrate.replica.gateway.certificate_expression import Certification, ExpressionError, parse_expression

CERTIFICATE_HEADER = "ic-certificate"
EXPRESSION_HEADER = "ic-certificateexpression"
MAX_DECODED_BODY = 64 << 20
"""Bytes that a compressed body may unpack to."""

Headers = list[tuple[str, str]]


class VerificationError(Exception):
    """The response is not certified by the canister."""


@dataclass(frozen=True)
class HttpExchange:
    """A request and its complete response. `url` is path and query as the canister saw them."""

    method: str
    url: str
    request_headers: Headers
    request_body: bytes
    status_code: int
    headers: Headers
    body: bytes


@dataclass(frozen=True)
class Verified:
    """By which version a response is certified, and its headers that may be passed on.

    With version 2 those are the certified ones, or all if the canister chose to certify nothing. Version 1 knows no
    headers: all but the one that would let a forged body live on in caches.
    """

    version: int
    headers: Headers


def header(headers: Headers, name: str) -> str | None:
    """The last value of a header, whose name is given in lower case."""
    values = [value for key, value in headers if key.lower() == name]
    return values[-1] if values else None


def verify(
    exchange: HttpExchange,
    *,
    canister_id: Principal,
    root_key: bytes,
    now_ns: int,
    minimum_version: int = 1,
) -> Verified:
    """Raises VerificationError unless the canister certified this response to this request.

    `minimum_version` is the highest version that the canister says it supports.
    """
    value = header(exchange.headers, CERTIFICATE_HEADER)
    if value is None:
        raise VerificationError("the response has no IC-Certificate header")
    fields = _parse_certificate_header(value)
    tree = _certified_tree(fields, canister_id, root_key, now_ns)
    version = fields.get("version", b"1")
    if version not in (b"1", b"2"):
        raise VerificationError(f"unsupported verification version {version.decode(errors='replace')}")
    if int(version) < minimum_version:
        raise VerificationError(f"the canister supports version {minimum_version} but the response uses {int(version)}")
    if version == b"1":
        _verify_v1(exchange, tree)
        return Verified(1, [(name, value) for name, value in exchange.headers if name.lower() != "cache-control"])
    return Verified(2, _verify_v2(exchange, tree, fields))


_FIELD = re.compile(r"\s*([a-z_]+)\s*=\s*(?::([A-Za-z0-9+/=]*):|([0-9]+))\s*(?:,|$)")


def _parse_certificate_header(value: str) -> dict[str, bytes]:
    """The fields of the structured header: binary ones decoded, numbers as their digits."""
    fields: dict[str, bytes] = {}
    at = 0
    while at < len(value):
        match = _FIELD.match(value, at)
        if match is None:
            raise VerificationError("malformed IC-Certificate header")
        name, binary, number = match.groups()
        try:
            fields[name] = number.encode() if binary is None else base64.b64decode(binary, validate=True)
        except binascii.Error:
            raise VerificationError(f"malformed base64 in field {name} of the IC-Certificate header") from None
        at = match.end()
    return fields


def _certified_tree(fields: dict[str, bytes], canister_id: Principal, root_key: bytes, now_ns: int) -> HashTree:
    """The canister's own tree, its root hash proven to be the canister's certified data."""
    try:
        certified = certificate.verify(
            fields["certificate"], root_key, effective_canister_id=canister_id, now_ns=now_ns
        )
        data = certified.lookup("canister", canister_id.bytes, "certified_data")
        tree = hash_tree.from_cbor_value(cbor.loads(fields["tree"], max_depth=hash_tree.MAX_DEPTH + 1))
    except KeyError as error:
        raise VerificationError(f"the IC-Certificate header has no field {error}") from None
    except (CertificateError, CborError) as error:
        raise VerificationError(str(error)) from None
    if data != hash_tree.digest(tree):
        raise VerificationError("the tree is not the one in the canister's certified data")
    return tree


# ------------------------------------------------------------------------------------------- version 1


def _verify_v1(exchange: HttpExchange, tree: HashTree) -> None:
    path = _path(exchange.url)
    certified = hash_tree.lookup(tree, [b"http_assets", path.encode()])
    if not isinstance(certified, Found):
        certified = hash_tree.lookup(tree, [b"http_assets", b"/index.html"])
    if not isinstance(certified, Found):
        raise VerificationError(f"the tree has no asset {path}")
    encoding = header(exchange.headers, "content-encoding")
    digests = [_sha256(exchange.body)]
    if encoding is not None:
        digests.append(_sha256(_decoded(exchange.body, encoding)))
    if certified.value not in digests:
        raise VerificationError("the body is not the certified one")


def _decoded(body: bytes, encoding: str) -> bytes:
    # Like the official verifier, "deflate" without the header that RFC 9110 asks for.
    window = {"gzip": zlib.MAX_WBITS | 16, "deflate": -zlib.MAX_WBITS}.get(encoding)
    if window is None:
        return body
    try:
        decoder = zlib.decompressobj(window)
        decoded = decoder.decompress(body, MAX_DECODED_BODY)
    except zlib.error as error:
        raise VerificationError(f"the body is not {encoding}: {error}") from None
    if not decoder.eof:
        raise VerificationError("the body is not complete, or too large when unpacked")
    return decoded


# ------------------------------------------------------------------------------------------- version 2


def _verify_v2(exchange: HttpExchange, tree: HashTree, fields: dict[str, bytes]) -> Headers:
    """The headers that may be passed on."""
    expression = header(exchange.headers, EXPRESSION_HEADER)
    if expression is None:
        raise VerificationError("the response has no IC-CertificateExpression header")
    try:
        certification = parse_expression(expression)
        path = _parse_expression_path(fields)
    except ExpressionError as error:
        raise VerificationError(str(error)) from None
    _verify_expression_path(path, exchange.url, tree)
    expression_hash = hashlib.sha256(expression.encode()).digest()
    below = hash_tree.lookup_subtree(tree, [*path, expression_hash])
    if not isinstance(below, FoundTree):
        raise VerificationError("the certificate expression is not the certified one")
    if certification is None:
        return exchange.headers
    headers = _certified_headers(exchange.headers, certification)
    request_hash = b"" if certification.request is None else _request_hash(exchange, certification)
    certified = hash_tree.lookup(below.tree, [request_hash, _response_hash(exchange, headers)])
    if certified != Found(b""):
        raise VerificationError("the response is not the certified one")
    return [*headers, (CERTIFICATE_HEADER, header(exchange.headers, CERTIFICATE_HEADER) or "")]


def _parse_expression_path(fields: dict[str, bytes]) -> list[bytes]:
    try:
        path = cbor.loads(fields.get("expr_path", b""))
    except CborError as error:
        raise VerificationError(f"malformed expr_path: {error}") from None
    if not isinstance(path, list) or not all(isinstance(segment, str) for segment in path):
        raise VerificationError("malformed expr_path")
    return [segment.encode() for segment in path]


EXACT, WILDCARD = b"<$>", b"<*>"


def _verify_expression_path(path: list[bytes], url: str, tree: HashTree) -> None:
    """The path has to fit the URL, and nothing in the tree may fit it more closely."""
    if path[:1] != [b"http_expr"] or path[-1] not in (EXACT, WILDCARD):
        raise VerificationError("malformed expr_path")
    request_path = _path(url)
    segments = [segment.encode() for segment in request_path.split("/") if segment]
    if request_path.endswith("/"):
        segments.append(b"")
    exact = [b"http_expr", *segments, EXACT]
    if path == exact:
        return
    prefix = path[1:-1]
    if path[-1] == EXACT or not _is_prefix(prefix, segments):
        raise VerificationError(f"expr_path does not fit the URL {url}")
    for closer in (exact, *([b"http_expr", *wildcard, WILDCARD] for wildcard in _closer_wildcards(prefix, segments))):
        if not isinstance(hash_tree.lookup_subtree(tree, closer), Absent):
            raise VerificationError("the tree may have a more specific path for this URL")


def _path(url: str) -> str:
    try:
        return unquote(url.partition("?")[0], errors="strict")
    except UnicodeDecodeError:
        raise VerificationError(f"the path of {url} is not UTF-8") from None


def _is_prefix(prefix: list[bytes], segments: list[bytes]) -> bool:
    # A wildcard for a directory ("/app/") has an empty last segment and fits everything below "/app".
    return prefix == segments[: len(prefix)] or (prefix[-1:] == [b""] and prefix[:-1] == segments[: len(prefix) - 1])


def _closer_wildcards(prefix: list[bytes], segments: list[bytes]) -> Iterator[list[bytes]]:
    """The wildcards that fit the URL more closely than `prefix`: /a/b, then /a/ before /a, then / before none."""
    wildcard = segments
    while len(wildcard) > len(prefix) or wildcard[-1:] != prefix[-1:]:
        yield wildcard
        wildcard = wildcard[:-1] if wildcard[-1:] == [b""] else [*wildcard[:-1], b""]


def _request_hash(exchange: HttpExchange, certification: Certification) -> bytes:
    assert certification.request is not None
    headers: list[tuple[str, str | int]] = [
        (name.lower(), value)
        for name, value in exchange.request_headers
        if name.lower() in certification.request.headers
    ]
    headers.append((":ic-cert-method", exchange.method))
    query = exchange.url.partition("?")[2]
    parameters = certification.request.query_parameters
    kept = [part for part in query.split("&") if part.partition("=")[0].lower() in parameters]
    if kept:
        headers.append((":ic-cert-query", "&".join(kept)))
    return _sha256(_hash_of_headers(headers) + _sha256(exchange.request_body))


def _certified_headers(headers: Headers, certification: Certification) -> Headers:
    names = [(name.lower(), value) for name, value in headers]
    return [
        (name, value)
        for name, value in names
        if name == EXPRESSION_HEADER or (name != CERTIFICATE_HEADER and certification.covers(name))
    ]


def _response_hash(exchange: HttpExchange, headers: Headers) -> bytes:
    with_status: list[tuple[str, str | int]] = [*headers, (":ic-cert-status", exchange.status_code)]
    return _sha256(_hash_of_headers(with_status) + _sha256(exchange.body))


def _hash_of_headers(headers: list[tuple[str, str | int]]) -> bytes:
    """The representation-independent hash of a map whose keys may repeat."""
    pairs = sorted(
        _sha256(name.encode()) + _sha256(encode_unsigned(value) if isinstance(value, int) else value.encode())
        for name, value in headers
    )
    return _sha256(b"".join(pairs))


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
