"""Interface Specification, "The IC management canister": every method, who may call it, and its errors."""

from __future__ import annotations

import gzip
import hashlib
from typing import Any

import pytest

from icmigrate.protocol import candid
from icmigrate.protocol.leb128 import encode_unsigned
from icmigrate.protocol.principal import ANONYMOUS, MANAGEMENT_CANISTER, Principal
from icmigrate.replica.management import candid_types as types
from icmigrate.replica.management.method_table import METHODS, UNAVAILABLE, From
from icmigrate.replica.management.permissions import May
from tests.replica.http.canisters import FORWARDER, KEEPER, forwarded, wasm
from tests.replica.http.client import Client, Rejected, encode, given

ABSENT = Principal((1 << 59).to_bytes(8, "big") + b"\x01\x01")


def argument(method: str, canister_id: Principal) -> dict[str, Any]:
    """An argument of the right type for a canister; what else is in it does not matter."""
    more: dict[str, Any] = {
        "settings": given({}),
        "wasm_module": KEEPER,
        "arg": b"",
        "mode": {"reinstall": None},
        "chunk": b"chunk",
        "chunk_hashes_list": [],
        "wasm_module_hash": bytes(32),
        "snapshot_id": b"none",
        "amount": 1,
        "name": "none",
        "kind": {"wasm_module": {"offset": 0, "size": 0}},
        "globals": [],
        "wasm_module_size": 0,
        "wasm_memory_size": 0,
        "stable_memory_size": 0,
        "certified_data": b"",
        "subnet_id": canister_id,
        "start_at_timestamp_nanos": 0,
    }
    if method == "upload_canister_snapshot_data":
        more["kind"] = {"wasm_chunk": None}
    row = METHODS[method]
    fields = row.argument._fields if row.argument else {}
    chosen = {name: value for name, value in more.items() if name in fields}
    if "settings" in chosen and method != "update_settings":
        chosen["settings"] = []
    if method.startswith("provisional_create"):
        chosen["amount"] = []
    return {**chosen, row.target: canister_id} if row.target else chosen


# ------------------------------------------------------------------------------- the table, row by row


@pytest.mark.parametrize("method", sorted(METHODS))
async def test_each_method_is_open_to_the_contexts_and_callers_of_its_row(client: Client, method: str) -> None:
    row = METHODS[method]
    canister_id = await client.install(KEEPER)
    stranger = client.as_user()
    arg = encode(row.argument, argument(method, canister_id))
    effective = canister_id if row.target else ABSENT

    outcome = await rejection(stranger.update(MANAGEMENT_CANISTER, method, arg, effective=effective))
    if From.INGRESS not in row.callable_from:
        assert outcome is not None and (outcome.error_code, outcome.certified) == ("IC0406", False)
    elif row.may is not May.ANYONE:
        assert outcome is not None and (outcome.error_code, outcome.certified) == ("IC0512", False)
    else:
        assert outcome is None

    outcome = await rejection(stranger.query(MANAGEMENT_CANISTER, method, arg, effective=effective))
    if From.QUERY not in row.callable_from:
        assert outcome is not None and outcome.error_code == "IC0536"
    elif row.may is May.ANYONE:
        assert outcome is not None and outcome.error_code == "IC0406"  # list_canisters: nobody is subnet admin
    else:
        assert outcome is not None and outcome.error_code in ("IC0512", "IC0406")


async def rejection(pending: Any) -> Rejected | None:
    try:
        await pending
    except Rejected as rejected:
        return rejected
    return None


@pytest.mark.parametrize(
    "method", sorted(name for name, row in METHODS.items() if From.INGRESS in row.callable_from and row.target)
)
async def test_each_method_says_that_a_canister_does_not_exist(client: Client, method: str) -> None:
    with pytest.raises(Rejected) as rejected:
        await client.manage(method, argument(method, ABSENT))
    assert (rejected.value.code, rejected.value.error_code, rejected.value.certified) == (3, "IC0301", False)


