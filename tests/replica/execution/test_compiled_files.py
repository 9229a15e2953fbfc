"""Compiled modules are shared by the replicas of a user, and never taken from where others can write."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import wasmtime

from icmigrate.replica.state.limits import Limits
from icmigrate.replica.storage import compiled_files
from icmigrate.replica.wasm.compiler import Compiler
from icmigrate.replica.wasm.module import ModuleCache


def test_two_state_folders_share_one_folder_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    one = compiled_files.shared_folder(tmp_path / "state-1")
    assert one is not None and compiled_files.shared_folder(tmp_path / "state-2") == one
    assert one.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_can_write_to_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shared = compiled_files.shared_folder(tmp_path / "state")
    assert shared is not None
    shared.chmod(0o777)
    assert compiled_files.shared_folder(tmp_path / "state") == tmp_path / "state"
    (tmp_path / "state").chmod(0o770)
    assert compiled_files.shared_folder(tmp_path / "state") is None


def test_without_a_cache_folder_the_state_folder_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert compiled_files.shared_folder(tmp_path / "state") == tmp_path / "state"


def test_the_files_used_last_are_kept(tmp_path: Path) -> None:
    for age, name in enumerate(("old", "older", "oldest")):
        file = tmp_path / f"{name}.compiled"
        file.write_bytes(b"code")
        os.utime(file, (1000 - age, 1000 - age))
    with compiled_files.opened(tmp_path, "oldest.compiled") as readable:
        assert readable is not None
    draft = tmp_path / "killed.compiled.x"
    draft.write_bytes(b"")
    os.utime(draft, (1000, 1000))
    compiled_files.prune(tmp_path, kept=2)
    assert sorted(file.stem for file in tmp_path.iterdir()) == ["old", "oldest"]


# ------------------------------------------------------------------------------------------- what strangers put there

WANTED = bytes(wasmtime.wat2wasm('(module (func (export "canister_update wanted")))'))
PLANTED = bytes(wasmtime.wat2wasm('(module (func (export "planted")))'))


def loaded(folder: Path | None) -> set[str]:
    """What a replica that begins now runs for the wanted module: the names of its exports."""
    module = ModuleCache(folder, Limits()).get(hashlib.sha256(WANTED).digest(), WANTED).module
    return {export.name for export in module.exports}


def plant(folder: Path) -> Path:
    """Puts other native code in the place of what is kept for the wanted module."""
    loaded(folder)
    (file,) = folder.glob("*.compiled")
    file.write_bytes(Compiler().compile(PLANTED, None).serialize())
    return file


def by_opening_the_folder(folder: Path) -> Path:
    plant(folder)
    folder.chmod(0o777)
    return folder


def by_opening_the_folder_to_a_group(folder: Path) -> Path:
    plant(folder)
    folder.chmod(0o770)
    return folder


def by_a_link_to_a_folder(folder: Path) -> Path:
    plant(folder)
    link = folder.with_name("link")
    link.symlink_to(folder)
    return link


def by_opening_a_file(folder: Path) -> Path:
    plant(folder).chmod(0o666)
    return folder


def by_a_link_to_a_file(folder: Path) -> Path:
    file = plant(folder)
    file.rename(folder.parent / "code")
    file.symlink_to(folder.parent / "code")
    return folder


def by_a_pipe(folder: Path) -> Path:
    file = plant(folder)
    file.unlink()
    os.mkfifo(file, 0o600)
    return folder


def of_another_user(folder: Path) -> Path:
    file = plant(folder)
    if os.geteuid() != 0:
        pytest.skip("only the superuser makes files of others")
    os.chown(file, 12345, 12345)
    return folder


def in_a_folder_of_another_user(folder: Path) -> Path:
    plant(folder)
    if os.geteuid() != 0:
        pytest.skip("only the superuser makes folders of others")
    os.chown(folder, 12345, 12345)
    return folder


WAYS = [
    by_opening_the_folder,
    by_opening_the_folder_to_a_group,
    by_a_link_to_a_folder,
    by_opening_a_file,
    by_a_link_to_a_file,
    by_a_pipe,
    of_another_user,
    in_a_folder_of_another_user,
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "compiled").mkdir(mode=0o700)
    return tmp_path / "compiled"


def test_what_is_put_where_only_this_user_can_is_taken(folder: Path) -> None:
    plant(folder)
    assert "planted" in loaded(folder)


@pytest.mark.parametrize("way", WAYS)
def test_native_code_is_not_taken(folder: Path, way: Callable[[Path], Path], caplog: pytest.LogCaptureFixture) -> None:
    place = way(folder)
    before = {path: path.lstat().st_mtime_ns for path in folder.iterdir()}
    for _ in range(2):
        assert "canister_update wanted" in loaded(place)
    assert len(caplog.records) == 1 and "not used" in caplog.text
    if place.lstat().st_mode & 0o022 or place.is_symlink() or place.stat().st_uid != os.geteuid():
        assert {path: path.lstat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.parametrize("way", WAYS[:3])
def test_where_no_folder_is_safe_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path, way: Callable[[Path], Path]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    safe = compiled_files.shared_folder(way(folder))
    assert safe is None and "canister_update wanted" in loaded(safe)


def test_what_others_could_write_is_not_made_good_by_taking_the_right_from_them(folder: Path) -> None:
    plant(folder).chmod(0o666)
    compiled_files.discard_unsafe(folder)
    assert not list(folder.iterdir())
    plant(folder)
    folder.chmod(0o777)
    compiled_files.discard_unsafe(folder)
    assert not list(folder.iterdir())
