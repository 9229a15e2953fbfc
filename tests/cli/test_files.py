"""What is found in a folder, and what is known about each file."""

from __future__ import annotations

import io
import os
import random
from pathlib import Path

import pillow_heif
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from icmigrate.capsule import media, samples
from icmigrate.capsule.ingest import FOLDER_DEPTH, TITLE_BYTES, LocalPath, derived_id, open_regular, read_content, walk
from icmigrate.contract.records import DocumentDetail, ImageDetail, NoteDetail
from icmigrate.errors import Usage

pillow_heif.register_heif_opener()


pytestmark = pytest.mark.filterwarnings("ignore:::PIL")


def picture(format_: str, **options: object) -> bytes:
    image = Image.new("RGB", (32, 20), "red")
    exif = image.getexif()
    exif[ExifTags.Base.Make] = "Camera\0 & Sons"
    exif[ExifTags.Base.Orientation] = 6
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2021:05:06 07:08:09"
    out = io.BytesIO()
    image.save(out, format_, exif=exif, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "head", "mime_type", "memory_type"),
    [
        ("a.JPG", b"\xff\xd8\xff\xe0", "image/jpeg", "Image"),
        ("really a png.jpg", b"\x89PNG\r\n\x1a\n", "image/png", "Image"),
        ("a.heic", b"\0\0\0\x18ftypheic", "image/heic", "Image"),
        ("a.jpeg", b"\0\0\0\x18ftypmif1", "image/heif", "Image"),
        ("a.avif", b"\0\0\0\x18ftypavif", "image/avif", "Image"),
        ("a.webp", b"RIFF\0\0\0\0WEBP", "image/webp", "Image"),
        ("a.tif", b"II*\0", "image/tiff", "Image"),
        ("a.nef", b"MM\0*", "image/x-nikon-nef", "Image"),
        ("a.gif", b"GIF89a", "image/gif", "Image"),
        ("a.mov", b"\0\0\0\x14ftypqt  ", "video/quicktime", "Video"),
        ("a.mp4", b"\0\0\0\x14ftypisom", "video/mp4", "Video"),
        ("a.m4a", b"\0\0\0\x14ftypM4A ", "audio/mp4", "Audio"),
        ("a.mp3", b"ID3", "audio/mpeg", "Audio"),
        ("a.wav", b"RIFF\0\0\0\0WAVE", "audio/wav", "Audio"),
        ("a.pdf", b"%PDF-1.7", "application/pdf", "Document"),
        ("a.txt", b"text", "text/plain", "Note"),
        ("a.md", b"# text", "text/markdown", "Note"),
        ("a.html", b"<p>", "text/html", "Document"),
        ("empty.jpg", b"", "image/jpeg", "Image"),
        ("empty", b"", "application/octet-stream", "Document"),
        ("a.xyzzy", b"\0\1\2", "application/octet-stream", "Document"),
    ],
)
def test_first_bytes_and_then_the_name_tell_the_type(name: str, head: bytes, mime_type: str, memory_type: str) -> None:
    found = media.inspect(name, io.BytesIO(head), len(head))
    assert (found.mime_type, found.memory_type) == (mime_type, memory_type)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "TIFF", "WEBP", "HEIF"])
def test_a_pictures_size_and_date_are_read(format_: str) -> None:
    data = picture(format_)
    found = media.inspect(f"x.{format_.lower()}", io.BytesIO(data), len(data))
    detail = found.detail
    assert isinstance(detail, ImageDetail)
    assert {detail.width, detail.height} == {32, 20}
    assert detail.exif is not None and "Camera & Sons" in detail.exif
    assert found.taken_at is None or found.taken_at == 1_620_284_889_000_000_000
    assert found.taken_at or format_ == "TIFF"  # Pillow writes no EXIF folder into TIFF


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "TIFF", "HEIF"])
def test_no_damage_to_a_picture_makes_it_fail(format_: str) -> None:
    whole = picture(format_)
    chance = random.Random(format_)
    for _ in range(200):
        data = bytearray(whole[: chance.randrange(1, len(whole))] if chance.random() < 0.3 else whole)
        for _ in range(chance.randrange(1, 12)):
            data[chance.randrange(min(len(data), 400))] = chance.randrange(256)
        found = media.inspect("x", io.BytesIO(bytes(data)), len(data))
        detail = found.detail
        if isinstance(detail, ImageDetail) and detail.exif is not None:
            assert len(detail.exif.encode()) <= media.MAX_EXIF_TEXT


