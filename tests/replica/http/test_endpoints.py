"""Interface Specification, "HTTPS Interface": requests that are answered, and requests that are refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from icmigrate.protocol import candid, cbor, envelope
from icmigrate.protocol.hash_of_map import hash_of_map
from icmigrate.protocol.identity import (
    AnonymousIdentity,
    DelegatedIdentity,
    Ed25519Identity,
    Identity,
    Prime256v1Identity,
    Secp256k1Identity,
)
from icmigrate.protocol.principal import MANAGEMENT_CANISTER, Principal
from icmigrate.protocol.signature import verify_signature
from icmigrate.replica.certification.certifier import RESPONSE_DOMAIN
from icmigrate.replica.management import candid_types as types
from tests.replica.http.canisters import CHOOSY, KEEPER
from tests.replica.http.client import MINUTE, Answer, Client, Rejected


async def test_status_tells_the_root_key(client: Client) -> None:
    answer = await client.get("/api/v2/status")
    assert answer.headers["Content-Type"] == "application/cbor"
    status = answer.cbor()
    assert status["root_key"] == client.running.root_key and len(status["root_key"]) == 133
    assert status["replica_health_status"] == "healthy"


@pytest.mark.parametrize(
    "identity",
    [AnonymousIdentity(), Ed25519Identity.generate(), Secp256k1Identity.generate(), Prime256v1Identity.generate()],
    ids=lambda identity: type(identity).__name__,
)
async def test_every_kind_of_key_signs_calls_and_queries(client: Client, identity: Identity) -> None:
    keeper = await client.install(KEEPER)
    user = client.as_user(identity)
    for version in (3, 4):
        await user.update(keeper, "set", b"from me %d" % version, version=version)
        assert await user.query(keeper, "get") == b"from me %d" % version
    assert await user.query(keeper, "caller") == identity.sender().bytes


async def test_an_asynchronous_call_is_polled_for(client: Client) -> None:
    keeper = await client.install(KEEPER)
    content = client.call_content(keeper, "set", b"later")
    request_id = envelope.request_id(content)
    answer = await client.post(f"/api/v2/canister/{keeper.to_str()}/call", envelope.sign(content, client.identity))
    assert (answer.status, answer.body) == (202, b"")
    await client.running.subnet.wait(request_id, 10)
    for version in (2, 3):
        certified = await client.read_state(keeper, [b"request_status", request_id], version=version)
        assert client.reply(certified, request_id) == b""


async def test_the_same_request_is_executed_once_and_answered_always(client: Client) -> None:
    keeper = await client.install(KEEPER)
    content = client.call_content(keeper, "set", b"once")
    signed = envelope.sign(content, client.identity)
    path = f"/api/v4/canister/{keeper.to_str()}/call"
    before = (await client.manage("canister_status", {"canister_id": keeper}))["version"]
    answers = await asyncio.gather(*(client.post(path, signed) for _ in range(8)))
    answers.append(await client.post(path, signed))
    request_id = envelope.request_id(content)
    assert [client.outcome(answer.cbor(), request_id) for answer in answers] == [b""] * 9
    after = (await client.manage("canister_status", {"canister_id": keeper}))["version"]
    assert after == before + 1


@pytest.mark.parametrize(
    ("method", "code", "error_code", "text"),
    [
        ("fail", 5, "IC0503", "why"),
        ("refuse", 4, "IC0406", "why"),
        ("silent", 5, "IC0506", "did not reply"),
        ("nowhere", 5, "IC0536", "has no update method 'nowhere'"),
    ],
)
async def test_a_call_that_fails_is_rejected_by_certificate(
    client: Client, method: str, code: int, error_code: str, text: str
) -> None:
    keeper = await client.install(KEEPER)
    with pytest.raises(Rejected) as rejected:
        await client.update(keeper, method, b"why")
    assert (rejected.value.code, rejected.value.error_code, rejected.value.certified) == (code, error_code, True)
    assert text in rejected.value.message


async def test_what_the_ingress_filter_refuses_is_rejected_without_certificate(client: Client) -> None:
    empty, choosy = await client.create(), await client.install(CHOOSY)
    stopped = await client.install(KEEPER)
    await client.manage("stop_canister", {"canister_id": stopped})
    absent = Principal((1 << 60).to_bytes(8, "big") + b"\x01\x01")
    refusals = {}
    for canister in (empty, choosy, stopped, absent):
        with pytest.raises(Rejected) as rejected:
            await client.update(canister, "knock", b"")
        refusals[canister] = (rejected.value.code, rejected.value.error_code, rejected.value.certified)
    assert refusals == {
        empty: (5, "IC0537", False),
        choosy: (4, "IC0406", False),
        stopped: (5, "IC0508", False),
        absent: (3, "IC0301", False),
    }
    assert await client.update(choosy, "knock", b"let me in") == b""


async def test_an_asynchronous_call_tells_a_refusal_as_well(client: Client) -> None:
    empty = await client.create()
    signed = envelope.sign(client.call_content(empty, "any", b""), client.identity)
    answer = await client.post(f"/api/v2/canister/{empty.to_str()}/call", signed)
    assert answer.status == 200
    assert (answer.cbor()["reject_code"], answer.cbor()["error_code"]) == (5, "IC0537")


async def test_a_query_leaves_no_trace_and_is_signed_by_the_node(client: Client) -> None:
    keeper = await client.install(KEEPER)
    for method, arg in (("get", b""), ("nowhere", b"")):
        content = client.content("query", canister_id=keeper.bytes, method_name=method, arg=arg)
        signed = envelope.sign(content, client.identity)
        for version in (2, 3):
            answer = (await client.post(f"/api/v{version}/canister/{keeper.to_str()}/query", signed)).cbor()
            await assert_signed_by_node(client, keeper, answer, envelope.request_id(content))


async def assert_signed_by_node(client: Client, keeper: Principal, answer: dict[str, Any], request_id: bytes) -> None:
    subnet_id = client.running.keys.subnet_id
    certified = await client.read_state(keeper, [b"subnet"])
    (signature,) = answer.pop("signatures")
    key = certified.lookup("subnet", subnet_id.bytes, "node", signature["identity"], "public_key")
    assert key is not None and len(key) == 44
    signed = hash_of_map({**answer, "timestamp": signature["timestamp"], "request_id": request_id})
    assert verify_signature(key, signature["signature"], RESPONSE_DOMAIN + signed)


async def test_read_state_of_the_subnet_names_ranges_and_node(client: Client) -> None:
    subnet_id = client.running.keys.subnet_id
    for path in (
        f"/api/v3/canister/{MANAGEMENT_CANISTER.to_str()}",
        f"/api/v3/subnet/{subnet_id.to_str()}",
        f"/api/v2/subnet/{subnet_id.to_str()}",
    ):
        answer = await client.post(f"{path}/read_state", client.read_request([b"subnet"]))
        certified = client.verified(answer.cbor()["certificate"])
        ranges = certified.lookup("subnet", subnet_id.bytes, "canister_ranges")
        assert ranges is not None and cbor.loads(ranges) == [[bytes(8) + b"\1\1", b"\xff" * 8 + b"\1\1"]]
        assert certified.labels("subnet", subnet_id.bytes, "node") == [client.running.keys.node_id.bytes]


async def test_read_state_of_a_canister_is_certified(client: Client) -> None:
    keeper = await client.install(KEEPER)
    leaves = [[b"canister", keeper.bytes, leaf] for leaf in (b"module_hash", b"controllers")]
    certified = await client.read_state(keeper, *leaves)
    status = await client.manage("canister_status", {"canister_id": keeper})
    assert certified.lookup(*leaves[0]) == status["module_hash"][0]
    controllers = certified.lookup(*leaves[1])
    assert controllers is not None and cbor.loads(controllers) == [client.principal.bytes]
    empty = await client.create()
    assert (await client.read_state(empty, [b"canister", empty.bytes, b"module_hash"])).lookup(
        "canister", empty.bytes, "module_hash"
    ) is None


async def test_another_user_cannot_read_the_status_of_a_request(client: Client) -> None:
    keeper = await client.install(KEEPER)
    content = client.call_content(keeper, "set", b"secret")
    path = f"/api/v4/canister/{keeper.to_str()}/call"
    await client.post(path, envelope.sign(content, client.identity))
    request = [b"request_status", envelope.request_id(content)]
    answer = await client.as_user().post(
        f"/api/v3/canister/{keeper.to_str()}/read_state", client.as_user().read_request(request)
    )
    assert answer.status == 403


# ------------------------------------------------------------------------------------- delegations


async def test_a_delegated_key_acts_for_its_owner(client: Client) -> None:
    keeper = await client.install(KEEPER)
    owner = Prime256v1Identity.generate()
    expiration = time.time_ns() + 10 * MINUTE
    session = DelegatedIdentity.delegate(owner, Ed25519Identity.generate(), expiration_ns=expiration)
    assert await client.as_user(session).query(keeper, "caller") == owner.sender().bytes


@pytest.mark.parametrize("fault", ["expired", "other target", "queries only"])
async def test_a_delegation_that_does_not_cover_a_call_is_refused(client: Client, fault: str) -> None:
    keeper = await client.install(KEEPER)
    expiration = time.time_ns() + (-MINUTE if fault == "expired" else MINUTE)
    restrictions: dict[str, dict[str, Any]] = {
        "expired": {},
        "other target": {"targets": [Principal(b"\x05")]},
        "queries only": {"permissions": "queries"},
    }
    session = DelegatedIdentity.delegate(
        Ed25519Identity.generate(), Ed25519Identity.generate(), expiration_ns=expiration, **restrictions[fault]
    )
    content = client.as_user(session).call_content(keeper, "set", b"")
    answer = await client.post(f"/api/v4/canister/{keeper.to_str()}/call", envelope.sign(content, session))
    assert answer.status == 400


# --------------------------------------------------------------------------------- malformed requests


def tampered(signed: bytes, **changes: object) -> bytes:
    """A signed envelope with fields of its content replaced, or removed where None."""
    outer = cbor.loads(signed)
    assert isinstance(outer, dict)
    content = {**outer["content"], **changes}
    return cbor.dumps({**outer, "content": {name: value for name, value in content.items() if value is not None}})


# fmt: off
FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "not CBOR": lambda signed: b"hello",
    "nothing": lambda signed: b"",
    "truncated": lambda signed: signed[:-5],
    "trailing bytes": lambda signed: signed + b"\0",
    "not a map": lambda signed: cbor.dumps([1, 2]),
    "no content": lambda signed: cbor.dumps({}),
    "deep": lambda signed: b"\x81" * 100_000,
    "another tag": lambda signed: b"\xc1" + signed[3:],
    "tampered argument": lambda signed: tampered(signed, arg=b"other"),
    "another sender": lambda signed: tampered(signed, sender=b"\x07\x02"),
    "sender left out": lambda signed: tampered(signed, sender=None),
    "method left out": lambda signed: tampered(signed, method_name=None),
    "method not text": lambda signed: tampered(signed, method_name=b"set"),
    "argument a number": lambda signed: tampered(signed, arg=5),
    "no expiry": lambda signed: tampered(signed, ingress_expiry=None),
    "expiry a text": lambda signed: tampered(signed, ingress_expiry="now"),
    "expiry negative": lambda signed: tampered(signed, ingress_expiry=-1),
    "long nonce": lambda signed: tampered(signed, nonce=bytes(33)),
    "another request type": lambda signed: tampered(signed, request_type="query"),
    "long canister id": lambda signed: tampered(signed, canister_id=bytes(30)),
    "no signature": lambda signed: cbor.dumps({"content": cbor.loads(signed)["content"]}),  # type: ignore[index]
}
# fmt: on


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_malformed_request_is_answered_with_400_and_a_line_of_text(client: Client, fault: str) -> None:
    keeper = await shared_keeper(client)
    signed = envelope.sign(client.call_content(keeper, "set", b"x"), client.identity)
    answer = await client.post(f"/api/v4/canister/{keeper.to_str()}/call", FAULTS[fault](signed))
    assert_refused(answer, 400)


_KEEPERS: dict[int, Principal] = {}


async def shared_keeper(client: Client) -> Principal:
    """One keeper for all tests that do not change it."""
    port = client.running.port
    if port not in _KEEPERS:
        _KEEPERS[port] = await client.install(KEEPER)
    return _KEEPERS[port]


def assert_refused(answer: Answer, status: int) -> None:
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert b"Traceback" not in answer.body and len(answer.body) < 2000


@pytest.mark.parametrize("minutes", [-1, 7])
@pytest.mark.parametrize("kind", ["call", "query", "read_state"])
async def test_an_expiry_outside_the_window_is_refused_in_the_words_that_clients_look_for(
    client: Client, minutes: int, kind: str
) -> None:
    keeper = await shared_keeper(client)
    expiry = time.time_ns() + minutes * MINUTE
    fields: dict[str, object] = {"canister_id": keeper.bytes, "method_name": "get", "arg": b""}
    content = client.content(
        kind, ingress_expiry=expiry, **(fields if kind != "read_state" else {"paths": [[b"time"]]})
    )
    answer = await client.post(f"/api/v3/canister/{keeper.to_str()}/{kind}", envelope.sign(content, client.identity))
    assert_refused(answer, 400)
    assert b"Invalid request expiry: " in answer.body


async def test_anonymous_reading_may_carry_any_expiry(client: Client) -> None:
    keeper = await shared_keeper(client)
    user = client.anonymous()
    content = user.content("query", canister_id=keeper.bytes, method_name="get", arg=b"", ingress_expiry=0)
    answer = await client.post(f"/api/v3/canister/{keeper.to_str()}/query", envelope.sign(content, user.identity))
    assert answer.cbor()["status"] == "replied"


async def test_the_effective_canister_id_has_to_be_the_right_one(client: Client) -> None:
    keeper, other = await shared_keeper(client), await client.create()
    signed = envelope.sign(client.call_content(keeper, "set", b""), client.identity)
    assert_refused(await client.post(f"/api/v4/canister/{other.to_str()}/call", signed), 400)
    with pytest.raises(AssertionError, match="does not match effective canister id"):
        await client.update(MANAGEMENT_CANISTER, "start_canister", other_argument(keeper), effective=other)
    for name in ("no-principal", client.principal.to_str()):
        assert_refused(await client.post(f"/api/v4/canister/{name}/call", signed), 400)


def other_argument(canister_id: Principal) -> bytes:
    return candid.encode([types.CANISTER], [{"canister_id": canister_id}])


async def test_sizes_are_limited(client: Client) -> None:
    keeper = await shared_keeper(client)
    path = f"/api/v4/canister/{keeper.to_str()}/call"
    for size, status in ((1_900_000, 200), (2 << 20, 413), (5 << 20, 413)):
        signed = envelope.sign(client.call_content(keeper, "nowhere", bytes(size)), client.identity)
        answer = await client.post(path, signed)
        assert answer.status == status, (size, answer.body[:100])


async def test_other_paths_methods_and_content_types_are_refused(client: Client) -> None:
    keeper = await shared_keeper(client)
    signed = envelope.sign(client.call_content(keeper, "set", b""), client.identity)
    assert_refused(await client.post(f"/api/v1/canister/{keeper.to_str()}/call", signed), 404)
    assert_refused(await client.post("/api/v2/nothing", signed), 404)
    assert_refused(await client.post(f"/api/v4/canister/{keeper.to_str()}/call", signed, "text/plain"), 400)


async def test_a_call_at_the_subnet_endpoint_creates_canisters_and_nothing_else(client: Client) -> None:
    subnet = client.running.keys.subnet_id.to_str()
    keeper = await shared_keeper(client)
    arg = b"DIDL\x01\x6c\x00\x01\x00"
    content = client.call_content(MANAGEMENT_CANISTER, "provisional_create_canister_with_cycles", arg)
    answer = await client.post(f"/api/v4/subnet/{subnet}/call", envelope.sign(content, client.identity))
    assert client.outcome(answer.cbor(), envelope.request_id(content)).startswith(b"DIDL")
    other = envelope.sign(client.call_content(keeper, "set", b""), client.identity)
    assert_refused(await client.post(f"/api/v4/subnet/{subnet}/call", other), 400)


async def test_200_updates_and_200_queries_at_once_are_all_answered(client: Client) -> None:
    keepers = [await client.install(KEEPER) for _ in range(4)]
    updates = [client.update(keepers[n % 4], "set", b"%d" % n) for n in range(200)]
    queries = [client.query(keepers[n % 4], "get") for n in range(200)]
    answers = await asyncio.gather(*updates, *queries)
    assert answers[:200] == [b""] * 200 and len(answers) == 400


async def test_pages_of_this_machine_may_use_the_interface(client: Client) -> None:
    page = "http://localhost:5173"
    answer = await client.get("/api/v2/status", method="OPTIONS", headers={"Origin": page})
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, page)