@pytest.mark.parametrize("method", sorted(name for name, row in METHODS.items() if row.argument))
async def test_each_method_refuses_what_is_not_its_argument(client: Client, method: str) -> None:
    for arg in (b"", b"DIDL", b"DIDL\x00\x01\x7d\x05", b"\xff" * 50):
        with pytest.raises(Rejected) as rejected:
            await client.update(MANAGEMENT_CANISTER, method, arg, effective=ABSENT)
        assert rejected.value.error_code in ("IC0408", "IC0406")


@pytest.mark.parametrize("method", ["nothing", "", "canister_status2", *sorted(UNAVAILABLE)])
async def test_other_methods_are_refused(client: Client, method: str) -> None:
    with pytest.raises(Rejected) as rejected:
        await client.update(MANAGEMENT_CANISTER, method, b"DIDL\0\0", effective=ABSENT)
    assert (rejected.value.certified, rejected.value.error_code) == (
        False,
        "IC0406" if method in UNAVAILABLE else "IC0536",
    )


@pytest.mark.parametrize("method", sorted(UNAVAILABLE))
async def test_a_canister_is_told_which_features_this_subnet_has_not(client: Client, method: str) -> None:
    forwarder = await client.install(FORWARDER)
    before = await cycles_of(client, forwarder)
    with pytest.raises(Rejected) as rejected:
        await client.update(forwarder, "forward", forwarded(method, b"DIDL\0\0"))
    assert rejected.value.message == "rejected"
    assert before - await cycles_of(client, forwarder) < 10**10  # the attached cycles came back


async def cycles_of(client: Client, canister_id: Principal) -> int:
    cycles: int = (await client.manage("canister_status", {"canister_id": canister_id}))["cycles"]
    return cycles


# ------------------------------------------------------------------------------------------ creation


async def test_a_canister_is_created_with_the_settings_asked_for(client: Client) -> None:
    other = Principal(b"\x05\x02")
    settings: dict[str, Any] = {
        "controllers": [client.principal, other],
        "freezing_threshold": 5,
        "memory_allocation": 1 << 20,
        "log_visibility": {"allowed_viewers": [other]},
        "status_visibility": {"public": None},
        "wasm_memory_threshold": 77,
        "environment_variables": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}],
    }
    canister_id = await client.create(**settings)
    status = await client.manage("canister_status", {"canister_id": canister_id})
    shown = status["settings"]
    assert sorted(shown["controllers"]) == sorted([client.principal, other])
    assert shown["freezing_threshold"] == 5 and shown["memory_allocation"] == 1 << 20
    assert shown["log_visibility"] == {"allowed_viewers": [other]}
    assert shown["wasm_memory_threshold"] == 77
    assert sorted(item["name"] for item in shown["environment_variables"]) == ["A", "B"]
    assert status["module_hash"] == [] and status["status"] == {"running": None}
    stranger = client.as_user()
    seen = await stranger.manage_query("canister_status", {"canister_id": canister_id})
    assert seen["settings"] == shown


async def test_a_canister_has_the_cycles_asked_for_or_the_default(client: Client) -> None:
    for amount, expected in ((None, 100 * 10**12), (7 * 10**12, 7 * 10**12)):
        made = await client.manage(
            "provisional_create_canister_with_cycles", {} if amount is None else {"amount": [amount]}
        )
        assert expected - 10**10 < await cycles_of(client, made["canister_id"]) <= expected


async def test_a_specified_id_is_given_once(client: Client) -> None:
    wanted = Principal((1 << 40).to_bytes(8, "big") + b"\x01\x01")
    made = await client.manage("provisional_create_canister_with_cycles", {"specified_id": [wanted]})
    assert made["canister_id"] == wanted
    with pytest.raises(Rejected) as rejected:
        await client.manage("provisional_create_canister_with_cycles", {"specified_id": [wanted]})
    assert "already" in rejected.value.message


