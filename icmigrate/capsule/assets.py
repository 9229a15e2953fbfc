"""The assets of a capsule, the tokens to fetch them with, and URLs for whoever asks for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from icmigrate.contract.client import CapsuleClient, all_pages
from icmigrate.contract.record import Record
from icmigrate.contract.records import Asset, AssetRef, AssetToken, Memory
from icmigrate.networks.network import Network

TOKENS_AT_ONCE = 200
URL_SECONDS = 86_400


class AssetUrl(Record):
    """A URL that whoever has it may fetch one original with, until `expires_at` (nanoseconds since 1970)."""

    memory_id: str
    name: str
    url: str
    expires_at: int


async def asset_urls(
    network: Network, canister: CapsuleClient, capsule_id: str, valid_seconds: int = URL_SECONDS
) -> list[AssetUrl]:
    """One URL for each original of the capsule, its token included: a secret, for whoever asked for it only."""
    urls: list[AssetUrl] = []
    async for memories in memory_batches(canister, capsule_id):
        originals = [(memory, asset) for memory, asset in assets_of(memories) if asset.variant_ == "Original"]
        tokens = await tokens_for(canister, capsule_id, originals, valid_seconds)
        urls += [
            AssetUrl(
                memory_id=token.memory_id,
                name=asset.name,
                url=network.asset_url(canister.canister_id, token.path),
                expires_at=token.expires_at,
            )
            for (_, asset), token in zip(originals, tokens, strict=True)
        ]
    return urls


async def memory_batches(canister: CapsuleClient, capsule_id: str) -> AsyncIterator[list[Memory]]:
    """The capsule's memories in lists of `TOKENS_AT_ONCE`."""
    batch: list[Memory] = []
    async for memory in all_pages(lambda after: canister.memories_list(capsule_id, after)):
        batch.append(memory)
        if len(batch) == TOKENS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def assets_of(memories: Sequence[Memory]) -> list[tuple[Memory, Asset]]:
    """Every asset with the memory it belongs to."""
    return [(memory, asset) for memory in memories for asset in memory.assets]


async def tokens_for(
    canister: CapsuleClient, capsule_id: str, assets: Sequence[tuple[Memory, Asset]], valid_seconds: int
) -> list[AssetToken]:
    """A token for each asset, in order."""
    refs = [AssetRef(memory_id=memory.id, variant_=asset.variant_) for memory, asset in assets]
    tokens: list[AssetToken] = []
    for at in range(0, len(refs), TOKENS_AT_ONCE):
        tokens += await canister.asset_tokens(capsule_id, refs[at : at + TOKENS_AT_ONCE], valid_seconds)
    return tokens
