"""Verification that can fail: every change in the target is found, named, and stops the cut-over."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import cbor2
import pytest

from icmigrate.contract.canister_errors import Conflict
from icmigrate.contract.client import all_pages
from icmigrate.contract.manifests import RecordBytes, RecordKind
from icmigrate.contract.migrations import Migration
from icmigrate.contract.records import BeingMigrated, InHub, MovedTo
from icmigrate.copy.relay import relay_chunk
from icmigrate.errors import IcmigrateError, VerificationDifference
from icmigrate.migration import phases
from icmigrate.migration.migrate import migrate
from icmigrate.migration.plan import make_plan
from icmigrate.migration.toolkit import Toolkit
from icmigrate.networks.resolve import resolve
from icmigrate.proof.verify import VerifyReport, verify
from tests.migration.proxy import Proxy
from tests.worlds.hub import CHUNK, HubWorld, full_capsule, memory_id

Change = Callable[[dict[str, Any]], None]


async def sealed(toolkit: Toolkit) -> tuple[str, Migration]:
    """A capsule that is copied and sealed, and not yet verified."""
    capsule_id = await full_capsule(toolkit.hub, blobs=(40_000, CHUNK + 5))
    planned = await make_plan(toolkit, capsule_id)
    await phases.reserve(toolkit, capsule_id)
    await phases.create(toolkit, capsule_id)
    canister_id = (await phases.install(toolkit, capsule_id)).created_canister()
    await phases.pre_copy(toolkit, capsule_id, planned, canister_id)
    frozen = await phases.freeze(toolkit, capsule_id)
    await phases.catch_up(toolkit, capsule_id, frozen)
    return capsule_id, frozen


async def exported(toolkit: Toolkit, capsule_id: str) -> list[RecordBytes]:
    pages = all_pages(lambda after: toolkit.hub.export_records(capsule_id, after, 1_000_000))
    return [record async for record in pages]


async def replace_records(toolkit: Toolkit, frozen: Migration, records: list[RecordBytes], generation: int) -> None:
    """Gives the target other records, by the calls that the toolkit makes."""
    personal = toolkit.personal(frozen.created_canister())
    await personal.import_reopen()
    await personal.import_put_records(generation, records)
    while not (await personal.import_seal(generation)).complete:
        continue


async def changed(
    toolkit: Toolkit, capsule_id: str, frozen: Migration, kind: RecordKind, record_id: str, change: Change
) -> VerifyReport:
    (record,) = [r for r in await exported(toolkit, capsule_id) if (r.kind, r.id) == (kind, record_id)]
    fields = cbor2.loads(record.bytes)
    change(fields)
    forged = record.model_copy(update={"bytes": cbor2.dumps(fields)})
    assert forged.bytes != record.bytes
    await replace_records(toolkit, frozen, [forged], frozen.generation)
    return await verify(toolkit.hub, toolkit.personal(frozen.created_canister()), capsule_id, toolkit.personal_module)


def later_by_a_nanosecond(fields: dict[str, Any]) -> None:
    fields["metadata"]["created_at"] += 1


def another_letter(fields: dict[str, Any]) -> None:
    fields["title"] = fields["title"].replace("L", "l")


def other_order(fields: dict[str, Any]) -> None:
    fields["items"].reverse()


def less_permission(fields: dict[str, Any]) -> None:
    fields["permissions"] = 1


def blocked(fields: dict[str, Any]) -> None:
    fields["status"] = "Blocked"


def without_clara(fields: dict[str, Any]) -> None:
    fields["members"].pop()


@pytest.mark.parametrize(
    ("kind", "record_id", "change"),
    [
        (RecordKind.MEMORY, "{capsule}.inline", later_by_a_nanosecond),
        (RecordKind.FOLDER, "lisbon", another_letter),
        (RecordKind.GALLERY, "best", other_order),
        (RecordKind.ACCESS_ENTRY, "d-until", less_permission),
        (RecordKind.CONNECTION, "ben", blocked),
        (RecordKind.GROUP, "family", without_clara),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
async def test_one_changed_record_is_found_and_stops_the_cut_over(
    toolkit: Toolkit, kind: RecordKind, record_id: str, change: Change
) -> None:
    capsule_id, frozen = await sealed(toolkit)
    record_id = record_id.format(capsule=capsule_id)
    report = await changed(toolkit, capsule_id, frozen, kind, record_id, change)
    found = [(d.kind, d.id, d.difference) for d in report.manifest_differences]
    assert found == [(kind, record_id, "differs")]
    with pytest.raises(VerificationDifference, match=f"{kind.value} {record_id}: differs"):
        report.require_equal()
    with pytest.raises((Conflict, VerificationDifference)):
        await toolkit.hub.migration_cut_over(capsule_id, report.hub_root)
    with pytest.raises((Conflict, VerificationDifference)):
        await toolkit.hub.migration_cut_over(capsule_id, report.personal_root)
    assert await toolkit.hub.registry_home(capsule_id) == BeingMigrated()


async def test_a_changed_permission_shows_in_the_access_matrix(toolkit: Toolkit) -> None:
    capsule_id, frozen = await sealed(toolkit)
    report = await changed(toolkit, capsule_id, frozen, RecordKind.ACCESS_ENTRY, "d-until", less_permission)
    external = json.dumps({"Memory": memory_id(capsule_id, "external")})
    assert [(d.resource, d.hub, d.personal) for d in report.access_differences] == [(external, 3, 1)]


async def test_a_dropped_access_entry_is_found(toolkit: Toolkit) -> None:
    capsule_id, frozen = await sealed(toolkit)
    kept = [record for record in await exported(toolkit, capsule_id) if record.id != "b-family"]
    await replace_records(toolkit, frozen, kept, frozen.generation + 1)
    personal = toolkit.personal(frozen.created_canister())
    report = await verify(toolkit.hub, personal, capsule_id, toolkit.personal_module)
    found = [(d.kind, d.id, d.difference) for d in report.manifest_differences]
    assert found == [(RecordKind.ACCESS_ENTRY, "b-family", "missing in the personal canister")]
    assert report.access_differences


async def test_the_next_migrate_mends_what_differs(toolkit: Toolkit) -> None:
    capsule_id, frozen = await sealed(toolkit)
    await changed(
        toolkit, capsule_id, frozen, RecordKind.MEMORY, memory_id(capsule_id, "inline"), later_by_a_nanosecond
    )
    report = await migrate(toolkit, capsule_id)
    assert await toolkit.hub.registry_home(capsule_id) == MovedTo(canister_id=report.canister_id)


async def test_the_target_refuses_a_chunk_with_a_flipped_byte(toolkit: Toolkit) -> None:
    capsule_id = await full_capsule(toolkit.hub, blobs=(40_000,))
    await phases.reserve(toolkit, capsule_id)
    await phases.create(toolkit, capsule_id)
    personal = toolkit.personal((await phases.install(toolkit, capsule_id)).created_canister())
    (blob,) = (await toolkit.hub.blobs_list(capsule_id)).items
    await personal.import_declare_blobs([blob])
    chunk = bytearray(await toolkit.hub.blobs_read_chunk(capsule_id, blob.sha256, 0))
    chunk[20_000] ^= 1
    with pytest.raises(VerificationDifference):
        await personal.import_put_chunk(blob.sha256, 0, bytes(chunk))
    assert (await personal.import_status()).blobs_complete == 0


async def test_a_chunk_that_is_not_what_the_list_says_is_not_sent_on(toolkit: Toolkit) -> None:
    capsule_id = await full_capsule(toolkit.hub, blobs=(40_000,))
    (blob,) = (await toolkit.hub.blobs_list(capsule_id)).items
    other = blob.model_copy(update={"chunk_digests": hashlib.sha256(b"other").digest()})
    with pytest.raises(VerificationDifference, match="chunk 0 of blob"):
        await relay_chunk(toolkit.hub, toolkit.personal(toolkit.hub.canister_id), capsule_id, other, 0)


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
async def test_no_forged_answer_leads_to_a_cut_over(world: HubWorld, toolkit: Toolkit, place: float) -> None:
    """Flips one byte of one answer, for every answer of a whole run: it stops, and a plain run ends it."""
    capsule_id = await full_capsule(toolkit.hub, blobs=(1_000,))
    forged_at = 0

    def forge(number: int, path: str, body: bytes) -> bytes:
        if number != forged_at or not body:
            return body
        at = int(len(body) * place)
        return body[:at] + bytes([body[at] ^ 0x40]) + body[at + 1 :]

    async with Proxy(world.network.url, forge=forge).running() as proxy:
        lied_to = HubWorld(resolve(proxy.url), world.operator, world.hub_id, world.state_dir)
        while await toolkit.hub.registry_home(capsule_id) in (InHub(), BeingMigrated()):
            forged_at = forged_at + 3
            proxy.requests = 0
            try:
                async with lied_to.toolkit() as lying:
                    await migrate(lying, capsule_id)
            except IcmigrateError:
                continue
    status = await toolkit.hub.migration_get(capsule_id)
    assert status is not None and status.canister_id is not None
    assert status.phase == "CutOver"
    left = await toolkit.personal(status.canister_id).manifest_root(capsule_id)
    assert left.summary.root == status.root
