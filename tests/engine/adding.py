"""A workflow whose steps leave a trace in a folder, so that everybody sees how often each was done."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from icmigrate.engine.engine import Steps


@dataclass
class Adding:
    """What the steps work with: a folder for their traces, and the loop that they must run in."""

    folder: Path
    loop: asyncio.AbstractEventLoop | None = None

    def take(self, number: int) -> int:
        if self.loop is not None:
            assert asyncio.get_running_loop() is self.loop
        with (self.folder / str(number)).open("a") as trace:
            trace.write("done\n")
        return number

    def times(self, number: int) -> int:
        """How often the step `number` was done."""
        trace = self.folder / str(number)
        return len(trace.read_text().splitlines()) if trace.exists() else 0


async def add(adding: Adding, number: int) -> int:
    return adding.take(number)


async def sum_up(step: Steps[Adding], count: int) -> int:
    """1 + 2 + ... + count, a step each."""
    return sum([await step(add, number) for number in range(1, count + 1)])
