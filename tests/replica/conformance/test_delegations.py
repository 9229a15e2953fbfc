"""Interface Specification, "Authentication": delegations, and for which canisters they are good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from icmigrate.protocol import cbor, envelope
from icmigrate.protocol.identity import DelegatedIdentity, Ed25519Identity, Identity
from icmigrate.protocol.principal import MANAGEMENT_CANISTER, Principal
from tests.protocol.passkeys import Es256Passkey, Rs256Passkey
from tests.replica.conformance.candid_types import encode
from tests.replica.conformance.program import Program
from tests.replica.conformance.wire import MINUTE, Wire, outside, refused
from tests.worlds.users import ABSENT, Canister, User

P = Program()
CALLER = P.reply(P.msg_caller()).code
SECOND = 10**9


def delegated(wire: Wire, length: int = 1, **restriction: Any) -> tuple[Identity, Identity]:
    """An owner, and a key at the end of a chain of delegations; the first carries the restriction."""
    owner: Identity = Ed25519Identity.generate()
    chain = owner
    for at in range(length):
        given = {"expiration_ns": wire.replica.subnet.time_ns() + 10 * MINUTE, **(restriction if at == 0 else {})}
        chain = DelegatedIdentity.delegate(chain, Ed25519Identity.generate(), **given)
    return owner, chain


@pytest.mark.parametrize("length", [1, 2, 20])
async def test_a_chain_of_delegations_acts_for_its_owner(wire: Wire, target: Canister, length: int) -> None:
    owner, key = delegated(wire, length)
    session = wire.used_by(key)
    content = session.call_content(target.id, "run", CALLER)
    assert session.outcome(await session.call(content), content) == owner.sender().bytes
    query = await session.query(session.query_content(target.id, "run_query", CALLER))
    assert query.map["reply"]["arg"] == owner.sender().bytes
    assert (await session.read(target.id, [b"time"])).status == 200


async def assert_allowed(session: Wire, target: Canister, *, calls: bool, queries: bool) -> None:
    call = await session.call(session.call_content(target.id, "run", CALLER))
    assert call.status == (200 if calls else 400)
    query = await session.query(session.query_content(target.id, "run_query", CALLER))
    assert query.status == (200 if queries else 400)


async def test_a_chain_has_20_delegations_at_most(wire: Wire, target: Canister) -> None:
    _, key = delegated(wire, 21)
    await assert_allowed(wire.used_by(key), target, calls=False, queries=False)


async def test_a_delegation_expires(wire: Wire, target: Canister) -> None:
    _, key = delegated(wire, 2, expiration_ns=wire.replica.subnet.time_ns() - SECOND)
    await assert_allowed(wire.used_by(key), target, calls=False, queries=False)


async def test_a_delegation_may_be_for_some_canisters_only(wire: Wire, target: Canister) -> None:
    _, key = delegated(wire, 2, targets=[ABSENT, target.id])
    await assert_allowed(wire.used_by(key), target, calls=True, queries=True)
    _, key = delegated(wire, 2, targets=[ABSENT])
    await assert_allowed(wire.used_by(key), target, calls=False, queries=False)
    _, key = delegated(wire, 1, targets=[])
    await assert_allowed(wire.used_by(key), target, calls=False, queries=False)


async def test_a_delegation_names_1000_canisters_at_most(wire: Wire, target: Canister) -> None:
    _, key = delegated(wire, 1, targets=[target.id] * 1000)
    await assert_allowed(wire.used_by(key), target, calls=True, queries=True)
    _, key = delegated(wire, 1, targets=[target.id] * 1001)
    await assert_allowed(wire.used_by(key), target, calls=False, queries=False)


@pytest.mark.parametrize(
    ("permissions", "calls", "queries"), [("all", True, True), ("queries", False, True), ("none", False, False)]
)
async def test_a_delegation_may_be_for_queries_only_and_later_ones_cannot_lift_that(
    wire: Wire, target: Canister, permissions: str, calls: bool, queries: bool
) -> None:
    _, key = delegated(wire, 2, permissions=permissions)
    await assert_allowed(wire.used_by(key), target, calls=calls, queries=queries)


async def test_a_key_appears_once_in_a_chain(wire: Wire, target: Canister) -> None:
    first, second = Ed25519Identity.generate(), Ed25519Identity.generate()
    later = wire.replica.subnet.time_ns() + 10 * MINUTE
    itself = DelegatedIdentity.delegate(first, first, expiration_ns=later)
    there = DelegatedIdentity.delegate(first, second, expiration_ns=later)
    circle = DelegatedIdentity.delegate(there, first, expiration_ns=later)
    for key in (itself, circle):
        await assert_allowed(wire.used_by(key), target, calls=False, queries=False)


async def test_a_delegation_signed_by_somebody_else_is_worth_nothing(wire: Wire, target: Canister) -> None:
    _, key = delegated(wire, 1)
    signed = wire.used_by(key).sign(wire.used_by(key).query_content(target.id, "run_query", CALLER))
    outer = cbor.loads(signed)
    assert isinstance(outer, dict)
    for part in ("signature", "delegation"):
        forged = [{**item} for item in outer["sender_delegation"]]
        if part == "signature":
            forged[0]["signature"] = bytes(64)
        else:
            forged[0]["delegation"] = {**forged[0]["delegation"], "expiration": (1 << 64) - 1}
        refused(await wire.post(f"/api/v3/canister/{target.id}/query", outside(signed, sender_delegation=forged)))


# ------------------------------------------------------------------------------------------ targets

TARGETS: dict[str, tuple[bool, list[str | None]]] = {
    # chain                            good    the targets of each delegation
    "one target":                      (True,  ["it"]),
    "another target":                  (False, ["absent"]),
    "two targets":                     (True,  ["it absent"]),
    "one target twice":                (True,  ["it it absent"]),
    "the same target in both":         (True,  ["it", "it"]),
    "the first restricted":            (True,  ["it", None]),
    "the second restricted":           (True,  [None, "it"]),
    "nothing in common":               (False, ["it", "absent"]),
    "each allows it and something else": (True, ["it absent", "aaaaa-aa it"]),
    "the first has no targets":        (False, ["", "it"]),
    "the second has no targets":       (False, ["it", ""]),
    "20 delegations":                  (True,  ["it"] * 20),
    "the management canister":         (False, ["aaaaa-aa"]),
}  # fmt: skip
MANAGEMENT_TARGETS: dict[str, tuple[bool, list[str | None]]] = {
    "the management canister":         (True,  ["aaaaa-aa"]),
    "no targets":                      (False, [""]),
    "another target":                  (False, ["absent"]),
    "the canister that is managed":    (False, ["it"]),
}  # fmt: skip


def chain(wire: Wire, owner: Identity, it: Principal, restrictions: Sequence[str | None]) -> Identity:
    names = {"it": it, "absent": ABSENT, "aaaaa-aa": MANAGEMENT_CANISTER}
    key = owner
    for names_given in restrictions:
        targets = None if names_given is None else [names[name] for name in names_given.split()]
        later = wire.replica.subnet.time_ns() + 10 * MINUTE
        key = DelegatedIdentity.delegate(key, Ed25519Identity.generate(), expiration_ns=later, targets=targets)
    return key


async def assert_good_for(owner: Wire, session: Wire, content: dict[str, Any], it: Principal, good: bool) -> None:
    """A call by the session, and reading what became of the owner's own."""
    called = await session.call(content, effective=it)
    again = {**content, "nonce": b"again"}
    assert (await owner.call(again, effective=it)).map["status"] == "replied"
    read = await session.read(it, [b"request_status", envelope.request_id(again)])
    assert (called.status, read.status) == ((200, 200) if good else (400, 403))


