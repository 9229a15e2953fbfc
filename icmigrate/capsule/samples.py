"""Sample files for the demo and the tests, and access to them for people of every kind.

The same files every time: names, bytes (with the same Pillow) and times of change.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

from PIL import ExifTags, Image

from icmigrate.contract import records
from icmigrate.contract.access import (
    AccessInput,
    EventTriggered,
    ExpiresAt,
    FolderResource,
    GalleryResource,
    MemoryResource,
    Scheduled,
    WholeCapsule,
)
from icmigrate.contract.client import CapsuleClient
from icmigrate.protocol.principal import Principal

CHANGED_AT = 1_690_000_000
"""Seconds since 1970: when the sample files say they were changed."""


def make_samples(folder: Path) -> None:
    """Writes the sample files into `folder`; those that are there already stay."""
    for name, write in _FILES.items():
        path = folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{path.name}.part")
            write(draft)
            os.utime(draft, (CHANGED_AT, CHANGED_AT))
            draft.replace(path)


def _gradient(width: int, height: int, tint: str) -> Image.Image:
    light = Image.linear_gradient("L").resize((width, height))
    return Image.composite(Image.new("RGB", (width, height), tint), Image.new("RGB", (width, height)), light)


def _photograph(tint: str, taken: str, latitude: float, longitude: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        image = _gradient(1200, 800, tint)
        exif = image.getexif()
        exif[ExifTags.Base.Make] = "icmigrate"
        exif[ExifTags.Base.Model] = "sample camera"
        exif[ExifTags.Base.Orientation] = 1
        details = exif.get_ifd(ExifTags.IFD.Exif)
        details[ExifTags.Base.DateTimeOriginal] = taken
        details[ExifTags.Base.OffsetTimeOriginal] = "+02:00"
        position = exif.get_ifd(ExifTags.IFD.GPSInfo)
        position[ExifTags.GPS.GPSLatitudeRef] = "N" if latitude >= 0 else "S"
        position[ExifTags.GPS.GPSLatitude] = _sexagesimal(abs(latitude))
        position[ExifTags.GPS.GPSLongitudeRef] = "E" if longitude >= 0 else "W"
        position[ExifTags.GPS.GPSLongitude] = _sexagesimal(abs(longitude))
        image.save(path, "JPEG", quality=90, exif=exif, dpi=(300, 300))

    return write


def _sexagesimal(degrees: float) -> tuple[float, float, float]:
    minutes = degrees % 1 * 60
    return float(int(degrees)), float(int(minutes)), round(minutes % 1 * 60, 2)


def _drawing(path: Path) -> None:
    _gradient(640, 480, "#3366cc").save(path, "PNG")


def _panorama(path: Path) -> None:
    """A picture that does not compress: several chunks."""
    width, height = 2000, 1000
    grain = Image.frombytes("RGB", (width, height), random.Random(7).randbytes(3 * width * height))
    Image.blend(_gradient(width, height, "#cc8844"), grain, 0.5).save(path, "PNG", compress_level=1)


def _letter(path: Path) -> None:
    """A PDF of one page (ISO 32000-1, 7.5)."""
    text = b"BT /F1 24 Tf 72 720 Td (A letter that moves house.) Tj ET"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out = b"%PDF-1.4\n"
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(out))
    path.write_bytes(out + b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + table + trailer)


def _note(path: Path) -> None:
    path.write_text("Grüße aus dem Hub.\nWhat is written here arrives as it was written.\n")


_FILES: dict[str, Callable[[Path], None]] = {
    "Harbour at dawn.jpg": _photograph("#dd7744", "2023:06:01 05:12:00", 53.5413, 9.9841),
    "Drawing.png": _drawing,
    "Panorama.png": _panorama,
    "Letter.pdf": _letter,
    "Note.txt": _note,
    "Empty.txt": Path.touch,
    "Travels/Übersee — São Paulo.jpg": _photograph("#448855", "2023:07:14 16:40:30", -23.5505, -46.6333),
    "Travels/Lisbon/Old tram.jpg": _photograph("#ccaa22", "2023:07:21 11:03:09", 38.7139, -9.1335),
}


# ---- sharing ---------------------------------------------------------------------------------------


def person(name: str) -> records.Person:
    """Somebody with a principal, the same for the same name; nobody has its key."""
    principal = Principal.self_authenticating(hashlib.sha256(name.encode()).digest())
    return records.PrincipalPerson(principal=principal.to_str())


EARLIER = 1_704_067_200_000_000_000
"""2024-01-01, in nanoseconds: a time limit that is over."""
LATER = 2_208_988_800_000_000_000
"""2040-01-01, in nanoseconds: a time limit that is to come."""


async def share(client: CapsuleClient, capsule_id: str) -> None:
    """Gives the capsule connections, a group, and access of every kind. May be repeated."""
    anna, ben = person("Anna"), person("Ben")
    clara = records.OpaquePerson(name="clara@example.org")
    for name, peer in (("anna", anna), ("ben", ben), ("clara", clara)):
        given = records.ConnectionInput(id=f"connection-{name}", peer=peer, status="Accepted")
        await client.connections_create(capsule_id, given)
    family = records.GroupInput(id="group-family", name="Family", members=[anna, clara])
    await client.groups_create(capsule_id, family)
    for entry in await _entries(client, capsule_id, anna, ben, clara):
        await client.access_create(capsule_id, entry)


async def _entries(
    client: CapsuleClient, capsule_id: str, anna: records.Person, ben: records.Person, clara: records.Person
) -> list[AccessInput]:
    """One access entry of each kind, on what the capsule has."""
    memories = [memory.id for memory in (await client.memories_list(capsule_id)).items]
    folders = [folder.id for folder in (await client.folders_list(capsule_id)).items]
    galleries = [gallery.id for gallery in (await client.galleries_list(capsule_id)).items]

    def grant(name: str, resource: object, who: records.Person | None, permissions: int, **more: object) -> None:
        given = {"id": f"access-{name}", "resource": resource, "person": who, "permissions": permissions}
        entries.append(AccessInput.model_validate({"role": "Member", **given, **more}))

    entries: list[AccessInput] = []
    grant("anna", WholeCapsule(), anna, 1)
    for gallery in galleries[:1]:
        grant("family", GalleryResource(id=gallery), None, 3, source="Group", source_id="group-family")
    for folder in folders[:1]:
        grant("clara-later", FolderResource(id=folder), clara, 1, condition=Scheduled(accessible_after=LATER))
    for memory in memories[:1]:
        grant("everybody", MemoryResource(id=memory), None, 3, is_public=True)
        grant("ben-until", MemoryResource(id=memory), ben, 7, condition=ExpiresAt(expires=LATER))
    for memory in memories[1:2]:
        grant("ben-over", MemoryResource(id=memory), ben, 3, condition=ExpiresAt(expires=EARLIER))
        grant("clara-event", MemoryResource(id=memory), clara, 3, condition=EventTriggered(event="birthday"))
        grant("link", MemoryResource(id=memory), ben, 1, source="MagicLink", source_id="invitation-1")
    return entries
