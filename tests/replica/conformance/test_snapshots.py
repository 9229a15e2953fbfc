"""Interface Specification, "IC method take_canister_snapshot" and the other methods for snapshots."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from icmigrate.protocol.principal import ANONYMOUS
from tests.replica.conformance.program import Program
from tests.replica.conformance.test_modules import EMPTY, wat
from tests.worlds.users import PROGRAMMABLE, Canister, User, number, rejected

P = Program()
MIB = 1 << 20
PAGE = 65_536
SECOND = 10**9
UPLOADED = (
    "wasm_module_size",
    "globals",
    "wasm_memory_size",
    "stable_memory_size",
    "certified_data",
    "global_timer",
    "on_low_wasm_memory_hook_status",
)


async def test_a_snapshot_brings_back_everything(canister: Canister) -> None:
    state = P.set(b"before").stable64_grow(1).drop().stable64_write(0, b"before").certified_data_set(b"before")
    await canister.update(state.reply())
    snapshot = await canister.manage("take_canister_snapshot")
    assert [item["id"] for item in await canister.manage("list_canister_snapshots")] == [snapshot["id"]]
    assert snapshot["total_size"] > 2 * PAGE
    await canister.update(P.set(b"after").stable64_grow(5).drop().stable64_write(0, b"after!").reply())
    await canister.upgrade(module=EMPTY)
    await canister.stop()
    await canister.manage("load_canister_snapshot", snapshot_id=snapshot["id"])
    await canister.start()
    seen = await canister.query(P.reply(P.get(), P.stable64_read(0, 6), P.word("stable64_size")))
    assert seen == b"beforebefore\1" + bytes(7)
    assert (await canister.status())["module_hash"] == hashlib.sha256(PROGRAMMABLE).digest()
    await canister.manage("delete_canister_snapshot", snapshot_id=snapshot["id"])
    assert await canister.manage("list_canister_snapshots") == []
    error = await rejected(canister.manage("load_canister_snapshot", snapshot_id=snapshot["id"]))
    assert (error.code, error.error_code) == (3, "IC0305")


async def test_a_snapshot_replaces_another_and_ten_are_the_most(canister: Canister) -> None:
    taken = [await canister.manage("take_canister_snapshot") for _ in range(10)]
    error = await rejected(canister.manage("take_canister_snapshot"))
    assert error.code == 4
    newest = await canister.manage("take_canister_snapshot", replace_snapshot=taken[0]["id"])
    ids = [item["id"] for item in await canister.manage("list_canister_snapshots")]
    assert sorted(ids) == sorted([item["id"] for item in taken[1:]] + [newest["id"]])


async def test_an_empty_canister_has_nothing_to_take(user: User) -> None:
    error = await rejected((await user.create()).manage("take_canister_snapshot"))
    assert (error.code, error.error_code) == (4, "IC0406")


async def test_a_snapshot_is_read_and_uploaded_elsewhere(user: User) -> None:
    source, target = await user.install(P.set(b"moved").stable64_grow(1).drop()), await user.create()
    made = await upload(source, target)
    await target.manage("load_canister_snapshot", snapshot_id=made["snapshot_id"])
    assert await target.remembered() == b"moved"


async def test_a_snapshot_belongs_to_its_canister(canister: Canister, other: Canister) -> None:
    taken = await canister.manage("take_canister_snapshot")
    for method in ("delete_canister_snapshot", "read_canister_snapshot_metadata"):
        error = await rejected(other.manage(method, snapshot_id=taken["id"]))
        assert (error.code, error.error_code) == (4, "IC0406")
        assert error.message.startswith(f"The snapshot {taken['id'].hex()} does not belong to canister {other.id}.")
    error = await rejected(other.manage("take_canister_snapshot", replace_snapshot=taken["id"]))
    assert error.error_code == "IC0406"
    error = await rejected(other.manage("delete_canister_snapshot", snapshot_id=bytes(20)))
    assert (error.code, error.error_code) == (3, "IC0305")
    assert len(await canister.manage("list_canister_snapshots")) == 1


async def upload(source: Canister, target: Canister, **changed: Any) -> dict[str, Any]:
    """Takes a snapshot and uploads it elsewhere, with some of its metadata changed."""
    taken = await source.manage("take_canister_snapshot")
    about = await source.manage("read_canister_snapshot_metadata", snapshot_id=taken["id"])
    wanted = {**{name: about[name] for name in UPLOADED}, **changed}
    made: dict[str, Any] = await target.manage("upload_canister_snapshot_metadata", **wanted)
    for part in ("wasm_module", "wasm_memory", "stable_memory"):
        size = about[f"{part}_size"]
        for offset in range(0, size, MIB):
            slice_ = {"offset": offset, "size": min(MIB, size - offset)}
            read = await source.manage("read_canister_snapshot_data", snapshot_id=taken["id"], kind={part: slice_})
            await target.manage(
                "upload_canister_snapshot_data",
                snapshot_id=made["snapshot_id"],
                kind={part: {"offset": offset}},
                chunk=read["chunk"],
            )
    return made


async def test_a_taken_snapshot_leaves_the_timer_as_it_is(canister: Canister) -> None:
    far, farther = 1 << 62, 1 << 63
    await canister.update(P.global_timer_set(far).drop().reply())
    taken = await canister.manage("take_canister_snapshot")
    about = await canister.manage("read_canister_snapshot_metadata", snapshot_id=taken["id"])
    assert about["global_timer"] == {"active": far} and about["source"] == "taken_from_canister"
    await canister.update(P.global_timer_set(farther).drop().reply())
    await canister.manage("load_canister_snapshot", snapshot_id=taken["id"])
    assert number(await canister.update(P.reply(P.global_timer_set(0)))) == farther


@pytest.mark.parametrize(("uploaded", "expected"), [({"active": 1 << 61}, 1 << 61), ("inactive", 0), (None, 1 << 63)])
async def test_an_uploaded_snapshot_sets_the_timer_if_it_tells_one(
    canister: Canister, other: Canister, uploaded: Any, expected: int
) -> None:
    await canister.update(P.global_timer_set(1 << 62).drop().reply())
    made = await upload(canister, other, global_timer=uploaded)
    await other.update(P.global_timer_set(1 << 63).drop().reply())
    await other.manage("load_canister_snapshot", snapshot_id=made["snapshot_id"])
    assert number(await other.update(P.reply(P.global_timer_set(0)))) == expected


@pytest.mark.parametrize(
    ("status", "low", "fits"),
    [
        ("condition_not_satisfied", False, True),
        ("condition_not_satisfied", True, False),
        ("ready", False, False),
        ("executed", True, True),
        (None, True, True),
    ],
)
async def test_an_uploaded_hook_status_has_to_fit_the_memory(
    canister: Canister, other: Canister, status: str | None, low: bool, fits: bool
) -> None:
    made = await upload(canister, other, on_low_wasm_memory_hook_status=status)
    if low:
        await other.set(wasm_memory_limit=100 * MIB, wasm_memory_threshold=100 * MIB)
    load = other.manage("load_canister_snapshot", snapshot_id=made["snapshot_id"])
    if fits:
        await load
    else:
        error = await rejected(load)
        assert (error.code, error.error_code) == (4, "IC0408")
        assert "of uploaded snapshot is inconsistent with the canister's state" in error.message


async def test_an_uploaded_snapshot_has_to_have_the_globals_of_its_module(canister: Canister, other: Canister) -> None:
    made = await upload(canister, other, globals=[])
    error = await rejected(other.manage("load_canister_snapshot", snapshot_id=made["snapshot_id"]))
    assert (error.code, error.error_code) == (4, "IC0408")
    assert error.message == "Wasm exported globals of canister module and snapshot metadata do not match."


GLOBALS = """
(module
  (import "ic0" "msg_reply" (func $msg_reply))
  (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
  (memory 1)
  (global $counter (mut i32) (i32.const 41))
  (global i64 (i64.const 7))
  (global (export "end") i32 (i32.const -2))
  (global (export "large") i64 (i64.const 0x0123456789abcdef))
  (global (export "half") f32 (f32.const 0.5))
  (global $quarter (mut f64) (f64.const 0.25))
  (func (export "canister_update count")
    (global.set $counter (i32.add (global.get $counter) (i32.const 1)))
    (i32.store (i32.const 0) (global.get $counter))
    (call $append (i32.const 0) (i32.const 4))
    (call $msg_reply)))
"""


async def test_globals_that_are_mutable_or_exported_are_in_a_snapshot(user: User) -> None:
    canister, target = await user.install(module=wat(GLOBALS)), await user.create()
    assert number(await canister.update(P, "count")) == 42
    taken = await canister.manage("take_canister_snapshot")
    about = await canister.manage("read_canister_snapshot_metadata", snapshot_id=taken["id"])
    expected = [{"i32": 42}, {"i32": -2}, {"i64": 0x0123456789ABCDEF}, {"f32": 0.5}, {"f64": 0.25}]
    assert about["globals"] == expected
    made = await upload(canister, target, globals=[{"i32": 99}, *expected[1:]])
    uploaded = await target.manage("read_canister_snapshot_metadata", snapshot_id=made["snapshot_id"])
    assert uploaded["globals"] == [{"i32": 99}, *expected[1:]]
    await target.manage("load_canister_snapshot", snapshot_id=made["snapshot_id"])
    assert number(await target.update(P, "count")) == 100
    for wrong in (expected[:1] + expected[4:], [*expected[:4], {"i32": 0}]):
        made = await upload(canister, target, globals=wrong)
        error = await rejected(target.manage("load_canister_snapshot", snapshot_id=made["snapshot_id"]))
        assert (error.code, error.error_code) == (4, "IC0408")


async def test_a_snapshot_of_another_canister_is_loaded_by_who_controls_both(
    user: User, stranger: User, canister: Canister
) -> None:
    target = await user.create(controllers=[user.principal, stranger.principal])
    taken = await canister.manage("take_canister_snapshot")
    load = {"snapshot_id": taken["id"]}
    error = await rejected(target.used_by(stranger).manage("load_canister_snapshot", **load))
    assert (error.code, error.error_code) == (4, "IC0406")
    expected = f"Only a controller of the canister that snapshot {taken['id'].hex()} belongs to can load it on canister"
    assert error.message.startswith(f"{expected} {target.id}. Sender: {stranger.principal}.")
    await target.manage("load_canister_snapshot", **load)
    assert (await target.status())["module_hash"] == hashlib.sha256(PROGRAMMABLE).digest()


# fmt: off
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    # what is wrong                    method, argument, error code
    "a slice beyond the memory":      ("read_canister_snapshot_data",
                                       {"kind": {"stable_memory": {"offset": PAGE, "size": 1}}}, "IC0408"),
    "a slice beyond the module":      ("read_canister_snapshot_data",
                                       {"kind": {"wasm_module": {"offset": 1 << 63, "size": 1}}}, "IC0408"),
    "a slice of more than 2 MB":      ("read_canister_snapshot_data",
                                       {"kind": {"wasm_memory": {"offset": 0, "size": 2_000_001}}}, "IC0408"),
    "a chunk that is not there":      ("read_canister_snapshot_data", {"kind": {"wasm_chunk": {"hash": bytes(32)}}},
                                       "IC0504"),
    "what was taken is not written":  ("upload_canister_snapshot_data",
                                       {"kind": {"stable_memory": {"offset": 0}}, "chunk": b"x"}, "IC0409"),
}
# fmt: on


@pytest.mark.parametrize("kind", REFUSED)
async def test_a_snapshot_is_read_and_written_within_bounds(canister: Canister, kind: str) -> None:
    method, argument, error_code = REFUSED[kind]
    await canister.update(P.stable64_grow(1).drop().reply())
    taken = await canister.manage("take_canister_snapshot")
    error = await rejected(canister.manage(method, snapshot_id=taken["id"], **argument))
    assert (error.code, error.error_code) == (int(error_code[3]), error_code)


async def test_chunks_are_uploaded_into_a_snapshot_and_come_with_it(canister: Canister, other: Canister) -> None:
    made = await upload(canister, other)
    for chunk in (b"one", b"two", b"one"):
        await other.manage(
            "upload_canister_snapshot_data", snapshot_id=made["snapshot_id"], kind="wasm_chunk", chunk=chunk
        )
    hashes = sorted(hashlib.sha256(chunk).digest() for chunk in (b"one", b"two"))
    about = await other.manage("read_canister_snapshot_metadata", snapshot_id=made["snapshot_id"])
    assert sorted(item["hash"] for item in about["wasm_chunk_store"]) == hashes
    assert about["source"] == "metadata_upload"
    read = await other.manage(
        "read_canister_snapshot_data", snapshot_id=made["snapshot_id"], kind={"wasm_chunk": {"hash": hashes[0]}}
    )
    assert hashlib.sha256(read["chunk"]).digest() == hashes[0]
    await other.manage("load_canister_snapshot", snapshot_id=made["snapshot_id"])
    assert sorted(item["hash"] for item in await other.manage("stored_chunks")) == hashes


async def test_sizes_of_memories_are_whole_pages(canister: Canister) -> None:
    for name in ("wasm_memory_size", "stable_memory_size"):
        sizes = {"wasm_module_size": 8, "wasm_memory_size": PAGE, "stable_memory_size": PAGE, name: PAGE + 1}
        error = await rejected(
            canister.manage("upload_canister_snapshot_metadata", globals=[], certified_data=b"", **sizes)
        )
        assert (error.code, error.error_code) == (4, "IC0408")


async def test_code_can_be_uninstalled_with_its_snapshot(canister: Canister) -> None:
    before = (await canister.status())["version"]
    taken = await canister.manage("take_canister_snapshot", uninstall_code=True)
    status = await canister.status()
    assert status["module_hash"] is None and status["version"] == before + 1
    await canister.manage("load_canister_snapshot", snapshot_id=taken["id"])
    assert await canister.update(P.reply(b"back")) == b"back"


@pytest.mark.parametrize("method", ["read_canister_snapshot_metadata", "read_canister_snapshot_data"])
async def test_snapshots_are_read_by_those_whom_the_setting_names(
    canister: Canister, stranger: User, method: str
) -> None:
    taken = await canister.manage("take_canister_snapshot")
    argument: dict[str, Any] = {"snapshot_id": taken["id"]}
    if method.endswith("data"):
        argument["kind"] = {"wasm_module": {"offset": 0, "size": 8}}
    seen = canister.used_by(stranger)
    for visibility, allowed in (
        ("controllers", False),
        ("public", True),
        ({"allowed_viewers": [ANONYMOUS]}, False),
        ({"allowed_viewers": [stranger.principal]}, True),
    ):
        await canister.set(snapshot_visibility=visibility)
        if allowed:
            await seen.manage(method, **argument)
        else:
            assert (await rejected(seen.manage(method, **argument))).error_code == "IC0512"


# fmt: off
GROWING: dict[str, dict[str, Any]] = {
    "upload_chunk":                      {"chunk": b"x"},
    "take_canister_snapshot":            {},
    "upload_canister_snapshot_metadata": {"wasm_module_size": 8, "wasm_memory_size": 1 << 30, "stable_memory_size": 0,
                                          "globals": [], "certified_data": b""},
}
# fmt: on


@pytest.mark.parametrize("method", GROWING)
async def test_what_needs_memory_has_to_be_paid_for(user: User, method: str) -> None:
    canister = await user.install()
    await canister.set(freezing_threshold=0)
    burn = P.wide("cycles_burn128", 0, (await canister.status())["cycles"] - 60 * 10**9).drop()
    await canister.update(burn.reply())
    left = await canister.status()
    # Nearly frozen: what is left is idle costs for so many seconds.
    seconds = left["cycles"] * 86_400 // left["idle_cycles_burned_per_day"]
    await canister.set(freezing_threshold=seconds * 99 // 100)
    error = await rejected(canister.manage(method, **GROWING[method]))
    assert (error.code, error.error_code) == (5, "IC0532")
    assert error.message.startswith("Canister cannot grow memory by ")
    await canister.set(freezing_threshold=0)
    await canister.manage(method, **GROWING[method])


async def test_the_hook_runs_when_a_snapshot_brings_much_memory_back(canister: Canister) -> None:
    hook = P.set_hook("on_low_wasm_memory", P.append(b"low "))
    await canister.update(hook.reply())
    size = number(await canister.query(P.reply(P.word("memory_size")))) * PAGE
    await canister.update(P.memory_grow(100).drop().reply())
    taken = await canister.manage("take_canister_snapshot")
    await canister.reinstall(hook)
    await canister.set(wasm_memory_limit=size + 100 * PAGE, wasm_memory_threshold=10 * PAGE)
    await canister.settled()
    assert await canister.remembered() == b""
    await canister.manage("load_canister_snapshot", snapshot_id=taken["id"])
    await canister.settled()
    assert await canister.remembered() == b"low "


async def test_an_uploaded_snapshot_has_to_have_a_module(user: User) -> None:
    canister = await user.create()
    sizes = {"wasm_module_size": 42, "wasm_memory_size": 0, "stable_memory_size": 0}
    made = await canister.manage("upload_canister_snapshot_metadata", globals=[], certified_data=b"", **sizes)
    error = await rejected(canister.manage("load_canister_snapshot", snapshot_id=made["snapshot_id"]))
    assert (error.code, error.error_code) == (5, "IC0505")
    assert "Failed to decode wasm module: unsupported canister module format." in error.message
