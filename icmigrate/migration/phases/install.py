"""Phase 3: the factory installs the personal module; its hash is read back certified."""

from __future__ import annotations

from icmigrate.contract.migrations import Migration
from icmigrate.errors import VerificationDifference
from icmigrate.migration.context import Wiring
from icmigrate.protocol.principal import Principal


async def install(wiring: Wiring, capsule_id: str) -> Migration:
    """The migration with its module's hash. Raises `VerificationDifference` where another module runs."""
    wiring.progress.phase("install")
    migration = await wiring.hub.migration_install(capsule_id)
    canister_id = migration.created_canister()
    stored = await wiring.hub.wasm_info()
    running = await wiring.agent.module_hash(Principal.from_str(canister_id))
    if stored is None or running != stored.sha256:
        raise VerificationDifference(
            f"canister {canister_id} runs module {running.hex() if running else 'none'}, the hub's store "
            f"holds {stored.sha256.hex() if stored else 'none'}"
        )
    return migration
