"""What users put into assets is shown by a real browser, and never runs on the canister's origin."""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from icmigrate.contract.client import CapsuleClient
from icmigrate.contract.records import AssetRef
from icmigrate.errors import IcmigrateError
from icmigrate.migration.toolkit import Toolkit
from tests.canisters.http import ask
from tests.prerequisites import program
from tests.replica.official.test_browser import CHROMIUM, said
from tests.worlds.hub import HubWorld, full_capsule, memory, memory_id

HTML = b"<!doctype html><title>quiet</title><img src=x onerror=1><script>document.title = 'ran'</script>"
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>document.title = 'ran'</script></svg>"
XHTML = b"<html xmlns='http://www.w3.org/1999/xhtml'><head><title/><script>document.title='ran'</script></head></html>"
SCRIPT = b"document.title = 'ran'"
TRICKS = [
    ("image/png,text/html", HTML),
    ("audio/x,text/html", HTML),
    ("text/plain,text/html", HTML),
    ("image/png, text/html", HTML),
    ("image/png\ttext/html", HTML),
    ("image/svg+xml,image/svg+xml", SVG),
    ("image/png,image/svg+xml", SVG),
    ("*/*", HTML),
    ("text/html", HTML),
    ("TEXT/HTML", HTML),
    ("text/html; charset=utf-8", HTML),
    ("text/html;charset=utf-7", HTML),
    ("image/svg+xml", SVG),
    ("Image/Svg+Xml", SVG),
    ("application/xhtml+xml", XHTML),
    ("text/xml", XHTML),
    ("application/xml", SVG),
    ("image/x+xml", SVG),
    ("video/x+xml", SVG),
    ("text/xsl", XHTML),
    ("multipart/x-mixed-replace", b"--x\r\nContent-Type: text/html\r\n\r\n" + HTML + b"\r\n--x--"),
    ("multipart/related", b"Content-Type: text/html\r\n\r\n" + HTML),
    ("message/rfc822", b"Content-Type: text/html\r\n\r\n" + HTML),
    ("text/javascript", SCRIPT),
    ("text/plain", HTML),
    ("image/png", HTML),
    ("image/jpeg", SVG),
    ("video/mp4", HTML),
    ("application/pdf", HTML),
    ("application/octet-stream", HTML),
]
"""Media types, and bytes that would run if a browser took them for what they are."""
LINKS = [
    "https://example.org/?a=1&b='\"><script>document.title='ran'</script>",
    "http://example.org/'onmouseover='document.title=\"ran\"",
    "javascript://example.org/%0adocument.title='ran'",
    "data://text/html,<script>document.title='ran'</script>",
]
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
WAV = struct.pack(
    "<4sI4s4sIHHIIHH4sI", b"RIFF", 836, b"WAVE", b"fmt ", 16, 1, 1, 8000, 8000, 1, 8, b"data", 800
) + bytes([128] * 800)


class Tab:
    """A page of a browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def open(self, url: str) -> None:
        await said(self._socket, "Page.navigate", url="about:blank")
        await said(self._socket, "Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def value(self, expression: str) -> Any:
        return (await said(self._socket, "Runtime.evaluate", expression=expression))["result"].get("value")

    async def until(self, expression: str) -> None:
        async with asyncio.timeout(20):
            while not await self.value(expression):
                await asyncio.sleep(0.02)


@asynccontextmanager
async def browser(profile: Path) -> AsyncIterator[Tab]:
    process = await asyncio.create_subprocess_exec(
        program(*CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio",
        "--remote-debugging-port=0", f"--user-data-dir={profile}", stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    while b"DevTools listening on" not in (line := await process.stderr.readline()):
        assert line, "the browser ended"
    unread = asyncio.create_task(process.stderr.read())
    try:
        async with aiohttp.ClientSession() as session:
            tools = URL(line.decode().split()[-1]).with_scheme("http").with_path("/json/list")
            async with session.get(tools) as answer:
                (target,) = [one for one in await answer.json() if one["type"] == "page"]
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                yield Tab(socket)
    finally:
        process.terminate()
        await process.wait()
        await unread


async def path_of(hub: CapsuleClient, capsule_id: str, name: str, mime_type: str, location: dict[str, Any]) -> str:
    """The path of a new private asset, its token included."""
    given = memory(memory_id(capsule_id, name), location)
    asset = given.assets[0].model_copy(update={"mime_type": mime_type})
    await hub.memories_create(capsule_id, given.model_copy(update={"assets": [asset]}))
    ref = AssetRef(memory_id=memory_id(capsule_id, name), variant_="Original")
    (token,) = await hub.asset_tokens(capsule_id, [ref], 600)
    return token.path


async def test_nothing_that_users_put_in_runs(world: HubWorld, module_toolkit: Toolkit, tmp_path: Path) -> None:
    hub = module_toolkit.hub
    capsule_id = await full_capsule(hub, blobs=())
    tried: list[tuple[str, str, dict[str, Any]]] = [(kind, kind, {"Inline": data}) for kind, data in TRICKS]
    tried += [(url, "text/html", {"External": {"url": url, "sha256": None, "length": None}}) for url in LINKS]
    ran, opened = [], 0
    async with browser(tmp_path) as tab:
        for number, (trick, mime_type, location) in enumerate(tried):
            try:
                path = await path_of(hub, capsule_id, f"trick-{number}", mime_type, location)
            except IcmigrateError:  # not even kept
                continue
            await tab.open(world.network.asset_url(hub.canister_id, path))
            opened += 1
            if await tab.value("document.title") == "ran":
                ran.append(trick)
    assert ran == []
    assert opened > 20


async def test_a_link_to_elsewhere_is_shown_and_not_followed(
    world: HubWorld, module_toolkit: Toolkit, tmp_path: Path
) -> None:
    hub = module_toolkit.hub
    capsule_id = await full_capsule(hub, blobs=())
    url = "https://nowhere.invalid/?a=1&b=2"
    path = await path_of(hub, capsule_id, "link", "image/jpeg", {"External": {"url": url}})
    answer = await ask(hub, path)
    assert answer["status_code"] == 200
    assert "location" not in {name.lower() for name, _ in answer["headers"]}
    async with browser(tmp_path) as tab:
        await tab.open(world.network.asset_url(hub.canister_id, path))
        assert await tab.value("document.links[0].href") == url
        assert await tab.value("document.links[0].textContent") == url
        assert await tab.value("self.origin") == "null"


async def test_pictures_sound_and_text_are_shown(world: HubWorld, module_toolkit: Toolkit, tmp_path: Path) -> None:
    hub = module_toolkit.hub
    capsule_id = await full_capsule(hub, blobs=())
    async with browser(tmp_path) as tab:
        for mime_type, data, seen in (
            ("image/png", PNG, "document.images[0].naturalWidth === 1"),
            ("audio/wav", WAV, "document.querySelector('video').duration > 0.09"),
            ("text/plain", "Übersee".encode(), "document.body.innerText === 'Übersee'"),
        ):
            path = await path_of(hub, capsule_id, mime_type.replace("/", "-"), mime_type, {"Inline": data})
            await tab.open(world.network.asset_url(hub.canister_id, path))
            await tab.until(seen)
