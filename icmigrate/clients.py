"""HubClient and PersonalClient: a method per canister method, records in and out (`hub.did`, `personal.did`).

A canister's `Err` answer is raised as the error that `refusals.py` names. `certified=True` sends a query method as an
update call, so that its answer carries a certificate.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from icmigrate import contract, records
from icmigrate.protocol.agent import Agent
from icmigrate.protocol.principal import Principal
from icmigrate.refusals import refusal

Model = TypeVar("Model", bound=BaseModel)
Item = TypeVar("Item")

LIST_LIMIT = 100
"""Items asked for in one page of a list."""


async def all_pages(
    page: Callable[[Any], Awaitable[records.Page[Item, Any]]], after: object = None
) -> AsyncIterator[Item]:
    """Every item of a paged list behind the cursor `after`, a page at a time."""
    while True:
        answer = await page(after)
        for item in answer.items:
            yield item
        if answer.next is None:
            return
        after = answer.next


class CapsuleClient:
    """What the hub and a personal canister answer alike, for one capsule at a time."""

    methods = contract.DATA_METHODS

    def __init__(self, agent: Agent, canister_id: str) -> None:
        self.agent = agent
        self.canister_id = canister_id
        self._principal = Principal.from_str(canister_id)

    async def _call(self, name: str, *arguments: object, certified: bool = False) -> Any:
        method = self.methods[name]
        send = self.agent.query if method.is_query and not certified else self.agent.update
        reply = method.decode(await send(self._principal, name, method.encode(*arguments)))
        match reply:
            case {"Err": error}:
                raise refusal(self.canister_id, name, error)
            case {"Ok": value}:
                return value
            case "Ok":
                return None
            case _:
                return reply

    async def _record(self, model: type[Model], name: str, *arguments: object, certified: bool = False) -> Model:
        return model.model_validate(await self._call(name, *arguments, certified=certified))

    async def _page(
        self, item: type[Model], name: str, *arguments: object, items: str = "items", certified: bool = False
    ) -> records.Page[Model, Any]:
        answer = await self._call(name, *arguments, certified=certified)
        return records.Page[Model, Any](
            items=[item.model_validate(value) for value in answer[items]], next=answer["next"]
        )

    # data

    async def capsules_get(self, capsule_id: str) -> records.Capsule:
        return await self._record(records.Capsule, "capsules_get", capsule_id)

    async def capsules_summary(self, capsule_id: str) -> records.CapsuleSummary:
        return await self._record(records.CapsuleSummary, "capsules_summary", capsule_id)

    async def capsules_update(
        self,
        capsule_id: str,
        *,
        owners: Sequence[records.Person] | None = None,
        controllers: Sequence[records.Person] | None = None,
        settings: records.CapsuleSettings | None = None,
    ) -> records.Capsule:
        change = {
            "owners": owners,
            "controllers": controllers,
            "settings": settings.model_dump() if settings else None,
        }
        return await self._record(records.Capsule, "capsules_update", capsule_id, change)

    async def memories_create(self, capsule_id: str, memory: records.MemoryInput) -> records.Memory:
        return await self._record(records.Memory, "memories_create", capsule_id, memory.model_dump())

    async def memories_get(self, capsule_id: str, memory_id: str) -> records.Memory:
        return await self._record(records.Memory, "memories_get", capsule_id, memory_id)

    async def memories_list(
        self, capsule_id: str, after: str | None = None, limit: int = LIST_LIMIT
    ) -> records.Page[records.Memory, Any]:
        return await self._page(records.Memory, "memories_list", capsule_id, after, limit)

    async def memories_update(self, capsule_id: str, memory_id: str, memory: records.MemoryInput) -> records.Memory:
        return await self._record(records.Memory, "memories_update", capsule_id, memory_id, memory.model_dump())

    async def memories_delete(self, capsule_id: str, memory_id: str) -> None:
        await self._call("memories_delete", capsule_id, memory_id)

    async def folders_create(self, capsule_id: str, folder: records.FolderInput) -> records.Folder:
        return await self._record(records.Folder, "folders_create", capsule_id, folder.model_dump())

    async def folders_list(
        self, capsule_id: str, after: str | None = None, limit: int = LIST_LIMIT
    ) -> records.Page[records.Folder, Any]:
        return await self._page(records.Folder, "folders_list", capsule_id, after, limit)

    async def galleries_create(self, capsule_id: str, gallery: records.GalleryInput) -> records.Gallery:
        return await self._record(records.Gallery, "galleries_create", capsule_id, gallery.model_dump())

    async def galleries_update(
        self, capsule_id: str, gallery_id: str, gallery: records.GalleryInput
    ) -> records.Gallery:
        return await self._record(records.Gallery, "galleries_update", capsule_id, gallery_id, gallery.model_dump())

    async def galleries_list(
        self, capsule_id: str, after: str | None = None, limit: int = LIST_LIMIT
    ) -> records.Page[records.Gallery, Any]:
        return await self._page(records.Gallery, "galleries_list", capsule_id, after, limit)

    async def access_create(self, capsule_id: str, entry: records.AccessInput) -> records.AccessEntry:
        return await self._record(records.AccessEntry, "access_create", capsule_id, entry.model_dump())

    async def access_list(
        self, capsule_id: str, after: str | None = None, limit: int = LIST_LIMIT
    ) -> records.Page[records.AccessEntry, Any]:
        return await self._page(records.AccessEntry, "access_list", capsule_id, after, limit)

    async def access_matrix(
        self, capsule_id: str, at: int, cursor: bytes | None = None, limit: int = 1_000
    ) -> records.Page[records.MatrixRow, Any]:
        """Effective permissions at the time `at` (nanoseconds), certified."""
        return await self._page(
            records.MatrixRow, "access_matrix", capsule_id, at, cursor, limit, items="rows", certified=True
        )

    async def connections_create(self, capsule_id: str, connection: records.ConnectionInput) -> records.Connection:
        return await self._record(records.Connection, "connections_create", capsule_id, connection.model_dump())

    async def groups_create(self, capsule_id: str, group: records.GroupInput) -> records.Group:
        return await self._record(records.Group, "groups_create", capsule_id, group.model_dump())

    # blobs

    async def uploads_begin(self, capsule_id: str, sha256: bytes, length: int) -> records.UploadStatus:
        return await self._record(records.UploadStatus, "uploads_begin", capsule_id, sha256, length)

    async def uploads_put_chunk(self, capsule_id: str, sha256: bytes, index: int, chunk: bytes) -> None:
        await self._call("uploads_put_chunk", capsule_id, sha256, index, chunk)

    async def uploads_finish(self, capsule_id: str, sha256: bytes) -> records.UploadStatus:
        return await self._record(records.UploadStatus, "uploads_finish", capsule_id, sha256)

    async def blobs_list(
        self, capsule_id: str, after: bytes | None = None, limit: int = LIST_LIMIT
    ) -> records.Page[records.Blob, Any]:
        return await self._page(records.Blob, "blobs_list", capsule_id, after, limit)

    async def blobs_read_chunk(self, capsule_id: str, sha256: bytes, index: int) -> bytes:
        chunk: bytes = await self._call("blobs_read_chunk", capsule_id, sha256, index)
        return chunk

    # manifest

    async def manifest_root(self, capsule_id: str) -> records.CertifiedRoot:
        return await self._record(records.CertifiedRoot, "manifest_root", capsule_id)

    async def manifest_node(self, capsule_id: str, prefix: bytes) -> list[records.ManifestLeaf] | list[bytes]:
        """The leaves of a small node of the digest trie, or the 16 digests of an inner one."""
        node = await self._call("manifest_node", capsule_id, prefix)
        if "Inner" in node:
            inner: list[bytes] = node["Inner"]
            return inner
        return [records.ManifestLeaf.model_validate(leaf) for leaf in node["Leaf"]]

    # http and cycles

    async def asset_tokens(
        self, capsule_id: str, assets: Iterable[records.AssetRef], valid_seconds: int
    ) -> list[records.AssetToken]:
        tokens = await self._call("asset_tokens", capsule_id, [asset.model_dump() for asset in assets], valid_seconds)
        return [records.AssetToken.model_validate(token) for token in tokens]

    async def cycles(self) -> records.Cycles:
        return await self._record(records.Cycles, "cycles")

    async def cycles_by_operation(self) -> list[records.OperationCost]:
        return [records.OperationCost.model_validate(cost) for cost in await self._call("cycles_by_operation")]


class HubClient(CapsuleClient):
    """The hub: many capsules, the factory and the registry."""

    methods = contract.HUB_METHODS

    async def capsules_create(self, subject: records.Person | None = None) -> records.Capsule:
        return await self._record(records.Capsule, "capsules_create", subject)

    async def capsules_list(
        self, after: str | None = None, limit: int = LIST_LIMIT
    ) -> records.Page[records.CapsuleSummary, Any]:
        return await self._page(records.CapsuleSummary, "capsules_list", after, limit)

    async def operators_list(self) -> list[str]:
        operators: list[str] = await self._call("operators_list")
        return operators

    async def operators_add(self, operator: str) -> None:
        await self._call("operators_add", operator)

    async def export_records(
        self, capsule_id: str, after: bytes | None, max_bytes: int
    ) -> records.Page[records.RecordBytes, Any]:
        """Records as the hub stores them, at most about `max_bytes` a page."""
        return await self._page(records.RecordBytes, "export_records", capsule_id, after, max_bytes, items="records")

    async def wasm_begin(self, sha256: bytes, length: int) -> records.UploadStatus:
        return await self._record(records.UploadStatus, "wasm_begin", sha256, length)

    async def wasm_put_chunk(self, index: int, chunk: bytes) -> None:
        await self._call("wasm_put_chunk", index, chunk)

    async def wasm_finish(self) -> records.WasmInfo:
        return await self._record(records.WasmInfo, "wasm_finish")

    async def wasm_info(self) -> records.WasmInfo | None:
        info = await self._call("wasm_info")
        return records.WasmInfo.model_validate(info) if info is not None else None

    async def registry_home(self, capsule_id: str) -> records.Home:
        home: records.Home = await self._call("registry_home", capsule_id)
        return home

    async def migration_quote(self, capsule_id: str) -> records.MigrationQuote:
        return await self._record(records.MigrationQuote, "migration_quote", capsule_id)

    async def migration_get(self, capsule_id: str, *, certified: bool = False) -> records.Migration | None:
        migration = await self._call("migration_get", capsule_id, certified=certified)
        return records.Migration.model_validate(migration) if migration is not None else None

    async def migration_list(
        self, after: int | None = None, limit: int = LIST_LIMIT
    ) -> records.Page[records.Migration, Any]:
        return await self._page(records.Migration, "migration_list", after, limit)

    async def migration_reserve(self, capsule_id: str) -> records.Migration:
        return await self._record(records.Migration, "migration_reserve", capsule_id)

    async def migration_create_canister(self, capsule_id: str) -> records.Migration:
        return await self._record(records.Migration, "migration_create_canister", capsule_id)

    async def migration_install(self, capsule_id: str) -> records.Migration:
        return await self._record(records.Migration, "migration_install", capsule_id)

    async def migration_freeze(self, capsule_id: str) -> records.Migration:
        return await self._record(records.Migration, "migration_freeze", capsule_id)

    async def migration_thaw(self, capsule_id: str) -> records.Migration:
        return await self._record(records.Migration, "migration_thaw", capsule_id)

    async def migration_build_manifest(self, capsule_id: str) -> records.ManifestSummary:
        return await self._record(records.ManifestSummary, "migration_build_manifest", capsule_id)

    async def migration_cut_over(self, capsule_id: str, root: bytes) -> records.Migration:
        return await self._record(records.Migration, "migration_cut_over", capsule_id, root)

    async def migration_abort(self, capsule_id: str) -> records.Migration:
        return await self._record(records.Migration, "migration_abort", capsule_id)

    async def migration_handoff(self, capsule_id: str, recovery: str | None) -> records.Migration:
        return await self._record(records.Migration, "migration_handoff", capsule_id, recovery)


class PersonalClient(CapsuleClient):
    """A personal canister: one capsule, and the import that fills it."""

    methods = contract.PERSONAL_METHODS

    async def import_status(self) -> records.ImportStatus:
        return await self._record(records.ImportStatus, "import_status")

    async def import_declare_blobs(self, blobs: Sequence[records.Blob]) -> None:
        await self._call("import_declare_blobs", [blob.model_dump() for blob in blobs])

    async def import_missing_chunks(
        self, after: bytes | None = None, limit: int = LIST_LIMIT
    ) -> records.Page[records.MissingChunks, Any]:
        return await self._page(records.MissingChunks, "import_missing_chunks", after, limit)

    async def import_put_chunk(self, sha256: bytes, index: int, chunk: bytes) -> None:
        await self._call("import_put_chunk", sha256, index, chunk)

    async def import_put_records(self, generation: int, batch: Sequence[records.RecordBytes]) -> None:
        await self._call("import_put_records", generation, [record.model_dump() for record in batch])

    async def import_seal(self, generation: int) -> records.ManifestSummary:
        return await self._record(records.ManifestSummary, "import_seal", generation)

    async def import_reopen(self) -> records.ImportStatus:
        return await self._record(records.ImportStatus, "import_reopen")
