"""A link to an asset is worth no more, and no longer, than the right of who made it; the hub keeps no key to it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from typing import Any

import pytest

from icmigrate.contract.access import AccessInput
from icmigrate.contract.client import CapsuleClient
from icmigrate.contract.records import AssetRef
from icmigrate.hub.client import HubClient
from icmigrate.migration.toolkit import Toolkit
from icmigrate.personal.client import PersonalClient
from icmigrate.protocol.identity import Ed25519Identity
from icmigrate.protocol.principal import MANAGEMENT_CANISTER, Principal
from tests.canisters.stages import BLOBS, Stage, advance, agent_of, hand_off, outcome, reach
from tests.replica.conformance import candid_types
from tests.worlds.hub import HubWorld, memory_id, some_bytes

SECRET = some_bytes(BLOBS[0], BLOBS[0])
"""The bytes of the private memory."""
MIB = 1 << 20
DAY = 86_400
FOREVER = 2**63


async def link(canister: CapsuleClient, stage: Stage, seconds: int = 600) -> tuple[str, int]:
    """The path of the private asset with a token, and the second at which it ends."""
    ref = AssetRef(memory_id=memory_id(stage.capsule_id, "blob-0"), variant_="Original")
    (token,) = await canister.asset_tokens(stage.capsule_id, [ref], seconds)
    return token.path, token.expires_at // 10**9


async def status(toolkit: Toolkit, canister_id: str, path: str) -> int:
    answer = await toolkit.gateway.request(toolkit.network.gateway(canister_id) + path)
    assert (answer.status == 200) == (answer.body == SECRET)
    return answer.status


async def invite(toolkit: Toolkit, stage: Stage, guest: Ed25519Identity, **changes: Any) -> None:
    entry = {
        "id": "z-guest",
        "resource": {"Memory": memory_id(stage.capsule_id, "blob-0")},
        "person": {"Principal": guest.sender().to_str()},
        "role": "Guest",
        "permissions": 3,
    }
    await toolkit.hub.access_create(stage.capsule_id, AccessInput.model_validate(entry | changes))


async def test_a_guests_link_ends_with_what_was_granted(world: HubWorld, module_toolkit: Toolkit) -> None:
    stage, guest = await reach(world, module_toolkit, "writable"), Ed25519Identity.generate()
    soon = time.time_ns() + 3_600 * 10**9
    await invite(module_toolkit, stage, guest, condition={"ExpiresAt": {"expires": soon}})
    async with agent_of(world, guest) as agent:
        path, ends = await link(HubClient(agent, world.hub_id), stage, 30 * DAY)
    assert ends == soon // 10**9
    assert await status(module_toolkit, world.hub_id, path) == 200
    await module_toolkit.hub._call("access_delete", stage.capsule_id, "z-guest")
    assert await status(module_toolkit, world.hub_id, path) == 403


async def test_how_long_links_last_and_that_an_operators_ends_with_the_office(
    world: HubWorld, module_toolkit: Toolkit
) -> None:
    stage, guest, operator = await reach(world, module_toolkit, "writable"), *(Ed25519Identity.generate() for _ in "12")
    await invite(module_toolkit, stage, guest)
    await module_toolkit.hub.operators_add(operator.sender().to_str())
    paths = []
    for identity, longest in ((stage.owner, 30 * DAY), (guest, DAY), (operator, 900)):
        async with agent_of(world, identity) as agent:
            path, ends = await link(HubClient(agent, world.hub_id), stage, 30 * DAY)
        assert longest - 60 < ends - time.time() < longest + 60
        assert await status(module_toolkit, world.hub_id, path) == 200
        paths.append(path)
    await module_toolkit.hub._call("operators_remove", operator.sender().to_str())
    assert [await status(module_toolkit, world.hub_id, path) for path in paths] == [200, 200, 403]


@pytest.mark.parametrize("whole", [True, False], ids=["capsule", "memory"])
async def test_links_are_taken_back_by_who_manages(world: HubWorld, module_toolkit: Toolkit, whole: bool) -> None:
    stage, guest = await reach(world, module_toolkit, "writable"), Ed25519Identity.generate()
    await invite(module_toolkit, stage, guest)
    name = None if whole else memory_id(stage.capsule_id, "blob-0")
    async with agent_of(world, guest) as agent:
        path, _ = await link(HubClient(agent, world.hub_id), stage)
        refused = await outcome(HubClient(agent, world.hub_id), "asset_tokens_revoke", stage.capsule_id, name)
    assert refused in ("Unauthorized", "not accepted")
    assert await status(module_toolkit, world.hub_id, path) == 200
    async with agent_of(world, stage.owner) as agent:
        hub = HubClient(agent, world.hub_id)
        await hub.asset_tokens_revoke(stage.capsule_id, name)
        assert await status(module_toolkit, world.hub_id, path) == 403
        assert await status(module_toolkit, world.hub_id, (await link(hub, stage))[0]) == 200


# ---- what the hub had in its hands ------------------------------------------------------------------


async def manage(toolkit: Toolkit, canister_id: str, method: str, **argument: Any) -> Any:
    principal = Principal.from_str(canister_id)
    given = candid_types.encode(method, {"canister_id": principal, **argument})
    reply = await toolkit.agent.update(MANAGEMENT_CANISTER, method, given, effective_canister_id=principal)
    return candid_types.decode(method, reply)


async def secrets_of_hub(toolkit: Toolkit) -> set[bytes]:
    """Whatever may have signed tokens, in a snapshot that the hub's controller takes."""
    hub_id = toolkit.hub.canister_id
    taken = await manage(toolkit, hub_id, "take_canister_snapshot")
    about = await manage(toolkit, hub_id, "read_canister_snapshot_metadata", snapshot_id=taken["id"])
    found: set[bytes] = set()
    for part in ("stable_memory", "wasm_memory"):
        before, size = b"", about[f"{part}_size"]
        for offset in range(0, size, MIB):
            slice_ = {part: {"offset": offset, "size": min(MIB, size - offset)}}
            read = await manage(toolkit, hub_id, "read_canister_snapshot_data", snapshot_id=taken["id"], kind=slice_)
            found |= set(re.findall(rb"token_secret\x58\x20(.{32})", before + read["chunk"], re.DOTALL))
            before = read["chunk"][-64:]
    await manage(toolkit, hub_id, "delete_canister_snapshot", snapshot_id=taken["id"])
    return found


