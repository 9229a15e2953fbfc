"""HTTP without rights: the right status at every path and stage, no private byte; what is public is certified."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import pytest_asyncio

from icmigrate.contract.access import AccessInput
from icmigrate.contract.client import CapsuleClient
from icmigrate.contract.records import AssetRef, PrincipalPerson
from icmigrate.hub.client import HubClient
from icmigrate.migration import phases
from icmigrate.migration.toolkit import Toolkit
from icmigrate.protocol.identity import Ed25519Identity
from tests.canisters.http import ask, certified, skips
from tests.canisters.methods import methods
from tests.canisters.stages import BLOBS, Stage, agent_of, hand_off, outcome, reach
from tests.worlds.hub import CHUNK, HubWorld, full_capsule, memory, memory_id, some_bytes, upload

SECRET = some_bytes(BLOBS[0], BLOBS[0])
"""The bytes of the private memory."""
INLINE = b"a small picture"


@pytest_asyncio.fixture(scope="module")
async def writable(world: HubWorld, module_toolkit: Toolkit) -> Stage:
    return await reach(world, module_toolkit, "writable")


@pytest_asyncio.fixture(scope="module")
async def live(world: HubWorld, module_toolkit: Toolkit) -> Stage:
    return await reach(world, module_toolkit, "live")


def canister_of(toolkit: Toolkit, stage: Stage, place: str) -> CapsuleClient:
    return toolkit.hub if place == "hub" else toolkit.personal(stage.id_of("personal"))


def path_of(stage: Stage, name: str = "blob-0", variant: str = "original") -> str:
    return f"/asset/{memory_id(stage.capsule_id, name)}/{variant}"


async def token_of(
    canister: CapsuleClient, stage: Stage, name: str = "blob-0", variant: str = "Original", seconds: int = 600
) -> str:
    ref = AssetRef.model_validate({"memory_id": memory_id(stage.capsule_id, name), "variant_": variant})
    (token,) = await canister.asset_tokens(stage.capsule_id, [ref], seconds)
    return token.path.partition("?token=")[2]


def forged(token: str, secret_length: int = 32) -> list[str]:
    """The token with each part of it changed, signature and all."""
    data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    changed = []
    for at in range(0, len(data), 3):
        changed.append(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    changed += [data[:-1], data + b"\0", data[:-secret_length], data[-secret_length:], bytes(len(data)), b""]
    return [base64.urlsafe_b64encode(one).decode().rstrip("=") for one in changed]


@pytest.mark.parametrize("place", ["hub", "personal"])
async def test_a_private_asset_is_shown_with_its_own_token_only(
    world: HubWorld, module_toolkit: Toolkit, writable: Stage, live: Stage, place: str
) -> None:
    stage, other = (writable, live) if place == "hub" else (live, writable)
    canister = canister_of(module_toolkit, stage, place)
    elsewhere = canister_of(module_toolkit, other, "personal" if place == "hub" else "hub")
    base = world.network.gateway(canister.canister_id) + path_of(stage)
    good = await token_of(canister, stage)
    expired = await token_of(canister, stage, seconds=0)
    foreign = {
        "of another memory": await token_of(canister, stage, "blob-1"),
        "of another variant": await token_of(canister, stage, variant="Thumbnail"),
    }
    tries: list[tuple[str, dict[str, str], set[int]]] = [
        ("", {}, {401}),
        ("?", {}, {401}),
        ("?token", {}, {401}),
        ("?token=", {}, {401}),
        ("?token=AAAA", {}, {401}),
        ("?token=" + "A" * 6_000, {}, {401}),
        ("?token=%00", {}, {401}),
        ("?TOKEN=" + good, {}, {401}),
        ("?xtoken=" + good, {}, {401}),
        ("?token=" + good + "%20", {}, {401}),
        ("?token=" + expired, {}, {401}),
        *(("?token=" + token, {}, {403}) for token in foreign.values()),
        ("?token=" + await token_of(elsewhere, other), {}, {401, 403}),
        ("?token=AAAA&token=" + good, {}, {401}),
        ("", {"Authorization": "Bearer AAAA"}, {401}),
        ("", {"Authorization": "Bearer " + expired}, {401}),
        ("", {"Authorization": "Bearer"}, {401}),
        ("", {"Authorization": "Basic " + good}, {401}),
        ("", {"Authorization": good}, {401}),
        ("", {"Cookie": "token=" + good}, {401}),
        ("", {"Range": "bytes=0-9"}, {401}),
        ("", {"If-None-Match": "*"}, {401}),
        *((f"?token={token}", {}, {401}) for token in forged(good)),
    ]
    wrong = []
    for query, headers, due in tries:
        for method in ("GET", "HEAD"):
            answer = await module_toolkit.gateway.request(base + query, method=method, headers=headers)
            if answer.status not in due or (answer.body in SECRET and answer.body):
                wrong.append((method, query[:60], headers, answer.status))
            assert "etag" not in answer.headers and "content-disposition" not in answer.headers
    assert wrong == []
    for headers, query in (({}, "?token=" + good), ({"authorization": "bearer " + good}, "")):
        answer = await module_toolkit.gateway.request(base + query, headers=headers)
        assert (answer.status, answer.body) == (200, SECRET)


ODD_PATHS = [
    "",
    "?",
    "asset",
    "/",
    "/asset",
    "/asset/",
    "/asset//",
    "/asset/..",
    "/asset/../health/",
    "/asset/%2e%2e/original",
    "/asset/{m}",
    "/asset/{m}/",
    "/asset/{m}/original/",
    "/asset/{m}/original/x",
    "/asset/{m}//original",
    "//asset/{m}/original",
    "/ASSET/{m}/original",
    "/asset/{m}/ORIGINAL",
    "/asset/{m}/original%00",
    "/asset/{m}%00/original",
    "/asset/%00/original",
    "/asset/{m}%2foriginal",
    "/asset/{m}/other:",
    "/asset/{m}/other:original",
    "/asset/{m}/original.jpg",
    "/asset/{m}/%zz",
    "/asset/%/original",
    "/asset/%ff%fe/original",
    "/asset/\0/original",
    "/asset/\N{LATIN SMALL LETTER U WITH DIAERESIS}/original",
    "/asset/{m} /original",
    "/asset/{m}/original\r\nX-Evil: 1",
    "/asset/{m}/original#x",
    "/asset/" + "a" * 100_000 + "/original",
    "/asset/" + "%41" * 50_000 + "/original",
    "/asset/{m}/original;token={t}",
    "/asset/{m}/original&token={t}",
    "/asset/{m}/original%3Ftoken={t}",
    "/asset/nowhere/original?token={t}",
    "/health/x",
    "/.well-known/ic-domains",
    "http://example.org/asset/{m}/original",
]


@pytest.mark.parametrize("place", ["hub", "personal"])
async def test_odd_paths_show_nothing(module_toolkit: Toolkit, writable: Stage, live: Stage, place: str) -> None:
    stage = writable if place == "hub" else live
    canister = canister_of(module_toolkit, stage, place)
    good = await token_of(canister, stage)
    wrong = []
    for path in ODD_PATHS:
        # no str.format: a path may hold anything
        url = path.replace("{m}", memory_id(stage.capsule_id, "blob-0")).replace("{t}", good)
        for method in ("GET", "HEAD", "POST", "OPTIONS", "TRACE", "", "G\0T", "get", "M" * 10_000):
            answer = await ask(canister, url, method)
            if answer["status_code"] not in (204, 400, 401, 403, 404, 405) or (
                answer["body"] in SECRET and answer["body"]
            ):
                wrong.append((method[:10], url[:60], answer["status_code"]))
    assert wrong == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_a_token_is_good_for_reading_only(
    world: HubWorld, module_toolkit: Toolkit, writable: Stage, method: str
) -> None:
    token = await token_of(module_toolkit.hub, writable)
    url = f"{world.network.gateway(world.hub_id)}{path_of(writable)}?token={token}"
    answer = await module_toolkit.gateway.request(url, method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert SECRET not in answer.body


async def test_after_cut_over_the_hub_sends_everybody_to_the_new_place_and_shows_nothing(
    world: HubWorld, module_toolkit: Toolkit, live: Stage
) -> None:
    good = await token_of(canister_of(module_toolkit, live, "personal"), live)
    base, there = (world.network.gateway(id_) for id_ in (world.hub_id, live.id_of("personal")))
    for query in ("", "?token=" + good, "?token=AAAA", "?token=" + forged(good)[3], "?x=y&token=" + good):
        for method in ("GET", "HEAD"):
            answer = await module_toolkit.gateway.request(base + path_of(live) + query, method=method)
            assert answer.status == 308, (query, answer.status)
            assert answer.headers["location"] == there + path_of(live) + query
            assert answer.body == b""
    followed = await module_toolkit.gateway.request(there + path_of(live) + "?token=" + good)
    assert (followed.status, followed.body) == (200, SECRET)


async def test_a_token_of_before_the_move_is_good_until_the_hand_off_and_the_hub_signs_no_more(
    world: HubWorld, module_toolkit: Toolkit
) -> None:
    stage = await reach(world, module_toolkit, "frozen")
    async with agent_of(world, stage.owner) as agent:
        early = await token_of(HubClient(agent, world.hub_id), stage)
    here = f"{world.network.gateway(world.hub_id)}{path_of(stage)}?token={early}"
    there = f"{world.network.gateway(stage.id_of('personal'))}{path_of(stage)}?token={early}"
    assert (await module_toolkit.gateway.request(here)).body == SECRET
    assert (await module_toolkit.gateway.request(there)).status == 401  # nothing is there yet
    frozen = await phases.freeze(module_toolkit, stage.capsule_id)
    root = (await phases.catch_up(module_toolkit, stage.capsule_id, frozen)).root
    await phases.cut_over(module_toolkit, stage.capsule_id, root)
    assert (await module_toolkit.gateway.request(here)).status == 308
    assert (await module_toolkit.gateway.request(there)).body == SECRET
    await hand_off(world, module_toolkit, stage.capsule_id, stage.id_of("personal"), stage.owner)
    assert (await module_toolkit.gateway.request(here)).status == 308
    ended = await module_toolkit.gateway.request(there)
    assert (ended.status, ended.body.startswith(b"This link has ended.")) == (403, True)
    ref = {"memory_id": memory_id(stage.capsule_id, "blob-0"), "variant_": "Original"}
    personal = canister_of(module_toolkit, stage, "personal")
    assert await outcome(personal, "asset_tokens", stage.capsule_id, [ref], 60) == "Unauthorized"
    assert await outcome(module_toolkit.hub, "asset_tokens", stage.capsule_id, [ref], 60) == "Moved"


# ---- what is public --------------------------------------------------------------------------------


PUBLIC: dict[str, Any] = {"id": "c-public", "person": None, "role": "Guest", "permissions": 3, "is_public": True}


async def test_a_public_asset_is_certified_and_once_withdrawn_refused_at_once(
    module_toolkit: Toolkit, world: HubWorld
) -> None:
    hub = module_toolkit.hub
    capsule_id = await full_capsule(hub, blobs=(40_000,))
    name = memory_id(capsule_id, "inline")
    url = f"/asset/{name}/original"
    entry = AccessInput.model_validate(PUBLIC | {"resource": {"Memory": name}})
    for _ in range(2):
        answer = await ask(hub, url)
        assert (answer["status_code"], answer["body"], skips(answer)) == (200, INLINE, False)
        assert certified(hub, url, answer)
        assert not certified(hub, url, answer | {"body": INLINE + b"!"})
        assert not certified(hub, url, answer | {"status_code": 206})
        assert not certified(hub, f"/asset/{memory_id(capsule_id, 'blob-0')}/original", answer)
        through = await module_toolkit.gateway.request(world.network.gateway(world.hub_id) + url)
        assert (through.status, through.body) == (200, INLINE)
        await hub._call("access_delete", capsule_id, "c-public")
        assert (await ask(hub, url))["status_code"] == 401
        assert (await module_toolkit.gateway.request(world.network.gateway(world.hub_id) + url)).status == 401
        await hub.access_create(capsule_id, entry)


@pytest.mark.parametrize(
    "change",
    ["memory is deleted", "entry expires", "capsule is deleted"],
)
async def test_what_is_no_longer_public_for_whatever_reason_is_refused(
    world: HubWorld, module_toolkit: Toolkit, change: str
) -> None:
    hub = module_toolkit.hub
    owner = Ed25519Identity.generate()
    capsule_id = await full_capsule(hub, owner=PrincipalPerson(principal=owner.sender().to_str()), blobs=())
    name = memory_id(capsule_id, "inline")
    assert (await ask(hub, f"/asset/{name}/original"))["status_code"] == 200
    match change:
        case "memory is deleted":
            await hub._call("galleries_delete", capsule_id, "best")
            await hub.memories_delete(capsule_id, name)
        case "entry expires":
            past = PUBLIC | {"resource": {"Memory": name}, "condition": {"ExpiresAt": {"expires": 1}}}
            update = AccessInput.model_validate(past).model_dump()
            await hub._call("access_update", capsule_id, "c-public", update)
        case "capsule is deleted":
            async with world.toolkit(owner) as own:
                await own.hub._call("capsules_delete", capsule_id)
    assert (await ask(hub, f"/asset/{name}/original"))["status_code"] == 401


async def test_a_stream_breaks_off_when_the_asset_is_withdrawn(module_toolkit: Toolkit) -> None:
    hub = module_toolkit.hub
    capsule_id = await full_capsule(hub, blobs=())
    location = await upload(hub, capsule_id, some_bytes(5, 2 * CHUNK + 5))
    name = memory_id(capsule_id, "long")
    await hub.memories_create(capsule_id, memory(name, location))
    entry = PUBLIC | {"id": "d-public", "resource": {"Memory": name}}
    await hub.access_create(capsule_id, AccessInput.model_validate(entry))
    callback = methods("hub")["http_request_streaming_callback"]
    token = {"memory_id": name, "variant_": "original", "sha256": location.sha256, "index": 1, "token": None}

    async def stream(**changes: object) -> str:
        return await outcome(hub, callback.name, token | changes)

    assert await stream() == "answered"
    assert await stream(index=2) == "answered"
    for odd in (
        {"index": 3},
        {"index": 2**32 - 1},
        {"sha256": bytes(32)},
        {"sha256": b""},
        {"memory_id": "nowhere"},
        {"memory_id": memory_id(capsule_id, "external")},
        {"variant_": "display"},
        {"variant_": ""},
    ):
        assert (await stream(**odd)).startswith("rejected"), odd
    await hub._call("access_delete", capsule_id, "d-public")
    for refused in (None, "", "AAAA", "A" * 100_000):
        assert (await stream(token=refused)).startswith("rejected"), refused
