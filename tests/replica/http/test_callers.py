"""Who may talk to a replica: what pages of strangers try, and what pages and programs of this machine go on doing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from icmigrate.protocol import envelope
from icmigrate.protocol.principal import MANAGEMENT_CANISTER
from icmigrate.replica.management.method_table import METHODS
from icmigrate.replica.server import RunningReplica, running_replica
from tests.replica.http.client import Answer, Client, encode
from tests.replica.http.http_canisters import certified_canister

CREATE = "provisional_create_canister_with_cycles"
STATUS = "/api/v2/status"
OURS = [
    "localhost",
    "LOCALHOST.",
    "127.0.0.1",
    "127.9.9.9",
    "[::1]",
    "ryjl3-tyaaa-aaaaa-aaaba-cai.localhost",
    "ryjl3-tyaaa-aaaaa-aaaba-cai.raw.localhost",
]
STRANGERS = [
    "evil.example",
    "localhost.evil.example",
    "evillocalhost",
    "127.0.0.1.evil.example",
    "0.0.0.0",
    "10.0.0.1",
    "[::]",
    "[::2]",
    "localhost@evil.example",
]


def creates(client: Client) -> tuple[str, bytes]:
    """Where and what to post to create a canister."""
    content = client.call_content(MANAGEMENT_CANISTER, CREATE, encode(METHODS[CREATE].argument, {}))
    path = f"/api/v4/canister/{MANAGEMENT_CANISTER.to_str()}/call"
    return path, envelope.sign(content, client.identity)


async def create(client: Client, **headers: str) -> Answer:
    path, body = creates(client)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {"Content-Type": "application/cbor", **headers}
    async with client.session.post(client.target.url + path, data=body, headers=sent) as answer:
        return Answer(answer.status, answer.headers, await answer.read())


@pytest.mark.parametrize("host", OURS)
@pytest.mark.parametrize("port", ["", ":4943"])
async def test_a_loopback_host_is_answered(client: Client, host: str, port: str) -> None:
    assert (await client.get(STATUS, host=host + port)).status == 200
    assert (await create(client, Host=host + port)).status == 200


@pytest.mark.parametrize("host", STRANGERS)
async def test_a_name_that_was_bound_to_this_machine_by_its_owner_is_refused(client: Client, host: str) -> None:
    answers = [await client.get(path, host=f"{host}:80") for path in (STATUS, "/", "/?canisterId=aaaaa-aa")]
    answers += [await client.get(STATUS, host=host, method="OPTIONS"), await create(client, Host=host)]
    for answer in answers:
        assert answer.status == 403 and answer.body.count(b"\n") == 1
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert b"icmigrate replica start --allow-host" in answers[0].body


@pytest.mark.parametrize("host", OURS)
async def test_a_page_of_this_machine_uses_the_interface(client: Client, host: str) -> None:
    for origin in (f"http://{host}:5173", f"https://{host}"):
        answer = await create(client, Origin=origin)
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, origin)
        assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize("origin", ["null", "file://", "https://", *(f"https://{host}" for host in STRANGERS)])
async def test_a_page_of_a_stranger_changes_nothing(client: Client, running: RunningReplica, origin: str) -> None:
    before = len(running.subnet.state.canisters)
    answer = await create(client, Origin=origin)
    assert answer.status == 403 and answer.body.count(b"\n") == 1
    assert len(running.subnet.state.canisters) == before
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_page_of_a_stranger_is_not_permitted_to_read_or_to_ask(client: Client) -> None:
    page = {"Origin": "https://evil.example", "Access-Control-Request-Private-Network": "true"}
    path, _ = creates(client)
    for answer in (
        await client.get(STATUS, headers=page),
        await client.get(path, method="OPTIONS", headers=page),
        await client.get("/?canisterId=aaaaa-aa", headers=page),
        await client.get("/?canisterId=aaaaa-aa", method="OPTIONS", headers=page),
    ):
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Access-Control-Allow-Private-Network" not in answer.headers


async def test_a_stranger_posts_no_form_to_a_canister(client: Client) -> None:
    canister = await client.install(certified_canister(b"it"))
    host = f"{canister.to_str()}.localhost"
    refused = await client.get("/", host=host, method="POST", headers={"Origin": "https://evil.example"})
    assert refused.status == 403
    posted = await client.get("/", host=host, method="POST", headers={"Origin": f"http://{host}"})
    assert posted.status != 403


async def test_a_page_that_hides_its_origin_may_post_to_itself(client: Client) -> None:
    assert (await create(client, Origin="null", Sec_Fetch_Site="same-origin")).status == 200
    assert (await create(client, Origin="null", Sec_Fetch_Site="cross-site")).status == 403


async def test_a_page_of_this_machine_is_told_that_it_may_use_this_network(client: Client) -> None:
    page = {"Origin": "http://localhost:5173", "Access-Control-Request-Private-Network": "true"}
    for path in (STATUS, "/?canisterId=aaaaa-aa"):
        answer = await client.get(path, method="OPTIONS", headers=page)
        assert answer.headers["Access-Control-Allow-Private-Network"] == "true"


async def test_a_program_that_speaks_http_1_0_names_no_host(running: RunningReplica) -> None:
    assert await first_line(running, b"GET /api/v2/status HTTP/1.0\r\n\r\n") == b"HTTP/1.0 200 OK\r\n"


async def test_one_good_host_does_not_excuse_another(running: RunningReplica) -> None:
    lines = b"GET /api/v2/status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"
    assert b" 200 " not in await first_line(running, lines)


async def first_line(running: RunningReplica, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(request)
    line = await reader.readline()
    writer.close()
    return line


@pytest_asyncio.fixture
async def open_client(session: aiohttp.ClientSession) -> AsyncIterator[Client]:
    """A user of a replica that answers one more host."""
    async with running_replica(allowed_hosts=["dev.example"]) as running:
        yield Client(running, session)


async def test_a_host_that_was_allowed_is_answered_as_this_machine_is(open_client: Client) -> None:
    canister = await open_client.install(certified_canister(b"it"))
    page = "https://dev.example:8443"
    answer = await create(open_client, Host="dev.example:4943", Origin=page)
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, page)
    shown = await open_client.get(f"/?canisterId={canister.to_str()}", host="Dev.Example:80")
    assert (shown.status, shown.body) == (200, b"it")
    assert (await create(open_client, Host="other.example")).status == 403
    assert (await create(open_client, Origin="https://other.dev.example")).status == 403
