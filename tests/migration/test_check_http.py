"""The HTTP check: every kind of asset passes it, public or private, wherever its bytes are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from aiohttp import web

from icmigrate.contract.access import AccessInput, MemoryResource
from icmigrate.contract.records import AssetLocation, ExternalLocation, InlineLocation
from icmigrate.errors import HttpStatusError
from icmigrate.migration.migrate import migrate
from icmigrate.migration.phases.check_http import compare_http
from icmigrate.migration.toolkit import Toolkit
from icmigrate.networks.gateway import RetryingGateway
from icmigrate.protocol.retry import Retry
from tests.migration.proxy import Proxy
from tests.worlds.hub import HubWorld, full_capsule, memory, memory_id, some_bytes, upload


async def location_of(toolkit: Toolkit, capsule_id: str, kind: str) -> AssetLocation:
    match kind:
        case "inline":
            return InlineLocation(data=b"small")
        case "internal":
            return await upload(toolkit.hub, capsule_id, some_bytes(7, 50_000))
        case _:
            return ExternalLocation(url="https://example.org/elsewhere.jpg")


@pytest.mark.parametrize("kind", ["inline", "internal", "external"])
@pytest.mark.parametrize("is_public", [True, False], ids=["public", "private"])
async def test_a_capsule_with_one_kind_of_asset_passes(toolkit: Toolkit, kind: str, is_public: bool) -> None:
    capsule_id = await full_capsule(toolkit.hub, blobs=())
    for number in range(2):  # a second one, whose token is foreign to the first
        name = memory_id(capsule_id, f"{kind}-{number}")
        await toolkit.hub.memories_create(capsule_id, memory(name, await location_of(toolkit, capsule_id, kind)))
        if is_public:
            entry = AccessInput(
                id=f"public-{number}",
                resource=MemoryResource(id=name),
                person=None,
                role="Guest",
                permissions=3,
                is_public=True,
            )
            await toolkit.hub.access_create(capsule_id, entry)
    report = await migrate(toolkit, capsule_id)
    after = await compare_http(toolkit, capsule_id, report.canister_id)
    assert (after.problems, after.redirected) == ([], True)


@dataclass
class Weather(Proxy):
    """A gateway that answers one request in `every` by `status`, or by cutting the connection."""

    status: int | None = 503
    every: int = 3
    asked: int = 0

    async def handle(self, request: web.Request) -> web.Response:
        if not request.path.startswith("/api/"):
            self.asked += 1
            if self.asked % self.every == 0 and self.status is not None:
                return web.Response(status=self.status, text="somebody between is busy")
            if self.asked % self.every == 0 and request.transport is not None:
                request.transport.abort()
                return web.Response()
        return await super().handle(request)


@pytest.mark.parametrize("status", [429, 502, 503, 504, None], ids=str)
async def test_what_somebody_between_answers_is_no_difference(
    world: HubWorld, toolkit: Toolkit, status: int | None
) -> None:
    capsule_id = await full_capsule(toolkit.hub, blobs=(40_000,))
    weather = Weather(world.network.url, status=status)
    async with weather.running():
        network = replace(toolkit.network, url=weather.url)
        retrying = RetryingGateway(toolkit.gateway, Retry(attempts=20, first_pause=0.01))
        report = await migrate(replace(toolkit, network=network, gateway=retrying), capsule_id)
    assert weather.asked > 20
    assert report.http_requests > 10


async def test_a_gateway_that_stays_away_is_told_as_that(world: HubWorld, toolkit: Toolkit) -> None:
    capsule_id = await full_capsule(toolkit.hub, blobs=())
    report = await migrate(toolkit, capsule_id)
    weather = Weather(world.network.url, every=1)
    async with weather.running():
        network = replace(toolkit.network, url=weather.url)
        retrying = RetryingGateway(toolkit.gateway, Retry(attempts=2, first_pause=0.01))
        with pytest.raises(HttpStatusError, match="503"):
            await compare_http(replace(toolkit, network=network, gateway=retrying), capsule_id, report.canister_id)
