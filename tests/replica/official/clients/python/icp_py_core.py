"""What icp-py-core sees of a replica, with certificates and signatures of queries verified.

Arguments: URL, root key (hex), subnet id, canister id of a greeter.
"""

from __future__ import annotations

import asyncio
import sys

from icp_agent import system_state
from icp_agent.agent import Agent
from icp_agent.client import Client
from icp_candid.candid import Types, encode
from icp_canister.canister import Canister
from icp_canister.management import Management
from icp_certificate import certificate
from icp_core.errors import CertificateVerificationError, ReplicaReject
from icp_identity.identity import Identity
from icp_principal.principal import Principal

url, root_key, subnet, greeter = sys.argv[1:]


def agent_of(identity: Identity) -> Agent:
    return Agent(identity, Client(url=url), root_key=bytes.fromhex(root_key), verify_query_signatures=True)


agent = agent_of(Identity())
TEXT = [{"type": Types.Text, "value": "from Python"}]


def value(answer: list[dict[str, object]]) -> object:
    (only,) = answer
    return only["value"]


def each_kind_of_identity() -> None:
    for identity in (Identity(), Identity(type="secp256k1"), Identity(anonymous=True)):
        own = agent_of(identity)
        for answer in (own.query(greeter, "whoami", []), own.update(greeter, "whoami", [])):
            assert str(value(answer)) == identity.sender().to_str()


def raw_arguments() -> None:
    for call in (agent.query_raw, agent.update_raw):
        assert value(call(greeter, "greet", encode(TEXT))) == "Hello, from Python!"


def rejects() -> None:
    def query() -> None:  # it looks for what is signed of a rejected query where nothing is
        agent.query(greeter, "missing", [], verify_query_signatures=False)

    for call in (lambda: agent.update(greeter, "fail", TEXT), query):
        try:
            call()
        except ReplicaReject as reject:
            assert reject.error_code in ("IC0503", "IC0536"), reject
        else:
            raise AssertionError("not rejected")


def certificates_of_another_network_are_refused() -> None:
    try:
        agent.update(greeter, "count", [])
    except CertificateVerificationError:
        return
    raise AssertionError("accepted")


def the_interface_is_fetched_from_the_canister() -> None:
    canister = Canister(agent, greeter, auto_fetch_candid=True)
    assert value(canister.greet("you")) == "Hello, you!"
    assert value(canister.count()) > 0


def the_state_tree() -> None:
    assert len(system_state.canister_module_hash(agent, greeter)) == 64
    assert len(system_state.canister_controllers(agent, greeter)) == 1
    assert system_state.subnet_public_key(agent, greeter, subnet) == root_key
    assert system_state.subnet_public_key_direct(agent, subnet) == root_key
    for ranges in (
        system_state.subnet_canister_ranges(agent, greeter, subnet),
        system_state.subnet_canister_ranges_direct(agent, subnet),
    ):
        assert any(low.bytes <= Principal.from_str(greeter).bytes <= high.bytes for low, high in ranges)
    assert agent.read_state_raw(greeter, [[b"time"]]).lookup_time() > 0
    path = [b"canister", Principal.from_str(greeter).bytes, b"metadata", b"candid:service"]
    assert b"service" in bytes(agent.read_state_raw(greeter, [path]).lookup(path))


def the_management_canister() -> None:
    management = Management(agent)
    made = value(management.provisional_create_canister_with_cycles({"amount": [], "settings": []}))
    (canister_id,) = made.values()
    assert str(canister_id).endswith("-cai")


async def many_at_once() -> None:
    answers = await asyncio.gather(*(agent.update_async(greeter, "count", []) for _ in range(20)))
    assert len({value(answer) for answer in answers}) == 20
    versions = await asyncio.gather(*(agent.query_async(greeter, "version", []) for _ in range(20)))
    assert {value(version) for version in versions} == {"one"}


certificates_of_another_network_are_refused()
certificate.IC_ROOT_KEY = bytes.fromhex(root_key)  # it has no other way to say which network is meant
each_kind_of_identity()
raw_arguments()
rejects()
the_interface_is_fetched_from_the_canister()
the_state_tree()
the_management_canister()
asyncio.run(many_at_once())
print("nothing wrong")