# fmt: off
BAD_SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"controllers": [Principal(bytes([n])) for n in range(11)]}, "IC0408"),
    ({"compute_allocation": 101}, "IC0504"),
    ({"compute_allocation": 4}, "IC0530"),
    ({"memory_allocation": 1 << 64}, "IC0504"),
    ({"memory_allocation": 1 << 40}, "IC0531"),
    ({"freezing_threshold": 1 << 64}, "IC0504"),
    ({"reserved_cycles_limit": 1 << 128}, "IC0504"),
    ({"wasm_memory_limit": (1 << 48) + 1}, "IC0504"),
    ({"wasm_memory_threshold": (1 << 48) + 1}, "IC0504"),
    ({"log_visibility": {"allowed_viewers": [ANONYMOUS] * 11}}, "IC0408"),
    ({"environment_variables": [{"name": "A", "value": ""}] * 2}, "IC0408"),
    ({"environment_variables": [{"name": str(n), "value": ""} for n in range(21)]}, "IC0408"),
    ({"environment_variables": [{"name": "A" * 129, "value": ""}]}, "IC0408"),
    ({"environment_variables": [{"name": "A", "value": "x" * 129}]}, "IC0408"),
]
# fmt: on


@pytest.mark.parametrize(("settings", "error_code"), BAD_SETTINGS)
async def test_settings_out_of_range_are_refused_and_nothing_changes(
    client: Client, settings: dict[str, Any], error_code: str
) -> None:
    canister_id = await client.create()
    before = (await client.manage("canister_status", {"canister_id": canister_id}))["settings"]
    with pytest.raises(Rejected) as rejected:
        await client.manage("update_settings", {"canister_id": canister_id, "settings": given(settings)})
    assert rejected.value.error_code == error_code
    with pytest.raises(Rejected):
        await client.create(**settings)
    assert (await client.manage("canister_status", {"canister_id": canister_id}))["settings"] == before


async def test_update_settings_changes_what_is_given_only(client: Client) -> None:
    canister_id = await client.create(freezing_threshold=5)
    await client.manage("update_settings", {"canister_id": canister_id, "settings": given({"compute_allocation": 1})})
    shown = (await client.manage("canister_status", {"canister_id": canister_id}))["settings"]
    assert (shown["freezing_threshold"], shown["compute_allocation"]) == (5, 1)
    heir = client.as_user()
    await client.manage(
        "update_settings", {"canister_id": canister_id, "settings": given({"controllers": [heir.principal]})}
    )
    with pytest.raises(Rejected):
        await client.manage("canister_status", {"canister_id": canister_id})
    assert (await heir.manage("canister_status", {"canister_id": canister_id}))["settings"]["controllers"] == [
        heir.principal
    ]


# ---------------------------------------------------------------------------------------------- code


async def test_code_is_installed_upgraded_reinstalled_and_uninstalled(client: Client) -> None:
    canister_id = await client.install(KEEPER)
    await client.update(canister_id, "set", b"kept")
    with pytest.raises(Rejected) as rejected:
        await client.install(KEEPER, canister_id)
    assert rejected.value.error_code == "IC0514"
    packed = gzip.compress(KEEPER)
    await client.install(packed, canister_id, mode="reinstall")
    assert await client.query(canister_id, "get") == b""
    status = await client.manage("canister_status", {"canister_id": canister_id})
    assert status["module_hash"] == [hashlib.sha256(packed).digest()]
    assert status["memory_metrics"]["wasm_binary_size"] == len(packed)
    await client.install(KEEPER, canister_id, mode="upgrade")
    await client.manage("uninstall_code", {"canister_id": canister_id})
    status = await client.manage("canister_status", {"canister_id": canister_id})
    assert status["module_hash"] == [] and status["memory_metrics"]["wasm_memory_size"] == 0


@pytest.mark.parametrize("module", [b"", b"\0asm", b"\0asm\1\0\0\0\xff", b"\x1f\x8b\x08broken", KEEPER[:-10]])
async def test_what_is_no_module_is_not_installed(client: Client, module: bytes) -> None:
    with pytest.raises(Rejected) as rejected:
        await client.install(module)
    assert (rejected.value.code, rejected.value.error_code) == (5, "IC0505")


