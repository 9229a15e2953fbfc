"""ic-py 1.0.1, as it comes from the package index: calls by polling, queries."""

from __future__ import annotations

import pytest
from ic.agent import Agent
from ic.candid import Types, encode
from ic.client import Client
from ic.identity import Identity

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