def forged(path: str, secret: bytes) -> str:
    """The same link for ever and whatever was revoked, signed with a secret."""
    asset, _, token = path.partition("?token=")
    payload = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))[:-32])
    payload[2:10], payload[10:14] = FOREVER.to_bytes(8, "big"), b"\xff" * 4
    tag = hmac.digest(secret, b"icmigrate:asset-token" + payload, hashlib.sha256)
    return asset + "?token=" + base64.urlsafe_b64encode(bytes(payload) + tag).decode().rstrip("=")


async def test_what_the_hub_knew_opens_nothing_after_the_hand_off(world: HubWorld, module_toolkit: Toolkit) -> None:
    stage, guest = await reach(world, module_toolkit, "writable"), Ed25519Identity.generate()
    await invite(module_toolkit, stage, guest)
    async with agent_of(world, guest) as agent:
        early, _ = await link(HubClient(agent, world.hub_id), stage)
    known = await secrets_of_hub(module_toolkit)
    tried = {secret: await status(module_toolkit, world.hub_id, forged(early, secret)) for secret in known}
    (secret,) = (secret for secret, answer in tried.items() if answer == 200)

    live = await advance(world, module_toolkit, "live", stage.capsule_id, stage.owner)
    home = live.id_of("personal")
    assert await status(module_toolkit, home, early) == 200  # by the hub's redirect, until the hand-off
    async with agent_of(world, stage.owner) as agent:
        personal = PersonalClient(agent, home)
        between, _ = await link(personal, stage)
        await hand_off(world, module_toolkit, stage.capsule_id, home, stage.owner)
        late, _ = await link(personal, stage)
    assert await status(module_toolkit, home, late) == 200
    known |= await secrets_of_hub(module_toolkit)
    assert secret in known
    for old in (early, between, *(forged(path, key) for key in known for path in (early, late))):
        assert await status(module_toolkit, home, old) == 403
    answer = await module_toolkit.gateway.request(module_toolkit.network.gateway(home) + early)
    assert answer.body == b"This link has ended. Ask whoever gave it to you for a new one.\n"
