"""A folder of real files, odd ones among them, arrives byte for byte: over HTTP and over canister calls."""

from __future__ import annotations

import hashlib
import io
import os
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from PIL import Image
from PIL.Image import Exif

from icmigrate.capsule.assets import asset_urls
from icmigrate.capsule.ingest import IngestReport, derived_id, ingest
from icmigrate.capsule.samples import person
from icmigrate.contract.blobs import CHUNK_BYTES
from icmigrate.contract.client import CapsuleClient, all_pages
from icmigrate.contract.records import InlineLocation, InternalLocation, Memory
from icmigrate.migration.migrate import migrate
from icmigrate.migration.report import MigrationReport
from icmigrate.migration.toolkit import Toolkit
from icmigrate.progress import Progress

DATE_TIME_ORIGINAL, GPS_IFD, MAKE, ORIENTATION, USER_COMMENT = 0x9003, 0x8825, 0x010F, 0x0112, 0x9286
GPS_LATITUDE, GPS_LATITUDE_REF = 2, 1
SIZE_OF_THE_LARGEST = 60_000_000
NAME_BYTES = 255
"""Longest name that a file can have here."""


def picture(width: int = 64, height: int = 48) -> Image.Image:
    return Image.frombytes("RGB", (width, height), random.Random(width).randbytes(3 * width * height))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def with_segment(jpeg: bytes, payload: bytes) -> bytes:
    """A JPEG with this APP1 segment in front, whatever it holds."""
    return jpeg[:2] + b"\xff\xe1" + (len(payload) + 2).to_bytes(2, "big") + payload + jpeg[2:]


def gps(latitude: object) -> bytes:
    exif = Exif()
    exif[GPS_IFD] = {GPS_LATITUDE_REF: "N", GPS_LATITUDE: latitude}
    return exif.tobytes()


def dated(text: str) -> bytes:
    exif = Exif()
    exif[MAKE] = "\N{DEGREE CELSIUS} \0 maker"
    exif[ORIENTATION] = 9_999
    exif[DATE_TIME_ORIGINAL] = text
    return exif.tobytes()


def commented(length: int) -> bytes:
    exif = Exif()
    exif[USER_COMMENT] = b"c" * length
    return exif.tobytes()


