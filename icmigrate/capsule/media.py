"""Tells of a file its MIME type, its kind of memory and its metadata (EXIF, pages, words). Decodes no picture.

Nothing that a file contains makes this fail: what cannot be read is left out.
"""

from __future__ import annotations

import json
import math
import mimetypes
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import PurePath
from typing import Any, BinaryIO, TypeVar

import pillow_heif
from PIL import ExifTags, Image

from icmigrate.contract import records

Value = TypeVar("Value")

HEAD_BYTES = 4096
MAX_TEXT_BYTES = 2 << 20
"""Words are counted in texts up to this size."""
MAX_EXIF_TEXT = 8_000
"""Bytes of EXIF kept in the record, as JSON; the file itself keeps them all."""

pillow_heif.register_heif_opener()
# Pillow warns of damaged metadata, which is left out here.
warnings.filterwarnings("ignore", module=r"PIL\.")
# Only headers are read, so a picture that would be huge when decoded is no danger.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class Media:
    """What is known about a file. Times are nanoseconds since 1970, `location` is `latitude,longitude`."""

    mime_type: str
    memory_type: records.MemoryType
    detail: records.AssetDetail
    taken_at: int | None = None
    location: str | None = None


def inspect(name: str, stream: BinaryIO, size: int) -> Media:
    """Looks into a file called `name` whose bytes are `stream`, at its beginning."""
    head = stream.read(HEAD_BYTES)
    mime_type = mime_type_of(name, head)
    kind = memory_type_of(mime_type)
    stream.seek(0)
    detail: records.AssetDetail
    match kind:
        case "Image":
            picture = _picture(stream)
            return Media(mime_type, kind, picture.detail, picture.taken_at, picture.location)
        case "Video":
            detail = records.VideoDetail()
        case "Audio":
            detail = records.AudioDetail()
        case "Note":
            format_ = mime_type.removeprefix("text/")
            detail = records.NoteDetail(format=format_, word_count=_words(stream, size))
        case "Document":
            detail = records.DocumentDetail(
                page_count=_pdf_pages(stream) if mime_type == "application/pdf" else None,
                word_count=_words(stream, size) if mime_type.startswith("text/") else None,
            )
    return Media(mime_type, kind, detail)


# ---- type ------------------------------------------------------------------------------------------

_SIGNATURES: list[tuple[int, bytes, str]] = [
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"BM", "image/bmp"),
    (0, b"\x00\x00\x01\x00", "image/vnd.microsoft.icon"),
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", "image/jxl"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"fLaC", "audio/flac"),
    (0, b"ID3", "audio/mpeg"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (8, b"AVI ", "video/x-msvideo"),
]
_TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_BRANDS = {
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"heim": "image/heic",
    b"heis": "image/heic",
    b"hevc": "image/heic-sequence",
    b"hevx": "image/heic-sequence",
    b"mif1": "image/heif",
    b"msf1": "image/heif-sequence",
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"3gp4": "video/3gpp",
    b"3gp5": "video/3gpp",
}
"""Major brands of the ISO base media file format; any other is a video/mp4."""

