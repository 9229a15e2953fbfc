"""A process that works on a state folder until it is killed, saying what was acknowledged.

Each line on stdout is written after the acknowledgement of an update: "<canister number> <its counter>".
"""

from __future__ import annotations

import asyncio
import os
import struct
import sys
from pathlib import Path

from icmigrate.replica.state.limits import Limits
from tests.replica.execution.test_durability import COUNTER
from tests.worlds.bare_replica import BareWorld, open_world

CANISTERS = 3


async def work(world: BareWorld, number: int) -> None:
    canister_id = sorted(world.subnet.state.canisters)[number]
    while True:
        (count,) = struct.unpack("<I", await world.call(canister_id, "count"))
        os.write(1, f"{number} {count}\n".encode())


async def main(folder: Path) -> None:
    world = await open_world(folder, Limits(page_log_bytes=1 << 18))
    while len(world.subnet.state.canisters) < CANISTERS:
        await world.canister(COUNTER)
    for canister_id, canister in list(world.subnet.state.canisters.items()):
        if canister.module is None:
            await world.install(canister_id, COUNTER)
    await asyncio.gather(*(work(world, number) for number in range(CANISTERS)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