async def test_a_large_module_is_installed_from_chunks(client: Client) -> None:
    canister_id, store = await client.create(), await client.create()
    large = KEEPER + b"\0" + encode_unsigned(1_500_000 + 2) + b"\x01x" + bytes(1_500_000)  # a custom section
    chunks = [large[at : at + (1 << 20)] for at in range(0, len(large), 1 << 20)]
    hashes = [await client.manage("upload_chunk", {"canister_id": store, "chunk": chunk}) for chunk in chunks]
    assert [item["hash"] for item in hashes] == [hashlib.sha256(chunk).digest() for chunk in chunks]
    stored = await client.manage("stored_chunks", {"canister_id": store})
    assert sorted(item["hash"] for item in stored) == sorted(item["hash"] for item in hashes)
    install: dict[str, Any] = {
        "mode": {"install": None},
        "target_canister": canister_id,
        "store_canister": [store],
        "chunk_hashes_list": hashes,
        "wasm_module_hash": hashlib.sha256(large).digest(),
        "arg": b"",
    }
    for wrong in (
        {"wasm_module_hash": bytes(32)},
        {"chunk_hashes_list": [{"hash": bytes(32)}]},
        {"chunk_hashes_list": [{"hash": b""}]},
    ):
        with pytest.raises(Rejected, match="Wasm chunk store"):
            await client.manage("install_chunked_code", {**install, **wrong})
    await client.manage("install_chunked_code", install)
    status = await client.manage("canister_status", {"canister_id": canister_id})
    assert status["module_hash"] == [hashlib.sha256(large).digest()]
    await client.manage("clear_chunk_store", {"canister_id": store})
    assert await client.manage("stored_chunks", {"canister_id": store}) == []


async def test_chunks_are_of_1_mib_at_most(client: Client) -> None:
    canister_id = await client.create()
    with pytest.raises(Rejected, match="exceeds the maximum chunk size"):
        await client.manage("upload_chunk", {"canister_id": canister_id, "chunk": bytes((1 << 20) + 1)})


# --------------------------------------------------------------------------------------------- lifecycle


async def test_a_canister_is_stopped_started_and_deleted(client: Client) -> None:
    canister_id = await client.install(KEEPER)
    with pytest.raises(Rejected) as rejected:
        await client.manage("delete_canister", {"canister_id": canister_id})
    assert rejected.value.error_code == "IC0510"
    await client.manage("stop_canister", {"canister_id": canister_id})
    await client.manage("stop_canister", {"canister_id": canister_id})
    assert (await client.manage("canister_status", {"canister_id": canister_id}))["status"] == {"stopped": None}
    await client.manage("start_canister", {"canister_id": canister_id})
    await client.update(canister_id, "set", b"alive")
    await client.manage("stop_canister", {"canister_id": canister_id})
    await client.manage("delete_canister", {"canister_id": canister_id})
    with pytest.raises(Rejected) as rejected:
        await client.query(canister_id, "get")
    assert rejected.value.error_code == "IC0301"


# ------------------------------------------------------------------------------------- called by canisters


async def forward(client: Client, forwarder: Principal, method: str, record: dict[str, Any] | None = None) -> Any:
    """A call by a canister to the management canister."""
    row = METHODS[method]
    arg = forwarded(method, encode(row.argument, record or {}))
    data = await client.update(forwarder, "forward", arg)
    return candid.decode(data, [row.result])[0] if row.result else data


async def test_a_canister_creates_and_funds_another(client: Client) -> None:
    forwarder = await client.install(FORWARDER)
    made = (await forward(client, forwarder, "create_canister"))["canister_id"]
    info = await forward(client, forwarder, "canister_info", {"canister_id": made, "num_requested_changes": [5]})
    assert info["controllers"] == [forwarder] and info["total_num_changes"] == 1
    (change,) = info["recent_changes"]
    assert change["origin"] == {"from_canister": {"canister_id": forwarder, "canister_version": []}}
    assert change["details"]["creation"]["controllers"] == [forwarder]
    status = await forward(client, forwarder, "canister_status", {"canister_id": made})
    creation = client.running.subnet.fees.canister_creation
    assert 10**12 - creation - 10**9 < status["cycles"] <= 10**12 - creation
    before = status["cycles"]
    await forward(client, forwarder, "deposit_cycles", {"canister_id": made})
    after = (await forward(client, forwarder, "canister_status", {"canister_id": made}))["cycles"]
    assert 10**12 - 10**9 < after - before <= 10**12


