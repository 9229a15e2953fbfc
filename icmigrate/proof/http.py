"""Sends the same asset requests to hub and personal canister and compares what a browser would get.

Status, headers, bytes and ranges of what is allowed; the status of what must be refused: no token, a wrong
one, an expired one, one of another asset. After cut-over the hub must redirect, and the bytes are held
against the SHA-256 of the asset's record.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from icmigrate.capsule.assets import assets_of, memory_batches, tokens_for
from icmigrate.contract.record import Record
from icmigrate.contract.records import (
    Asset,
    AssetRef,
    AssetToken,
    ExternalLocation,
    InlineLocation,
    InternalLocation,
    MovedTo,
    OtherVariant,
)
from icmigrate.errors import VerificationDifference
from icmigrate.hub.client import HubClient
from icmigrate.networks.gateway import Gateway, HttpAnswer
from icmigrate.networks.network import Network
from icmigrate.personal.client import PersonalClient
from icmigrate.progress import Progress
from icmigrate.proof.certified_data import certified_home

TOKEN_SECONDS = 900
COMPARED_HEADERS = (
    "content-type",
    "content-length",
    "content-range",
    "content-disposition",
    "accept-ranges",
    "etag",
    "cache-control",
    "x-content-type-options",
    "content-security-policy",
    "cross-origin-resource-policy",
)
SERVED = (200,)
"""What is answered where nothing is refused: the bytes, or a page that shows where an external asset has them."""
REFUSED = (401, 403)
WHOLE_BODIES_BYTES = 8_000_000
"""Bodies are compared whole up to this sum, beyond it by a range: the capsule is frozen meanwhile, and every chunk of
every blob is bound by the certified manifest already."""


class HttpReport(Record):
    """What was requested and what was not alike; passed when `problems` is empty."""

    capsule_id: str
    canister_id: str
    assets: int
    requests: int
    whole_bodies: int
    bytes: int
    redirected: bool
    problems: list[str]

    def require_passed(self) -> None:
        """Raises `VerificationDifference` with every problem named."""
        if self.problems:
            raise VerificationDifference(
                f"HTTP answers of hub and personal canister {self.canister_id} differ in "
                f"{len(self.problems)} place(s):\n  " + "\n  ".join(self.problems)
            )


@dataclass(frozen=True)
class Served:
    """One asset as both canisters serve it: the same path, one token each (`None`: no longer there)."""

    memory_id: str
    asset: Asset
    hub: AssetToken | None
    personal: AssetToken

    @property
    def name(self) -> str:
        return f"{self.memory_id}/{variant_label(self.asset)}"

    @property
    def length(self) -> int | None:
        match self.asset.location:
            case InlineLocation(data=data):
                return len(data)
            case InternalLocation(length=length):
                return length
            case ExternalLocation():
                return None

    @property
    def sha256(self) -> bytes | None:
        match self.asset.location:
            case InlineLocation(data=data):
                return hashlib.sha256(data).digest()
            case InternalLocation(sha256=sha256):
                return sha256
            case ExternalLocation():
                return None


def variant_label(asset: Asset) -> str:
    """The variant as it stands in paths."""
    return asset.variant_.name if isinstance(asset.variant_, OtherVariant) else asset.variant_.lower()


async def check_http(
    hub: HubClient,
    personal: PersonalClient,
    capsule_id: str,
    *,
    network: Network,
    gateway: Gateway,
    window: int,
    progress: Progress,
) -> HttpReport:
    """Compares the HTTP answers for every asset of the capsule; `window` is the number of assets at a time."""
    moved = isinstance(await certified_home(hub, capsule_id), MovedTo)
    probe = _Probe(network, gateway, hub.canister_id, personal.canister_id, moved)
    previous: Served | None = None
    free = asyncio.Semaphore(window)

    async def bounded(check: Callable[[Served], Awaitable[None]], served: Served) -> None:
        async with free:
            await check(served)

    async for batch in _served(hub, personal, capsule_id, moved):
        try:
            async with asyncio.TaskGroup() as tasks:
                for served in batch:
                    tasks.create_task(bounded(probe.compare, served))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        for served in batch:
            if previous is not None and probe.refusals < 3:
                await probe.compare_refusals(served, foreign=previous)
            previous = served
        progress.advance(records=len(batch))
    await probe.compare_expired(personal, capsule_id, previous)
    return HttpReport(
        capsule_id=capsule_id,
        canister_id=personal.canister_id,
        assets=probe.assets,
        requests=probe.requests,
        whole_bodies=probe.whole_bodies,
        bytes=probe.bytes,
        redirected=moved,
        problems=sorted(probe.problems),
    )


class _Probe:
    """Sends requests to both sides and collects what is not alike."""

    def __init__(self, network: Network, gateway: Gateway, hub_id: str, canister_id: str, moved: bool) -> None:
        self._gateway = gateway
        self._hub_base = network.gateway(hub_id)
        self._personal_base = network.gateway(canister_id)
        self._canister_id = canister_id
        self._moved = moved
        self.problems: set[str] = set()
        self.assets = self.requests = self.whole_bodies = self.bytes = self.refusals = 0

    async def _get(
        self, base: str, path: str, method: str = "GET", headers: dict[str, str] | None = None
    ) -> HttpAnswer:
        self.requests += 1
        return await self._gateway.request(base + path, method=method, headers=headers)

    async def _pair(
        self, served: Served, what: str, method: str = "GET", headers: dict[str, str] | None = None
    ) -> HttpAnswer:
        """The personal canister's answer, after the hub's has been compared with it."""
        there = await self._get(self._personal_base, served.personal.path, method, headers)
        if served.hub is None:
            here = await self._get(self._hub_base, served.personal.path, method, headers)
            self._require_redirect(here, served, what)
        else:
            here = await self._get(self._hub_base, served.hub.path, method, headers)
            self._require_alike(here, there, served, what)
        return there

    def _require_alike(self, here: HttpAnswer, there: HttpAnswer, served: Served, what: str) -> None:
        if here.status != there.status:
            self.problems.add(f"{served.name}, {what}: status {here.status} and {there.status}")
        for header in COMPARED_HEADERS:
            if here.headers.get(header) != there.headers.get(header):
                self.problems.add(
                    f"{served.name}, {what}: {header} {here.headers.get(header)!r} and {there.headers.get(header)!r}"
                )
        if here.body != there.body:
            self.problems.add(f"{served.name}, {what}: bodies of {len(here.body)} and {len(there.body)} bytes")

    def _require_redirect(self, here: HttpAnswer, served: Served, what: str) -> None:
        place = here.headers.get("location", "")
        if here.status != 308 or self._canister_id not in place:
            self.problems.add(
                f"{served.name}, {what}: the hub answers {here.status} instead of a redirect to {self._canister_id}"
            )

    async def compare(self, served: Served) -> None:
        """One asset: its head, its body or its ends, a range, and the request without a token."""
        self.assets += 1
        head = await self._pair(served, "HEAD", "HEAD")
        length = served.length
        if head.status not in SERVED:
            self.problems.add(f"{served.name}, HEAD: status {head.status}")
            return
        if length is None:  # an external asset: a page of the canister's own shows its URL
            await self._pair(served, "GET")
            return
        body = None
        if self.bytes + length <= WHOLE_BODIES_BYTES:
            self.bytes += length
            self.whole_bodies += 1
            body = (await self._pair(served, "GET")).body
            if hashlib.sha256(body).digest() != served.sha256:
                self.problems.add(f"{served.name}, GET: {len(body)} bytes that are not the asset's")
        if length > 1:
            await self._compare_range(served, length, body)
        await self._pair_without_token(served, "", "without a token")

    async def _compare_range(self, served: Served, length: int, body: bytes | None) -> None:
        """A range from the middle. A certified answer may be the whole instead (RFC 9110, section 14.2)."""
        first, last = length // 2, min(length, length // 2 + 65_536) - 1
        wanted = f"bytes={first}-{last}"
        ranged = await self._pair(served, f"GET {wanted}", headers={"range": wanted})
        if ranged.status not in (200, 206):
            self.problems.add(f"{served.name}, GET {wanted}: status {ranged.status}")
        expected = body if ranged.status == 200 or body is None else body[first : last + 1]
        if expected is not None and ranged.body != expected:
            self.problems.add(f"{served.name}, GET {wanted}: {len(ranged.body)} bytes that are not the range's")

    async def _pair_without_token(
        self, served: Served, query: str, what: str, hub_query: str | None = None
    ) -> HttpAnswer:
        """The personal canister's answer without the right token; `hub_query` is for the hub if it has another one."""
        path = served.personal.path.partition("?")[0]
        there = await self._get(self._personal_base, path + query)
        here = await self._get(self._hub_base, path + (query if hub_query is None else hub_query))
        if self._moved:
            self._require_redirect(here, served, what)
        elif here.status != there.status:
            self.problems.add(f"{served.name}, {what}: status {here.status} and {there.status}")
        return there

    async def compare_refusals(self, served: Served, foreign: Served) -> None:
        """A private asset must be refused without its own token."""
        bare = await self._get(self._personal_base, served.personal.path.partition("?")[0])
        if bare.status in SERVED:
            return  # public
        self.refusals += 1
        if bare.status not in REFUSED:
            self.problems.add(f"{served.name}, without a token: status {bare.status}")
        there = "?" + foreign.personal.path.partition("?")[2]
        here = there if foreign.hub is None else "?" + foreign.hub.path.partition("?")[2]
        wrong = "?token=AAAA"
        for query, hub_query, what in ((wrong, wrong, "with a wrong token"), (there, here, "with a foreign token")):
            answer = await self._pair_without_token(served, query, what, hub_query)
            if answer.status not in REFUSED:
                self.problems.add(f"{served.name}, {what}: status {answer.status}")

    async def compare_expired(self, personal: PersonalClient, capsule_id: str, served: Served | None) -> None:
        """A token that is no longer valid must be refused."""
        if served is None or served.length is None:
            return
        if (await self._get(self._personal_base, served.personal.path.partition("?")[0])).status in SERVED:
            return  # public
        ref = AssetRef(memory_id=served.memory_id, variant_=served.asset.variant_)
        (token,) = await personal.asset_tokens(capsule_id, [ref], 0)
        answer = await self._get(self._personal_base, token.path)
        if answer.status not in REFUSED:
            self.problems.add(f"{served.name}, with an expired token: status {answer.status}")


async def _served(
    hub: HubClient, personal: PersonalClient, capsule_id: str, moved: bool
) -> AsyncIterator[list[Served]]:
    async for memories in memory_batches(personal, capsule_id):
        assets = assets_of(memories)
        there = await tokens_for(personal, capsule_id, assets, TOKEN_SECONDS)
        here: Sequence[AssetToken | None] = (
            [None] * len(assets) if moved else await tokens_for(hub, capsule_id, assets, TOKEN_SECONDS)
        )
        yield [
            Served(memory.id, asset, hub_token, token)
            for (memory, asset), hub_token, token in zip(assets, here, there, strict=True)
        ]
