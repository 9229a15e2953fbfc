"""A personal canister runs the module that this release ships, whatever the hub has in its store and says of it."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from icmigrate import wasm
from icmigrate.contract.blobs import CHUNK_BYTES
from icmigrate.errors import PreflightRefused, VerificationDifference
from icmigrate.hub.client import HubClient
from icmigrate.migration import phases
from icmigrate.migration.handoff import handoff
from icmigrate.migration.migrate import migrate
from icmigrate.wasm import sources
from tests.worlds.hub import HubWorld, deploy_world, full_capsule


def other_module() -> bytes:
    """The personal module but for a section: what an operator gone bad would store, looking alike from outside."""
    return gzip.compress(sources.stamp(wasm.module("personal"), {"icmigrate:other": b"with a back door"}), mtime=0)


async def store(hub: HubClient, module: bytes) -> None:
    await hub.wasm_begin(hashlib.sha256(module).digest(), len(module))
    for index, at in enumerate(range(0, len(module), CHUNK_BYTES)):
        await hub.wasm_put_chunk(index, module[at : at + CHUNK_BYTES])
    await hub.wasm_finish()


async def test_another_module_in_the_hubs_store_is_refused_before_anything_is_spent(
    world: HubWorld, tmp_path: Path
) -> None:
    own = await deploy_world(world.network, tmp_path)
    async with own.toolkit() as toolkit:
        capsule_id = await full_capsule(toolkit.hub, blobs=())
        await store(toolkit.hub, other_module())
        with pytest.raises(PreflightRefused, match="module"):
            await migrate(toolkit, capsule_id)
        assert await toolkit.hub.migration_get(capsule_id) is None


async def test_another_module_that_comes_later_is_found_at_install_verify_and_handoff(
    world: HubWorld, tmp_path: Path
) -> None:
    own = await deploy_world(world.network, tmp_path)
    async with own.toolkit() as toolkit:
        capsule_id = await full_capsule(toolkit.hub, blobs=())
        await phases.reserve(toolkit, capsule_id)
        await phases.create(toolkit, capsule_id)
        await store(toolkit.hub, other_module())
        with pytest.raises(VerificationDifference, match="runs module"):
            await phases.install(toolkit, capsule_id)
        trusting = replace(toolkit, personal_module=hashlib.sha256(other_module()).digest())
        report = await migrate(trusting, capsule_id)
        with pytest.raises(VerificationDifference, match="runs module"):
            await phases.verify(toolkit, capsule_id, report.canister_id)
        with pytest.raises(VerificationDifference, match="runs module"):
            await handoff(toolkit, capsule_id, None, print)
        migration = await toolkit.hub.migration_get(capsule_id)
        assert migration is not None and migration.handed_off_at is None