async def test_a_canister_gets_random_bytes_metadata_and_the_subnet(client: Client) -> None:
    forwarder = await client.install(FORWARDER)
    first, second = [await forward(client, forwarder, "raw_rand") for _ in range(2)]
    assert len(first) == len(second) == 32 and first != second
    described = await client.install(with_section(KEEPER, "icp:public note", b"hello"))
    asked = {"canister_id": described, "name": "note"}
    assert await forward(client, forwarder, "canister_metadata", asked) == {"value": b"hello"}
    subnet = {"subnet_id": client.running.keys.subnet_id}
    assert (await forward(client, forwarder, "subnet_info", subnet))["registry_version"] == 1
    metrics = {**subnet, "start_at_timestamp_nanos": 0}
    assert await forward(client, forwarder, "node_metrics_history", metrics) == []


def with_section(module: bytes, name: str, content: bytes) -> bytes:
    section = encode_unsigned(len(name)) + name.encode() + content
    return module + b"\0" + encode_unsigned(len(section)) + section


async def test_the_history_of_a_canister_is_kept(client: Client) -> None:
    forwarder, canister_id = await client.install(FORWARDER), await client.install(KEEPER)
    await client.install(KEEPER, canister_id, mode="upgrade")
    await client.manage(
        "update_settings",
        {"canister_id": canister_id, "settings": given({"controllers": [client.principal, forwarder]})},
    )
    await client.manage("uninstall_code", {"canister_id": canister_id})
    info = await forward(
        client, forwarder, "canister_info", {"canister_id": canister_id, "num_requested_changes": [20]}
    )
    kinds = [next(iter(change["details"])) for change in info["recent_changes"]]
    assert kinds == ["creation", "code_deployment", "code_deployment", "controllers_change", "code_uninstall"]
    assert all(change["origin"] == {"from_user": {"user_id": client.principal}} for change in info["recent_changes"])
    upgrade = info["recent_changes"][2]["details"]["code_deployment"]
    assert upgrade == {"mode": {"upgrade": None}, "module_hash": hashlib.sha256(KEEPER).digest()}
    few = await forward(client, forwarder, "canister_info", {"canister_id": canister_id, "num_requested_changes": [2]})
    assert few["recent_changes"] == info["recent_changes"][-2:] and few["total_num_changes"] == 5


async def test_a_creation_without_enough_cycles_is_refused_and_refunded(client: Client) -> None:
    poor = wasm(
        "msg_reply", "msg_reject", "call_new", "call_cycles_add128", "call_data_append", "call_perform",
        body="""
        (table funcref (elem $replied $rejected))
        (func $replied (param i32) (call $msg_reply))
        (func $rejected (param i32) (call $msg_reject (i32.const 0) (i32.const 15)))
        (data (i32.const 0) "create_canister")
        (data (i32.const 32) "DIDL\\01\\6c\\00\\01\\00")
        (func (export "canister_update go")
          (call $call_new (i32.const 64) (i32.const 0) (i32.const 0) (i32.const 15)
            (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0))
          (call $call_data_append (i32.const 32) (i32.const 9))
          (call $call_cycles_add128 (i64.const 0) (i64.const 1000))
          (drop (call $call_perform)))
        """,
    )  # fmt: skip
    canister_id = await client.install(poor)
    canisters = len(client.running.subnet.state.canisters)
    with pytest.raises(Rejected, match="create_canister"):
        await client.update(canister_id, "go")
    assert len(client.running.subnet.state.canisters) == canisters


# ------------------------------------------------------------------------------------ cycles, logs, snapshots


async def test_anyone_tops_up_a_canister(client: Client) -> None:
    canister_id = await client.create()
    before = await cycles_of(client, canister_id)
    await client.anonymous().manage("provisional_top_up_canister", {"canister_id": canister_id, "amount": 10**15})
    assert 10**15 - 10**10 < await cycles_of(client, canister_id) - before <= 10**15


