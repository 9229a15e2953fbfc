"""@dfinity/response-verification judges what the replica's canisters serve, and agrees with our own verifier."""

from __future__ import annotations

import base64
import json
import time
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from icmigrate.protocol.principal import Principal
from icmigrate.replica.gateway.response_verification import HttpExchange, VerificationError, verify
from tests.processes import done
from tests.replica.http.certified_response import (
    CANISTER,
    FULL,
    NO_CERTIFICATION,
    NOW,
    RESPONSE_ONLY,
    ROOT_KEY,
    certified_v1,
    certified_v2,
    exchange,
    sha256,
)
from tests.replica.http.client import Answer
from tests.replica.http.http_canisters import certified_canister
from tests.replica.official.conftest import Daemon


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def judged_by_official_verifier(folder: Path, cases: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    printed = done(["node", "verify.mjs"], cwd=folder, stdin="\n".join(json.dumps(case) for case in cases))
    verdicts = [json.loads(line) for line in printed.splitlines()]
    assert len(verdicts) == len(cases), printed
    return {verdict["name"]: verdict for verdict in verdicts}


def as_case(name: str, given: HttpExchange, canister: Principal, root_key: bytes, now_ns: int) -> dict[str, Any]:
    return {
        "name": name,
        "canisterId": canister.to_str(),
        "rootKey": text(root_key),
        "nowNs": str(now_ns),
        "request": {
            "url": given.url,
            "method": given.method,
            "headers": list(given.request_headers),
            "body": text(given.request_body),
        },
        "response": {
            "status_code": given.status_code,
            "headers": list(given.headers),
            "body": text(given.body),
        },
    }


def test_both_verifiers_agree(npm_clients: Path) -> None:
    exact, wild = ["http_expr", "a", "b", "<$>"], ["http_expr", "<*>"]
    good = certified_v2(exchange(), FULL, exact)
    packed = zlib.compress(b"hello", wbits=-zlib.MAX_WBITS)
    deflated = replace(exchange(packed, "/x"), headers=[("Content-Encoding", "deflate")])
    cases: dict[str, HttpExchange] = {
        "full": good,
        "response only": certified_v2(exchange(), RESPONSE_ONLY, wild),
        "none": certified_v2(exchange(), NO_CERTIFICATION, wild),
        "directory": certified_v2(exchange(url="/a/"), RESPONSE_ONLY, ["http_expr", "a", "", "<$>"]),
        "root": certified_v2(exchange(url="/"), RESPONSE_ONLY, ["http_expr", "", "<$>"]),
        "encoded": certified_v2(exchange(url="/a%20b/%C3%A4"), RESPONSE_ONLY, ["http_expr", "a b", "ä", "<$>"]),
        "query of the same path": replace(good, url="/a/b?q=1&other=9"),
        "version 1": certified_v1(exchange(b"hello", "/x"), "/x", sha256(b"hello")),
        "version 1, index": certified_v1(exchange(b"hello", "/y"), "/index.html", sha256(b"hello")),
        "another body": replace(good, body=b"forged"),
        "another status": replace(good, status_code=404),
        "another method": replace(good, method="POST"),
        "another query": replace(good, url="/a/b?q=2"),
        "another path": replace(good, url="/a/c?q=1"),
        "another header": replace(good, request_headers=[("accept", "*/*")]),
        "no header": replace(good, headers=[]),
        "more specific": certified_v2(exchange(), RESPONSE_ONLY, wild, also=[[b"http_expr", b"a", b"<*>"]]),
        "another directory": certified_v2(exchange(), RESPONSE_ONLY, ["http_expr", "c", "<*>"]),
        "old": certified_v2(exchange(), FULL, exact, time_ns=NOW - 301 * 10**9),
        "another canister": certified_v2(exchange(), FULL, exact, canister=Principal(b"\x07")),
        "directory of the root": certified_v2(exchange(), RESPONSE_ONLY, ["http_expr", "", "<*>"]),
        "closer than the root": certified_v2(exchange(), RESPONSE_ONLY, wild, also=[[b"http_expr", b"", b"<*>"]]),
        "closer than the directory of the root": certified_v2(
            exchange(), RESPONSE_ONLY, ["http_expr", "", "<*>"], also=[[b"http_expr", b"a", b"<*>"]]
        ),
        "closer than a directory": certified_v2(
            exchange(), RESPONSE_ONLY, ["http_expr", "a", "", "<*>"], also=[[b"http_expr", b"a", b"b", b"<*>"]]
        ),
        "not UTF-8": replace(certified_v2(exchange(), RESPONSE_ONLY, wild), url="/%ff"),
        "version 1, deflated": certified_v1(deflated, "/x", sha256(b"hello")),
        "version 1, another body": certified_v1(exchange(b"hello", "/x"), "/x", sha256(b"other")),
    }
    official = judged_by_official_verifier(
        npm_clients, [as_case(name, given, CANISTER, ROOT_KEY, NOW) for name, given in cases.items()]
    )
    ours = {name: accepts(given) for name, given in cases.items()}
    assert ours == {name: "version" in official[name] for name in cases}
    assert sum(ours.values()) == 11


def accepts(given: HttpExchange) -> bool:
    try:
        verify(given, canister_id=CANISTER, root_key=ROOT_KEY, now_ns=NOW)
    except VerificationError:
        return False
    return True


def test_what_a_canister_serves_is_verified_officially(npm_clients: Path, replica: Daemon) -> None:
    canister = replica.install(certified_canister(b"<h1>certified</h1>"))
    host = f"{canister.to_str()}.localhost:{replica.info.port}"
    answer: Answer = replica.run(lambda client: client.get("/index.html", host=host))
    assert answer.status == 200
    served = HttpExchange("GET", "/index.html", [], b"", 200, list(answer.headers.items()), answer.body)
    case = as_case("served", served, canister, bytes.fromhex(replica.info.root_key), time.time_ns())
    assert judged_by_official_verifier(npm_clients, [case])["served"].get("version") == 2
