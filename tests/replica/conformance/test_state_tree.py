"""Interface Specification, "Request: Read state", "The system state tree" and "Certification"."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence

import pytest

from icmigrate.errors import CertificateError
from icmigrate.protocol import bls, cbor, certificate, envelope, hash_tree
from icmigrate.protocol.leb128 import decode_unsigned
from icmigrate.protocol.principal import MANAGEMENT_CANISTER, Principal
from icmigrate.replica.server import RunningReplica
from tests.replica.conformance.candid_types import encode
from tests.replica.conformance.program import Program
from tests.replica.conformance.test_modules import EMPTY, custom
from tests.replica.conformance.wire import Answer, Wire, wire_to
from tests.worlds.users import ABSENT, TRILLION, Canister, User

P = Program()
MODULE = EMPTY + custom("icp:public open", b"to all") + custom("icp:private closed", b"to controllers")


@pytest.fixture
async def owner(replica: RunningReplica, user: User) -> AsyncIterator[Wire]:
    async with wire_to(replica, user.agent.identity) as somebody:
        yield somebody


@pytest.fixture(scope="module")
async def target(user: User) -> Canister:
    return await user.install(module=MODULE)


def refused(answer: Answer) -> None:
    assert 400 <= answer.status < 500, (answer.status, answer.body)
    assert answer.content_type.startswith("text/plain")


# ------------------------------------------------------------------------------------------ certificates


async def test_a_certificate_is_signed_by_the_root_key_over_the_root_of_its_tree(wire: Wire, target: Canister) -> None:
    encoded = (await wire.read(target.id, [b"time"])).map["certificate"]
    content = cbor.loads(encoded)
    assert isinstance(content, dict) and set(content) == {"tree", "signature"}  # the root subnet delegates to nobody
    tree = hash_tree.from_cbor_value(content["tree"])
    signature = content["signature"]
    assert isinstance(signature, bytes) and len(signature) == 48
    bls.verify(wire.replica.root_key, b"\x0dic-state-root" + hash_tree.digest(tree), signature)
    for forged in (bytes([signature[0] ^ 1]) + signature[1:], bytes(48)):
        with pytest.raises(CertificateError):
            wire.verified(cbor.dumps({**content, "signature": forged}))


async def test_every_certificate_has_the_time_which_grows(wire: Wire, target: Canister) -> None:
    times = []
    for path in ([b"time"], [b"canister", target.id.bytes, b"module_hash"], [b"subnet"]):
        certified = wire.verified((await wire.read(target.id, path)).map["certificate"])
        leaf = certified.lookup("time")
        assert leaf is not None
        times.append(decode_unsigned(leaf))
    assert times == sorted(set(times))
    assert abs(times[-1] - time.time_ns()) < 60 * 10**9


async def test_labels_are_sorted_and_what_was_not_asked_for_is_pruned(wire: Wire, target: Canister) -> None:
    encoded = (await wire.read(target.id, [b"canister", target.id.bytes, b"module_hash"])).map["certificate"]
    content = cbor.loads(encoded)
    assert isinstance(content, dict)
    tree = hash_tree.from_cbor_value(content["tree"])
    labels = hash_tree.list_labels(tree)
    assert labels == sorted(labels)
    path = [b"canister", target.id.bytes]
    assert isinstance(hash_tree.lookup(tree, [*path, b"module_hash"]), hash_tree.Found)
    assert not isinstance(hash_tree.lookup(tree, [*path, b"controllers"]), hash_tree.Found)
    assert not isinstance(hash_tree.lookup(tree, [*path, b"certified_data"]), hash_tree.Found)


# ------------------------------------------------------------------------------------------ canisters


async def read_leaf(wire: Wire, canister_id: Principal, *path: bytes) -> bytes | None:
    certified = wire.verified((await wire.read(canister_id, path)).map["certificate"], canister_id)
    return certified.lookup(*path)


async def test_everybody_may_read_what_is_certified_about_a_canister(wire: Wire, user: User, target: Canister) -> None:
    path = (b"canister", target.id.bytes)
    status = await target.status()
    assert await read_leaf(wire, target.id, *path, b"module_hash") == status["module_hash"]
    encoded = await read_leaf(wire, target.id, *path, b"controllers")
    assert encoded is not None and encoded.startswith(b"\xd9\xd9\xf7")
    assert cbor.loads(encoded) == [user.principal.bytes]
    created = await read_leaf(wire, target.id, *path, b"canister_creation_timestamp")
    installed = await read_leaf(wire, target.id, *path, b"last_install_timestamp")
    assert created is not None and installed is not None
    assert decode_unsigned(created) < decode_unsigned(installed) < wire.replica.subnet.time_ns()


async def test_an_empty_canister_has_controllers_but_no_module(wire: Wire, user: User) -> None:
    empty = await user.create(controllers=[])
    path = (b"canister", empty.id.bytes)
    assert await read_leaf(wire, empty.id, *path, b"module_hash") is None
    assert await read_leaf(wire, empty.id, *path, b"last_install_timestamp") is None
    encoded = await read_leaf(wire, empty.id, *path, b"controllers")
    assert encoded is not None and cbor.loads(encoded) == []


async def test_an_absent_canister_is_proven_absent(wire: Wire) -> None:
    path = (b"canister", ABSENT.bytes, b"module_hash")
    content = cbor.loads((await wire.read(ABSENT, path)).map["certificate"])
    assert isinstance(content, dict)
    assert isinstance(hash_tree.lookup(hash_tree.from_cbor_value(content["tree"]), path), hash_tree.Absent)


async def test_private_metadata_is_for_controllers(wire: Wire, owner: Wire, target: Canister) -> None:
    path = (b"canister", target.id.bytes, b"metadata")
    for reader in (wire, owner):
        assert await read_leaf(reader, target.id, *path, b"open") == b"to all"
        assert await read_leaf(reader, target.id, *path, b"none") is None
    assert await read_leaf(owner, target.id, *path, b"closed") == b"to controllers"
    refused(await wire.read(target.id, [*path, b"closed"]))
    refused(await wire.read(target.id, [*path, b"open"], [*path, b"closed"]))
    refused(await wire.read(target.id, [*path, b"\xff"]))


# ------------------------------------------------------------------------------------------ request status


async def test_the_status_of_a_request_is_for_its_sender_under_its_effective_id(
    wire: Wire, owner: Wire, target: Canister, other: Canister
) -> None:
    content = owner.call_content(other.id, "run", P.reply(b"secret").code)
    await owner.call(content)
    path = [b"request_status", envelope.request_id(content)]
    read = await owner.read(other.id, path)
    assert owner.reply_in(owner.verified(read.map["certificate"]), path[1]) == b"secret"
    assert await read_leaf(owner, other.id, *path, b"reply") == b"secret"
    assert (await wire.read(other.id, path)).status == 403
    assert (await wire.read(other.id, [*path, b"reply"])).status == 403
    assert (await owner.read(target.id, path)).status == 403


async def test_an_unknown_request_is_absent_to_everybody(wire: Wire, target: Canister) -> None:
    path = (b"request_status", bytes(32), b"status")
    assert await read_leaf(wire, target.id, *path) is None


async def test_one_request_id_at_a_time_can_be_asked_for_and_has_32_bytes(wire: Wire, target: Canister) -> None:
    one, two = [b"request_status", bytes(32)], [b"request_status", b"\1" * 32]
    assert (await wire.read(target.id, one, [*one, b"reply"])).status == 200
    refused(await wire.read(target.id, one, two))
    for size in (0, 31, 33):
        refused(await wire.read(target.id, [b"request_status", bytes(size)]))


# ------------------------------------------------------------------------------------------ paths


def forbidden_paths(canister_id: bytes) -> dict[str, Sequence[bytes]]:
    return {
        "everything": [],
        "an unknown prefix": [b"secrets"],
        "all requests": [b"request_status"],
        "a part of a request that is none": [b"request_status", bytes(32), b"sender"],
        "all canisters": [b"canister"],
        "all of a canister": [b"canister", canister_id],
        "certified data": [b"canister", canister_id, b"certified_data"],
        "an unknown leaf": [b"canister", canister_id, b"cycles"],
        "another canister": [b"canister", ABSENT.bytes, b"module_hash"],
        "all metadata": [b"canister", canister_id, b"metadata"],
        "below a leaf": [b"canister", canister_id, b"module_hash", b"x"],
        "below the time": [b"time", b"x"],
        "too many labels": [b"x"] * 128,
    }


@pytest.mark.parametrize("kind", forbidden_paths(b""))
async def test_some_paths_cannot_be_requested(wire: Wire, target: Canister, kind: str) -> None:
    path = forbidden_paths(target.id.bytes)[kind]
    for version in (2, 3):
        refused(await wire.read(target.id, path, version=version))
        refused(await wire.read(target.id, [b"time"], path, version=version))


async def test_1000_paths_at_most_can_be_asked_for(wire: Wire, target: Canister) -> None:
    assert (await wire.read(target.id, *[[b"time"]] * 1000)).status == 200
    refused(await wire.read(target.id, *[[b"time"]] * 1001))


async def test_no_path_is_the_time_alone(wire: Wire, target: Canister) -> None:
    answer = await wire.read(target.id)
    assert wire.verified(answer.map["certificate"]).lookup("time") is not None


# ------------------------------------------------------------------------------------------ the subnet


async def test_the_subnet_tells_its_ranges_key_type_and_nodes(wire: Wire, target: Canister) -> None:
    subnet = wire.replica.keys.subnet_id
    body = wire.sign(wire.read_content([b"subnet"]))
    for url in (
        f"/api/v2/canister/{target.id}/read_state",
        f"/api/v3/canister/{target.id}/read_state",
        f"/api/v2/subnet/{subnet}/read_state",
        f"/api/v3/subnet/{subnet}/read_state",
    ):
        certified = wire.verified((await wire.post(url, body)).map["certificate"])
        path = ("subnet", subnet.bytes)
        assert certified.lookup(*path, "public_key") == wire.replica.root_key
        encoded = certified.lookup(*path, "canister_ranges")
        assert encoded is not None and encoded.startswith(b"\xd9\xd9\xf7")
        ranges = certificate.parse_canister_ranges(encoded)
        assert any(first <= target.id.bytes <= last for first, last in ranges)
        assert certified.lookup(*path, "type") in (None, b"application", b"system", b"verified_application")
        (node,) = certified.labels(*path, "node")
        assert certified.lookup(*path, "node", node, "public_key") is not None


async def test_the_sharded_ranges_and_the_metrics_are_for_the_subnet_endpoint(wire: Wire, target: Canister) -> None:
    subnet = wire.replica.keys.subnet_id
    for path in ([b"canister_ranges", subnet.bytes], [b"subnet", subnet.bytes, b"metrics"]):
        refused(await wire.read(target.id, path))
        body = wire.sign(wire.read_content(path))
        certified = wire.verified((await wire.post(f"/api/v3/subnet/{subnet}/read_state", body)).map["certificate"])
        if path[0] == b"canister_ranges":
            (first,) = certified.labels("canister_ranges", subnet.bytes)
            encoded = certified.lookup("canister_ranges", subnet.bytes, first)
            assert encoded is not None
            assert certificate.parse_canister_ranges(encoded)[0][0] == first
        else:
            encoded = certified.lookup(*path)
            assert encoded is not None
            metrics = cbor.loads(encoded)
            assert isinstance(metrics, dict)


async def metrics(wire: Wire) -> dict[str, int]:
    subnet = wire.replica.keys.subnet_id
    path = [b"subnet", subnet.bytes, b"metrics"]
    answer = await wire.post(f"/api/v3/subnet/{subnet}/read_state", wire.sign(wire.read_content(path)))
    encoded = wire.verified(answer.map["certificate"]).lookup(*path)
    assert encoded is not None and encoded.startswith(b"\xd9\xd9\xf7")
    read = cbor.loads(encoded)
    assert isinstance(read, dict)
    consumed = read["consumed_cycles_total"]
    return {**read, "consumed_cycles_total": consumed["low"] + (consumed["high"] << 64)}


async def test_the_metrics_count_canisters_bytes_cycles_and_messages(wire: Wire, user: User) -> None:
    before = await metrics(wire)
    first, second = await user.install(), await user.install(cycles=5 * TRILLION)
    await first.update(P.call(second.id, P.reply().code, on_reply=P.reply()))
    during = await metrics(wire)
    assert during["num_canisters"] == before["num_canisters"] + 2
    size = sum([(await canister.status())["memory_size"] for canister in (first, second)])
    assert during["canister_state_bytes"] - before["canister_state_bytes"] == size
    # Two creations and two installations, then a call, which makes a call, which is answered.
    assert during["update_transactions_total"] == before["update_transactions_total"] + 4 + 3
    assert 0 < during["consumed_cycles_total"] - before["consumed_cycles_total"] < TRILLION
    await second.stop()
    await second.manage("delete_canister")
    after = await metrics(wire)
    assert after["num_canisters"] == before["num_canisters"] + 1
    total = after["consumed_cycles_total"] - before["consumed_cycles_total"]
    assert 5 * TRILLION < total < 6 * TRILLION  # what a deleted canister had left counts as consumed


async def test_the_flat_ranges_of_other_subnets_are_for_v2(wire: Wire, target: Canister) -> None:
    own, other = wire.replica.keys.subnet_id, Principal(bytes(28) + b"\2")
    for place in (f"canister/{target.id}", f"subnet/{own}"):
        for version, subnet, status in ((2, own, 200), (2, other, 200), (3, own, 200), (3, other, 404)):
            body = wire.sign(wire.read_content([b"subnet", subnet.bytes, b"canister_ranges"]))
            assert (await wire.post(f"/api/v{version}/{place}/read_state", body)).status == status


async def test_the_management_canister_is_no_canister_to_read_but_requests_may_go_to_it(wire: Wire) -> None:
    refused(await wire.read(MANAGEMENT_CANISTER, [b"time"]))
    refused(await wire.read(MANAGEMENT_CANISTER))
    create = "provisional_create_canister_with_cycles"
    content = wire.call_content(MANAGEMENT_CANISTER, create, encode(create, {}))
    assert (await wire.call(content, effective=MANAGEMENT_CANISTER)).status == 200
    read = await wire.read(MANAGEMENT_CANISTER, [b"request_status", envelope.request_id(content)])
    wire.reply_in(wire.verified(read.map["certificate"]), envelope.request_id(content))


async def test_another_subnet_is_not_here(wire: Wire) -> None:
    body = wire.sign(wire.read_content([b"time"]))
    elsewhere = Principal(bytes(28) + b"\2")
    refused(await wire.post(f"/api/v3/subnet/{elsewhere}/read_state", body))


async def test_there_are_no_api_boundary_nodes_but_one_may_ask(wire: Wire, target: Canister) -> None:
    for path in ([b"api_boundary_nodes"], [b"api_boundary_nodes", bytes(29), b"domain"]):
        assert (await wire.read(target.id, path)).status == 200
