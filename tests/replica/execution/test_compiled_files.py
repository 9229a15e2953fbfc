"""Compiled modules are shared by the replicas of a user, and never taken from where others can write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from icmigrate.replica.storage import compiled_files


def test_two_state_folders_share_one_folder_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    one = compiled_files.shared_folder(tmp_path / "state-1")
    assert compiled_files.shared_folder(tmp_path / "state-2") == one
    assert one.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_can_write_to_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiled_files.shared_folder(tmp_path / "state").chmod(0o777)
    assert compiled_files.shared_folder(tmp_path / "state") == tmp_path / "state"


def test_without_a_cache_folder_the_state_folder_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert compiled_files.shared_folder(tmp_path / "state") == tmp_path / "state"


def test_the_files_used_last_are_kept(tmp_path: Path) -> None:
    for age, name in enumerate(("old", "older", "oldest")):
        file = tmp_path / f"{name}.compiled"
        compiled_files.write(file, b"code")
        os.utime(file, (1000 - age, 1000 - age))
    compiled_files.used(tmp_path / "oldest.compiled")
    draft = tmp_path / "killed.compiled.x"
    draft.write_bytes(b"")
    os.utime(draft, (1000, 1000))
    compiled_files.prune(tmp_path, kept=2)
    assert sorted(file.stem for file in tmp_path.iterdir()) == ["old", "oldest"]
