"""A certified asset canister of a public crate, filled by the official assets client and judged by the verifier."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from icmigrate.protocol import candid
from icmigrate.protocol.identity import Ed25519Identity
from icmigrate.protocol.principal import Principal
from icmigrate.replica.gateway.request import HTTP_REQUEST
from icmigrate.replica.gateway.response import HTTP_RESPONSE
from icmigrate.replica.gateway.response_verification import HttpExchange
from tests.replica.http.client import Answer, Client
from tests.replica.official.conftest import Daemon, foreign_module, run_script
from tests.replica.official.test_response_verification import as_case, judged_by_official_verifier

PAGE = b"<!doctype html><title>stored</title><h1>A page</h1>\n"
BIG = random.Random(5).randbytes(5_000_000)


@dataclass(frozen=True)
class Site:
    """The asset canister with a small page and a file that takes several chunks."""

    replica: Daemon
    id: Principal
    owner: Ed25519Identity

    @property
    def host(self) -> str:
        return f"{self.id.to_str()}.localhost:{self.replica.info.port}"

    def get(self, path: str, **options: Any) -> Answer:
        answer: Answer = self.replica.run(lambda client: client.get(path, host=self.host, **options))
        return answer

    def verdict(self, folder: Path, exchange: HttpExchange) -> dict[str, Any]:
        root_key = bytes.fromhex(self.replica.info.root_key)
        case = as_case("it", exchange, self.id, root_key, time.time_ns())
        return judged_by_official_verifier(folder, [case])["it"]


@pytest.fixture(scope="session")
def site(npm_clients: Path, replica: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Site:
    module = foreign_module("assets")
    folder = tmp_path_factory.mktemp("assets")
    (folder / "index.html").write_bytes(PAGE)
    (folder / "big.bin").write_bytes(BIG)
    seed = os.urandom(32)
    owner = Ed25519Identity.from_seed(seed)

    async def install(client: Client) -> Principal:
        return await client.as_user(owner).install(module, arg=candid.encode([], []))

    canister_id: Principal = replica.run(install)
    stored = run_script(
        npm_clients, "assets.mjs", replica.info.url, replica.info.root_key, canister_id.to_str(), seed.hex(),
        folder / "index.html", folder / "big.bin",
    )  # fmt: skip
    assert stored.split() == ["/index.html", "/big.bin"]
    return Site(replica, canister_id, owner)


@pytest.mark.parametrize(
    ("path", "content"), [("/index.html", PAGE), ("/", PAGE), ("/falls/back", PAGE), ("/big.bin", BIG)]
)
def test_the_gateway_serves_it_exact_and_the_official_verifier_agrees(
    site: Site, npm_clients: Path, path: str, content: bytes
) -> None:
    answer = site.get(path)
    assert answer.status == 200
    assert answer.body == content
    headers = list(answer.headers.items())
    exchange = HttpExchange("GET", path, [], b"", 200, headers, content)
    assert site.verdict(npm_clients, exchange).get("version") == 2


def test_a_client_that_knows_only_the_first_certification_is_served_too(site: Site, npm_clients: Path) -> None:
    request = {"method": "GET", "url": "/index.html", "headers": [], "body": b"", "certificate_version": []}

    async def ask(client: Client) -> bytes:
        return await client.query(site.id, "http_request", candid.encode([HTTP_REQUEST], [request]))

    response: Any = candid.decode(site.replica.run(ask), [HTTP_RESPONSE])[0]
    headers = [tuple(header) for header in response["headers"]]
    assert "ic-certificateexpression" not in {name.lower() for name, _ in headers}
    body = bytes(response["body"])
    exchange = HttpExchange("GET", "/index.html", [], b"", 200, headers, body)
    assert body == PAGE
    assert site.verdict(npm_clients, exchange).get("version") == 1


def test_a_head_has_the_headers_and_no_body(site: Site) -> None:
    head = site.get("/index.html", method="HEAD")
    assert (head.status, head.body) == (200, b"")
    for name in ("Content-Type", "Content-Length", "IC-CertificateExpression"):
        assert head.headers[name] == site.get("/index.html").headers[name]


def test_it_outlives_an_upgrade(site: Site) -> None:
    async def upgrade(client: Client) -> None:
        module = foreign_module("assets")
        await client.as_user(site.owner).install(module, site.id, mode="upgrade", arg=candid.encode([], []))

    site.replica.run(upgrade)
    assert site.get("/index.html").body == PAGE
    assert site.get("/big.bin").body == BIG