@pytest.mark.parametrize("kind", TARGETS)
async def test_targets_restrict_calls_and_reading_their_outcome(wire: Wire, target: Canister, kind: str) -> None:
    good, restrictions = TARGETS[kind]
    session = wire.used_by(chain(wire, wire.identity, target.id, restrictions))
    await assert_good_for(wire, session, wire.call_content(target.id, "run", CALLER), target.id, good)


@pytest.mark.parametrize("kind", MANAGEMENT_TARGETS)
async def test_calls_that_manage_a_canister_are_to_the_management_canister(
    user: User, wire: Wire, target: Canister, kind: str
) -> None:
    good, restrictions = MANAGEMENT_TARGETS[kind]
    owner = wire.used_by(user.agent.identity)
    session = wire.used_by(chain(wire, owner.identity, target.id, restrictions))
    argument = encode("canister_status", {"canister_id": target.id})
    content = owner.call_content(MANAGEMENT_CANISTER, "canister_status", argument)
    await assert_good_for(owner, session, content, target.id, good)


@pytest.mark.parametrize("passkey", [Es256Passkey, Rs256Passkey])
async def test_a_passkey_delegates_with_targets(wire: Wire, target: Canister, passkey: type[Identity]) -> None:
    owner = wire.used_by(passkey())
    key = owner.identity
    for _ in range(2):
        later = wire.replica.subnet.time_ns() + 10 * MINUTE
        key = DelegatedIdentity.delegate(key, passkey(), expiration_ns=later, targets=[target.id, ABSENT])
    session = wire.used_by(key)
    await assert_good_for(owner, session, owner.call_content(target.id, "run", CALLER), target.id, True)
