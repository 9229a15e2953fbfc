"""Creates the hub, installs or upgrades its module, and fills its Wasm store with the personal module.

May be repeated: what is done already is found to be done. A hub is upgraded, never reinstalled.
"""

from __future__ import annotations

import hashlib

from icmigrate import wasm
from icmigrate.contract import interface
from icmigrate.contract.blobs import CHUNK_BYTES, bits_set
from icmigrate.contract.record import Record
from icmigrate.errors import PreflightRefused, QueryRejected, Usage, VerificationDifference
from icmigrate.hub.client import HubClient
from icmigrate.networks.canister_ids import CanisterIds
from icmigrate.networks.network import Network
from icmigrate.progress import Progress
from icmigrate.protocol.agent import Agent
from icmigrate.protocol.candid import encode
from icmigrate.protocol.management_canister import ManagementClient
from icmigrate.protocol.principal import Principal

HUB = "hub"
LOCAL_CYCLES = 1_000_000_000_000_000
"""Cycles of a hub on a local network, where they cost nothing: enough for hundreds of migrations."""
STOPPED_CODES = ("IC0508", "IC0509")
"""The error codes of a canister that is stopped, or about to be."""
OURS = "icmigrate:sources"
"""The metadata section by which a module of ours is known."""


class DeployReport(Record):
    """The hub as it stands, and what was done for it; hashes are those of the modules as installed."""

    hub: str
    module_hash: bytes
    personal_module_hash: bytes
    actions: list[str]


async def deploy(
    agent: Agent, network: Network, ids: CanisterIds, hub_id: str | None, progress: Progress
) -> DeployReport:
    """Deploys the hub, `hub_id` being one that exists already, and the personal module into its store."""
    actions: list[str] = []
    progress.phase("deploy")
    canister_id = hub_id or ids.get(HUB) or await _create(agent, network, ids, actions)
    module_hash = await _install(agent, canister_id, actions)
    ids.put(HUB, canister_id)
    personal_hash = await _store_personal(HubClient(agent, canister_id), progress, actions)
    return DeployReport(hub=canister_id, module_hash=module_hash, personal_module_hash=personal_hash, actions=actions)


def built_module(name: str) -> bytes:
    """The module of a canister. Raises `Usage` in a checkout where it was not built."""
    try:
        return wasm.module(name)
    except FileNotFoundError as error:
        raise Usage(f"the module of {name} is missing: {error.filename}", hint="Run scripts/build-canisters.") from None


async def _create(agent: Agent, network: Network, ids: CanisterIds, actions: list[str]) -> str:
    if not network.is_local:
        raise Usage(
            f"no hub is known on network {network.name}, and a canister there costs cycles",
            hint="Create one (`icp canister create --detached`, or `dfx canister create hub --network ic`) "
            "with at least 5 T cycles, then run `icmigrate deploy --hub ID` as one of its controllers.",
        )
    canister_id = await ManagementClient(agent).create_with_cycles(LOCAL_CYCLES)
    # Written down before anything else can go wrong with it.
    ids.put(HUB, canister_id)
    actions.append("created")
    return canister_id


async def _install(agent: Agent, canister_id: str, actions: list[str]) -> bytes:
    """Brings the hub's module up to date; answers its hash as the network certifies it."""
    module = built_module(HUB)
    wanted = hashlib.sha256(module).digest()
    principal = Principal.from_str(canister_id)
    present = await agent.module_hash(principal)
    management = ManagementClient(agent)
    if present == wanted:
        if await _is_stopped(HubClient(agent, canister_id)):
            await management.start(canister_id)
            actions.append("started")
        return wanted
    init = encode(interface(HUB).init, [[{"operators": [agent.identity.sender()]}]])
    if present is None:
        await management.install(canister_id, module, init)
        actions.append("installed")
    else:
        if await agent.metadata(principal, OURS) is None:
            raise PreflightRefused(
                f"canister {canister_id} runs a module that is not a hub of icmigrate; it was left as it is",
                hint="Give the hub's id with --hub, or deploy a new hub without it.",
            )
        await management.upgrade(canister_id, module, init)
        actions.append("upgraded")
    installed = await agent.module_hash(principal)
    if installed != wanted:
        raise VerificationDifference(
            f"canister {canister_id} should run module {wanted.hex()}, "
            f"the network certifies {installed.hex() if installed else 'none'}"
        )
    return installed


async def _is_stopped(hub: HubClient) -> bool:
    """Whether an upgrade was broken off before the hub was started again."""
    try:
        await hub.operators_list()
    except QueryRejected as error:
        if error.error_code not in STOPPED_CODES:
            raise
        return True
    return False


async def _store_personal(hub: HubClient, progress: Progress, actions: list[str]) -> bytes:
    """Uploads the personal module into the hub's Wasm store, unless it is there."""
    module = built_module("personal")
    wanted = hashlib.sha256(module).digest()
    stored = await hub.wasm_info()
    if stored is not None and stored.sha256 == wanted:
        return wanted
    status = await hub.wasm_begin(wanted, len(module))
    received = set(bits_set(status.received))
    progress.total(bytes=len(module))
    for index, at in enumerate(range(0, len(module), CHUNK_BYTES)):
        chunk = module[at : at + CHUNK_BYTES]
        if index not in received:
            await hub.wasm_put_chunk(index, chunk)
        progress.advance(bytes=len(chunk), chunks=1)
    finished = await hub.wasm_finish()
    if finished.sha256 != wanted:
        raise VerificationDifference(f"the hub's store holds module {finished.sha256.hex()} instead")
    actions.append("personal module stored")
    return wanted
