"""What lies outside the bounds is answered with an error of the right kind: no trap, and nothing has changed."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest
import pytest_asyncio

from icmigrate.contract.client import CapsuleClient
from icmigrate.migration.toolkit import Toolkit
from tests.canisters.methods import methods
from tests.canisters.stages import BLOBS, Stage, capsule_picture, outcome, reach
from tests.worlds.hub import CHUNK, HubWorld, memory, some_bytes, upload

MAX32, MAX64 = 2**32 - 1, 2**64 - 1
ANONYMOUS, MANAGEMENT = "2vxsx-fae", "aaaaa-aa"
SHORT, LONG = "s" * 513, "l" * (16 * 1024 + 1)
ABSENT = bytes(range(32))
BLOB = some_bytes(BLOBS[0], BLOBS[0])
SHA256 = hashlib.sha256(BLOB).digest()

Case = tuple[str, str, list[Any]]
"""The answer that is due, the method, and its arguments behind the capsule's id."""


def given(**changes: Any) -> dict[str, Any]:
    """A memory that is fine, but for these fields."""
    return memory("limits", {"Inline": b"fine"}).model_dump() | {"id": None} | changes


def asset(**changes: Any) -> dict[str, Any]:
    """The same with these fields of its asset."""
    whole = given()
    return whole | {"assets": [whole["assets"][0] | changes]}


def detail(**changes: Any) -> dict[str, Any]:
    fields = ("width", "height", "color_space", "exif", "dpi", "orientation")
    return {"detail": {"Image": dict.fromkeys(fields) | changes}}


def external(url: str, sha256: bytes | None = None) -> dict[str, Any]:
    return asset(location={"External": {"url": url, "sha256": sha256, "length": None}})


def internal(sha256: bytes, length: int) -> dict[str, Any]:
    return asset(location={"Internal": {"sha256": sha256, "length": length}})


def folder(title: str = "fine", parent: str | None = None, id_: str | None = None) -> dict[str, Any]:
    return {"id": id_, "title": title, "description": None, "parent_folder_id": parent}


def gallery(items: list[str], **changes: Any) -> dict[str, Any]:
    shown = [{"memory_id": id_, "caption": None, "is_featured": False, "metadata": None} for id_ in items]
    whole = {"id": None, "title": "fine", "description": None, "cover_memory_id": None, "items": shown}
    return whole | changes


