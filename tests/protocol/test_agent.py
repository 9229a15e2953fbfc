"""The agent against the embedded replica, over HTTP, on networks good and bad."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import Any

import pytest

from icmigrate.errors import (
    AnswerLost,
    CallRejected,
    CallUnknown,
    CanisterReject,
    CertificateError,
    HttpStatusError,
    NotAuthorized,
    QueryRejected,
    Unreachable,
)
from icmigrate.protocol import bls, cbor
from icmigrate.protocol.agent import Agent
from icmigrate.protocol.certificate import MAINNET_ROOT_KEY
from icmigrate.protocol.identity import (
    AnonymousIdentity,
    DelegatedIdentity,
    Ed25519Identity,
    Identity,
    Prime256v1Identity,
    Secp256k1Identity,
)
from icmigrate.protocol.management_canister import ManagementClient
from icmigrate.protocol.principal import Principal
from icmigrate.protocol.transport import Answer
from tests.worlds.agent import METADATA, Act, AgentWorld, Carry, Network, module, new_world

NOBODY = Principal(bytes.fromhex("00000000000fffff0101"))


# -- what can happen to a request ---------------------------------------------------------------------------------


async def lose_answer(carry: Carry) -> Answer:
    await carry()
    raise AnswerLost("the connection broke")


async def lose_request(carry: Carry) -> Answer:
    raise AnswerLost("the connection broke")


async def accept_only(carry: Carry) -> Answer:
    await carry()
    return Answer(202, b"")


def refuse(status: int) -> Act:
    async def act(carry: Carry) -> Answer:
        raise HttpStatusError(status, "refused")

    return act


async def no_connection(carry: Carry) -> Answer:
    raise Unreachable("no connection")


def forge(change: Any) -> Act:
    """Changes the decoded answer."""

    async def act(carry: Carry) -> Answer:
        answer = await carry()
        content: Any = cbor.loads(answer.body)
        change(content)
        return Answer(answer.status, cbor.dumps(content))

    return act


def replay(answers: list[Answer]) -> Act:
    async def act(carry: Carry) -> Answer:
        await carry()
        return answers.pop(0)

    return act


def record(answers: list[Answer]) -> Act:
    async def act(carry: Carry) -> Answer:
        answers.append(await carry())
        return answers[-1]

    return act


# -- on a good network --------------------------------------------------------------------------------------------


async def test_a_replica_says_who_it_is(world: AgentWorld) -> None:
    status = await world.agent.status()
    assert status.root_key == world.agent.root_key == world.replica.root_key
    assert status.health == "healthy"


async def test_without_a_root_key_mainnet_s_is_the_one(world: AgentWorld) -> None:
    async with Agent(world.replica.url, AnonymousIdentity()) as agent:
        assert agent.root_key == MAINNET_ROOT_KEY
        with pytest.raises(CertificateError):
            await agent.module_hash(world.canister)


DELEGATED = DelegatedIdentity.delegate(
    Ed25519Identity.generate(), Secp256k1Identity.generate(), expiration_ns=time.time_ns() + 3600 * 10**9
)


@pytest.mark.parametrize(
    "identity",
    [
        AnonymousIdentity(),
        Ed25519Identity.generate(),
        Secp256k1Identity.generate(),
        Prime256v1Identity.generate(),
        DELEGATED,
    ],
    ids=["anonymous", "ed25519", "secp256k1", "p256", "delegated"],
)
async def test_calls_and_queries_are_answered_whoever_asks(world: AgentWorld, identity: Identity) -> None:
    async with Agent(world.replica.url, identity, fetch_root_key=True) as agent:
        assert await agent.update(world.canister, "echo", b"hello") == b"hello"
        assert await agent.query(world.canister.to_str(), "read", b"hello") == b"hello"


async def test_a_chunk_goes_there_and_back(world: AgentWorld) -> None:
    chunk = bytes(range(256)) * 7421  # 1.9 MB
    assert await world.agent.update(world.canister, "echo", chunk) == chunk
    assert await world.agent.query(world.canister, "read", chunk) == chunk


async def test_a_call_that_the_canister_rejects_is_a_certified_reject(world: AgentWorld) -> None:
    with pytest.raises(CanisterReject, match="not today") as caught:
        await world.agent.update(world.canister, "refuse", b"")
    assert (caught.value.code, caught.value.error_code) == (4, "IC0406")


async def test_a_call_that_traps_is_a_certified_reject(world: AgentWorld) -> None:
    with pytest.raises(CanisterReject, match="not today") as caught:
        await world.agent.update(world.canister, "fail", b"")
    assert (caught.value.code, caught.value.error_code) == (5, "IC0503")


async def test_a_query_that_is_rejected_says_why(world: AgentWorld) -> None:
    with pytest.raises(QueryRejected, match="not today") as caught:
        await world.agent.query(world.canister, "deny", b"")
    assert caught.value.code == 4


async def test_a_call_of_a_canister_that_is_not_there_is_refused_before_execution(world: AgentWorld) -> None:
    with pytest.raises(CallRejected) as caught:
        await world.agent.update(NOBODY, "echo", b"")
    assert (caught.value.code, caught.value.error_code) == (3, "IC0301")


async def test_who_does_not_control_a_canister_is_told_so_with_exit_code_6(world: AgentWorld) -> None:
    async with Agent(world.replica.url, Ed25519Identity.generate(), fetch_root_key=True) as stranger:
        with pytest.raises(CallRejected) as caught:
            await ManagementClient(stranger).install(world.canister.to_str(), module(), b"")
    assert caught.value.error_code == "IC0512"
    assert caught.value.exit_code == NotAuthorized.exit_code


async def test_the_state_of_a_canister_is_read_certified(world: AgentWorld) -> None:
    agent, expected = world.agent, hashlib.sha256(module()).digest()
    assert await agent.module_hash(world.canister) == expected
    assert await agent.controllers(world.canister) == [agent.identity.sender()]
    info = await agent.canister_info(world.canister)
    assert (info.module_hash, info.controllers) == (expected, [agent.identity.sender()])
    assert await agent.metadata(world.canister, "candid:service") == METADATA
    assert await agent.metadata(world.canister, "other") is None


async def test_a_canister_that_is_not_there_has_no_state(world: AgentWorld) -> None:
    assert await world.agent.module_hash(NOBODY) is None
    assert await world.agent.controllers(NOBODY) == []
    assert await world.agent.metadata(NOBODY, "candid:service") is None


async def test_no_more_calls_are_in_flight_than_the_window_allows(world: AgentWorld, network: Network) -> None:
    identity = world.agent.identity
    async with Agent(world.replica.url, identity, fetch_root_key=True, transport=network, window=3) as agent:
        calls = [agent.update(world.canister, "echo", bytes([number])) for number in range(20)]
        assert await asyncio.gather(*calls) == [bytes([number]) for number in range(20)]
    assert network.most_at_a_time == 3


async def test_the_keys_of_the_nodes_are_asked_for_once(world: AgentWorld, network: Network, agent: Agent) -> None:
    await asyncio.gather(*(agent.query(world.canister, "read", b"") for _ in range(5)))
    assert sum("read_state" in path for path in network.paths) == 1


# -- older replicas -----------------------------------------------------------------------------------------------


async def test_an_older_replica_is_asked_in_its_own_way(world: AgentWorld, network: Network, agent: Agent) -> None:
    network.disturb("/v4/", refuse(404))
    network.disturb(f"/v3/canister/{world.canister}/call", refuse(404))
    assert await agent.update(world.canister, "echo", b"1") == b"1"
    assert await agent.update(world.canister, "echo", b"2") == b"2"
    calls = [path.split("/")[2] for path in network.paths if path.endswith("/call")]
    assert calls == ["v4", "v3", "v2", "v2"]


async def test_older_queries_and_reads_are_fallen_back_to(world: AgentWorld, network: Network, agent: Agent) -> None:
    network.disturb("/v3/", refuse(404), refuse(404))
    assert await agent.query(world.canister, "read", b"1") == b"1"
    assert [path.split("/")[2] for path in network.paths] == ["v3", "v2", "v3", "v2"]


async def test_a_call_that_is_only_accepted_is_followed_to_its_end(
    world: AgentWorld, network: Network, agent: Agent
) -> None:
    network.disturb("/call", accept_only, accept_only)
    assert await agent.update(world.canister, "echo", b"later") == b"later"
    with pytest.raises(CanisterReject, match="not today"):
        await agent.update(world.canister, "refuse", b"")


# -- on a bad network ---------------------------------------------------------------------------------------------


async def count(world: AgentWorld, agent: Agent | None = None) -> int:
    """How often `count` has been executed, this time included."""
    return (await (agent or world.agent).update(world.canister, "count", b""))[0]


@pytest.mark.parametrize(
    "disturbances",
    [[lose_answer], [lose_request], [lose_answer] * 2, [lose_request] * 2, [refuse(502)], [refuse(504)]],
    ids=["answer", "request", "answers", "requests", "502", "504"],
)
async def test_a_lost_call_is_found_again_and_executed_once(
    world: AgentWorld, network: Network, agent: Agent, disturbances: list[Act]
) -> None:
    before = await count(world)
    network.disturb("/call", *disturbances)
    assert await count(world, agent) == before + 1
    assert await count(world) == before + 2


@pytest.mark.parametrize("disturbance", [no_connection, refuse(429), refuse(503)], ids=["none", "429", "503"])
async def test_what_was_certainly_not_accepted_is_sent_again(
    world: AgentWorld, network: Network, agent: Agent, disturbance: Act
) -> None:
    before = await count(world)
    network.disturb("/call", disturbance)
    assert await count(world, agent) == before + 1
    assert sum(path.endswith("/call") for path in network.paths) == 2


@pytest.mark.parametrize("disturbance", [lose_answer, no_connection, refuse(502), refuse(429)])
async def test_queries_and_reads_are_simply_repeated(
    world: AgentWorld, network: Network, agent: Agent, disturbance: Act
) -> None:
    network.disturb("/query", disturbance)
    network.disturb("/read_state", disturbance)
    assert await agent.query(world.canister, "read", b"1") == b"1"


async def test_a_refusal_is_final(world: AgentWorld, network: Network, agent: Agent) -> None:
    network.disturb("/call", refuse(400))
    with pytest.raises(HttpStatusError) as caught:
        await agent.update(world.canister, "echo", b"")
    assert caught.value.status == 400
    assert len(network.paths) == 1


async def test_a_call_whose_outcome_cannot_be_had_before_it_expires_is_unknown() -> None:
    async with new_world() as world:
        network = Network(world.replica.url)
        async with Agent(world.replica.url, world.agent.identity, fetch_root_key=True, transport=network) as agent:

            async def lose_and_wait(carry: Carry) -> Answer:
                world.replica.clock.advance(250 * 10**9)  # the request is valid for 240 seconds
                raise AnswerLost("the connection broke")

            network.disturb("/call", lose_and_wait)
            with pytest.raises(CallUnknown) as caught:
                await agent.update(world.canister, "echo", b"")
            assert len(caught.value.request_id) == 32
            assert not caught.value.retryable


# -- on a network that lies ---------------------------------------------------------------------------------------


async def test_a_replica_with_another_root_key_is_not_believed(world: AgentWorld) -> None:
    other = bls.SecretKey.generate().public_key_der()
    async with Agent(world.replica.url, world.agent.identity, root_key=other) as agent:
        with pytest.raises(CertificateError, match="signature"):
            await agent.update(world.canister, "echo", b"")
        with pytest.raises(CertificateError, match="signature"):
            await agent.query(world.canister, "read", b"")
        with pytest.raises(CertificateError, match="signature"):
            await agent.module_hash(world.canister)


async def test_a_changed_certificate_is_not_believed(world: AgentWorld, network: Network, agent: Agent) -> None:
    def change(content: dict[str, Any]) -> None:
        content["certificate"] = content["certificate"].replace(b"hello", b"hallo")

    network.disturb("/call", forge(change))
    with pytest.raises(CertificateError, match="signature"):
        await agent.update(world.canister, "echo", b"hello")


async def test_the_outcome_of_another_call_is_not_taken_for_this_one_s(
    world: AgentWorld, network: Network, agent: Agent
) -> None:
    answers: list[Answer] = []
    network.disturb("/call", record(answers), replay(answers))
    assert await agent.update(world.canister, "echo", b"first") == b"first"
    # The certificate of the first call says nothing about the second, or that it is not known yet.
    try:
        assert await agent.update(world.canister, "echo", b"second") == b"second"
    except CertificateError as error:
        assert "does not tell" in str(error)


def drop_signatures(content: dict[str, Any]) -> None:
    content["signatures"] = []


def change_reply(content: dict[str, Any]) -> None:
    content["reply"] = {"arg": b"changed"}


def make_old(content: dict[str, Any]) -> None:
    content["signatures"][0]["timestamp"] -= 400 * 10**9


def make_older(content: dict[str, Any]) -> None:
    content["signatures"][0]["timestamp"] -= 1


def sign_by_nobody(content: dict[str, Any]) -> None:
    content["signatures"][0]["identity"] = b"nobody"


def garble_signatures(content: dict[str, Any]) -> None:
    content["signatures"] = [{"identity": "nobody"}]


@pytest.mark.parametrize(
    "change", [drop_signatures, change_reply, make_old, make_older, sign_by_nobody, garble_signatures]
)
async def test_an_answer_to_a_query_that_no_node_signed_is_not_believed(
    world: AgentWorld, network: Network, agent: Agent, change: Any
) -> None:
    network.disturb("/query", forge(change))
    with pytest.raises(CertificateError, match="answer to the query"):
        await agent.query(world.canister, "read", b"1")


async def test_the_answer_to_another_query_is_not_taken_for_this_one_s(
    world: AgentWorld, network: Network, agent: Agent
) -> None:
    answers: list[Answer] = []
    network.disturb("/query", record(answers), replay(answers))
    assert await agent.query(world.canister, "read", b"first") == b"first"
    with pytest.raises(CertificateError, match="signature"):
        await agent.query(world.canister, "read", b"second")
