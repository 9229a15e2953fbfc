"""An asset canister of a public crate with much in it: 500 files, 50 MB, encodings, headers, batches by evidence."""

from __future__ import annotations

import gzip
import hashlib
import os
from array import array
from pathlib import Path
from typing import Any

import pytest

from icmigrate.protocol import candid
from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.identity import Ed25519Identity
from icmigrate.replica.gateway.response_verification import HttpExchange
from tests.replica.http.client import Client, Rejected
from tests.replica.official.conftest import Daemon, foreign_module, run_script
from tests.replica.official.test_assets import Site

SMALL_FILES = 500
LARGE = array("I", range(0, 50_000_000, 4)).tobytes()
PAGE = b"<!doctype html><title>page</title>".ljust(20_000)
BLOB = T.Vec(T.Nat8)
BATCH = T.Record({"batch_id": T.Nat})
CREATE_ASSET = T.Record(
    {
        "key": T.Text,
        "content_type": T.Text,
        "max_age": T.Opt(T.Nat64),
        "headers": T.Opt(T.Vec(T.Tuple(T.Text, T.Text))),
        "enable_aliasing": T.Opt(T.Bool),
        "allow_raw_access": T.Opt(T.Bool),
    }
)
SET_ASSET_CONTENT = T.Record(
    {
        "key": T.Text,
        "content_encoding": T.Text,
        "chunk_ids": T.Vec(T.Nat),
        "last_chunk": T.Opt(BLOB),
        "sha256": T.Opt(BLOB),
    }
)
OPERATIONS = T.Variant({"CreateAsset": CREATE_ASSET, "SetAssetContent": SET_ASSET_CONTENT})
PERMISSION = T.Variant({"Commit": T.Null, "ManagePermissions": T.Null, "Prepare": T.Null})
METHODS: dict[str, tuple[Any, Any]] = {
    "create_batch": (T.Record({}), BATCH),
    "create_chunk": (T.Record({"batch_id": T.Nat, "content": BLOB}), T.Record({"chunk_id": T.Nat})),
    "create_asset": (CREATE_ASSET, None),
    "set_asset_content": (SET_ASSET_CONTENT, None),
    "propose_commit_batch": (T.Record({"batch_id": T.Nat, "operations": T.Vec(OPERATIONS)}), None),
    "compute_evidence": (T.Record({"batch_id": T.Nat, "max_iterations": T.Opt(T.Nat16)}), T.Opt(BLOB)),
    "commit_proposed_batch": (T.Record({"batch_id": T.Nat, "evidence": BLOB}), None),
    "grant_permission": (T.Record({"to_principal": T.Principal, "permission": PERMISSION}), None),
}


@pytest.fixture(scope="module")
def site(npm_clients: Path, replica: Daemon) -> Site:
    seed = os.urandom(32)
    owner = Ed25519Identity.from_seed(seed)

    async def install(client: Client) -> Any:
        return await client.as_user(owner).install(foreign_module("assets"), arg=candid.encode([], []))

    site = Site(replica, replica.run(install), owner)
    run_script(
        npm_clients, "assets_batch.mjs", replica.info.url, replica.info.root_key, site.id.to_str(), seed.hex(),
        SMALL_FILES, len(LARGE),
    )  # fmt: skip
    return site


async def call(client: Client, site: Site, method: str, argument: dict[str, Any]) -> Any:
    type_, result = METHODS[method]
    data = await client.update(site.id, method, candid.encode([type_], [argument]))
    return candid.decode(data, [result])[0] if result else None


