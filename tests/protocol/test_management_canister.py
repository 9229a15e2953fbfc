"""The management canister, seen from who deploys: modules of any size arrive."""

from __future__ import annotations

import hashlib
import random
import string

import wasmtime

from icmigrate.protocol.management_canister import SINGLE_MESSAGE_BYTES, ManagementClient
from icmigrate.protocol.principal import Principal
from tests.worlds.agent import MODULE, AgentWorld


async def test_a_module_that_fits_no_message_is_installed_by_the_chunk_store(world: AgentWorld) -> None:
    ballast = "".join(random.Random(1).choices(string.ascii_letters, k=SINGLE_MESSAGE_BYTES + 500_000))
    large = bytes(wasmtime.wat2wasm(MODULE.replace("(data ", f'(data (i32.const 1000000) "{ballast}") (data ', 1)))
    management = ManagementClient(world.agent)
    canister_id = await management.create_with_cycles(10**14)
    await management.install(canister_id, large, b"DIDL\0\0")
    assert await world.agent.module_hash(Principal.from_str(canister_id)) == hashlib.sha256(large).digest()
