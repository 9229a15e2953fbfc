"""Interface Specification, "Canister signatures" and `sender_info`: users that a canister vouches for."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from icmigrate.protocol import cbor, envelope, hash_tree
from icmigrate.protocol.principal import Principal
from icmigrate.protocol.signature import canister_signature_der
from tests.replica.conformance.program import Program
from tests.replica.conformance.wire import Answer, Wire
from tests.worlds.users import Canister, User

P = Program()
SEED = b"user 7"
INFO = b"attributes of user 7"
ASKED = P.reply(P.msg_caller(), P.blob("msg_caller_info_data"), P.blob("msg_caller_info_signer")).code


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


async def signatures(signer: Canister, *payloads: bytes) -> list[bytes]:
    """Has the canister certify that it signs these, for the user of SEED."""
    below: dict[bytes, bytes] = {sha256(payload): b"" for payload in payloads}
    tree = hash_tree.build({b"sig": {sha256(SEED): below}})
    await signer.update(P.certified_data_set(hash_tree.digest(tree)).reply())
    certificate = await signer.query(P.reply(P.blob("data_certificate")))
    return [
        cbor.dumps({"certificate": certificate, "tree": hash_tree.to_cbor_value(hash_tree.prune(tree, [path]))})
        for path in ([b"sig", sha256(SEED), sha256(payload)] for payload in payloads)
    ]


def sender_of(signer: Canister) -> bytes:
    return hashlib.sha224(canister_signature_der(signer.id, SEED)).digest() + b"\2"


async def send(wire: Wire, signer: Canister, content: dict[str, Any], *, signed: bytes | None = None) -> Answer:
    (signature,) = await signatures(signer, b"\x0aic-request" + (signed or envelope.request_id(content)))
    return await post(wire, signer, content, signature)


async def post(wire: Wire, signer: Canister, content: dict[str, Any], signature: bytes) -> Answer:
    body = {
        "content": content,
        "sender_pubkey": canister_signature_der(signer.id, SEED),
        "sender_sig": signature,
    }
    target = Principal(content["canister_id"])
    return await wire.post(f"/api/v3/canister/{target}/{content['request_type']}", cbor.dumps(body))


async def test_a_canister_signs_for_its_users(wire: Wire, canister: Canister, other: Canister) -> None:
    content = wire.call_content(other.id, "run", ASKED, sender=sender_of(canister))
    assert wire.outcome(await send(wire, canister, content), content) == sender_of(canister)
    query = wire.query_content(other.id, "run_query", ASKED, sender=sender_of(canister))
    assert (await send(wire, canister, query)).map["reply"]["arg"] == sender_of(canister)


async def test_a_signature_of_something_else_is_worth_nothing(wire: Wire, canister: Canister, other: Canister) -> None:
    content = wire.call_content(other.id, "run", ASKED, sender=sender_of(canister))
    assert (await send(wire, canister, content, signed=bytes(32))).status == 400


async def test_the_signature_of_another_canister_is_worth_nothing(
    wire: Wire, canister: Canister, other: Canister
) -> None:
    content = wire.call_content(other.id, "run", ASKED, sender=sender_of(canister))
    (signature,) = await signatures(other, b"\x0aic-request" + envelope.request_id(content))
    assert (await post(wire, canister, content, signature)).status == 400


async def test_the_sender_info_that_the_canister_signed_reaches_the_callee(
    wire: Wire, user: User, canister: Canister, other: Canister
) -> None:
    (info,) = await signatures(canister, b"\x0eic-sender-info" + INFO)
    sender_info = {"info": INFO, "signer": canister.id.bytes, "sig": info}
    content = wire.call_content(other.id, "run", ASKED, sender=sender_of(canister), sender_info=sender_info)
    signed = b"\x0aic-request" + envelope.request_id(content)
    expected = sender_of(canister) + INFO + canister.id.bytes
    (signature,) = await signatures(canister, signed)
    assert wire.outcome(await post(wire, canister, content, signature), content) == expected


@pytest.mark.parametrize("fault", ["info", "signer", "sig"])
async def test_sender_info_that_was_not_signed_is_refused(
    wire: Wire, canister: Canister, other: Canister, fault: str
) -> None:
    (info,) = await signatures(canister, b"\x0eic-sender-info" + INFO)
    sender_info: dict[str, bytes] = {"info": INFO, "signer": canister.id.bytes, "sig": info}
    sender_info[fault] = {"info": b"other", "signer": other.id.bytes, "sig": info[:-1]}[fault]
    content = wire.call_content(other.id, "run", ASKED, sender=sender_of(canister), sender_info=sender_info)
    assert (await send(wire, canister, content)).status == 400


async def test_sender_info_needs_a_canister_signature(wire: Wire, canister: Canister, other: Canister) -> None:
    (info,) = await signatures(canister, b"\x0eic-sender-info" + INFO)
    sender_info = {"info": INFO, "signer": canister.id.bytes, "sig": info}
    content = wire.call_content(other.id, "run", ASKED, sender_info=sender_info)
    assert (await wire.call(content)).status == 400


@pytest.mark.parametrize("method", ["run_query", "run_composite_query"])
async def test_queries_see_the_sender_info_too_but_not_the_canisters_they_ask(
    wire: Wire, user: User, canister: Canister, other: Canister, method: str
) -> None:
    third = await user.install()
    (info,) = await signatures(canister, b"\x0eic-sender-info" + INFO)
    sender_info = {"info": INFO, "signer": canister.id.bytes, "sig": info}
    query = wire.query_content(other.id, method, ASKED, sender=sender_of(canister), sender_info=sender_info)
    assert (await send(wire, canister, query)).map["reply"]["arg"] == sender_of(canister) + INFO + canister.id.bytes
    if method == "run_composite_query":
        told = P.reply(P.blob("msg_caller_info_data"), P.msg_arg_data())
        nested = P.call(third.id, ASKED, method="run_query", on_reply=told).code
        query = wire.query_content(other.id, method, nested, sender=sender_of(canister), sender_info=sender_info)
        assert (await send(wire, canister, query)).map["reply"]["arg"] == INFO + other.id.bytes


async def test_callbacks_and_the_inspection_see_the_sender_info(
    wire: Wire, canister: Canister, other: Canister
) -> None:
    known = P.if_(P.word("equal", P.blob("msg_caller_info_data"), INFO), P.accept_message())
    await other.update(P.set_hook("inspect_message", known).reply())
    (info,) = await signatures(canister, b"\x0eic-sender-info" + INFO)
    sender_info = {"info": INFO, "signer": canister.id.bytes, "sig": info}
    program = P.call(canister.id, P.reply().code, on_reply=Program(ASKED)).code
    content = wire.call_content(other.id, "run", program, sender=sender_of(canister), sender_info=sender_info)
    assert wire.outcome(await send(wire, canister, content), content) == sender_of(canister) + INFO + canister.id.bytes
    stranger = wire.call_content(other.id, "run", program, sender=sender_of(canister))
    assert (await send(wire, canister, stranger)).map["error_code"] == "IC0406"
