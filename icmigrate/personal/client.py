"""The methods of `personal.did` that only a personal canister has: the import that fills it, the hand-off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter

from icmigrate.contract.blobs import Blob, MissingChunks
from icmigrate.contract.client import LIST_LIMIT, CapsuleClient
from icmigrate.contract.manifests import ManifestSummary, RecordBytes
from icmigrate.contract.migrations import HandoffConsent, ImportStatus
from icmigrate.contract.record import Page

CONSENT: TypeAdapter[HandoffConsent | None] = TypeAdapter(HandoffConsent | None)


class PersonalClient(CapsuleClient):
    """A personal canister: one capsule, the import that fills it, and the owners' consent to its hand-off."""

    canister = "personal"

    async def import_status(self) -> ImportStatus:
        return await self._record(ImportStatus, "import_status")

    async def import_declare_blobs(self, blobs: Sequence[Blob]) -> None:
        await self._call("import_declare_blobs", list(blobs))

    async def import_missing_chunks(
        self, after: bytes | None = None, limit: int = LIST_LIMIT
    ) -> Page[MissingChunks, Any]:
        return await self._page(MissingChunks, "import_missing_chunks", after, limit)

    async def import_put_chunk(self, sha256: bytes, index: int, chunk: bytes) -> None:
        await self._call("import_put_chunk", sha256, index, chunk)

    async def import_put_records(self, generation: int, batch: Sequence[RecordBytes]) -> None:
        await self._call("import_put_records", generation, list(batch))

    async def import_seal(self, generation: int) -> ManifestSummary:
        return await self._record(ManifestSummary, "import_seal", generation)

    async def import_reopen(self) -> ImportStatus:
        return await self._record(ImportStatus, "import_reopen")

    async def handoff_consent(self, controllers: Sequence[str]) -> HandoffConsent:
        """As an owner: these are to be the canister's controllers, if it is handed off within a day."""
        return await self._record(HandoffConsent, "handoff_consent", list(controllers))

    async def handoff_consent_get(self, *, certified: bool = False) -> HandoffConsent | None:
        return await self._value(CONSENT, "handoff_consent_get", certified=certified)
