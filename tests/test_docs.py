"""The documentation names files that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FILE = re.compile(r"`((?:[\w*-]+/)+[\w*-]+\.(?:py|rs|toml|md|did))`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    bases = (ROOT, ROOT / "icmigrate", ROOT / "icmigrate/replica", ROOT / "canisters", page.parent)
    named = set(FILE.findall(page.read_text()))
    assert [name for name in sorted(named) if not any(any(base.glob(name)) for base in bases)] == []


def test_every_room_of_the_house_has_its_line() -> None:
    page = (ROOT / "docs/contributing.md").read_text()
    rooms = [path.name for path in (ROOT / "icmigrate").iterdir() if (path / "__init__.py").exists()]
    crates = [path.parent.name for path in (ROOT / "canisters").glob("*/Cargo.toml")]
    assert [name for name in sorted({*rooms, *crates}) if f"`{name}/`" not in page] == []