@given(st.binary(max_size=300), st.sampled_from(["a.jpg", "a.pdf", "a.txt", "a.heic", "a.mp4", "a", "a.tiff"]))
def test_no_bytes_make_it_fail(data: bytes, name: str) -> None:
    media.inspect(name, io.BytesIO(data), len(data))


def test_pages_and_words_are_counted(tmp_path: Path) -> None:
    samples.make_samples(tmp_path)
    letter, note = tmp_path / "Letter.pdf", tmp_path / "Note.txt"
    with letter.open("rb") as stream:
        pdf = media.inspect(letter.name, stream, letter.stat().st_size).detail
    with note.open("rb") as stream:
        text = media.inspect(note.name, stream, note.stat().st_size).detail
    assert pdf == DocumentDetail(page_count=1)
    assert text == NoteDetail(format="plain", word_count=13)


def test_a_folder_is_walked_in_the_order_of_names_and_nothing_is_followed(tmp_path: Path) -> None:
    root = tmp_path / "Photos"
    (root / "b").mkdir(parents=True)
    (root / "b" / "ü 1.txt").write_text("u")
    (root / "a.txt").write_text("a")
    (root / "c.txt").touch()
    (root / "link").symlink_to(root / "a.txt")
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "pipe")
    found = walk(root)
    assert [entry.key.decode() for entry in found.files] == ["Photos/a.txt", "Photos/b/ü 1.txt", "Photos/c.txt"]
    assert [entry.key.decode() for entry in found.folders] == ["Photos/b"]
    assert {problem.path for problem in found.problems} == {"Photos/link", "Photos/loop", "Photos/pipe"}
    assert found.bytes == 2


def test_folders_nested_too_deep_are_left_out(tmp_path: Path) -> None:
    deep = tmp_path.joinpath("root", *(["d"] * (FOLDER_DEPTH + 1)))
    deep.mkdir(parents=True)
    found = walk(tmp_path / "root")
    assert len(found.folders) == FOLDER_DEPTH
    assert "nested deeper" in found.problems[0].reason


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="not a folder"):
        walk(tmp_path / "nothing")


def test_names_that_are_no_text_are_shown_and_told_apart() -> None:
    one, two = (
        LocalPath(Path(os.fsdecode(b"a\xff")), b"r/a\xff", None),
        LocalPath(Path(os.fsdecode(b"a\xfe")), b"r/a\xfe", None),
    )
    assert one.name == two.name == "a\N{REPLACEMENT CHARACTER}"
    assert derived_id("m", "c", one.key) != derived_id("m", "c", two.key) != derived_id("m", "d", two.key)
    long = LocalPath(Path(os.fsdecode(b"\xff" * 255)), b"", None)
    assert len(long.name.encode()) <= TITLE_BYTES


def test_a_link_put_in_place_of_a_file_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic"), open_regular(tmp_path / "link"):
        pass


def test_chunks_are_read_as_they_are(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(4_000_000)
    (tmp_path / "big").write_bytes(data)
    with open_regular(tmp_path / "big") as stream:
        content = read_content("big", stream)
        assert content.length == len(data)
        assert b"".join(content.chunk(index) for index in range(content.chunks)) == data


def test_samples_are_the_same_every_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        samples.make_samples(tmp_path / name)
    files = [path.relative_to(tmp_path / "one") for path in sorted((tmp_path / "one").rglob("*")) if path.is_file()]
    assert len(files) == 8
    for file in files:
        one, two = tmp_path / "one" / file, tmp_path / "two" / file
        assert one.read_bytes() == two.read_bytes()
        assert one.stat().st_mtime_ns == two.stat().st_mtime_ns
    assert any((tmp_path / "one" / file).stat().st_size > 3_800_000 for file in files)