def plain_file(key: str, chunks: list[int], content: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """What creates an asset and what fills it from uploaded chunks."""
    create = {
        "key": key, "content_type": "text/plain", "max_age": [], "headers": [], "enable_aliasing": [],
        "allow_raw_access": [],
    }  # fmt: skip
    fill = {
        "key": key, "content_encoding": "identity", "chunk_ids": chunks, "last_chunk": [],
        "sha256": [hashlib.sha256(content).digest()],
    }  # fmt: skip
    return create, fill


@pytest.mark.parametrize("number", [0, 8, 123, 499])
def test_each_small_file_is_served_with_its_headers(site: Site, number: int) -> None:
    answer = site.get(f"/small/{number}.txt")
    assert (answer.status, answer.body) == (200, b"content of %d" % number)
    assert answer.headers["x-number"] == str(number)
    assert answer.headers["cache-control"] == "public, max-age=60"


def test_a_deleted_file_is_gone(site: Site) -> None:
    raw = f"{site.id.to_str()}.raw.localhost:{site.replica.info.port}"
    answer = site.replica.run(lambda client: client.get("/small/7.txt", host=raw))
    assert (answer.status, answer.body) == (404, b"not found")


@pytest.mark.parametrize(("accepted", "encoding"), [("gzip, deflate", "gzip"), ("identity", None), (None, None)])
def test_the_page_comes_in_an_encoding_that_is_accepted(
    site: Site, npm_clients: Path, accepted: str | None, encoding: str | None
) -> None:
    wanted = {"Accept-Encoding": accepted} if accepted else {}
    answer = site.get("/", headers=wanted, skip_auto_headers=["Accept-Encoding"])
    assert answer.status == 200
    assert answer.headers.get("content-encoding") == encoding
    assert (gzip.decompress(answer.body) if encoding else answer.body) == PAGE
    exchange = HttpExchange("GET", "/", list(wanted.items()), b"", 200, list(answer.headers.items()), answer.body)
    assert site.verdict(npm_clients, exchange).get("version") == 2


def test_fifty_megabytes_are_streamed_and_outlive_an_upgrade(site: Site) -> None:
    assert site.get("/large.bin").body == LARGE

    async def upgrade(client: Client) -> None:
        module = foreign_module("assets")
        await client.as_user(site.owner).install(module, site.id, mode="upgrade", arg=candid.encode([], []))

    site.replica.run(upgrade)
    assert site.get("/large.bin").body == LARGE
    assert site.get("/small/42.txt").body == b"content of 42"
    # Until then the canister certifies nothing for what was deleted.
    assert site.get("/small/7.txt", headers={"Accept-Encoding": "identity"}).body == PAGE


def test_a_batch_is_proposed_by_one_and_committed_by_another_who_knows_the_evidence(site: Site) -> None:
    content = b"agreed upon"
    prepares, commits = Ed25519Identity.generate(), Ed25519Identity.generate()

    async def propose(client: Client) -> None:
        owner, proposer, committer = (client.as_user(identity) for identity in (site.owner, prepares, commits))
        for user, permission in ((proposer, "Prepare"), (committer, "Commit")):
            granted = {"to_principal": user.principal, "permission": {permission: None}}
            await call(owner, site, "grant_permission", granted)
        batch = (await call(proposer, site, "create_batch", {}))["batch_id"]
        chunk = (await call(proposer, site, "create_chunk", {"batch_id": batch, "content": content}))["chunk_id"]
        create, fill = plain_file("/agreed.txt", [chunk], content)
        operations = [{"CreateAsset": create}, {"SetAssetContent": fill}]
        await call(proposer, site, "propose_commit_batch", {"batch_id": batch, "operations": operations})
        evidence: list[bytes] = []
        while not evidence:
            evidence = await call(proposer, site, "compute_evidence", {"batch_id": batch, "max_iterations": [1]})
        with pytest.raises(Rejected):
            await call(proposer, site, "commit_proposed_batch", {"batch_id": batch, "evidence": evidence[0]})
        with pytest.raises(Rejected):
            await call(committer, site, "commit_proposed_batch", {"batch_id": batch, "evidence": bytes(32)})
        await call(committer, site, "commit_proposed_batch", {"batch_id": batch, "evidence": evidence[0]})

    site.replica.run(propose)
    assert site.get("/agreed.txt").body == content


def test_an_asset_canister_of_the_first_certification_is_served_before_and_after_an_upgrade(
    replica: Daemon, npm_clients: Path
) -> None:
    owner, content = Ed25519Identity.generate(), LARGE[:5_000_000]
    site = Site(replica, replica.run(lambda client: client.as_user(owner).install(foreign_module("assets_0_2"))), owner)

    async def upload(client: Client) -> None:
        user = client.as_user(owner)
        batch = (await call(user, site, "create_batch", {}))["batch_id"]
        chunks = []
        for start in range(0, len(content), 1_900_000):
            piece = {"batch_id": batch, "content": content[start : start + 1_900_000]}
            chunks.append((await call(user, site, "create_chunk", piece))["chunk_id"])
        create, fill = plain_file("/index.html", chunks, content)
        await call(user, site, "create_asset", create)
        await call(user, site, "set_asset_content", fill)

    async def upgrade(client: Client) -> None:
        await client.as_user(owner).install(foreign_module("assets_0_2"), site.id, mode="upgrade")

    for change in (upload, upgrade):
        replica.run(change)
        for path in ("/index.html", "/", "/falls/back"):
            answer = site.get(path)
            assert (answer.status, answer.body) == (200, content)
            exchange = HttpExchange("GET", path, [], b"", 200, list(answer.headers.items()), content)
            assert site.verdict(npm_clients, exchange).get("version") == 1
