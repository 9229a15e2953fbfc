"""A process that starts a run of `sum_up` and dies in it; arguments: URL, family, folder, and perhaps a version."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from icmigrate.engine import engine
from icmigrate.engine.engine import Engine
from icmigrate.progress import Progress
from tests.engine.adding import Adding, sum_up


class Dying(Adding):
    """Dies in the second step, before its result is known."""

    def take(self, number: int) -> int:
        if number == 2:
            os._exit(9)
        return super().take(number)


async def main(url: str, family: str, folder: str) -> None:
    async with Engine(url, sum_up) as opened:
        await opened.run(family, Dying(Path(folder)), Progress(), 3)


if __name__ == "__main__":
    if len(sys.argv) > 4:
        engine.APPLICATION_VERSION = sys.argv[4]
    asyncio.run(main(*sys.argv[1:4]))
