"""ic-py 1.0.1, as it comes from the package index: calls by polling, queries, the state tree."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ic import system_state
from ic.agent import Agent
from ic.candid import Types, encode
from ic.canister import Canister
from ic.client import Client
from ic.identity import Identity
from ic.principal import Principal as IcPrincipal

from icmigrate.protocol.principal import Principal
from tests.replica.official.conftest import Daemon


def test_ic_py_calls_and_queries(replica: Daemon, keeper: Principal) -> None:
    agent = Agent(Identity(), Client(url=replica.info.url))
    message = encode([{"type": Types.Text, "value": "from ic-py"}])
    with pytest.raises(ValueError):  # an empty reply is none for ic-py
        agent.update_raw(keeper.to_str(), "set", message)
    assert agent.query_raw(keeper.to_str(), "get", encode([])) == [{"type": "text", "value": "from ic-py"}]
    assert agent.update_raw(keeper.to_str(), "get_update", encode([])) == [{"type": "text", "value": "from ic-py"}]
    with pytest.raises(Exception, match=r"ic0\.trap"):
        agent.update_raw(keeper.to_str(), "fail", message)


def test_ic_py_creates_a_canister(replica: Daemon) -> None:
    agent = Agent(Identity(), Client(url=replica.info.url))
    amount = Types.Record({"amount": Types.Opt(Types.Nat)})
    arg = encode([{"type": amount, "value": {"amount": []}}])
    made = agent.update_raw(
        "aaaaa-aa", "provisional_create_canister_with_cycles", arg, effective_canister_id="aaaaa-aa"
    )
    (canister_id,) = made[0]["value"].values()
    assert canister_id.to_str().endswith("-cai")


@pytest.mark.parametrize(
    "identity", [Identity(), Identity(type="secp256k1"), Identity(anonymous=True)], ids=["ed25519", "secp256k1", "none"]
)
def test_ic_py_is_who_it_signs_as(replica: Daemon, greeter: Principal, identity: Identity) -> None:
    agent = Agent(identity, Client(url=replica.info.url))
    (known,) = agent.query_raw(greeter.to_str(), "whoami", encode([]))
    assert known["value"].to_str() == identity.sender().to_str()


def test_ic_py_reads_the_state_tree(replica: Daemon, greeter: Principal) -> None:
    agent, canister_id, subnet_id = (
        Agent(Identity(), Client(url=replica.info.url)),
        greeter.to_str(),
        replica.subnet_id(),
    )
    assert system_state.time(agent, canister_id) > 0
    assert system_state.subnet_public_key(agent, canister_id, subnet_id) == replica.info.root_key
    ranges = system_state.subnet_canister_ranges(agent, canister_id, subnet_id)
    assert any(low.bytes <= greeter.bytes <= high.bytes for low, high in ranges)
    assert len(system_state.canister_module_hash(agent, canister_id)) == 64
    (controller,) = system_state.canister_controllers(agent, canister_id)
    assert isinstance(controller, IcPrincipal)


def test_ic_py_calls_by_interface_and_many_at_once(replica: Daemon, greeter: Principal) -> None:
    interface = "service : { version : () -> (text) query; greet : (text) -> (text); }"
    canister = Canister(Agent(Identity(), Client(url=replica.info.url)), greeter.to_str(), interface)
    assert canister.version() == ["one"]
    names = [str(number) for number in range(10)]

    async def greetings() -> list[Any]:
        return await asyncio.gather(*(canister.greet_async(name) for name in names))

    assert asyncio.run(greetings()) == [[f"Hello, {name}!"] for name in names]
