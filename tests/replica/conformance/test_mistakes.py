"""Interface Specification: the mistakes that clients and black-box checks were seen to notice, a story each.

What is told here in one act is tested in depth by the file of its section.
"""

from __future__ import annotations

import asyncio
import os

import pytest

from icmigrate.errors import CertificateError, ReplicaError
from icmigrate.protocol import cbor, certificate, envelope
from icmigrate.protocol.agent import Agent
from icmigrate.protocol.bls import SecretKey
from icmigrate.replica.server import RunningReplica
from tests.replica.conformance.program import Program
from tests.replica.conformance.wire import MINUTE, Wire, wire_to
from tests.worlds.users import ABSENT, TRILLION, Canister, User, number, rejected

P = Program()


async def test_certificates_are_signed_with_the_root_key_and_no_other(user: User, canister: Canister) -> None:
    async with Agent(user.agent.url, user.agent.identity, root_key=SecretKey.generate().public_key_der()) as deceived:
        with pytest.raises(CertificateError):
            await deceived.update(canister.id, "run", P.reply().code)
    assert await canister.update(P.reply(b"true")) == b"true"


async def test_the_time_in_certificates_is_now(wire: Wire, canister: Canister) -> None:
    for _ in range(2):
        before = wire.replica.subnet.time_ns()
        certified = wire.verified((await wire.read(canister.id, [b"time"])).map["certificate"])
        assert before <= certified.time_ns <= wire.replica.subnet.time_ns()


async def test_attached_cycles_are_deducted_and_what_is_not_accepted_comes_back(
    canister: Canister, other: Canister
) -> None:
    before = (await canister.status())["cycles"], (await other.status())["cycles"]
    accept = P.accept_cycles(2 * TRILLION).drop().reply()
    await canister.update(P.call(other.id, accept.code, cycles=5 * TRILLION))
    after = (await canister.status())["cycles"], (await other.status())["cycles"]
    assert round((before[0] - after[0]) / TRILLION) == round((after[1] - before[1]) / TRILLION) == 2


async def test_a_trap_undoes_heap_globals_stable_memory_and_cycles(canister: Canister, other: Canister) -> None:
    await canister.update(P.stable64_grow(1).drop().reply())
    cycles = (await canister.status())["cycles"]
    change = P.set(b"x").stable64_write(0, b"x").call(other.id, b"", cycles=50 * TRILLION)
    await rejected(canister.update(change.trap()))
    assert await canister.query(P.reply(P.get(), P.stable64_read(0, 1))) == b"\0"
    assert cycles - (await canister.status())["cycles"] < TRILLION


async def test_every_canister_lies_in_the_ranges_of_the_subnet(user: User, canister: Canister) -> None:
    read = await user.agent.read_state([["subnet"]], canister.id)
    for canister_id in (canister.id, ABSENT):
        assert any(
            first <= canister_id.bytes <= last for first, last in certificate.canister_ranges(read, user.agent.root_key)
        )


async def test_answers_to_queries_are_signed(wire: Wire, canister: Canister) -> None:
    answer = await wire.query(wire.query_content(canister.id, "run_query", P.reply().code))
    assert len(answer.map["signatures"]) == 1
    assert await canister.query(P.reply(b"verified")) == b"verified"  # by the agent


async def test_strangers_control_nothing(canister: Canister, stranger: User) -> None:
    seen = canister.used_by(stranger)
    for act in (seen.status, seen.stop, seen.start, seen.reinstall, seen.upgrade):
        assert (await rejected(act())).error_code == "IC0512"


async def test_the_certificate_is_of_the_data_that_was_set(canister: Canister) -> None:
    for data in (b"one", b"two"):
        await canister.update(P.certified_data_set(data).reply())
        encoded = await canister.query(P.reply(P.blob("data_certificate")))
        replica = canister.user.replica
        certified = certificate.verify(
            encoded, replica.root_key, effective_canister_id=canister.id, now_ns=replica.subnet.time_ns()
        )
        assert certified.lookup("canister", canister.id.bytes, "certified_data") == data


async def test_nobody_reads_the_status_of_anothers_request(
    wire: Wire, replica: RunningReplica, canister: Canister
) -> None:
    content = wire.call_content(canister.id, "run", P.reply(b"secret").code)
    await wire.call(content)
    async with wire_to(replica) as other:
        answer = await other.read(canister.id, [b"request_status", envelope.request_id(content)])
    assert answer.status == 403 and b"secret" not in answer.body


async def test_a_request_is_executed_once(wire: Wire, canister: Canister) -> None:
    content = wire.call_content(canister.id, "run", P.append(b"x").reply().code)
    await asyncio.gather(*(wire.call(content) for _ in range(8)))
    await wire.call(content)
    assert await canister.remembered() == b"x"


async def test_requests_expire(wire: Wire, canister: Canister) -> None:
    for expiry in (wire.replica.subnet.time_ns() - MINUTE, wire.replica.subnet.time_ns() + 60 * MINUTE):
        answer = await wire.call(wire.call_content(canister.id, "run", P.reply().code, ingress_expiry=expiry))
        assert answer.status == 400 and "Invalid request expiry: " in answer.text


async def test_signatures_are_checked(wire: Wire, canister: Canister) -> None:
    signed = cbor.loads(wire.sign(wire.call_content(canister.id, "run", P.set(b"forged").reply().code)))
    assert isinstance(signed, dict)
    forged = cbor.dumps({**signed, "sender_sig": os.urandom(64)})
    assert (await wire.post(f"/api/v4/canister/{canister.id}/call", forged)).status == 400
    assert await canister.remembered() == b""


async def test_stable_memory_outlives_upgrades(canister: Canister) -> None:
    await canister.update(P.stable64_grow(2).drop().stable64_write(100_000, b"kept").reply())
    for _ in range(3):
        await canister.upgrade()
    assert await canister.query(P.reply(P.stable64_read(100_000, 4))) == b"kept"


async def test_an_endless_message_does_not_stop_others(user: User, canister: Canister, other: Canister) -> None:
    busy = asyncio.create_task(canister.update(P.spin(200_000_000).reply(b"done")))
    answers = [number(await other.query(P.reply(P.word("canister_status")))) for _ in range(20)]
    assert answers == [1] * 20
    assert (await user.agent.status()).health is not None
    assert await busy == b"done"


async def test_a_reject_is_an_error_to_clients(canister: Canister) -> None:
    with pytest.raises(ReplicaError):
        await canister.query(P.reject("no"))
