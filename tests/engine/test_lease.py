"""One run at a time works on a capsule, and a prepared folder does not lead it elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from icmigrate.engine.lease import FOLDER, lease, lease_name
from icmigrate.errors import HeldByAnother, Usage


def test_one_run_at_a_time_works_on_a_capsule(tmp_path: Path) -> None:
    with lease(tmp_path, "hub", "capsule"):
        with pytest.raises(HeldByAnother), lease(tmp_path, "hub", "capsule"):
            pass
        with lease(tmp_path, "hub", "another capsule"):
            pass
    with lease(tmp_path, "hub", "capsule"):
        pass


def test_a_lease_leaves_a_file_alone_that_a_link_leads_to(tmp_path: Path) -> None:
    victim = tmp_path / "precious"
    victim.write_text("precious")
    (tmp_path / "state" / FOLDER).mkdir(parents=True)
    (tmp_path / "state" / FOLDER / lease_name("hub", "capsule")).symlink_to(victim)
    with pytest.raises(Usage, match="link"), lease(tmp_path / "state", "hub", "capsule"):
        pass
    assert victim.read_text() == "precious"


def test_a_lease_makes_nothing_in_a_folder_that_a_link_leads_to(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / FOLDER).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Usage, match="link"), lease(tmp_path / "state", "hub", "capsule"):
        pass
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_a_lease_makes_is_its_users_own(tmp_path: Path) -> None:
    with lease(tmp_path / "state", "hub", "capsule"):
        folder = tmp_path / "state" / FOLDER
        assert folder.stat().st_mode & 0o077 == 0
        assert (folder / lease_name("hub", "capsule")).stat().st_mode & 0o077 == 0