def files() -> Iterator[tuple[str | bytes, bytes]]:
    """Path below the folder, and content."""
    jpeg = saved(picture(), "JPEG")
    yield "plain.jpg", jpeg
    yield "dated.jpg", saved(picture(), "JPEG", exif=dated("2019:07:14 16:40:30"))
    yield "dated never.jpg", saved(picture(), "JPEG", exif=dated("0000:00:00 00:00:00"))
    yield "dated oddly.jpg", saved(picture(), "JPEG", exif=dated("\N{SNOWMAN} yesterday, 25:61"))
    yield "dated far away.jpg", saved(picture(), "JPEG", exif=dated("9999:12:31 23:59:59"))
    yield "exif is broken.jpg", with_segment(jpeg, b"Exif\0\0" + random.Random(1).randbytes(500))
    yield "exif is cut.jpg", with_segment(jpeg, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    yield "exif is empty.jpg", with_segment(jpeg, b"Exif\0\0")
    yield "exif is huge.jpg", saved(picture(), "JPEG", exif=commented(60_000))
    yield (
        "exif points at itself.jpg",
        with_segment(jpeg, b"Exif\0\0II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0"),
    )
    yield "somewhere.jpg", saved(picture(), "JPEG", exif=gps((38.0, 42.0, 50.0)))
    yield "nowhere.jpg", saved(picture(), "JPEG", exif=gps((999.0, 1e9, 1e9)))
    yield "cut.jpg", jpeg[: len(jpeg) // 2]
    yield "text.jpg", b"not a picture"
    yield "empty.jpg", b""
    yield "empty", b""
    yield "no extension", saved(picture(), "PNG")
    yield "drawing.png", saved(picture(300, 200), "PNG")
    yield "bomb.png", saved(Image.new("1", (20_000, 20_000)), "PNG")
    yield "scan.tiff", saved(picture(120, 90), "TIFF", compression="tiff_lzw")
    yield "moving.gif", saved(picture(), "GIF", save_all=True, append_images=[picture(), picture()])
    yield "phone.heic", saved(picture(128, 96), "HEIF", quality=60)
    yield "PHONE.HEIC", saved(picture(128, 96), "HEIF", exif=dated("2021:01:01 00:00:00"))
    yield "web.webp", saved(picture(), "WEBP")
    yield "paper.pdf", saved(picture(), "PDF")
    yield "vector.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    yield "page.html", b"<script>alert(1)</script>"
    yield "name with  spaces .jpg", jpeg + b" "
    yield "\u00dcbersee \u2014 \u201cS\u00e3o Paulo\u201d.jpg", jpeg + b"1"
    yield "Zoe\N{COMBINING DIAERESIS}.jpg", jpeg + b"2"
    yield "Zo\u00eb.jpg", jpeg + b"3"
    yield "\u65e5\u672c\u8a9e \U0001f4f7.webp", saved(picture(), "WEBP", lossless=True)
    yield """it's 100% "quoted" & <odd>; a=b?c#d\\e.jpg""", jpeg + b"4"
    yield "line\nbreak\r\nX-Evil: 1.txt", b"a name of two lines"
    yield "-rf.txt", b"looks like an option"
    yield ".hidden", b"begins with a dot"
    yield b"not utf-8 \xe9\xff.jpg", jpeg + b"5"
    yield "n" * (NAME_BYTES - 4) + ".jpg", jpeg + b"6"
    yield "same as plain.jpg", jpeg
    yield "a/b/c/d/deep.jpg", jpeg + b"7"
    yield "a/b/plain.jpg", jpeg
    yield "a b/\u00fc\u00f1\u00ef/\u2028.jpg", jpeg + b"8"
    for length in (1, 32 * 1024, 32 * 1024 + 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES):
        yield f"lengths/{length}.bin", random.Random(length).randbytes(length)
    yield "lengths/large.mov", random.Random(60).randbytes(SIZE_OF_THE_LARGEST)


@dataclass(frozen=True)
class Moved:
    """A folder that was brought into the hub and moved out of it."""

    capsule_id: str
    contents: dict[str, tuple[bytes, int]]
    """SHA-256 and length of each file by the id of its memory."""
    ingested: IngestReport
    migrated: MigrationReport
    urls: list[str]
    before: list[Memory]


async def memories_of(canister: CapsuleClient, capsule_id: str) -> list[Memory]:
    return [found async for found in all_pages(lambda after: canister.memories_list(capsule_id, after))]


@pytest_asyncio.fixture(scope="module")
async def moved(module_toolkit: Toolkit, tmp_path_factory: pytest.TempPathFactory) -> Moved:
    folder = tmp_path_factory.mktemp("pictures \N{EM DASH} 1999")
    hub = module_toolkit.hub
    capsule_id = (await hub.capsules_create(person(uuid.uuid4().hex))).id
    contents = {}
    for path, data in files():
        name = os.fsencode(path)
        where = folder / os.fsdecode(name)
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_bytes(data)
        if where.name == "empty":
            os.utime(where, ns=(1 << 65, 1 << 65))  # year 3139
        key = os.fsencode(folder.name) + b"/" + name
        contents[derived_id("m", capsule_id, key)] = hashlib.sha256(data).digest(), len(data)
    ingested = await ingest(hub, capsule_id, folder, Progress())
    before = await memories_of(hub, capsule_id)
    migrated = await migrate(module_toolkit, capsule_id)
    personal = module_toolkit.personal(migrated.canister_id)
    urls = [found.url for found in await asset_urls(module_toolkit.network, personal, capsule_id)]
    return Moved(capsule_id, contents, ingested, migrated, urls, before)


async def test_every_file_is_brought_in(moved: Moved) -> None:
    assert moved.ingested.problems == []
    assert moved.ingested.created == len(moved.contents) == len(moved.before)


async def test_every_file_is_the_same_over_its_url(module_toolkit: Toolkit, moved: Moved) -> None:
    assert len(moved.urls) == len(moved.contents)
    wrong = []
    for url in moved.urls:
        memory_id = url.partition("/asset/")[2].partition("/")[0]
        answer = await module_toolkit.gateway.request(url)
        if (hashlib.sha256(answer.body).digest(), len(answer.body)) != moved.contents[memory_id]:
            wrong.append((memory_id, answer.status, len(answer.body)))
        assert all("\n" not in value and "\r" not in value for value in answer.headers.values())
    assert wrong == []


async def test_every_file_is_the_same_over_canister_calls(module_toolkit: Toolkit, moved: Moved) -> None:
    personal = module_toolkit.personal(moved.migrated.canister_id)
    found = await memories_of(personal, moved.capsule_id)
    assert found == moved.before
    for memory in found:
        (asset,) = memory.assets
        digest, length = hashlib.sha256(), 0
        match asset.location:
            case InlineLocation(data=data):
                chunks = [data]
            case InternalLocation() as place:
                count = -(-place.length // CHUNK_BYTES)
                sha256 = place.sha256
                chunks = [await personal.blobs_read_chunk(moved.capsule_id, sha256, index) for index in range(count)]
            case other:
                raise AssertionError(other)
        for chunk in chunks:
            digest.update(chunk)
            length += len(chunk)
        assert (digest.digest(), length) == moved.contents[memory.id], asset.name


async def test_what_could_run_in_a_browser_is_not_shown_in_place(module_toolkit: Toolkit, moved: Moved) -> None:
    named = {memory.id: memory.assets[0].name for memory in moved.before}
    seen = {}
    for url in moved.urls:
        name = named[url.partition("/asset/")[2].partition("/")[0]]
        if name in ("vector.svg", "page.html", "plain.jpg"):
            answer = await module_toolkit.gateway.request(url)
            seen[name] = answer.headers["content-disposition"].partition(";")[0]
            assert answer.headers["x-content-type-options"] == "nosniff"
    assert seen == {"vector.svg": "attachment", "page.html": "attachment", "plain.jpg": "inline"}


async def test_a_second_run_over_the_same_folder_finds_nothing_to_do(module_toolkit: Toolkit, moved: Moved) -> None:
    again = await migrate(module_toolkit, moved.capsule_id)
    assert (again.already_migrated, again.chunks_sent) == (True, 0)
