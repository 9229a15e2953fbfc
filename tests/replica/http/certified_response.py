"""A certified HTTP response as a canister makes it, version 1 and 2, for the verifier to judge."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace

from icmigrate.protocol import bls, cbor, certificate, hash_tree
from icmigrate.protocol.leb128 import encode_unsigned
from icmigrate.protocol.principal import Principal
from icmigrate.replica.gateway.response_verification import HttpExchange

CANISTER = Principal((9).to_bytes(8, "big") + b"\x01\x01")
NOW = 1_700_000_000_000_000_000
KEY = bls.SecretKey.generate()
ROOT_KEY = KEY.public_key_der()

NO_CERTIFICATION = "default_certification(ValidationArgs{no_certification:Empty{}})"
RESPONSE_ONLY = (
    "default_certification(ValidationArgs{certification:Certification{no_request_certification:Empty{},"
    'response_certification:ResponseCertification{certified_response_headers:ResponseHeaderList{headers:["Cache-Control"]}}}})'
)
FULL = (
    "default_certification(ValidationArgs{certification:Certification{request_certification:RequestCertification"
    '{certified_request_headers:["Accept"],certified_query_parameters:["q"]},response_certification:'
    'ResponseCertification{response_header_exclusions:ResponseHeaderList{headers:["Date"]}}}})'
)


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def hash_of_headers(headers: list[tuple[str, str | int]]) -> bytes:
    pairs = [
        sha256(name.encode()) + sha256(value.encode() if isinstance(value, str) else encode_unsigned(value))
        for name, value in headers
    ]
    return sha256(b"".join(sorted(pairs)))


def exchange(body: bytes = b"hello", url: str = "/a/b?q=1&other=2") -> HttpExchange:
    return HttpExchange(
        "GET",
        url,
        [("accept", "text/html"), ("user-agent", "x")],
        b"",
        200,
        [("Cache-Control", "no-store"), ("Date", "today")],
        body,
    )


def signed_tree(tree: hash_tree.HashTree, *, time_ns: int = NOW, canister: Principal = CANISTER) -> str:
    state = hash_tree.build(
        {
            b"time": encode_unsigned(time_ns),
            b"canister": {canister.bytes: {b"certified_data": hash_tree.digest(tree)}},
        }
    )
    parts = certificate.create(state, KEY), cbor.dumps(hash_tree.to_cbor_value(tree))
    signature, encoded = (base64.b64encode(part).decode() for part in parts)
    return f"certificate=:{signature}:, tree=:{encoded}:"


def certified_v2(
    given: HttpExchange,
    expression: str,
    path: list[str],
    *,
    also: list[list[bytes]] | None = None,
    time_ns: int = NOW,
    canister: Principal = CANISTER,
) -> HttpExchange:
    """The exchange with its certificate headers; `also` are more expression paths in the canister's tree."""
    given = replace(given, headers=[*given.headers, ("IC-CertificateExpression", expression)])
    certified: list[tuple[str, str | int]] = [("ic-certificateexpression", expression), (":ic-cert-status", 200)]
    request_hash = b""
    if expression == FULL:
        request: list[tuple[str, str | int]] = [("accept", "text/html"), (":ic-cert-method", "GET")]
        request.append((":ic-cert-query", "q=1"))
        request_hash = sha256(hash_of_headers(request) + sha256(b""))
        certified += [(name.lower(), value) for name, value in given.headers if name == "Cache-Control"]
    elif expression == RESPONSE_ONLY:
        certified.append(("cache-control", "no-store"))
    response_hash = sha256(hash_of_headers(certified) + sha256(given.body))
    below: dict[bytes, object] = {sha256(expression.encode()): {request_hash: {response_hash: b""}}}
    tree: dict[bytes, object] = {}
    for segments, content in [
        ([part.encode() for part in path], below),
        *((other, {b"x": b""}) for other in also or []),
    ]:
        at = tree
        for segment in segments[:-1]:
            at = at.setdefault(segment, {})  # type: ignore[assignment]
        at[segments[-1]] = content
    header = signed_tree(hash_tree.build(tree), time_ns=time_ns, canister=canister)  # type: ignore[arg-type]
    encoded_path = base64.b64encode(cbor.dumps(path)).decode()
    header += f", version=2, expr_path=:{encoded_path}:"
    return replace(given, headers=[*given.headers, ("IC-Certificate", header)])


def certified_v1(given: HttpExchange, path: str, digest: bytes) -> HttpExchange:
    tree = hash_tree.build({b"http_assets": {path.encode(): digest}})
    return replace(given, headers=[*given.headers, ("IC-Certificate", signed_tree(tree))])
