"""Which module a canister runs, as the network certifies it: the code is what every other proof rests on."""

from __future__ import annotations

from icmigrate.errors import VerificationDifference
from icmigrate.protocol.agent import Agent
from icmigrate.protocol.principal import Principal


async def require_module(agent: Agent, canister_id: str, expected: bytes) -> None:
    """Raises `VerificationDifference` unless the canister runs the module with this SHA-256."""
    running = await agent.module_hash(Principal.from_str(canister_id))
    if running != expected:
        raise VerificationDifference(
            f"canister {canister_id} runs module {running.hex() if running else 'none'}, expected is {expected.hex()}",
            hint="The expected one is what this release ships. If you trust the other, name it with --module.",
        )
