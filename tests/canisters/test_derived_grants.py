"""Who was let in for a time passes nothing on that outlasts it, and shows nothing to everybody."""

from __future__ import annotations

import time
from typing import Any

import pytest

from icmigrate.contract.access import AccessInput
from icmigrate.contract.records import PrincipalPerson
from icmigrate.hub.client import HubClient
from icmigrate.migration.toolkit import Toolkit
from icmigrate.personal.client import PersonalClient
from icmigrate.protocol.identity import Ed25519Identity
from tests.canisters.http import ask
from tests.canisters.stages import agent_of, outcome, reach
from tests.worlds.hub import HubWorld, memory_id

SHARES = {"role": "Member", "permissions": 7}


@pytest.mark.parametrize("at", ["writable", "handed off"])
async def test_a_member_for_a_time_stays_one_for_a_time(world: HubWorld, module_toolkit: Toolkit, at: str) -> None:
    stage = await reach(world, module_toolkit, at)
    canister = "hub" if at == "writable" else "personal"
    client = HubClient if at == "writable" else PersonalClient
    member, friend = Ed25519Identity.generate(), Ed25519Identity.generate()
    name = memory_id(stage.capsule_id, "blob-0")
    where, people = {"Memory": name}, [PrincipalPerson(principal=one.sender().to_str()) for one in (member, friend)]

    def grant(id_: str, **changes: Any) -> AccessInput:
        whole: dict[str, Any] = {"id": id_, "resource": where, "person": people[0], **SHARES}
        return AccessInput.model_validate(whole | changes)

    soon = {"ExpiresAt": {"expires": time.time_ns() + 3_600 * 10**9}}
    async with agent_of(world, stage.owner) as owner, agent_of(world, member) as agent:
        own, theirs = (client(one, stage.id_of(canister)) for one in (owner, agent))
        await own.access_create(stage.capsule_id, grant("x-member", condition=soon))
        assert (await theirs.access_create(stage.capsule_id, grant("y-forever"))).is_derived
        await theirs.access_create(stage.capsule_id, grant("y-friend", person=people[1]))
        everybody = grant("y-public", person=None, role="Guest", permissions=1, is_public=True)
        assert await outcome(theirs, "access_create", stage.capsule_id, everybody.model_dump()) == "Unauthorized"

        async def have() -> list[int]:
            found = (own._call("access_effective", stage.capsule_id, where, person) for person in people)
            return [await one for one in found]

        assert await have() == [7, 7]
        later = await own.access_matrix(stage.capsule_id, time.time_ns() + 7_200 * 10**9)
        assert later.next is None and not [row for row in later.items if row.person in people]
        narrower = grant("x-member", condition=soon, permissions=5)
        await own._call("access_update", stage.capsule_id, "x-member", narrower.model_dump())
        assert await have() == [5, 5]
        await own._call("access_delete", stage.capsule_id, "x-member")
        assert await have() == [0, 0]
        assert await outcome(theirs, "memories_get", stage.capsule_id, name) == "Unauthorized"
    assert (await ask(own, f"/asset/{name}/original"))["status_code"] == 401