async def test_logs_are_for_controllers_unless_they_are_public(client: Client) -> None:
    canister_id = await client.install(KEEPER)
    await client.update(canister_id, "log", b"one line")
    with pytest.raises(Rejected):
        await client.update(canister_id, "fail", b"a trap")
    records = (await client.manage_query("fetch_canister_logs", {"canister_id": canister_id}))["canister_log_records"]
    assert [record["idx"] for record in records] == [0, 1]
    assert records[0]["content"] == b"one line" and b"a trap" in records[1]["content"]
    stranger = client.as_user()
    with pytest.raises(Rejected) as rejected:
        await stranger.manage_query("fetch_canister_logs", {"canister_id": canister_id})
    assert rejected.value.error_code == "IC0406"
    await client.manage(
        "update_settings", {"canister_id": canister_id, "settings": given({"log_visibility": {"public": None}})}
    )
    assert await stranger.manage_query("fetch_canister_logs", {"canister_id": canister_id})


async def test_a_snapshot_brings_back_what_was(client: Client) -> None:
    canister_id = await client.install(KEEPER)
    await client.update(canister_id, "set", b"before")
    taken = await client.manage("take_canister_snapshot", {"canister_id": canister_id})
    await client.update(canister_id, "set", b"after")
    assert [item["id"] for item in await client.manage("list_canister_snapshots", {"canister_id": canister_id})] == [
        taken["id"]
    ]
    load = {"canister_id": canister_id, "snapshot_id": taken["id"]}
    await client.manage("load_canister_snapshot", load)
    assert await client.query(canister_id, "get") == b"before"
    await client.manage("delete_canister_snapshot", load)
    for method in ("load_canister_snapshot", "delete_canister_snapshot", "read_canister_snapshot_metadata"):
        with pytest.raises(Rejected) as rejected:
            await client.manage(method, load)
        assert (rejected.value.code, rejected.value.error_code) == (3, "IC0305")


async def test_a_snapshot_is_downloaded_and_uploaded_into_another_canister(client: Client) -> None:
    source, target = await client.install(KEEPER), await client.create()
    await client.update(source, "set", b"carried over")
    taken = await client.manage("take_canister_snapshot", {"canister_id": source})
    one = {"canister_id": source, "snapshot_id": taken["id"]}
    metadata = await client.manage("read_canister_snapshot_metadata", one)
    assert metadata["source"] == {"taken_from_canister": None}
    assert metadata["wasm_module_size"] == len(KEEPER)
    assert metadata["globals"] == [{"i32": len(b"carried over")}]
    kept = ("wasm_module_size", "globals", "wasm_memory_size", "stable_memory_size", "certified_data", "global_timer")
    made = await client.manage(
        "upload_canister_snapshot_metadata", {"canister_id": target, **{name: metadata[name] for name in kept}}
    )
    other = {"canister_id": target, "snapshot_id": made["snapshot_id"]}
    for kind, size in (("wasm_module", metadata["wasm_module_size"]), ("wasm_memory", metadata["wasm_memory_size"])):
        for offset in range(0, size, 50_000):
            part = {"offset": offset, "size": min(50_000, size - offset)}
            chunk = (await client.manage("read_canister_snapshot_data", {**one, "kind": {kind: part}}))["chunk"]
            await client.manage(
                "upload_canister_snapshot_data", {**other, "kind": {kind: {"offset": offset}}, "chunk": chunk}
            )
    await client.manage("load_canister_snapshot", other)
    assert await client.query(target, "get") == b"carried over"


async def test_reading_or_writing_outside_a_snapshot_is_refused(client: Client) -> None:
    canister_id = await client.install(KEEPER)
    taken = await client.manage("take_canister_snapshot", {"canister_id": canister_id})
    one: dict[str, Any] = {"canister_id": canister_id, "snapshot_id": taken["id"]}
    for part in ({"offset": 0, "size": 10**9}, {"offset": 1 << 63, "size": 5}, {"offset": 0, "size": 2_000_001}):
        with pytest.raises(Rejected) as rejected:
            await client.manage("read_canister_snapshot_data", {**one, "kind": {"wasm_memory": part}})
        assert rejected.value.error_code == "IC0408"
    with pytest.raises(Rejected) as rejected:
        kind = {"wasm_memory": {"offset": 0}}
        await client.manage("upload_canister_snapshot_data", {**one, "kind": kind, "chunk": b"x"})
    assert rejected.value.error_code == "IC0409"


def test_the_table_has_every_method_of_the_specification_but_those_refused() -> None:
    assert not set(METHODS) & set(UNAVAILABLE)
    assert types.CANISTER_STATUS is METHODS["canister_status"].result
