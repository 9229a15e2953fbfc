"""What hub and personal canister answer alike: a method per canister method, records in and out.

A canister's `Err` answer is raised as the error that `canister_errors.py` names. `certified=True` sends a query
method as an update call, so that its answer carries a certificate.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter

from icmigrate.contract import interface, records
from icmigrate.contract.access import AccessEntry, AccessInput, MatrixRow
from icmigrate.contract.blobs import Blob, OpenUpload, UploadStatus
from icmigrate.contract.canister_errors import canister_error
from icmigrate.contract.manifests import CertifiedRoot, ManifestLeaf
from icmigrate.contract.record import Page
from icmigrate.protocol.agent import Agent
from icmigrate.protocol.principal import Principal

Model = TypeVar("Model", bound=BaseModel)
Item = TypeVar("Item")
Value = TypeVar("Value")

LIST_LIMIT = 100
"""Items asked for in one page of a list."""


async def all_pages(page: Callable[[Any], Awaitable[Page[Item, Any]]], after: object = None) -> AsyncIterator[Item]:
    """Every item of a paged list behind the cursor `after`, a page at a time."""
    while True:
        answer = await page(after)
        for item in answer.items:
            yield item
        if answer.next is None:
            return
        after = answer.next


def _plain(value: object) -> object:
    """An argument, with the records in it in plain form."""
    match value:
        case BaseModel():
            return value.model_dump()
        case list() | tuple():
            return [_plain(item) for item in value]
        case dict():
            return {name: _plain(item) for name, item in value.items()}
        case _:
            return value


class CapsuleClient:
    """What the hub and a personal canister answer alike, for one capsule at a time."""

    canister = "personal"
    """Whose interface counts: what both have alike is in either."""

    def __init__(self, agent: Agent, canister_id: str) -> None:
        self.agent = agent
        self.canister_id = canister_id
        self._principal = Principal.from_str(canister_id)

    async def _call(self, name: str, *arguments: object, certified: bool = False) -> Any:
        method = interface(self.canister).methods[name]
        send = self.agent.query if method.is_query and not certified else self.agent.update
        reply = method.decode(await send(self._principal, name, method.encode(*map(_plain, arguments))))
        match reply:
            case {"Err": error}:
                raise canister_error(self.canister_id, name, error)
            case {"Ok": value}:
                return value
            case "Ok":
                return None
            case _:
                return reply

    async def _value(self, kind: TypeAdapter[Value], name: str, *arguments: object, certified: bool = False) -> Value:
        return kind.validate_python(await self._call(name, *arguments, certified=certified))

    async def _record(self, model: type[Model], name: str, *arguments: object, certified: bool = False) -> Model:
        return model.model_validate(await self._call(name, *arguments, certified=certified))

    async def _page(
        self, item: type[Model], name: str, *arguments: object, items: str = "items", certified: bool = False
    ) -> Page[Model, Any]:
        answer = await self._call(name, *arguments, certified=certified)
        return Page[Model, Any](items=[item.model_validate(value) for value in answer[items]], next=answer["next"])

    # data

    async def capsules_get(self, capsule_id: str, *, certified: bool = False) -> records.Capsule:
        return await self._record(records.Capsule, "capsules_get", capsule_id, certified=certified)

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
        change = {"owners": owners, "controllers": controllers, "settings": settings}
        return await self._record(records.Capsule, "capsules_update", capsule_id, change)

    async def memories_create(self, capsule_id: str, memory: records.MemoryInput) -> records.Memory:
        return await self._record(records.Memory, "memories_create", capsule_id, memory)

    async def memories_get(self, capsule_id: str, memory_id: str) -> records.Memory:
        return await self._record(records.Memory, "memories_get", capsule_id, memory_id)

    async def memories_list(
        self, capsule_id: str, after: str | None = None, limit: int = LIST_LIMIT
    ) -> Page[records.Memory, Any]:
        return await self._page(records.Memory, "memories_list", capsule_id, after, limit)

    async def memories_update(self, capsule_id: str, memory_id: str, memory: records.MemoryInput) -> records.Memory:
        return await self._record(records.Memory, "memories_update", capsule_id, memory_id, memory)

    async def memories_delete(self, capsule_id: str, memory_id: str) -> None:
        await self._call("memories_delete", capsule_id, memory_id)

    async def folders_create(self, capsule_id: str, folder: records.FolderInput) -> records.Folder:
        return await self._record(records.Folder, "folders_create", capsule_id, folder)

    async def folders_list(
        self, capsule_id: str, after: str | None = None, limit: int = LIST_LIMIT
    ) -> Page[records.Folder, Any]:
        return await self._page(records.Folder, "folders_list", capsule_id, after, limit)

    async def galleries_create(self, capsule_id: str, gallery: records.GalleryInput) -> records.Gallery:
        return await self._record(records.Gallery, "galleries_create", capsule_id, gallery)

    async def galleries_update(
        self, capsule_id: str, gallery_id: str, gallery: records.GalleryInput
    ) -> records.Gallery:
        return await self._record(records.Gallery, "galleries_update", capsule_id, gallery_id, gallery)

    async def galleries_list(
        self, capsule_id: str, after: str | None = None, limit: int = LIST_LIMIT
    ) -> Page[records.Gallery, Any]:
        return await self._page(records.Gallery, "galleries_list", capsule_id, after, limit)

    async def access_create(self, capsule_id: str, entry: AccessInput) -> AccessEntry:
        return await self._record(AccessEntry, "access_create", capsule_id, entry)

    async def access_list(
        self, capsule_id: str, after: str | None = None, limit: int = LIST_LIMIT
    ) -> Page[AccessEntry, Any]:
        return await self._page(AccessEntry, "access_list", capsule_id, after, limit)

    async def access_matrix(
        self, capsule_id: str, at: int, cursor: bytes | None = None, limit: int = 1_000
    ) -> Page[MatrixRow, Any]:
        """Effective permissions at the time `at` (nanoseconds), certified."""
        return await self._page(MatrixRow, "access_matrix", capsule_id, at, cursor, limit, items="rows", certified=True)

    async def connections_create(self, capsule_id: str, connection: records.ConnectionInput) -> records.Connection:
        return await self._record(records.Connection, "connections_create", capsule_id, connection)

    async def groups_create(self, capsule_id: str, group: records.GroupInput) -> records.Group:
        return await self._record(records.Group, "groups_create", capsule_id, group)

    # blobs

    async def uploads_begin(self, capsule_id: str, sha256: bytes, length: int) -> UploadStatus:
        return await self._record(UploadStatus, "uploads_begin", capsule_id, sha256, length)

    async def uploads_put_chunk(self, capsule_id: str, sha256: bytes, index: int, chunk: bytes) -> None:
        await self._call("uploads_put_chunk", capsule_id, sha256, index, chunk)

    async def uploads_finish(self, capsule_id: str, sha256: bytes) -> UploadStatus:
        return await self._record(UploadStatus, "uploads_finish", capsule_id, sha256)

    async def uploads_list(
        self, capsule_id: str, after: bytes | None = None, limit: int = LIST_LIMIT
    ) -> Page[OpenUpload, Any]:
        return await self._page(OpenUpload, "uploads_list", capsule_id, after, limit)

    async def uploads_abort(self, capsule_id: str, sha256: bytes) -> None:
        await self._call("uploads_abort", capsule_id, sha256)

    async def blobs_list(self, capsule_id: str, after: bytes | None = None, limit: int = LIST_LIMIT) -> Page[Blob, Any]:
        return await self._page(Blob, "blobs_list", capsule_id, after, limit)

    async def blobs_read_chunk(self, capsule_id: str, sha256: bytes, index: int) -> bytes:
        chunk: bytes = await self._call("blobs_read_chunk", capsule_id, sha256, index)
        return chunk

    # manifest

    async def manifest_root(self, capsule_id: str) -> CertifiedRoot:
        return await self._record(CertifiedRoot, "manifest_root", capsule_id)

    async def manifest_node(self, capsule_id: str, prefix: bytes) -> list[ManifestLeaf] | list[bytes]:
        """The leaves of a small node of the digest trie, or the 16 digests of an inner one."""
        node = await self._call("manifest_node", capsule_id, prefix)
        if "Inner" in node:
            inner: list[bytes] = node["Inner"]
            return inner
        return [ManifestLeaf.model_validate(leaf) for leaf in node["Leaf"]]

    # http and cycles

    async def asset_tokens(
        self, capsule_id: str, assets: Iterable[records.AssetRef], valid_seconds: int
    ) -> list[records.AssetToken]:
        tokens = await self._call("asset_tokens", capsule_id, list(assets), valid_seconds)
        return [records.AssetToken.model_validate(token) for token in tokens]

    async def asset_tokens_revoke(self, capsule_id: str, memory_id: str | None = None) -> None:
        """Ends the tokens made until now, of a memory or of the whole capsule."""
        await self._call("asset_tokens_revoke", capsule_id, memory_id)

    async def cycles(self) -> records.Cycles:
        return await self._record(records.Cycles, "cycles")

    async def cycles_by_operation(self) -> list[records.OperationCost]:
        return [records.OperationCost.model_validate(cost) for cost in await self._call("cycles_by_operation")]
