"""Interface Specification, "The IC management canister": creating and installing a canister by ingress calls."""

from __future__ import annotations

import hashlib

from icmigrate.protocol.agent import Agent
from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.candid.method import Method
from icmigrate.protocol.principal import MANAGEMENT_CANISTER, Principal

SINGLE_MESSAGE_BYTES = 1_900_000
"""A module up to this size fits one ingress message (2 MiB); a larger one goes through the chunk store."""
CHUNK_STORE_BYTES = 1 << 20
FIRST_CANISTER = Principal.from_str("rwlgt-iiaaa-aaaaa-aaaaa-cai")
"""The effective canister id of creations: local networks have it in the range of their first subnet."""

BLOB = T.Vec(T.Nat8)
_MODE = T.Variant(
    {
        "install": T.Null,
        "upgrade": T.Opt(
            T.Record(
                {
                    "skip_pre_upgrade": T.Opt(T.Bool),
                    "wasm_memory_persistence": T.Opt(T.Variant({"keep": T.Null, "replace": T.Null})),
                }
            )
        ),
    }
)
_CHUNK_HASH = T.Record({"hash": BLOB})
_CREATED = T.Record({"canister_id": T.Principal})

_CREATE = Method(
    "provisional_create_canister_with_cycles",
    (T.Record({"amount": T.Opt(T.Nat)}),),
    (_CREATED,),
    is_query=False,
)
_INSTALL = Method(
    "install_code",
    (T.Record({"mode": _MODE, "canister_id": T.Principal, "wasm_module": BLOB, "arg": BLOB}),),
    (),
    is_query=False,
)
_STOP = Method("stop_canister", (T.Record({"canister_id": T.Principal}),), (), is_query=False)
_START = Method("start_canister", (T.Record({"canister_id": T.Principal}),), (), is_query=False)
_CLEAR = Method("clear_chunk_store", (T.Record({"canister_id": T.Principal}),), (), is_query=False)
_UPLOAD = Method(
    "upload_chunk", (T.Record({"canister_id": T.Principal, "chunk": BLOB}),), (_CHUNK_HASH,), is_query=False
)
_INSTALL_CHUNKED = Method(
    "install_chunked_code",
    (
        T.Record(
            {
                "mode": _MODE,
                "target_canister": T.Principal,
                "store_canister": T.Opt(T.Principal),
                "chunk_hashes_list": T.Vec(_CHUNK_HASH),
                "wasm_module_hash": BLOB,
                "arg": BLOB,
            }
        ),
    ),
    (),
    is_query=False,
)


class ManagementClient:
    """The management canister's methods that a deployment needs."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def create_with_cycles(self, amount: int) -> str:
        """A new canister with `amount` cycles from nowhere: local networks only. Answers its id."""
        argument = _CREATE.encode({"amount": amount})
        reply = await self._agent.update(
            MANAGEMENT_CANISTER, _CREATE.name, argument, effective_canister_id=FIRST_CANISTER
        )
        created: str = _CREATE.decode(reply)["canister_id"]
        return created

    async def install(self, canister_id: str, module: bytes, argument: bytes) -> None:
        """Installs a module into an empty canister."""
        await self._install("install", canister_id, module, argument)

    async def upgrade(self, canister_id: str, module: bytes, argument: bytes) -> None:
        """Replaces the module of a canister, which keeps its stable memory.

        It is stopped meanwhile: an answer to a call of the old module would not find its way into the new one.
        """
        await self._call(canister_id, _STOP, {"canister_id": canister_id})
        try:
            await self._install({"upgrade": None}, canister_id, module, argument)
        finally:
            await self.start(canister_id)

    async def start(self, canister_id: str) -> None:
        """Starts a canister that was stopped; one that runs goes on."""
        await self._call(canister_id, _START, {"canister_id": canister_id})

    async def _install(self, mode: object, canister_id: str, module: bytes, argument: bytes) -> None:
        if len(module) <= SINGLE_MESSAGE_BYTES:
            given = {"mode": mode, "canister_id": canister_id, "wasm_module": module, "arg": argument}
            await self._call(canister_id, _INSTALL, given)
            return
        await self._call(canister_id, _CLEAR, {"canister_id": canister_id})
        hashes = []
        for at in range(0, len(module), CHUNK_STORE_BYTES):
            chunk = module[at : at + CHUNK_STORE_BYTES]
            await self._call(canister_id, _UPLOAD, {"canister_id": canister_id, "chunk": chunk})
            hashes.append({"hash": hashlib.sha256(chunk).digest()})
        await self._call(
            canister_id,
            _INSTALL_CHUNKED,
            {
                "mode": mode,
                "target_canister": canister_id,
                "store_canister": None,
                "chunk_hashes_list": hashes,
                "wasm_module_hash": hashlib.sha256(module).digest(),
                "arg": argument,
            },
        )
        await self._call(canister_id, _CLEAR, {"canister_id": canister_id})

    async def _call(self, canister_id: str, method: Method, argument: object) -> None:
        await self._agent.update(
            MANAGEMENT_CANISTER,
            method.name,
            method.encode(argument),
            effective_canister_id=Principal.from_str(canister_id),
        )
