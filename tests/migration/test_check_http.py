"""The HTTP check: every kind of asset passes it, public or private, wherever its bytes are."""

from __future__ import annotations

import pytest

from icmigrate.contract.access import AccessInput, MemoryResource
from icmigrate.contract.records import AssetLocation, ExternalLocation, InlineLocation
from icmigrate.migration.context import Wiring
from icmigrate.migration.migrate import migrate
from icmigrate.migration.phases.check_http import compare_http
from tests.world import full_capsule, memory, memory_id, some_bytes, upload


async def location_of(wiring: Wiring, capsule_id: str, kind: str) -> AssetLocation:
    match kind:
        case "inline":
            return InlineLocation(data=b"small")
        case "internal":
            return await upload(wiring.hub, capsule_id, some_bytes(7, 50_000))
        case _:
            return ExternalLocation(url="https://example.org/elsewhere.jpg")


@pytest.mark.parametrize("kind", ["inline", "internal", "external"])
@pytest.mark.parametrize("is_public", [True, False], ids=["public", "private"])
async def test_a_capsule_with_one_kind_of_asset_passes(wiring: Wiring, kind: str, is_public: bool) -> None:
    capsule_id = await full_capsule(wiring.hub, blobs=())
    for number in range(2):  # a second one, whose token is foreign to the first
        name = memory_id(capsule_id, f"{kind}-{number}")
        await wiring.hub.memories_create(capsule_id, memory(name, await location_of(wiring, capsule_id, kind)))
        if is_public:
            entry = AccessInput(
                id=f"public-{number}",
                resource=MemoryResource(id=name),
                person=None,
                role="Guest",
                permissions=3,
                is_public=True,
            )
            await wiring.hub.access_create(capsule_id, entry)
    report = await migrate(wiring, capsule_id)
    after = await compare_http(wiring, capsule_id, report.canister_id)
    assert (after.problems, after.redirected) == ([], True)
