"""The methods of `hub.did` that only a hub has: capsules, policy, operators, the personal module, migrations."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from icmigrate.contract import records
from icmigrate.contract.blobs import UploadStatus
from icmigrate.contract.client import LIST_LIMIT, CapsuleClient
from icmigrate.contract.manifests import ManifestSummary, RecordBytes
from icmigrate.contract.migrations import CertifiedHome, Migration, MigrationQuote, WasmInfo
from icmigrate.contract.policy import Policy
from icmigrate.contract.record import Page

HOME: TypeAdapter[records.Home] = TypeAdapter(records.Home)
WASM_INFO: TypeAdapter[WasmInfo | None] = TypeAdapter(WasmInfo | None)
MIGRATION: TypeAdapter[Migration | None] = TypeAdapter(Migration | None)
OPERATORS = TypeAdapter(list[str])


class HubClient(CapsuleClient):
    """The hub: many capsules, the factory and the registry."""

    canister = "hub"

    async def capsules_create(self, subject: records.Person | None = None) -> records.Capsule:
        return await self._record(records.Capsule, "capsules_create", subject)

    async def capsules_list(
        self, after: str | None = None, limit: int = LIST_LIMIT, *, certified: bool = False
    ) -> Page[records.CapsuleSummary, Any]:
        return await self._page(records.CapsuleSummary, "capsules_list", after, limit, certified=certified)

    async def capsules_suspend(self, capsule_id: str, suspended: bool) -> None:
        await self._call("capsules_suspend", capsule_id, suspended)

    async def capsules_delete(self, capsule_id: str) -> None:
        await self._call("capsules_delete", capsule_id)

    async def policy_get(self) -> Policy:
        return await self._record(Policy, "policy_get")

    async def policy_set(self, policy: Policy) -> None:
        await self._call("policy_set", policy)

    async def operators_list(self) -> list[str]:
        return await self._value(OPERATORS, "operators_list")

    async def operators_add(self, operator: str) -> None:
        await self._call("operators_add", operator)

    async def export_records(self, capsule_id: str, after: bytes | None, max_bytes: int) -> Page[RecordBytes, Any]:
        """Records as the hub stores them, at most about `max_bytes` a page."""
        return await self._page(RecordBytes, "export_records", capsule_id, after, max_bytes, items="records")

    async def wasm_begin(self, sha256: bytes, length: int) -> UploadStatus:
        return await self._record(UploadStatus, "wasm_begin", sha256, length)

    async def wasm_put_chunk(self, index: int, chunk: bytes) -> None:
        await self._call("wasm_put_chunk", index, chunk)

    async def wasm_finish(self) -> WasmInfo:
        return await self._record(WasmInfo, "wasm_finish")

    async def wasm_info(self) -> WasmInfo | None:
        return await self._value(WASM_INFO, "wasm_info")

    async def registry_home(self, capsule_id: str) -> records.Home:
        return await self._value(HOME, "registry_home", capsule_id)

    async def registry_home_certified(self, capsule_id: str) -> CertifiedHome:
        """Unchecked as it stands: see `proof/certified_data.py`."""
        return await self._record(CertifiedHome, "registry_home_certified", capsule_id)

    async def migration_quote(self, capsule_id: str, chunks_present: int = 0) -> MigrationQuote:
        return await self._record(MigrationQuote, "migration_quote", capsule_id, chunks_present)

    async def migration_get(self, capsule_id: str, *, certified: bool = False) -> Migration | None:
        return await self._value(MIGRATION, "migration_get", capsule_id, certified=certified)

    async def migration_list(self, after: int | None = None, limit: int = LIST_LIMIT) -> Page[Migration, Any]:
        return await self._page(Migration, "migration_list", after, limit)

    async def migration_invite(self, capsule_id: str) -> int:
        """Lets the owners of a capsule start its migration; answers until when, in nanoseconds."""
        return int(await self._call("migration_invite", capsule_id))

    async def migration_reserve(self, capsule_id: str) -> Migration:
        return await self._record(Migration, "migration_reserve", capsule_id)

    async def migration_create_canister(self, capsule_id: str) -> Migration:
        return await self._record(Migration, "migration_create_canister", capsule_id)

    async def migration_install(self, capsule_id: str) -> Migration:
        return await self._record(Migration, "migration_install", capsule_id)

    async def migration_freeze(self, capsule_id: str) -> Migration:
        return await self._record(Migration, "migration_freeze", capsule_id)

    async def migration_thaw(self, capsule_id: str) -> Migration:
        return await self._record(Migration, "migration_thaw", capsule_id)

    async def migration_build_manifest(self, capsule_id: str) -> ManifestSummary:
        return await self._record(ManifestSummary, "migration_build_manifest", capsule_id)

    async def migration_cut_over(self, capsule_id: str, root: bytes) -> Migration:
        return await self._record(Migration, "migration_cut_over", capsule_id, root)

    async def migration_abort(self, capsule_id: str) -> Migration:
        return await self._record(Migration, "migration_abort", capsule_id)

    async def hub_copy_delete(self, capsule_id: str) -> None:
        """As a controller of its canister: deletes what the hub still has of a capsule that was handed off.

        A `Conflict` says that the call did what one call can, and is to be repeated.
        """
        await self._call("hub_copy_delete", capsule_id)

    async def migration_handoff(self, capsule_id: str) -> Migration:
        """Makes those controllers whom an owner has consented to: see `PersonalClient.handoff_consent`."""
        return await self._record(Migration, "migration_handoff", capsule_id)