_EXTENSIONS = {
    ".3gp": "video/3gpp",
    ".aac": "audio/aac",
    ".arw": "image/x-sony-arw",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".cr2": "image/x-canon-cr2",
    ".cr3": "image/x-canon-cr3",
    ".dng": "image/x-adobe-dng",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".epub": "application/epub+zip",
    ".flac": "audio/flac",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".ico": "image/vnd.microsoft.icon",
    ".jfif": "image/jpeg",
    ".json": "application/json",
    ".jxl": "image/jxl",
    ".m4a": "audio/mp4",
    ".m4v": "video/x-m4v",
    ".markdown": "text/markdown",
    ".md": "text/markdown",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".mp4": "video/mp4",
    ".nef": "image/x-nikon-nef",
    ".odp": "application/vnd.oasis.opendocument.presentation",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".ogg": "audio/ogg",
    ".opus": "audio/opus",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".rtf": "application/rtf",
    ".webm": "video/webm",
    ".webp": "image/webp",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
# The same everywhere: the lists that a system may have in addition are not read.
_STANDARD = mimetypes.MimeTypes()
UNKNOWN = "application/octet-stream"


def mime_type_of(name: str, head: bytes) -> str:
    """The MIME type: what the first bytes say, otherwise what the name's extension says."""
    extension = PurePath(name).suffix.lower()
    named = _EXTENSIONS.get(extension) or _STANDARD.guess_type(f"x{extension}")[0]
    if head.startswith(_TIFF):
        # Most camera raw formats are TIFF inside; then the name knows more.
        return named if named and named.startswith("image/x-") else "image/tiff"
    if head[4:8] == b"ftyp":
        brand = _BRANDS.get(head[8:12])
        is_known_video = named is not None and named.startswith(("video/", "audio/"))
        return brand or (named if named and is_known_video else "video/mp4")
    for at, signature, mime_type in _SIGNATURES:
        if head[at : at + len(signature)] == signature and (at == 0 or head[:4] == b"RIFF"):
            return mime_type
    return named or UNKNOWN


def memory_type_of(mime_type: str) -> records.MemoryType:
    """The kind of memory that a file of this MIME type is."""
    family = mime_type.partition("/")[0]
    if mime_type in ("text/plain", "text/markdown"):
        return "Note"
    kinds: dict[str, records.MemoryType] = {"image": "Image", "video": "Video", "audio": "Audio"}
    return kinds.get(family, "Document")


# ---- pictures --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Picture:
    detail: records.ImageDetail = field(default_factory=records.ImageDetail)
    taken_at: int | None = None
    location: str | None = None


def _picture(stream: BinaryIO) -> _Picture:
    try:
        with Image.open(stream) as image:
            tags = _attempt(lambda: _exif_tags(image.getexif())) or {}
            position = _attempt(lambda: image.getexif().get_ifd(ExifTags.IFD.GPSInfo)) or {}
            density = _attempt(lambda: round(float(image.info["dpi"][0])))
            orientation = tags.get("Orientation")
            detail = records.ImageDetail(
                width=_nat32(image.width),
                height=_nat32(image.height),
                color_space=image.mode,
                exif=_as_json(tags) if tags else None,
                dpi=_nat32(density or 0),
                orientation=orientation if orientation in range(1, 9) else None,
            )
            location = _attempt(lambda: _location(position))
            return _Picture(detail, _attempt(lambda: _taken_at(tags)), location)
    except Exception:  # noqa: BLE001
        # Pillow and the decoders below it raise whatever a damaged header provokes.
        return _Picture()


def _attempt(read: Callable[[], Value]) -> Value | None:
    """What `read` finds in metadata, or `None` where that is damaged in whatever way."""
    try:
        return read()
    except Exception:  # noqa: BLE001
        return None


def _nat32(number: int) -> int | None:
    return number if 0 < number < 1 << 32 else None


_FILE_POSITIONS = {"ExifOffset", "GPSInfo", "StripOffsets", "StripByteCounts", "TileOffsets", "TileByteCounts"}
"""Tags that say where in the file something lies."""


def _exif_tags(exif: Image.Exif) -> dict[str, Any]:
    """EXIF tags by name: numbers and texts; binary ones (maker notes, thumbnails) are left out."""
    found = dict(exif) | _attempt_ifd(exif, ExifTags.IFD.Exif)
    named = ((ExifTags.TAGS.get(tag, f"0x{tag:04x}"), _plain(value)) for tag, value in found.items())
    return {name: value for name, value in named if value is not None and name not in _FILE_POSITIONS}


def _attempt_ifd(exif: Image.Exif, ifd: int) -> dict[int, Any]:
    return _attempt(lambda: dict(exif.get_ifd(ifd))) or {}


def _plain(value: object) -> object:
    match value:
        case str():
            return value.replace("\0", "").strip() or None
        case bool() | int():
            return int(value)
        case tuple() | list():
            items = [_plain(item) for item in value]
            return items if items and None not in items and len(items) <= 16 else None
        case bytes() | dict() | None:
            return None
        case _:
            number = _attempt(lambda: float(value))  # type: ignore[arg-type]
            return round(number, 6) if number is not None and math.isfinite(number) else None


def _as_json(tags: Mapping[str, Any]) -> str:
    """The tags as a JSON object of at most `MAX_EXIF_TEXT` bytes; what does not fit is left out."""
    kept: dict[str, Any] = {}
    size = 2
    for name in sorted(tags):
        entry = len(json.dumps({name: tags[name]}, ensure_ascii=False).encode())
        if size + entry <= MAX_EXIF_TEXT:
            kept[name] = tags[name]
            size += entry
    return json.dumps(kept, ensure_ascii=False)


def _taken_at(tags: Mapping[str, Any]) -> int | None:
    """When the picture was taken; a camera without time zone is taken to keep UTC."""
    text = tags.get("DateTimeOriginal") or tags.get("DateTimeDigitized") or tags.get("DateTime")
    if not isinstance(text, str):
        return None
    moment = datetime.strptime(text[:19], "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
    offset = re.fullmatch(r"([+-])(\d\d):(\d\d)", str(tags.get("OffsetTimeOriginal", "")))
    if offset:
        shift = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        moment = moment - shift if offset[1] == "+" else moment + shift
    nanoseconds = (moment - datetime.fromtimestamp(0, UTC)) // timedelta(seconds=1) * 1_000_000_000
    # A record's times are 64 bits: from 1970 to 2554.
    return nanoseconds if 0 <= nanoseconds < 1 << 64 else None


def _location(position: Mapping[int, Any]) -> str | None:
    gps = ExifTags.GPS
    latitude = _degrees(position[gps.GPSLatitude], position[gps.GPSLatitudeRef] == "S")
    longitude = _degrees(position[gps.GPSLongitude], position[gps.GPSLongitudeRef] == "W")
    if abs(latitude) > 90 or abs(longitude) > 180:
        return None
    return f"{latitude:.6f},{longitude:.6f}"


def _degrees(parts: Sequence[Any], negative: bool) -> float:
    degrees, minutes, seconds = (float(part) for part in parts)
    value = degrees + minutes / 60 + seconds / 3600
    if not math.isfinite(value):
        raise ValueError("not a position")
    return -value if negative else value


# ---- texts and documents ---------------------------------------------------------------------------


def _words(stream: BinaryIO, size: int) -> int | None:
    if size > MAX_TEXT_BYTES:
        return None
    try:
        return len(stream.read().decode().split())
    except UnicodeDecodeError:
        return None


_PAGES = re.compile(rb"/Type\s*/Pages\b[^>]{0,4096}?/Count\s+(\d{1,9})|/Count\s+(\d{1,9})[^>]{0,4096}?/Type\s*/Pages\b")


def _pdf_pages(stream: BinaryIO) -> int | None:
    """The page count that the page tree's root states, where that is not compressed (ISO 32000, 7.7.3.2)."""
    counts = (int(found[1] or found[2]) for block in _blocks(stream) for found in _PAGES.finditer(block))
    return max(counts, default=None)


def _blocks(stream: BinaryIO, size: int = 1 << 20, overlap: int = 8192) -> Iterator[bytes]:
    """The stream in blocks, each beginning with the end of the one before."""
    tail = b""
    while block := stream.read(size):
        yield tail + block
        tail = block[-overlap:]