def entry(**changes: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {"id": None, "resource": "Capsule", "person": {"Opaque": "Dora"}, "role": "Guest"}
    whole |= {"permissions": 1, "source": "User", "source_id": None, "condition": "Immediate", "is_public": False}
    return whole | changes


def group(members: list[Any], **changes: Any) -> dict[str, Any]:
    return {"id": None, "name": "fine", "description": None, "members": members} | changes


def change(**changes: Any) -> dict[str, Any]:
    return {"owners": None, "controllers": None, "settings": None} | changes


def settings(frontend: str = "icp", events: list[str] | None = None) -> dict[str, Any]:
    hosting = {"frontend": frontend, "backend": "icp", "database": "icp", "blobs": "icp"}
    return {"hosting": hosting, "has_advanced_settings": False, "triggered_events": events or []}


def people(count: int) -> list[dict[str, str]]:
    return [{"Opaque": f"person {number}"} for number in range(count)]


WRONG_ENTRIES: list[dict[str, Any]] = [
    {"permissions": 0},
    {"permissions": 4},
    {"permissions": 32, "role": "Owner"},
    {"permissions": MAX32, "role": "Owner"},
    {"person": None, "is_public": True, "permissions": 4, "role": "Admin"},
    {"is_public": True},
    {"person": None},
    {"person": None, "source": "Group"},
    {"person": None, "source": "Group", "source_id": "nobody"},
    {"person": None, "source": "Group", "source_id": "family", "is_public": True},
    {"person": {"Principal": ANONYMOUS}},
    {"person": {"Opaque": ""}},
    {"person": {"Opaque": "a\nb"}},
    {"person": {"Opaque": SHORT}},
    {"resource": {"Memory": "nowhere"}},
    {"resource": {"Folder": ""}},
    {"resource": {"Gallery": SHORT}},
    {"condition": {"EventTriggered": {"event": SHORT}}},
    {"source_id": SHORT},
]
OF_ONE_BLOB: list[tuple[str, list[Any]]] = [
    ("uploads_put_chunk", [0, b"x"]),
    ("uploads_finish", []),
    ("uploads_status", []),
    ("uploads_abort", []),
    ("blobs_get", []),
    ("blobs_read_chunk", [0]),
]
OF_ONE_CAPSULE: list[tuple[str, list[Any]]] = [
    ("capsules_get", []),
    ("capsules_delete", []),
    ("memories_list", [None, 1]),
    ("memories_create", [given()]),
    ("uploads_begin", [ABSENT, 1]),
    ("export_records", [None, 1]),
    ("manifest_root", []),
    ("registry_home", []),
    ("migration_quote", [0]),
    ("migration_reserve", []),
    ("migration_create_canister", []),
    ("migration_freeze", []),
    ("migration_cut_over", [ABSENT]),
    ("migration_abort", []),
    ("migration_handoff", []),
    ("migration_get", []),
    ("hub_copy_delete", []),
]


ABSENT_IDS = ("nowhere", "", "\0", "i" * 100_000)


def missing(method: str, id_: str) -> str:
    """The answer to an id that is nowhere: an update that takes no long arguments is not even accepted."""
    takes_long = method in {
        f"{kind}_{action}" for kind in ("memories", "galleries", "groups") for action in ("create", "update")
    }
    is_junk = len(id_) > 32_768 and not takes_long and not methods("hub")[method].is_query
    return "not accepted" if is_junk else "NotFound"


def record_cases(stage: Stage) -> list[Case]:
    ids = stage.target("").record_ids
    seen = ids["memories"]
    return [
        *(
            ("Invalid", "memories_create", [given(**{field: value})])
            for field, value in [
                ("title", SHORT),
                ("description", LONG),
                ("content_type", SHORT),
                ("content_type", "text/html\r\nSet-Cookie: a=b"),
                ("tags", ["tag"] * 257),
                ("tags", [SHORT]),
                ("people", ["Anna"] * 257),
                ("people", [SHORT]),
                ("location", LONG),
                ("notes", LONG),
                ("parent_folder_id", "nowhere"),
                ("parent_folder_id", SHORT),
                ("id", ""),
                ("id", "i" * 65),
                ("id", "\N{LATIN SMALL LETTER U WITH DIAERESIS}" * 33),
                ("id", "a\0b"),
                ("id", "a\nb"),
                ("id", "a\x85b"),
                ("assets", [given()["assets"][0] | {"variant_": {"Other": str(n)}} for n in range(17)]),
                ("assets", given()["assets"] * 2),
            ]
        ),
        ("Conflict", "memories_create", [given(id=seen)]),
        *(
            ("Invalid", "memories_create", [wrong])
            for wrong in [
                asset(name=SHORT),
                asset(description=LONG),
                asset(mime_type="image/jpeg\r\nX: y"),
                asset(mime_type="image/\N{LATIN SMALL LETTER U WITH DIAERESIS}"),
                asset(tags=["tag"] * 257),
                asset(variant_={"Other": ""}),
                asset(variant_={"Other": "o" * 65}),
                asset(variant_={"Other": "\0"}),
                asset(**detail(exif=LONG)),
                asset(**detail(color_space=LONG)),
                asset(location={"Inline": bytes(32 * 1024 + 1)}),
                internal(SHA256[:31], BLOBS[0]),
                internal(b"", 0),
                internal(ABSENT, BLOBS[0]),
                internal(SHA256, BLOBS[0] + 1),
                internal(SHA256, MAX64),
                external("https://example.org/" + "u" * 2048),
                external("no URL"),
                external("https://example.org/a b"),
                external("https://example.org/\r\nX: y"),
                external("https://example.org/", SHA256[:31]),
            ]
        ),
        ("Invalid", "memories_update", [seen, given(id="another")]),
        ("Invalid", "memories_update", [seen, given(title=SHORT)]),
        ("Conflict", "memories_delete", [seen]),
        ("Invalid", "folders_create", [folder(SHORT)]),
        ("Invalid", "folders_create", [folder(parent="nowhere")]),
        ("Invalid", "folders_create", [folder(parent="self", id_="self")]),
        ("Invalid", "folders_update", ["travels", folder(parent="travels")]),
        ("Invalid", "folders_update", ["travels", folder(parent="lisbon")]),
        ("Conflict", "folders_delete", ["travels"]),
        ("Conflict", "folders_create", [folder("Another", id_="travels")]),
        ("Invalid", "galleries_create", [gallery(["nowhere"])]),
        ("Invalid", "galleries_create", [gallery([seen] * 2001)]),
        ("Invalid", "galleries_create", [gallery([seen, seen])]),
        ("Invalid", "galleries_create", [gallery([seen], cover_memory_id="nowhere")]),
        ("Invalid", "galleries_create", [gallery([seen], description=LONG)]),
        *(("Invalid", "access_create", [entry() | wrong]) for wrong in WRONG_ENTRIES),
        ("Invalid", "access_update", ["a-capsule", entry(resource={"Memory": seen})]),
        ("Invalid", "connections_create", [{"id": None, "peer": {"Principal": ANONYMOUS}, "status": "Pending"}]),
        ("Invalid", "connections_create", [{"id": None, "peer": {"Opaque": ""}, "status": "Pending"}]),
        ("Invalid", "groups_create", [group(people(1) * 2)]),
        ("Invalid", "groups_create", [group(people(1001))]),
        ("Invalid", "groups_create", [group([{"Principal": ANONYMOUS}])]),
        ("Invalid", "groups_create", [group([], name=SHORT)]),
        ("Conflict", "groups_delete", ["family"]),
        ("Invalid", "capsules_update", [change(settings=settings(SHORT))]),
        ("Invalid", "capsules_update", [change(settings=settings(events=["e"] * 257))]),
        ("Invalid", "capsules_update", [change(settings=settings(events=[SHORT]))]),
        *(
            (missing(f"{kind}_{action}", absent), f"{kind}_{action}", [absent, *more])
            for kind, record in [
                ("memories", given()),
                ("folders", folder()),
                ("galleries", gallery([])),
                ("access", entry()),
                ("connections", {"id": None, "peer": {"Opaque": "Dora"}, "status": "Pending"}),
                ("groups", group([])),
            ]
            for action, more in [("get", []), ("update", [record]), ("delete", [])]
            for absent in ABSENT_IDS
        ),
    ]


def page_cases() -> list[Case]:
    lists = [f"{kind}_list" for kind in ("memories", "folders", "galleries", "access", "connections", "groups")]
    return [
        *(("Invalid", name, [None, 0]) for name in (*lists, "blobs_list", "manifest_leaves")),
        *(("Ok", name, [None, MAX32]) for name in (*lists, "blobs_list", "manifest_leaves")),
        *(("Ok", name, [after, 1]) for name in lists for after in ("", "\0", "\U0010ffff", "i" * 100_000)),
        *(("Invalid", name, [after, 1]) for name in ("blobs_list", "manifest_leaves") for after in (b"", b"x" * 33)),
        ("Invalid", "access_matrix", [0, None, 0]),
        ("Ok", "access_matrix", [0, None, MAX32]),
        ("Ok", "access_matrix", [MAX64, None, 1]),
        *(("Invalid", "access_matrix", [0, cursor, 1]) for cursor in (b"", b"\xff", b"\xff" * 100_000)),
        *(("Invalid", "export_records", [cursor, 1]) for cursor in (b"", b"\x08", b"\xff", b"\x01\xff")),
        ("Ok", "export_records", [None, 0]),
        ("Ok", "export_records", [None, MAX32]),
        ("Ok", "export_records", [b"\x01" + b"i" * 100_000, 1]),
        *(("Invalid", "manifest_node", [prefix]) for prefix in (b"\x10", b"\xff", bytes(65), bytes(100_000))),
        ("NotFound", "access_effective", [{"Memory": "nowhere"}, {"Opaque": "Dora"}]),
        ("Invalid", "asset_tokens", [[{"memory_id": "nowhere", "variant_": "Original"}] * 501, 60]),
        ("Invalid", "asset_tokens", [[], 30 * 24 * 60 * 60 + 1]),
        ("Invalid", "asset_tokens", [[], MAX64]),
        ("NotFound", "asset_tokens", [[{"memory_id": "nowhere", "variant_": "Original"}], 60]),
    ]


def blob_cases() -> list[Case]:
    return [
        ("Invalid", "uploads_begin", [ABSENT[:31], 1]),
        ("Invalid", "uploads_begin", [b"", 1]),
        *(("Invalid", "uploads_begin", [ABSENT, length]) for length in (2**36 + 1, 2**63, MAX64)),
        ("NotFound", "uploads_put_chunk", [ABSENT, 0, b"x"]),
        ("NotFound", "uploads_finish", [ABSENT]),
        ("NotFound", "uploads_status", [ABSENT]),
        ("Ok", "uploads_abort", [ABSENT]),
        ("NotFound", "blobs_get", [ABSENT]),
        ("NotFound", "blobs_read_chunk", [ABSENT, 0]),
        *(("NotFound", "blobs_read_chunk", [SHA256, index]) for index in (1, MAX32)),
        *(("Invalid", name, [ABSENT[:31], *more]) for name, more in OF_ONE_BLOB),
        # a blob that is here already: the same chunk is fine, another is not
        ("Ok", "uploads_put_chunk", [SHA256, 0, BLOB]),
        ("Conflict", "uploads_put_chunk", [SHA256, 0, BLOB[::-1]]),
        ("Invalid", "uploads_put_chunk", [SHA256, 1, BLOB]),
        ("Invalid", "uploads_put_chunk", [SHA256, 0, BLOB[1:]]),
        ("Ok", "uploads_finish", [SHA256]),
        ("Ok", "uploads_begin", [SHA256, BLOBS[0]]),
        ("Conflict", "uploads_begin", [SHA256, BLOBS[0] + 1]),
    ]


@pytest_asyncio.fixture(scope="module")
async def stage(world: HubWorld, module_toolkit: Toolkit) -> Stage:
    return await reach(world, module_toolkit, "writable")


async def require(canister: CapsuleClient, capsule_id: str, cases: list[Case]) -> None:
    """Every case has the answer that is due, and the capsule is as it was."""
    before = await capsule_picture(canister, capsule_id)
    wrong = []
    for due, name, arguments in cases:
        told = await outcome(canister, name, capsule_id, *arguments)
        if told != due:
            wrong.append((name, repr(arguments)[:120], f"{told}, not {due}"))
    assert wrong == []
    after = await capsule_picture(canister, capsule_id)
    del before["costs"], after["costs"]
    assert after == before


async def test_records_have_bounds(module_toolkit: Toolkit, stage: Stage) -> None:
    await require(module_toolkit.hub, stage.capsule_id, record_cases(stage))


async def test_pages_and_cursors_have_bounds(module_toolkit: Toolkit, stage: Stage) -> None:
    await require(module_toolkit.hub, stage.capsule_id, page_cases())


async def test_blobs_have_bounds(module_toolkit: Toolkit, stage: Stage) -> None:
    await require(module_toolkit.hub, stage.capsule_id, blob_cases())


async def test_owners_have_bounds(world: HubWorld, stage: Stage) -> None:
    async with world.toolkit(stage.owner) as own:
        owner = {"Principal": stage.owner.sender().to_str()}
        cases: list[Case] = [
            ("Invalid", "capsules_update", [change(owners=owners)])
            for owners in ([], [owner, owner], [owner, {"Principal": ANONYMOUS}], [owner, *people(32)])
        ]
        cases += [("Invalid", "capsules_update", [change(controllers=people(33))])]
        await require(own.hub, stage.capsule_id, cases)


async def test_an_upload_takes_only_the_bytes_that_it_names(module_toolkit: Toolkit, stage: Stage) -> None:
    hub, capsule_id = module_toolkit.hub, stage.capsule_id
    data = some_bytes(7, CHUNK + 10)
    claimed = hashlib.sha256(b"something else").digest()
    steps: list[Case] = [
        ("Ok", "uploads_begin", [claimed, len(data)]),
        ("Conflict", "uploads_begin", [claimed, len(data) + 1]),
        ("Conflict", "uploads_finish", [claimed]),
        ("Invalid", "uploads_put_chunk", [claimed, 0, data[: CHUNK - 1]]),
        ("Invalid", "uploads_put_chunk", [claimed, 0, data[: CHUNK + 1]]),
        ("Invalid", "uploads_put_chunk", [claimed, 0, b""]),
        ("Invalid", "uploads_put_chunk", [claimed, 1, data[CHUNK:] + b"x"]),
        ("Invalid", "uploads_put_chunk", [claimed, 2, b""]),
        ("Invalid", "uploads_put_chunk", [claimed, MAX32, b"x"]),
        ("Ok", "uploads_put_chunk", [claimed, 1, data[CHUNK:]]),
        ("Conflict", "uploads_put_chunk", [claimed, 1, data[CHUNK:][::-1]]),
        ("Ok", "uploads_put_chunk", [claimed, 1, data[CHUNK:]]),
        ("Conflict", "uploads_finish", [claimed]),
        ("Invalid", "memories_create", [internal(claimed, len(data))]),
        ("Ok", "uploads_put_chunk", [claimed, 0, data[:CHUNK]]),
        ("DigestMismatch", "uploads_finish", [claimed]),
        ("NotFound", "uploads_status", [claimed]),
    ]
    await require(hub, capsule_id, steps)


async def test_uploads_that_nobody_finishes_are_bounded(module_toolkit: Toolkit, stage: Stage) -> None:
    hub, capsule_id = module_toolkit.hub, stage.capsule_id
    names = [hashlib.sha256(bytes([n % 256, n // 256])).digest() for n in range(257)]
    told = await asyncio.gather(*(outcome(hub, "uploads_begin", capsule_id, name, 10) for name in names))
    assert sorted(told) == ["Conflict"] + ["Ok"] * 256
    await asyncio.gather(*(outcome(hub, "uploads_abort", capsule_id, name) for name in names))
    assert await outcome(hub, "uploads_begin", capsule_id, names[256], 10) == "Ok"


async def test_an_unknown_capsule_is_not_found(module_toolkit: Toolkit) -> None:
    hub = module_toolkit.hub
    for capsule_id in ABSENT_IDS:
        for name, more in OF_ONE_CAPSULE:
            told = await outcome(hub, name, capsule_id, *more)
            assert told == missing(name, capsule_id), (name, capsule_id[:20])


@pytest.mark.parametrize(
    ("due", "name", "arguments"),
    [
        ("Invalid", "capsules_create", [{"Opaque": ""}]),
        ("Invalid", "capsules_create", [{"Opaque": SHORT}]),
        ("Invalid", "capsules_create", [{"Principal": ANONYMOUS}]),
        ("Invalid", "capsules_create", [{"Principal": MANAGEMENT}]),
        ("Invalid", "capsules_list", [None, 0]),
        ("Invalid", "migration_list", [None, 0]),
        ("Ok", "migration_list", [MAX64, MAX32]),
        ("Invalid", "access_reach", [None, 0]),
        ("Ok", "access_reach", [{"capsule_id": "\0", "resource": {"Memory": LONG}, "permissions": 0}, MAX32]),
        ("Invalid", "operators_add", [ANONYMOUS]),
        ("Invalid", "operators_add", [MANAGEMENT]),
        ("Invalid", "wasm_begin", [ABSENT[:31], 1]),
        ("Invalid", "wasm_begin", [ABSENT, 2**63]),
        ("Invalid", "wasm_begin", [ABSENT, 0]),
    ],
)
async def test_the_hub_itself_has_bounds(module_toolkit: Toolkit, due: str, name: str, arguments: list[Any]) -> None:
    hub = module_toolkit.hub
    before = await hub.wasm_info(), await hub.operators_list()
    assert await outcome(hub, name, *arguments) == due
    assert (await hub.wasm_info(), await hub.operators_list()) == before


async def test_phases_out_of_their_order_are_conflicts(module_toolkit: Toolkit, stage: Stage) -> None:
    migration: list[Case] = [
        ("NotFound", "migration_create_canister", []),
        ("NotFound", "migration_install", []),
        ("NotFound", "migration_freeze", []),
        ("NotFound", "migration_thaw", []),
        ("NotFound", "migration_build_manifest", []),
        ("NotFound", "migration_cut_over", [ABSENT]),
        ("NotFound", "migration_abort", []),
        ("NotFound", "migration_handoff", []),
        ("Conflict", "manifest_root", []),
    ]
    await require(module_toolkit.hub, stage.capsule_id, migration)


async def test_an_import_has_bounds(world: HubWorld, module_toolkit: Toolkit) -> None:
    importing = await reach(world, module_toolkit, "importing")
    personal = module_toolkit.personal(importing.id_of("personal"))
    pages = await module_toolkit.hub.export_records(importing.capsule_id, None, 100_000)
    fine = pages.items[0].model_dump()
    another = await reach(world, module_toolkit, "writable")
    other = await module_toolkit.hub.export_records(another.capsule_id, None, 0)
    generation = (await personal.import_status()).generation
    two_chunks = {"sha256": ABSENT, "length": CHUNK + 1, "chunk_digests": bytes(64)}
    cases: list[Case] = [
        ("Invalid", "import_declare_blobs", [[two_chunks | {"sha256": ABSENT[:31]}]]),
        ("Invalid", "import_declare_blobs", [[two_chunks | {"chunk_digests": bytes(32)}]]),
        ("Invalid", "import_declare_blobs", [[two_chunks | {"chunk_digests": bytes(63)}]]),
        ("Invalid", "import_declare_blobs", [[two_chunks | {"length": 2**63}]]),
        ("Invalid", "import_declare_blobs", [[two_chunks | {"length": MAX64, "chunk_digests": b""}]]),
        ("DigestMismatch", "import_declare_blobs", [[two_chunks | {"length": 1, "chunk_digests": bytes(32)}]]),
        ("DigestMismatch", "import_declare_blobs", [[two_chunks | {"length": 0, "chunk_digests": b""}]]),
        ("NotFound", "import_put_chunk", [ABSENT, 0, b"x"]),
        ("Invalid", "import_put_chunk", [ABSENT[:31], 0, b"x"]),
        ("DigestMismatch", "import_put_chunk", [SHA256, 0, BLOB[::-1]]),
        ("Invalid", "import_put_chunk", [SHA256, 0, BLOB[1:]]),
        ("Invalid", "import_put_chunk", [SHA256, 1, BLOB]),
        ("Invalid", "import_put_chunk", [SHA256, MAX32, BLOB]),
        ("Ok", "import_put_chunk", [SHA256, 0, BLOB]),
        ("Invalid", "import_missing_chunks", [None, 0]),
        ("Invalid", "import_missing_chunks", [b"x", 1]),
        ("Ok", "import_missing_chunks", [None, MAX32]),
        ("Conflict", "import_put_records", [generation - 1, [fine]]),
        *(
            ("Invalid", "import_put_records", [generation, [fine, wrong]])
            for wrong in [
                fine | {"kind": "Blob"},
                fine | {"kind": "Memory"},
                fine | {"id": "another"},
                fine | {"bytes": b""},
                fine | {"bytes": b"\xff" * 100},
                fine | {"bytes": fine["bytes"] + b"\0"},
                fine | {"bytes": fine["bytes"][:-1]},
                other.items[0].model_dump(),
            ]
        ),
        ("Conflict", "import_seal", [generation - 1]),
        ("Conflict", "import_seal", [generation + 1]),
        ("Conflict", "import_seal", [MAX64]),
    ]
    before = await capsule_picture(personal, importing.capsule_id), await personal.import_status()
    wrong = [
        (name, repr(arguments)[:120], f"{told}, not {due}")
        for due, name, arguments in cases
        if (told := await outcome(personal, name, *arguments)) != due
    ]
    assert wrong == []
    after = await capsule_picture(personal, importing.capsule_id), await personal.import_status()
    del before[0]["costs"], after[0]["costs"]
    assert after == before


async def test_a_new_generation_that_is_refused_leaves_the_records_of_the_one_before(
    world: HubWorld, module_toolkit: Toolkit
) -> None:
    importing = await reach(world, module_toolkit, "importing")
    personal = module_toolkit.personal(importing.id_of("personal"))
    before = await personal.import_status()
    (record, *_) = (await module_toolkit.hub.export_records(importing.capsule_id, None, 0)).items
    broken = record.model_dump() | {"bytes": b""}
    assert await outcome(personal, "import_put_records", before.generation + 1, [broken]) == "Invalid"
    assert await personal.import_status() == before


async def test_a_record_that_is_too_long_does_not_hold_its_blob(module_toolkit: Toolkit, stage: Stage) -> None:
    location = await upload(module_toolkit.hub, stage.capsule_id, some_bytes(11, 1_000))
    long = given()["assets"][0] | {"tags": ["t" * 512] * 256, "location": location.model_dump()}
    assets = [long | {"variant_": {"Other": str(number)}} for number in range(9)]
    await require(module_toolkit.hub, stage.capsule_id, [("Invalid", "memories_create", [given(assets=assets)])])
    totals = await module_toolkit.hub.capsules_summary(stage.capsule_id)
    assert totals.blobs == len(BLOBS)
