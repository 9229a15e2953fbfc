"""What the embedded replica does a second, and plain ic-py beside our agent."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import wasmtime

from icmigrate import wasm
from icmigrate.contract import interface, records
from icmigrate.contract.blobs import CHUNK_BYTES
from icmigrate.hub.client import HubClient
from icmigrate.networks import embedded
from icmigrate.networks.canister_ids import CanisterIds
from icmigrate.networks.network import connect
from icmigrate.protocol import envelope
from icmigrate.protocol.agent import Agent
from icmigrate.protocol.candid import encode
from icmigrate.protocol.identity import Ed25519Identity
from icmigrate.protocol.management_canister import ManagementClient
from icmigrate.protocol.principal import Principal
from icmigrate.replica.daemon import DaemonInfo
from icmigrate.settings.identity_choice import choose_identity
from tests.replica.conformance.program import Program

MB = 1_000_000
PROGRAMMABLE = Path(__file__).parents[1] / "tests/wasm/programmable.wasm.gz"
CYCLES = 10_000_000_000_000
COUNTER = """
(module
  (import "ic0" "msg_reply" (func $reply))
  (import "ic0" "msg_arg_data_size" (func $size (result i32)))
  (import "ic0" "msg_arg_data_copy" (func $copy (param i32 i32 i32)))
  (memory 64)
  (func (export "canister_update inc") (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
    (call $reply))
  (func (export "canister_update spin") (local $n i32) (local.set $n (i32.const 1000000000))
    (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (call $reply))
  (func (export "canister_query get") (call $reply))
  (func (export "canister_update put") (call $copy (i32.const 8) (i32.const 0) (call $size)) (call $reply)))
"""


@dataclass(frozen=True)
class ReplicaFigures:
    sha256_wasm_mb_s: float
    updates_per_s: float
    queries_per_s: float
    large_updates_mb_s: float
    create_and_install_ms: float
    idle_canister_kb: float
    raw_updates_per_s: float
    raw_updates_per_s_of_16: float
    raw_queries_per_s_of_16: float
    two_canisters_to_one: float


async def measure(state: Path, info: DaemonInfo, canisters: int) -> ReplicaFigures:
    """Calls one after another over one connection; then many canisters of one module."""
    network = embedded.as_network(info)
    async with await connect(network, choose_identity(None, network, state)) as agent:
        counter = await installed(agent, bytes(wasmtime.wat2wasm(COUNTER)), b"")
        updates = await rate(300, lambda: agent.update(counter, "inc", b""))
        queries = await rate(300, lambda: agent.query(counter, "get", b""))
        raw_updates = await raw_rate(info, agent, [counter], "call", "inc")
        sixteen = [await installed(agent, bytes(wasmtime.wat2wasm(COUNTER)), b"") for _ in range(16)]
        raw_updates_of_16 = await raw_rate(info, agent, sixteen, "call", "inc")
        raw_queries_of_16 = await raw_rate(info, agent, sixteen, "query", "get")
        together = await side_by_side(agent, sixteen[0], sixteen[1])
        chunk = secrets.token_bytes(CHUNK_BYTES)
        large = await rate(30, lambda: agent.update(counter, "put", chunk)) * CHUNK_BYTES / MB
        hashing = await sha256_in_wasm(agent)
        half, begun = 0, 0.0
        for number in range(canisters):
            if number == canisters // 2:  # from here on as many leave memory as come
                half = resident_kb(info.pid)
            if number == canisters - min(20, canisters):
                begun = time.perf_counter()
            await installed(agent, wasm.module("personal"), personal_init(agent))
        each = (time.perf_counter() - begun) / min(20, canisters)
        idle = (resident_kb(info.pid) - half) / (canisters - canisters // 2)
    return ReplicaFigures(
        sha256_wasm_mb_s=hashing,
        updates_per_s=updates,
        queries_per_s=queries,
        large_updates_mb_s=large,
        create_and_install_ms=each * 1000,
        idle_canister_kb=idle,
        raw_updates_per_s=raw_updates,
        raw_updates_per_s_of_16=raw_updates_of_16,
        raw_queries_per_s_of_16=raw_queries_of_16,
        two_canisters_to_one=together,
    )


async def rate(times: int, call: Any) -> float:
    """Calls a second, the first one left out."""
    await call()
    begun = time.perf_counter()
    for _ in range(times):
        await call()
    return times / (time.perf_counter() - begun)


async def raw_rate(info: DaemonInfo, agent: Agent, canisters: list[Principal], kind: str, method: str) -> float:
    """Calls a second, a connection for each canister; signed before, certificates not verified."""
    times = 300
    bodies = {canister: [signed(agent, canister, kind, method) for _ in range(times)] for canister in canisters}
    async with aiohttp.ClientSession(headers={"Content-Type": "application/cbor"}) as session:

        async def one_by_one(canister: Principal) -> None:
            version = 4 if kind == "call" else 3
            url = f"{info.url}/api/v{version}/canister/{canister.to_str()}/{kind}"
            for body in bodies[canister]:
                async with session.post(url, data=body) as answer:
                    assert answer.status == 200, answer.status
                    await answer.read()

        begun = time.perf_counter()
        await asyncio.gather(*map(one_by_one, canisters))
        return times * len(canisters) / (time.perf_counter() - begun)


def signed(agent: Agent, canister: Principal, kind: str, method: str) -> bytes:
    expiry = time.time_ns() + 240 * 10**9
    content = {"request_type": kind, "canister_id": canister.bytes, "method_name": method, "arg": b""}
    return envelope.sign({**content, "ingress_expiry": expiry, "nonce": secrets.token_bytes(16)}, agent.identity)


async def side_by_side(agent: Agent, one: Principal, other: Principal) -> float:
    """How much longer two canisters take for a long message each than one does: 1 on two free cores."""
    begun = time.perf_counter()
    await agent.update(one, "spin", b"")
    alone = time.perf_counter() - begun
    begun = time.perf_counter()
    await asyncio.gather(agent.update(one, "spin", b""), agent.update(other, "spin", b""))
    return (time.perf_counter() - begun) / alone


async def installed(agent: Agent, module: bytes, argument: bytes) -> Principal:
    management = ManagementClient(agent)
    canister_id = await management.create_with_cycles(CYCLES)
    await management.install(canister_id, module, argument)
    return Principal.from_str(canister_id)


def personal_init(agent: Agent) -> bytes:
    operator = agent.identity.sender()
    return encode(
        interface("personal").init,
        [{"capsule_id": "bench", "hub": operator, "operators": [operator], "token_secret": bytes(32)}],
    )


def resident_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError(f"process {pid} has no resident size")


async def sha256_in_wasm(agent: Agent) -> float:
    """MB a second of SHA-256 in a canister: one call that hashes a chunk many times."""
    times = 50
    canister = await installed(agent, gzip.decompress(PROGRAMMABLE.read_bytes()), b"")
    await agent.update(canister, "run", Program().set(Program().zeros(CHUNK_BYTES)).reply(b"").code)
    hashing = Program().repeat(times, Program().sha256(Program().get()).drop()).reply(b"")
    begun = time.perf_counter()
    await agent.update(canister, "run", hashing.code)
    return times * CHUNK_BYTES / MB / (time.perf_counter() - begun)


async def plain_icpy(state: Path, info: DaemonInfo) -> float:
    """MB a second of one chunk read and written as ic-py 1.0.1 does it: its agent, codec and connections."""
    network = embedded.as_network(info)
    hub_id = CanisterIds(state, network).get("hub")
    assert hub_id is not None
    owner = Ed25519Identity.generate()
    first, second = secrets.token_bytes(CHUNK_BYTES), secrets.token_bytes(CHUNK_BYTES)
    async with await connect(network, owner) as agent:
        hub = HubClient(agent, hub_id)
        capsule = await hub.capsules_create()
        for data in (first, second):
            await hub.uploads_begin(capsule.id, hashlib.sha256(data).digest(), len(data))
        await hub.uploads_put_chunk(capsule.id, hashlib.sha256(first).digest(), 0, first)
        await hub.uploads_finish(capsule.id, hashlib.sha256(first).digest())
        await hub.memories_create(capsule.id, one_file(first))
    seconds = await asyncio.to_thread(relay_by_icpy, info.url, owner.to_pem(), hub_id, capsule.id, first, second)
    return CHUNK_BYTES / MB / seconds


def one_file(data: bytes) -> records.MemoryInput:
    location = {"Internal": {"sha256": hashlib.sha256(data).digest(), "length": len(data)}}
    asset = {"variant_": "Original", "name": "a", "mime_type": "application/octet-stream"}
    detail = {"Document": records.DocumentDetail()}
    return records.MemoryInput.model_validate(
        {"id": "a", "memory_type": "Document", "content_type": "application/octet-stream"}
        | {"assets": [asset | {"detail": detail, "location": location}]}
    )


def relay_by_icpy(url: str, pem: str, hub_id: str, capsule_id: str, to_read: bytes, to_write: bytes) -> float:
    """Seconds for reading one chunk and writing another, as a script would that uses ic-py as it comes."""
    from ic.agent import Agent as IcPyAgent
    from ic.candid import Types as IcPyTypes
    from ic.candid import encode as icpy_encode
    from ic.client import Client
    from ic.identity import Identity as IcPyIdentity

    agent = IcPyAgent(IcPyIdentity.from_pem(pem), Client(url))
    blob = IcPyTypes.Vec(IcPyTypes.Nat8)
    begun = time.perf_counter()
    question = icpy_encode(
        [
            {"type": IcPyTypes.Text, "value": capsule_id},
            {"type": blob, "value": hashlib.sha256(to_read).digest()},
            {"type": IcPyTypes.Nat32, "value": 0},
        ]
    )
    answer = agent.query_raw(hub_id, "blobs_read_chunk", question)
    (read,) = answer[0]["value"].values()
    assert bytes(read) == to_read
    order = icpy_encode(
        [
            {"type": IcPyTypes.Text, "value": capsule_id},
            {"type": blob, "value": hashlib.sha256(to_write).digest()},
            {"type": IcPyTypes.Nat32, "value": 0},
            {"type": blob, "value": to_write},
        ]
    )
    agent.update_raw(hub_id, "uploads_put_chunk", order)
    return time.perf_counter() - begun
