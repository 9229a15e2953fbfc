"""The main job: a capsule moves, whole, and the hub sends everybody after it."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from icmigrate.capsule.assets import asset_urls
from icmigrate.contract.canister_errors import CapsuleMigrating, CapsuleMoved
from icmigrate.contract.client import all_pages
from icmigrate.contract.migrations import MigrationPhase
from icmigrate.contract.records import FolderInput, InHub, Memory, MovedTo, PrincipalPerson
from icmigrate.errors import NotAuthorized, PreflightRefused
from icmigrate.migration import phases
from icmigrate.migration.abort import abort
from icmigrate.migration.handoff import handoff
from icmigrate.migration.migrate import migrate, open_engine, run
from icmigrate.migration.plan import make_plan
from icmigrate.migration.status import status
from icmigrate.migration.toolkit import Toolkit
from icmigrate.protocol.identity import Ed25519Identity
from tests.worlds.hub import CHUNK, HubWorld, full_capsule, memory, memory_id, some_bytes, upload

LENGTHS = (40_000, 0, 4_000_000, CHUNK)


async def memories_of(toolkit: Toolkit, canister_id: str | None, capsule_id: str) -> list[Memory]:
    canister = toolkit.hub if canister_id is None else toolkit.personal(canister_id)
    return [memory async for memory in all_pages(lambda after: canister.memories_list(capsule_id, after))]


async def test_a_capsule_arrives_whole_and_the_hub_redirects(toolkit: Toolkit) -> None:
    capsule_id = await full_capsule(toolkit.hub, blobs=LENGTHS)
    before = await memories_of(toolkit, None, capsule_id)
    report = await migrate(toolkit, capsule_id)

    assert await memories_of(toolkit, report.canister_id, capsule_id) == before
    assert report.bytes == sum(LENGTHS)
    assert (report.blobs, report.chunks_sent, report.chunks_skipped) == (4, 5, 0)
    assert await toolkit.hub.registry_home(capsule_id) == MovedTo(canister_id=report.canister_id)
    with pytest.raises(CapsuleMoved) as moved:
        await toolkit.hub.memories_get(capsule_id, memory_id(capsule_id, "inline"))
    assert moved.value.canister_id == report.canister_id

    personal = toolkit.personal(report.canister_id)
    for number, length in enumerate(LENGTHS):
        sha256 = hashlib.sha256(some_bytes(number + length, length)).digest()
        chunks = [await personal.blobs_read_chunk(capsule_id, sha256, n) for n in range(-(-length // CHUNK))]
        assert hashlib.sha256(b"".join(chunks)).digest() == sha256


async def test_one_engine_migrates_several_capsules_side_by_side(toolkit: Toolkit) -> None:
    capsule_ids = [await full_capsule(toolkit.hub, blobs=(40_000,)) for _ in range(3)]
    async with open_engine(toolkit.database_url) as engine:
        reports = await asyncio.gather(*(run(engine, toolkit, capsule_id) for capsule_id in capsule_ids))
    assert [report.capsule for report in reports] == capsule_ids
    assert len({report.canister_id for report in reports}) == 3


async def test_every_url_serves_its_original(toolkit: Toolkit) -> None:
    capsule_id = await full_capsule(toolkit.hub)
    before = await memories_of(toolkit, None, capsule_id)
    report = await migrate(toolkit, capsule_id)
    urls = await asset_urls(toolkit.network, toolkit.personal(report.canister_id), capsule_id)
    assert [url.memory_id for url in urls] == [memory_.id for memory_ in before]
    served = {}
    for memory_, url in zip(before, urls, strict=True):
        answer = await toolkit.gateway.request(url.url)
        served[memory_.id] = (answer.status, hashlib.sha256(answer.body).hexdigest())
    expected = {
        memory_id(capsule_id, f"blob-{n}"): (200, hashlib.sha256(some_bytes(n + length, length)).hexdigest())
        for n, length in enumerate(LENGTHS)
    }
    assert served.items() >= expected.items()
    assert served[memory_id(capsule_id, "inline")] == (200, hashlib.sha256(b"a small picture").hexdigest())


async def test_a_second_migrate_answers_from_what_is_there(toolkit: Toolkit) -> None:
    capsule_id = await full_capsule(toolkit.hub, blobs=(40_000,))
    first = await migrate(toolkit, capsule_id)
    again = await migrate(toolkit, capsule_id)
    assert again.already_migrated
    assert (again.canister_id, again.root, again.chunks_sent) == (first.canister_id, first.root, 0)
    assert again.cycles_quoted == first.cycles_quoted


async def test_only_the_missing_chunks_are_sent(toolkit: Toolkit) -> None:
    capsule_id = await full_capsule(toolkit.hub)
    await phases.reserve(toolkit, capsule_id)
    await phases.create(toolkit, capsule_id)
    canister_id = (await phases.install(toolkit, capsule_id)).created_canister()
    planned = await make_plan(toolkit, capsule_id)
    await phases.pre_copy(toolkit, capsule_id, planned, canister_id)
    late = await upload(toolkit.hub, capsule_id, some_bytes(99, 2 * CHUNK + 1))
    await toolkit.hub.memories_create(capsule_id, memory(memory_id(capsule_id, "late"), late))

    planned = await make_plan(toolkit, capsule_id)
    assert (planned.chunks, planned.chunks_present, planned.chunks_to_send) == (8, 5, 3)
    report = await migrate(toolkit, capsule_id)
    assert (report.chunks_sent, report.chunks_skipped) == (3, 5)
    assert report.cycles_quoted is not None and report.cycles_quoted > planned.cycles_quoted, (
        "the quote of the whole, not of the rest"
    )


async def test_writes_go_on_until_the_freeze_and_reads_all_the_time(toolkit: Toolkit) -> None:
    capsule_id = await full_capsule(toolkit.hub, blobs=(40_000,))
    await phases.reserve(toolkit, capsule_id)
    await phases.create(toolkit, capsule_id)
    await phases.install(toolkit, capsule_id)
    await toolkit.hub.folders_create(capsule_id, FolderInput(id="still-open", title="Still open"))
    await phases.freeze(toolkit, capsule_id)
    with pytest.raises(CapsuleMigrating):
        await toolkit.hub.folders_create(capsule_id, FolderInput(id="too-late", title="Too late"))
    assert (await toolkit.hub.memories_get(capsule_id, memory_id(capsule_id, "inline"))).id == memory_id(
        capsule_id, "inline"
    )
    report = await migrate(toolkit, capsule_id)
    folders = await toolkit.personal(report.canister_id).folders_list(capsule_id)
    assert "still-open" in {folder.id for folder in folders.items}


async def test_an_aborted_migration_leaves_the_capsule_writable_and_gives_cycles_back(toolkit: Toolkit) -> None:
    capsule_id = await full_capsule(toolkit.hub, blobs=(40_000,))
    before = (await toolkit.hub.cycles()).balance
    await phases.reserve(toolkit, capsule_id)
    await phases.create(toolkit, capsule_id)
    await phases.install(toolkit, capsule_id)
    await phases.freeze(toolkit, capsule_id)
    during = (await toolkit.hub.cycles()).balance
    aborted = await abort(toolkit, capsule_id)
    after = (await toolkit.hub.cycles()).balance

    assert aborted.phase is MigrationPhase.ABORTED
    assert aborted.returned > 0
    assert during < after < before
    assert before - after < (before - during) / 2
    await toolkit.hub.folders_create(capsule_id, FolderInput(id="open-again", title="Open again"))
    again = await migrate(toolkit, capsule_id)
    assert again.canister_id != aborted.canister_id


async def test_a_cut_over_migration_is_not_aborted(toolkit: Toolkit) -> None:
    capsule_id = await full_capsule(toolkit.hub, blobs=())
    await migrate(toolkit, capsule_id)
    with pytest.raises(PreflightRefused, match="cut over"):
        await abort(toolkit, capsule_id)


def agreed(what: str) -> None:
    """The confirmation of somebody who wants it."""


async def test_what_a_consent_says_is_what_an_operator_hands_off_to(world: HubWorld, toolkit: Toolkit) -> None:
    owner, safe = Ed25519Identity.generate(), Ed25519Identity.generate().sender().to_str()
    capsule_id = await full_capsule(
        toolkit.hub, owner=PrincipalPerson(principal=owner.sender().to_str()), blobs=(40_000,)
    )
    migrated = await migrate(toolkit, capsule_id)
    controllers = [owner.sender().to_str(), safe]
    async with world.toolkit(owner) as own:
        await own.personal(migrated.canister_id).handoff_consent(controllers)
    said: list[str] = []
    with pytest.raises(PreflightRefused, match="aaaaa-aa is not among them"):
        await handoff(toolkit, capsule_id, "aaaaa-aa", said.append)
    assert said == []
    assert (await handoff(toolkit, capsule_id, safe, said.append)).controllers == sorted(controllers)
    assert len(said) == 1 and all(controller in said[0] for controller in controllers)


async def test_after_handoff_the_owner_alone_controls_the_canister(world: HubWorld, toolkit: Toolkit) -> None:
    owner = Ed25519Identity.generate()
    principal = owner.sender().to_str()
    capsule_id = await full_capsule(toolkit.hub, owner=PrincipalPerson(principal=principal), blobs=(40_000,))
    with pytest.raises(PreflightRefused, match="not cut over"):
        await handoff(toolkit, capsule_id, None, agreed)
    migrated = await migrate(toolkit, capsule_id)
    with pytest.raises(PreflightRefused, match="no owner has consented"):
        await handoff(toolkit, capsule_id, None, agreed)
    async with world.toolkit(owner) as own:
        handed = await handoff(own, capsule_id, None, agreed)
    assert handed.controllers == [principal]
    assert (await handoff(toolkit, capsule_id, None, agreed)).controllers == [principal]
    with pytest.raises(PreflightRefused, match="aaaaa-aa is not among them"):
        await handoff(toolkit, capsule_id, "aaaaa-aa", agreed)
    with pytest.raises(NotAuthorized):
        await toolkit.personal(migrated.canister_id).memories_get(capsule_id, memory_id(capsule_id, "blob-0"))
    async with world.toolkit(owner) as own:
        personal = own.personal(migrated.canister_id)
        assert (await personal.memories_get(capsule_id, memory_id(capsule_id, "blob-0"))).id == memory_id(
            capsule_id, "blob-0"
        )
        await personal.folders_create(capsule_id, FolderInput(id="mine", title="Mine"))


async def test_an_owner_whom_only_the_personal_canister_knows_hands_off(world: HubWorld, toolkit: Toolkit) -> None:
    owner, heir = Ed25519Identity.generate(), Ed25519Identity.generate()
    before, after = (PrincipalPerson(principal=key.sender().to_str()) for key in (owner, heir))
    capsule_id = await full_capsule(toolkit.hub, owner=before, blobs=())
    report = await migrate(toolkit, capsule_id)
    async with world.toolkit(owner) as old:
        await old.personal(report.canister_id).capsules_update(capsule_id, owners=[after])
    async with world.toolkit(heir) as new:
        assert (await handoff(new, capsule_id, None, agreed)).controllers == [after.principal]


async def test_an_owner_may_migrate_their_own_capsule_and_nobody_elses(world: HubWorld, toolkit: Toolkit) -> None:
    owner = Ed25519Identity.generate()
    own_id = await full_capsule(toolkit.hub, owner=PrincipalPerson(principal=owner.sender().to_str()), blobs=(40_000,))
    other_id = await full_capsule(toolkit.hub, blobs=())
    async with world.toolkit(owner) as own:
        with pytest.raises(NotAuthorized):
            await migrate(own, other_id)
        with pytest.raises(PreflightRefused, match="invite"):
            await migrate(own, own_id)
        await toolkit.hub.migration_invite(own_id)
        report = await migrate(own, own_id)
    assert await toolkit.hub.registry_home(own_id) == MovedTo(canister_id=report.canister_id)
    assert await toolkit.hub.registry_home(other_id) == InHub()


async def test_status_names_the_next_command(toolkit: Toolkit) -> None:
    capsule_id = await full_capsule(toolkit.hub, blobs=())
    assert (await status(toolkit, capsule_id)).next == f"icmigrate migrate {capsule_id}"
    await phases.reserve(toolkit, capsule_id)
    assert "icmigrate abort" in (await status(toolkit, capsule_id)).next
    await migrate(toolkit, capsule_id)
    assert (await status(toolkit, capsule_id)).next == f"icmigrate handoff {capsule_id}"


async def test_cycles_quoted_and_spent_add_up(toolkit: Toolkit) -> None:
    capsule_id = await full_capsule(toolkit.hub)
    planned = await make_plan(toolkit, capsule_id)
    before = await toolkit.hub.cycles()
    report = await migrate(toolkit, capsule_id)
    after = await toolkit.hub.cycles()
    migration = await toolkit.hub.migration_get(capsule_id)
    assert migration is not None
    personal = await toolkit.personal(report.canister_id).cycles()
    assert report.cycles_quoted == planned.cycles_quoted
    assert 0.98 < report.cycles_spent / planned.cycles_quoted <= 1
    # The ledger accounts for what left the hub, but for what its own ingress and execution cost.
    assert 0 <= before.balance - after.balance - migration.spent < 0.05 * migration.spent
    assert personal.balance > 0
