"""Interface Specification, "HTTPS Interface": envelopes, authentication, request ids, calls and their status."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key

from icmigrate.errors import CanisterReject
from icmigrate.protocol import cbor, envelope
from icmigrate.protocol.hash_of_map import hash_of_map
from icmigrate.protocol.identity import (
    AnonymousIdentity,
    DelegatedIdentity,
    Ed25519Identity,
    Identity,
    Prime256v1Identity,
    Secp256k1Identity,
)
from icmigrate.protocol.principal import ANONYMOUS, MANAGEMENT_CANISTER, Principal
from icmigrate.replica.server import RunningReplica
from tests.protocol.passkeys import EdDsaPasskey, Es256Passkey, Rs256Passkey
from tests.replica.conformance.candid_types import encode
from tests.replica.conformance.program import Program
from tests.replica.conformance.wire import MINUTE, Wire, outside, refused, wire_to
from tests.worlds.users import ABSENT, Canister, user_of

P = Program()
CALLER = P.reply(P.msg_caller()).code
SECOND = 10**9


# ------------------------------------------------------------------------------------------ request ids


def test_the_specifications_example_has_its_request_id() -> None:
    content = {
        "request_type": "call",
        "sender": b"\x04",
        "ingress_expiry": 1685570400000000000,
        "canister_id": b"\x00\x00\x00\x00\x00\x00\x04\xd2",
        "method_name": "hello",
        "arg": b"DIDL\x00\xfd*",
    }
    expected = "1d1091364d6bb8a6c16b203ee75467d59ead468f523eb058880ae8ec80e2b101"
    assert envelope.request_id(content).hex() == expected


async def test_fields_that_are_not_specified_are_part_of_the_request_id(wire: Wire, target: Canister) -> None:
    content = wire.call_content(target.id, "run", CALLER, extra={"a": [1, b"x", "y"], "b": {}})
    assert wire.outcome(await wire.call(content), content) == wire.sender.bytes


async def test_the_same_request_is_executed_once_whoever_sends_it_and_how_often(wire: Wire, canister: Canister) -> None:
    content = wire.call_content(canister.id, "run", P.append(b"x").reply(P.get()).code)
    answers = await asyncio.gather(*(wire.call(content) for _ in range(8)))
    answers.append(await wire.call(content))
    assert {wire.outcome(answer, content) for answer in answers} == {b"x"}
    assert await canister.remembered() == b"x"


async def test_a_nonce_makes_a_request_another(wire: Wire, canister: Canister) -> None:
    first = wire.call_content(canister.id, "run", P.append(b"x").reply(P.get()).code, nonce=b"1")
    for nonce, reply in ((b"1", b"x"), (b"2", b"xx"), (b"", b"xxx"), (bytes(32), b"xxxx")):
        content = {**first, "nonce": nonce}
        assert wire.outcome(await wire.call(content), content) == reply
    refused(await wire.call({**first, "nonce": bytes(33)}))


# ------------------------------------------------------------------------------------------ forms

HEADER = b"\xd9\xd9\xf7"


async def test_the_tag_may_be_left_out_of_a_request(wire: Wire, target: Canister) -> None:
    content = wire.query_content(target.id, "run_query", CALLER)
    signed = wire.sign(content)
    for body in (signed, signed.removeprefix(HEADER)):
        answer = await wire.post(f"/api/v3/canister/{target.id}/query", body)
        assert answer.map["reply"]["arg"] == wire.sender.bytes


async def test_every_answer_in_cbor_says_so_and_is_tagged(wire: Wire, target: Canister) -> None:
    call = await wire.call(wire.call_content(target.id, "run", CALLER))
    query = await wire.query(wire.query_content(target.id, "run_query", CALLER))
    read = await wire.read(target.id, [b"time"])
    status = await wire.get("/api/v2/status")
    for answer in (call, query, read, status):
        assert (answer.status, answer.content_type) == (200, "application/cbor")
        assert answer.body.startswith(HEADER)
    assert call.map["certificate"].startswith(HEADER)
    assert read.map["certificate"].startswith(HEADER)


async def test_the_status_endpoint_gives_the_root_key(wire: Wire) -> None:
    status = (await wire.get("/api/v2/status")).map
    assert status["root_key"] == wire.replica.root_key and len(status["root_key"]) == 133


def changed(signed: bytes, **changes: object) -> bytes:
    """The envelope with some content replaced after it was signed; None takes a field away."""
    outer = cbor.loads(signed)
    assert isinstance(outer, dict)
    content = {**outer["content"], **changes}
    return cbor.dumps({**outer, "content": {name: value for name, value in content.items() if value is not None}})


def with_bignum(signed: bytes) -> bytes:
    """The envelope with 2**64, as a bignum, for its expiry."""
    outer = cbor.loads(signed)
    assert isinstance(outer, dict)
    expiry = b"\x1b" + int(outer["content"]["ingress_expiry"]).to_bytes(8, "big")
    assert expiry in signed
    return signed.replace(expiry, b"\xc2\x49\x01" + bytes(8))


MALFORMED: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda signed: b"",
    "no CBOR": lambda signed: b"<html>",
    "cut off": lambda signed: signed[:-1],
    "more behind it": lambda signed: signed + b"\0",
    "another tag": lambda signed: b"\xd9\xd9\xf8" + signed[3:],
    "an array": lambda signed: cbor.dumps([cbor.loads(signed)]),
    "deeply nested": lambda signed: b"\x81" * 50_000,
    "a length beyond the end": lambda signed: b"\xd9\xd9\xf7\xbb" + b"\xff" * 8,
    "no content": lambda signed: outside(signed, content=None),
    "content a text": lambda signed: outside(signed, content="x"),
    "no signature": lambda signed: outside(signed, sender_sig=None),
    "no key": lambda signed: outside(signed, sender_pubkey=None),
    "neither": lambda signed: outside(signed, sender_sig=None, sender_pubkey=None),
    "another signature": lambda signed: outside(signed, sender_sig=bytes(64)),
    "an empty signature": lambda signed: outside(signed, sender_sig=b""),
    "another key": lambda signed: outside(signed, sender_pubkey=Ed25519Identity.generate().public_key_der()),
    "a key that is none": lambda signed: outside(signed, sender_pubkey=b"key"),
    "another argument": lambda signed: changed(signed, arg=b"other"),
    "another method": lambda signed: changed(signed, method_name="other"),
    "a nonce added": lambda signed: changed(signed, nonce=b"n"),
    "another sender": lambda signed: changed(signed, sender=Ed25519Identity.generate().sender().bytes),
    "an anonymous sender with a signature": lambda signed: changed(signed, sender=b"\4"),
    "no sender": lambda signed: changed(signed, sender=None),
    "a sender too long": lambda signed: changed(signed, sender=bytes(30)),
    "no expiry": lambda signed: changed(signed, ingress_expiry=None),
    "an expiry in text": lambda signed: changed(signed, ingress_expiry="1"),
    "an expiry of 65 bits": lambda signed: with_bignum(signed),
    "no canister": lambda signed: changed(signed, canister_id=None),
    "a canister in text": lambda signed: changed(signed, canister_id="aaaaa-aa"),
    "no method": lambda signed: changed(signed, method_name=None),
    "no argument": lambda signed: changed(signed, arg=None),
    "another type": lambda signed: changed(signed, request_type="read_state"),
    "an unknown type": lambda signed: changed(signed, request_type="create"),
    "no type": lambda signed: changed(signed, request_type=None),
}  # fmt: skip


@pytest.mark.parametrize("kind", MALFORMED)
@pytest.mark.parametrize("endpoint", ["v2/call", "v3/call", "v4/call", "v2/query", "v3/query"])
async def test_a_request_of_the_wrong_form_is_refused(wire: Wire, target: Canister, endpoint: str, kind: str) -> None:
    version, request = endpoint.split("/")
    make = wire.call_content if request == "call" else wire.query_content
    signed = wire.sign(make(target.id, "run_query", CALLER))
    refused(await wire.post(f"/api/{version}/canister/{target.id}/{request}", MALFORMED[kind](signed)))


async def test_duplicate_keys_are_prohibited(wire: Wire, target: Canister) -> None:
    signed = wire.sign(wire.query_content(target.id, "run_query", CALLER)).removeprefix(HEADER)
    (count,) = signed[:1]
    doubled = bytes([count + 1]) + b"\x67content\xa0" + signed[1:]
    refused(await wire.post(f"/api/v3/canister/{target.id}/query", doubled))


# ------------------------------------------------------------------------------------------ effective ids


async def test_the_url_has_to_name_the_canister_that_is_called(wire: Wire, target: Canister, other: Canister) -> None:
    refused(await wire.call(wire.call_content(target.id, "run", CALLER), effective=other.id))
    refused(await wire.query(wire.query_content(target.id, "run_query", CALLER), effective=other.id))
    signed = wire.sign(wire.call_content(target.id, "run", CALLER))
    for name in ("x", "aaaaa", "rwlgt-iiaaa-aaaaa-aaaaa-ca", str(target.id).upper() + "A"):
        refused(await wire.post(f"/api/v4/canister/{name}/call", signed))


async def test_a_management_call_goes_to_the_canister_it_manages(wire: Wire, target: Canister, other: Canister) -> None:
    argument = encode("canister_status", {"canister_id": target.id})
    content = wire.call_content(MANAGEMENT_CANISTER, "canister_status", argument)
    refused(await wire.call(content, effective=other.id))
    refused(await wire.call(content, effective=MANAGEMENT_CANISTER))
    content = wire.call_content(
        MANAGEMENT_CANISTER,
        "provisional_create_canister_with_cycles",
        encode("provisional_create_canister_with_cycles"),
    )
    for effective in (MANAGEMENT_CANISTER, target.id, ABSENT):
        assert (await wire.call({**content, "nonce": os.urandom(8)}, effective=effective)).map["status"] == "replied"


@pytest.mark.parametrize("method", ["raw_rand", "canister_status", "deposit_cycles", "nowhere"])
async def test_the_url_has_to_name_a_canister_unless_one_is_created(wire: Wire, target: Canister, method: str) -> None:
    argument = encode("canister_status", {"canister_id": target.id})
    for version in (2, 3, 4):
        content = wire.call_content(MANAGEMENT_CANISTER, method, argument)
        refused(await wire.call(content, effective=MANAGEMENT_CANISTER, version=version))
    for version in (2, 3):
        content = wire.query_content(MANAGEMENT_CANISTER, method, argument)
        refused(await wire.query(content, effective=MANAGEMENT_CANISTER, version=version))


@pytest.mark.parametrize("identifier", [b"foobar", bytes(8) + b"\1\1\1", bytes(28) + b"\2", b"\4"])
async def test_an_id_outside_of_the_canister_ranges_is_not_hosted(wire: Wire, identifier: bytes) -> None:
    elsewhere = Principal(identifier)
    refused(await wire.call(wire.call_content(elsewhere, "run", CALLER)))
    refused(await wire.query(wire.query_content(elsewhere, "run_query", CALLER)))
    refused(await wire.read(elsewhere, [b"time"]))


# ------------------------------------------------------------------------------------------ expiry


@pytest.mark.parametrize("seconds", [-3600, -1, 7 * 60, 3600])
@pytest.mark.parametrize("request_type", ["call", "query", "read_state"])
async def test_a_request_expires_and_not_too_late(
    wire: Wire, target: Canister, request_type: str, seconds: int
) -> None:
    expiry = wire.replica.subnet.time_ns() + seconds * SECOND
    fields: dict[str, Any] = {"canister_id": target.id.bytes, "method_name": "run_query", "arg": CALLER}
    if request_type == "read_state":
        fields = {"paths": [[b"time"]]}
    content = wire.content(request_type, **fields, ingress_expiry=expiry)
    answer = await wire.post(f"/api/v3/canister/{target.id}/{request_type}", wire.sign(content))
    assert "Invalid request expiry: " in refused(answer)


@pytest.mark.parametrize("seconds", [1, 60, 5 * 60])
async def test_an_expiry_in_the_next_five_minutes_is_accepted(wire: Wire, target: Canister, seconds: int) -> None:
    expiry = wire.replica.subnet.time_ns() + seconds * SECOND
    content = wire.call_content(target.id, "run", CALLER, ingress_expiry=expiry)
    assert wire.outcome(await wire.call(content), content) == wire.sender.bytes


async def test_anonymous_reading_may_carry_any_expiry_but_not_anonymous_calls(wire: Wire, target: Canister) -> None:
    nobody = wire.used_by(AnonymousIdentity())
    for expiry in (0, (1 << 64) - 1):
        query = await nobody.query(nobody.query_content(target.id, "run_query", CALLER, ingress_expiry=expiry))
        assert query.map["reply"]["arg"] == ANONYMOUS.bytes
        body = nobody.sign(nobody.read_content([b"time"], ingress_expiry=expiry))
        assert (await nobody.post(f"/api/v3/canister/{target.id}/read_state", body)).status == 200
        content = nobody.call_content(target.id, "run", CALLER, ingress_expiry=expiry)
        assert "Invalid request expiry: " in refused(await nobody.call(content))


async def test_an_expired_request_id_is_forgotten_but_cannot_be_replayed(
    replica_of_its_own: RunningReplica,
) -> None:
    async with user_of(replica_of_its_own) as user, wire_to(replica_of_its_own) as wire:
        canister = await user.install()
        content = wire.call_content(canister.id, "run", P.append(b"x").reply(P.get()).code)
        assert wire.outcome(await wire.call(content), content) == b"x"
        replica_of_its_own.clock.advance(3600)
        assert "Invalid request expiry: " in refused(await wire.call(content))


# ------------------------------------------------------------------------------------------ signatures

KEYS: dict[str, Callable[[], Identity]] = {
    "Ed25519": Ed25519Identity.generate,
    "ECDSA on P-256": Prime256v1Identity.generate,
    "ECDSA on secp256k1": Secp256k1Identity.generate,
    "Web authentication with ECDSA": Es256Passkey,
    "Web authentication with RSA": Rs256Passkey,
    "Web authentication with Ed25519": EdDsaPasskey,
}


@pytest.mark.parametrize("scheme", KEYS)
async def test_each_scheme_of_signatures_authenticates(wire: Wire, target: Canister, scheme: str) -> None:
    signer = wire.used_by(KEYS[scheme]())
    key = signer.identity.public_key_der()
    assert key is not None
    content = signer.call_content(target.id, "run", CALLER)
    sender = hashlib.sha224(key).digest() + b"\2"
    assert signer.outcome(await signer.call(content), content) == sender
    query = await signer.query(signer.query_content(target.id, "run_query", CALLER))
    assert query.map["reply"]["arg"] == sender
    assert (await signer.read(target.id, [b"request_status", envelope.request_id(content)])).status == 200


async def test_keys_of_all_schemes_may_stand_in_one_chain_of_delegations(wire: Wire, target: Canister) -> None:
    owner: Identity = Ed25519Identity.generate()
    chain = owner
    for generate in KEYS.values():
        later = wire.replica.subnet.time_ns() + 10 * MINUTE
        chain = DelegatedIdentity.delegate(chain, generate(), expiration_ns=later)
    session = wire.used_by(chain)
    content = session.call_content(target.id, "run", CALLER)
    assert session.outcome(await session.call(content), content) == owner.sender().bytes


async def test_nobody_may_call_without_a_signature(wire: Wire, target: Canister) -> None:
    nobody = wire.used_by(AnonymousIdentity())
    content = nobody.call_content(target.id, "run", CALLER)
    assert nobody.outcome(await nobody.call(content), content) == b"\4"


# ------------------------------------------------------------------------------------------ calls


async def test_a_synchronous_call_is_answered_with_its_certified_status(wire: Wire, target: Canister) -> None:
    for version in (3, 4):
        content = wire.call_content(target.id, "run", P.reply(b"reply").code)
        answer = await wire.call(content, version=version)
        certified = wire.verified(answer.map["certificate"], target.id)
        path = ("request_status", envelope.request_id(content))
        assert certified.lookup(*path, "status") == b"replied"
        assert certified.lookup(*path, "reply") == b"reply"
        assert certified.lookup("time") is not None


async def test_an_asynchronous_call_is_accepted_with_202_and_read_later(wire: Wire, target: Canister) -> None:
    content = wire.call_content(target.id, "run", P.reply(b"reply").code)
    answer = await wire.call(content, version=2)
    assert (answer.status, answer.body) == (202, b"")
    await target.settled()
    read = await wire.read(target.id, [b"request_status", envelope.request_id(content)], version=2)
    assert wire.reply_in(wire.verified(read.map["certificate"]), envelope.request_id(content)) == b"reply"


async def test_a_certified_reject_has_code_message_and_error_code(wire: Wire, target: Canister) -> None:
    content = wire.call_content(target.id, "run", P.reject("why").code)
    with pytest.raises(CanisterReject) as caught:
        wire.outcome(await wire.call(content), content)
    assert (caught.value.code, caught.value.message, caught.value.error_code) == (4, "why", "IC0406")


async def test_what_is_refused_before_execution_is_not_certified(wire: Wire) -> None:
    content = wire.call_content(ABSENT, "run", b"")
    answer = await wire.call(content)
    assert answer.status == 200 and answer.map["status"] == "non_replicated_rejection"
    assert set(answer.map) == {"status", "reject_code", "reject_message", "error_code"}
    assert (answer.map["reject_code"], answer.map["error_code"]) == (3, "IC0301")
    answer = await wire.call(content, version=2)
    assert answer.status == 200 and set(answer.map) == {"reject_code", "reject_message", "error_code"}
    read = await wire.read(ABSENT, [b"request_status", envelope.request_id(content)])
    assert (
        wire.verified(read.map["certificate"]).lookup("request_status", envelope.request_id(content), "status") is None
    )


@pytest.mark.parametrize("path", ["/api/v1/canister/{}/call", "/api/v5/canister/{}/call", "/api/v2/canister/{}/answer"])
async def test_other_paths_are_not_found(wire: Wire, target: Canister, path: str) -> None:
    signed = wire.sign(wire.call_content(target.id, "run", CALLER))
    assert (await wire.post(path.format(target.id), signed)).status in (400, 404)


ENDPOINTS = {
    "POST": ["v2/canister/{}/call", "v3/canister/{}/call", "v4/canister/{}/call", "v2/canister/{}/query",
             "v3/canister/{}/query", "v2/canister/{}/read_state", "v3/canister/{}/read_state"],
    "GET": ["v2/status"],
}  # fmt: skip
PLACES = [(method, path) for method, paths in ENDPOINTS.items() for path in paths]


@pytest.mark.parametrize(("right", "path"), PLACES)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
async def test_each_endpoint_has_one_method(wire: Wire, target: Canister, right: str, path: str, method: str) -> None:
    url = f"{wire.replica.url}/api/{path.format(target.id)}"
    page = "http://localhost:5173"
    async with wire.session.request(method, url, headers={"Origin": page}) as answer:
        assert (answer.status == 405) == (method != right)
        assert answer.headers["Access-Control-Allow-Origin"] in ("*", page)
        if method != right:
            assert right in answer.headers["Allow"]


@pytest.mark.parametrize(("right", "path"), PLACES)
async def test_a_page_of_another_origin_may_call(wire: Wire, target: Canister, right: str, path: str) -> None:
    asks = {
        "Origin": f"http://{target.id}.localhost:4943",
        "Access-Control-Request-Method": right,
        "Access-Control-Request-Headers": "content-type",
    }
    url = f"{wire.replica.url}/api/{path.format(target.id)}"
    async with wire.session.options(url, headers=asks) as answer:
        assert answer.status in (200, 204)
        assert answer.headers["Access-Control-Allow-Origin"] in ("*", asks["Origin"])
        assert right in answer.headers["Access-Control-Allow-Methods"]
        assert "Content-Type" in answer.headers["Access-Control-Allow-Headers"]


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/json", "application/octet-stream"])
async def test_a_request_says_that_it_is_cbor(wire: Wire, target: Canister, content_type: str) -> None:
    signed = wire.sign(wire.query_content(target.id, "run_query", CALLER))
    text = refused(await wire.post(f"/api/v3/canister/{target.id}/query", signed, content_type))
    assert text == "Unexpected content-type, expected application/cbor."
    answer = await wire.post(f"/api/v3/canister/{target.id}/query", signed, "application/cbor; charset=utf-8")
    assert answer.status == 200


# ------------------------------------------------------------------------------------------ query signatures


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("program", [P.reply(b"reply"), P.reject("no"), P.trap()], ids=["reply", "reject", "trap"])
async def test_the_answer_to_a_query_is_signed_by_a_node_of_the_subnet(
    wire: Wire, target: Canister, version: int, program: Program
) -> None:
    content = wire.query_content(target.id, "run_query", program.code)
    before = wire.replica.subnet.time_ns()
    answer = (await wire.query(content, version=version)).map
    (signature,) = answer.pop("signatures")
    subnet = wire.replica.keys.subnet_id
    read = wire.verified((await wire.read(target.id, [b"subnet"])).map["certificate"])
    key = read.lookup("subnet", subnet.bytes, "node", signature["identity"], "public_key")
    assert key is not None and hashlib.sha224(key).digest() + b"\2" == signature["identity"]
    assert before <= signature["timestamp"] <= wire.replica.subnet.time_ns()
    signed = {**answer, "timestamp": signature["timestamp"], "request_id": envelope.request_id(content)}
    public: Any = load_der_public_key(key)
    public.verify(signature["signature"], b"\x0bic-response" + hash_of_map(signed))
