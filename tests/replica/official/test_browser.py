"""Pages of canisters in a real browser: certified, of several parts, and using the replica from their own origin."""

from __future__ import annotations

import asyncio
import hashlib
import json
import struct
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from icmigrate.protocol.principal import Principal
from tests.prerequisites import program
from tests.processes import done, started
from tests.replica.http.canisters import fixed_http
from tests.replica.http.http_canisters import certified_canister, response
from tests.replica.official.asset_router import AssetRouter
from tests.replica.official.conftest import CLIENTS, Daemon

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
PAGE = b"""<!doctype html>
<title>before</title>
<p id=place>nothing yet</p>
<script>
  fetch('/index.html').then(async (again) => {
    const text = await again.text();
    const certified = again.headers.get('IC-Certificate') !== null;
    document.getElementById('place').textContent =
      `${again.status} ${location.hostname} certified=${certified} same=${text.includes('nothing' + ' yet')}`;
    document.title = 'done';
  });
</script>
"""


async def seen_in(page: str, element: str, profile: Path, *options: str) -> str:
    """The text of an element when the page's title says "done"."""
    command = [
        program(*CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio",
        "--autoplay-policy=no-user-gesture-required", "--remote-debugging-port=0", f"--user-data-dir={profile}",
        *options,
    ]  # fmt: skip
    with started(command, with_errors=True) as browser:
        while "DevTools listening on" not in (line := browser.line()):
            assert line, "the browser ended"
        async with asyncio.timeout(120), aiohttp.ClientSession() as session:
            tools = URL(line.split()[-1]).with_scheme("http").with_path("/json/list")
            async with session.get(tools) as answer:
                (target,) = [one for one in await answer.json() if one["type"] == "page"]
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                await said(socket, "Page.navigate", url=page)
                expression = WHEN_DONE % element
                seen = await said(socket, "Runtime.evaluate", expression=expression, awaitPromise=True)
                return str(seen["result"]["value"])


async def said(socket: aiohttp.ClientWebSocketResponse, method: str, **parameters: object) -> dict[str, Any]:
    """What the browser answers to a command of its DevTools protocol."""
    await socket.send_json({"id": 1, "method": method, "params": parameters})
    result: dict[str, Any] = (await socket.receive_json())["result"]
    return result


WHEN_DONE = """new Promise((resolve) => {
  const look = () => document.title === 'done' && resolve(document.getElementById('%s').textContent);
  new MutationObserver(look).observe(document, { childList: true, subtree: true, characterData: true });
  look();
})"""


@pytest.mark.parametrize("host", ["{id}.localhost", "localhost"])
def test_a_certified_page_loads_and_its_script_reaches_the_canister(replica: Daemon, tmp_path: Path, host: str) -> None:
    canister = replica.install(certified_canister(PAGE)).to_str()
    host = host.format(id=canister)
    page = f"http://{host}:{replica.info.port}/index.html?canisterId={canister}"
    assert asyncio.run(seen_in(page, "place", tmp_path)) == f"200 {host} certified=true same=true"


INDEX = b"""<!doctype html>
<meta charset=utf-8><title>not done</title><link rel=stylesheet href=/style.css>
<h1>A page</h1><img src=/image.svg alt="">
<form method=post action=/posted target=frame><input name=word value="a b"></form><iframe name=frame></iframe>
<pre id=outcome></pre>
<script type=module src=/page.js></script>
"""
IMAGE = b'<svg xmlns="http://www.w3.org/2000/svg" width="32" height="16"/>'


def sound(seconds: int, rate: int = 192_000) -> bytes:
    """A WAV file of silence, two channels of 16 bits: of several parts, and short."""
    size = seconds * rate * 4
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 2, rate, rate * 4, 4, 16, b"data", size
    ) + bytes(size)


def modules_of(package: str, folder: Path) -> tuple[str, dict[str, str]]:
    """The path of a package's entry, and its modules by path."""
    command = ["node", "--experimental-import-meta-resolve", "--no-warnings", "modules.mjs", package]
    found = json.loads(done(command, cwd=folder))
    return found["entry"], found["modules"]


def test_a_page_does_what_pages_do(replica: Daemon, npm_clients: Path, keeper: Principal, tmp_path: Path) -> None:
    entry, modules = modules_of("@icp-sdk/core/agent", npm_clients)
    script = (CLIENTS / "page.js").read_text().replace("ENTRY", entry)
    router = AssetRouter.install(replica)
    router.publish(
        {
            "/index.html": ("text/html", INDEX),
            "/style.css": ("text/css", b"h1 { color: rgb(1, 2, 3) }"),
            "/image.svg": ("image/svg+xml", IMAGE),
            "/sound.wav": ("audio/wav", sound(4)),
            "/worker.js": ("text/javascript", b"self.addEventListener('fetch', () => {});"),
            "/page.js": ("text/javascript", script.encode()),
            **{path: ("text/javascript", source.encode()) for path, source in modules.items()},
        }
    )
    other = replica.install(fixed_http(response(upgrade=[True]), response(b"of another canister")))
    given = {
        "keeper": keeper.to_str(),
        "other": f"http://{other.to_str()}.localhost:{replica.info.port}/",
        "digest": hashlib.sha256(sound(4)).hexdigest(),
        "key": replica.info.root_key,
    }
    page = f"{router.url}/index.html?{urlencode(given)}"
    outcome = asyncio.run(seen_in(page, "outcome", tmp_path))
    verdicts = outcome.splitlines()
    assert len(verdicts) == 7 and all(verdict.startswith("passed ") for verdict in verdicts), verdicts


STRANGER = """<!doctype html><title>not done</title><pre id=outcome></pre>
<script type=module>
  const seen = (answer) => `${answer.type} ${answer.status}`;
  const tried = (asked, options) => fetch(asked, options).then(seen, () => 'no');
  const form = {method: 'POST', mode: 'no-cors', body: 'a form'};
  const call = {method: 'POST', headers: {'Content-Type': 'application/cbor'}, body: 'a call'};
  document.getElementById('outcome').textContent = [
    await tried('REPLICA/api/v2/status'),
    await tried('REPLICA/api/v4/canister/aaaaa-aa/call', call),
    await tried('REPLICA/?canisterId=CANISTER', form),
  ].join(', ');
  document.title = 'done';
</script>
"""


@pytest.mark.parametrize(
    ("host", "outcome"), [("evil.example", "no, no, opaque 0"), ("localhost", "cors 200, cors 400")]
)
def test_a_page_of_a_stranger_neither_reads_nor_calls(replica: Daemon, tmp_path: Path, host: str, outcome: str) -> None:
    canister = replica.install(certified_canister(PAGE)).to_str()
    text = STRANGER.replace("REPLICA", replica.info.url).replace("CANISTER", canister)

    async def visit() -> str:
        async def page(request: web.BaseRequest) -> web.Response:
            return web.Response(text=text, content_type="text/html")

        server = await asyncio.get_running_loop().create_server(web.Server(page), "127.0.0.1", 0)
        async with server:
            url = f"http://{host}:{server.sockets[0].getsockname()[1]}/"
            return await seen_in(url, "outcome", tmp_path, "--host-resolver-rules=MAP evil.example 127.0.0.1")

    assert asyncio.run(visit()).startswith(outcome)
