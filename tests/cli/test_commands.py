"""The commands on real canisters: a folder goes into the hub and out of it again."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from pathlib import Path

import httpx
import pytest

from icmigrate.capsule.samples import make_samples
from icmigrate.engine.lease import lease
from tests.cli.conftest import Line, Shell
from tests.processes import Running

REPORT = {
    "capsule": str,
    "canister_id": str,
    "root": str,
    "records": int,
    "blobs": int,
    "bytes": int,
    "chunks_sent": int,
    "chunks_skipped": int,
    "seconds": float,
    "frozen_seconds": float,
    "cycles_quoted": int,
    "cycles_spent": int,
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """The samples, and files that others have trouble with."""
    folder = tmp_path / "My photos"
    make_samples(folder)
    (folder / "naïve café (1) #5 100%.bin").write_bytes(os.urandom(100_000))
    (folder / "exactly one chunk").write_bytes(os.urandom(1_900_000))
    (folder / "link").symlink_to(folder / "Note.txt")
    return folder


def files_of(folder: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def fetched(urls: list[Line]) -> list[bytes]:
    bodies = []
    for url in urls:
        with urllib.request.urlopen(url["url"], timeout=30) as answer:
            assert answer.status == 200
            bodies.append(answer.read())
    return sorted(bodies)


def migrated(owner: Shell, folder: Path) -> Line:
    capsule = owner.result("ingest", folder)["capsule_id"]
    return owner.result("migrate", capsule)


def test_deploying_again_finds_that_all_is_done(operator: Shell) -> None:
    assert operator.result("deploy")["actions"] == []


def test_a_folder_is_ingested_once(owner: Shell, photos: Path) -> None:
    first = owner.result("ingest", photos)
    assert (first["files"], first["created"], first["folders"]) == (10, 10, 2)
    assert [problem["path"] for problem in first["problems"]] == ["My photos/link"]
    again = owner.result("ingest", photos, first["capsule_id"])
    assert (again["created"], again["existing"], again["chunks_sent"]) == (0, 10, 0)
    assert again["gallery_ids"] == first["gallery_ids"]


def test_a_file_that_changed_is_replaced_and_a_new_picture_joins_the_gallery(owner: Shell, photos: Path) -> None:
    capsule = owner.result("ingest", photos)["capsule_id"]
    (photos / "Note.txt").write_text("changed\n")
    (photos / "Another.png").write_bytes((photos / "Drawing.png").read_bytes())
    again = owner.result("ingest", photos)
    assert (again["created"], again["updated"], again["existing"]) == (1, 1, 9)
    assert owner.result("show", capsule)["summary"]["memories"] == 11


def test_several_hundred_small_files_are_ingested_in_one_run(owner: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(500):
        (folder / f"{number:04}.txt").write_text(f"note {number}")
    assert owner.result("ingest", folder)["created"] == 500


def test_a_capsule_is_listed_and_shown_by_id_and_by_its_owner(owner: Shell, operator: Shell, photos: Path) -> None:
    capsule = owner.result("ingest", photos)["capsule_id"]
    listed = {entry["id"]: entry for entry in operator.result("capsules")["capsules"]}
    assert listed[capsule]["memories"] == 10
    subject = listed[capsule]["subject"]["Principal"]
    by_id, by_owner = owner.result("show", capsule), operator.result("show", subject)
    assert by_id["capsule"]["id"] == by_owner["capsule"]["id"] == capsule
    assert by_id["home"] == "Hub"


def test_a_migrated_capsule_is_served_byte_for_byte_at_its_urls(owner: Shell, photos: Path) -> None:
    capsule = owner.result("ingest", photos)["capsule_id"]
    plan = owner.result("plan", capsule)
    assert plan["feasible"] and plan["chunks_to_send"] > 3
    *events, report = owner.lines("migrate", capsule, "--urls")
    for name, kind in REPORT.items():
        assert isinstance(report[name], kind), name
    assert report["chunks_sent"] == plan["chunks_to_send"]
    phases = [event["phase"] for event in events if event["event"] == "phase"]
    assert phases == [
        *("plan", "reserve", "create", "install", "pre-copy"),
        *("freeze", "catch-up", "verify", "check HTTP", "cut over", "report"),
    ]
    assert fetched(report["urls"]) == files_of(photos)
    assert owner.result("show", capsule)["home"] == {"Moved": report["canister_id"]}


def test_no_token_is_written_anywhere_unless_somebody_asks_for_urls(owner: Shell, photos: Path) -> None:
    capsule = owner.result("ingest", photos)["capsule_id"]
    said = json.dumps(owner.lines("migrate", capsule)) + owner.plain("migrate", capsule).stdout
    kept = b"".join(path.read_bytes() for path in owner.folder.rglob("icmigrate.sqlite*"))
    assert kept and "token=" not in said and b"token=" not in kept
    assert "token=" in owner.plain("migrate", capsule, "--urls").stdout


def test_a_migrated_capsule_is_only_reported_on(owner: Shell, photos: Path) -> None:
    first = migrated(owner, photos)
    again = owner.result("migrate", first["capsule"])
    assert again["already_migrated"] is True
    assert again["chunks_sent"] == 0
    for name in ("canister_id", "root", "records", "blobs", "bytes"):
        assert again[name] == first[name]
    assert owner.result("status", first["capsule"])["migration"]["phase"] == "CutOver"
    assert owner.result("check-http", first["capsule"])["passed"] is True
    owner.result("abort", first["capsule"], code=3)


def test_the_owner_is_alone_in_control_after_the_handoff(owner: Shell, photos: Path) -> None:
    report = migrated(owner, photos)
    refused = owner.result("handoff", report["capsule"], code=2)
    assert report["canister_id"] in refused["message"] and "--yes" in refused["hint"]
    handed = owner.result("handoff", report["capsule"], "--yes")
    subject = owner.result("show", report["capsule"])["summary"]["subject"]["Principal"]
    assert handed["controllers"] == [subject]
    assert owner.result("handoff", report["capsule"])["controllers"] == [subject], "nothing is asked where all is done"
    again = owner.result("migrate", report["capsule"])
    assert (again["already_migrated"], again["cycles_quoted"]) == (True, None), "the hub's copy is read no more"
    other = "aaaaa-aa"
    assert other in owner.result("handoff", report["capsule"], "--recovery", other, "--yes", code=3)["message"]


def test_an_operator_hands_off_by_the_consent_of_an_owner_only(owner: Shell, operator: Shell, photos: Path) -> None:
    capsule = owner.result("ingest", photos)["capsule_id"]
    operator.result("migrate", capsule)
    refused = operator.result("handoff", capsule, "--yes", code=3)
    assert f"icmigrate handoff {capsule}" in refused["hint"]
    assert operator.result("status", capsule)["migration"]["phase"] == "CutOver"


def test_a_hub_without_that_capsule_says_so(owner: Shell) -> None:
    for command in ("show", "plan", "migrate", "status", "verify", "check-http", "abort", "handoff"):
        result = owner.result(command, "no-such-capsule", code=2)
        assert "no-such-capsule" in result["message"]
        assert "icmigrate capsules" in result["hint"]


def test_who_has_no_capsule_is_told_what_to_ask_an_operator_for(stranger: Shell, photos: Path) -> None:
    refused = stranger.result("ingest", photos, code=6)
    assert "capsules_create" in refused["hint"] and "Principal" in refused["hint"]


def test_a_stranger_is_refused_with_6(owner: Shell, stranger: Shell, photos: Path) -> None:
    capsule = owner.result("ingest", photos)["capsule_id"]
    for command in (["show"], ["plan"], ["migrate"], ["ingest", str(photos)]):
        stranger.result(*command, capsule, code=6)
    assert owner.result("show", capsule)["home"] == "Hub"


def test_a_second_run_on_the_same_capsule_exits_with_9(owner: Shell, photos: Path) -> None:
    report = owner.result("ingest", photos)
    hub = owner.result("capsules")["hub"]
    with lease(owner.folder / ".icmigrate", hub, report["capsule_id"]):
        owner.result("migrate", report["capsule_id"], code=9)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_migration_is_continued_by_the_same_command(
    ending: signal.Signals, owner: Shell, tmp_path: Path
) -> None:
    folder = tmp_path / "big"
    folder.mkdir()
    (folder / "film.mp4").write_bytes(os.urandom(30_000_000))
    capsule = owner.result("ingest", folder)["capsule_id"]
    with owner.start("migrate", capsule) as running:
        seen = until_chunks_are_sent(running)
        running.process.send_signal(ending)
        rest = list(running.lines())
        code = running.ends()
    if ending != signal.SIGKILL:
        assert code == 8
        assert json.loads(rest[-1])["error"] == "Interrupted"
    assert seen["phase"] == "pre-copy"
    report = owner.result("migrate", capsule, "--urls")
    assert report["chunks_sent"] < 16
    assert report["chunks_sent"] + report["chunks_skipped"] == 16
    assert fetched(report["urls"]) == files_of(folder)


def until_chunks_are_sent(running: Running) -> Line:
    """The first line of a running command that reports chunks as sent."""
    for text in running.lines():
        line: Line = json.loads(text)
        if line.get("chunks"):
            return line
    raise AssertionError("no chunk was sent")


def test_a_running_replica_does_not_move_to_another_port(empty: Shell) -> None:
    try:
        replica = empty.result("replica", "start", "--port", "0")
        assert empty.result("replica", "start", "--port", str(replica["port"]))["pid"] == replica["pid"]
        refused = empty.result("replica", "start", "--port", str(replica["port"] % 65535 + 1), code=5)
        assert str(replica["port"]) in refused["message"]
        assert empty.result("replica", "status")["pid"] == replica["pid"]
    finally:
        empty.result("replica", "stop")


def test_a_host_is_answered_when_it_is_allowed(empty: Shell) -> None:
    refused = empty.result("replica", "start", "--allow-host", "https://dev.example", code=2)
    assert "https://dev.example" in refused["message"]
    hosts = "--allow-host", "Dev.Example", "--allow-host", "other.example"
    try:
        replica = empty.result("replica", "start", *hosts)
        for host, status in (("dev.example:1", 200), ("other.example", 200), ("third.example", 403)):
            asked = httpx.get(f"{replica['url']}/api/v2/status", headers={"Host": host})
            assert asked.status_code == status
        assert empty.result("replica", "start", *hosts)["pid"] == replica["pid"]
        assert empty.result("replica", "start")["pid"] == replica["pid"]
        refused = empty.result("replica", "start", "--allow-host", "third.example", code=5)
        assert "third.example" in refused["message"]
    finally:
        empty.result("replica", "stop")


def test_a_replica_that_was_killed_is_started_again_by_the_next_command(owner: Shell, photos: Path) -> None:
    first = owner.result("ingest", photos)
    os.kill(owner.result("replica", "status")["pid"], signal.SIGKILL)
    *events, again = owner.lines("ingest", photos)
    assert any("started" in event.get("message", "") for event in events)
    assert (again["capsule_id"], again["created"], again["chunks_sent"]) == (first["capsule_id"], 0, 0)
    assert owner.result("migrate")["capsule"] == first["capsule_id"]


def test_the_demo_needs_nothing_and_can_be_run_again(empty: Shell, photos: Path) -> None:
    try:
        for_people = empty.plain("demo")
        again = empty.result("demo", "--from", photos)
        doctor = empty.result("doctor")
        replica = empty.result("replica", "status")
    finally:
        empty.result("replica", "stop")
    assert (for_people.returncode, for_people.stderr) == (0, "")
    for words in ("pre-copy done", "cut over done", "manifest root", "Capsule capsule-1 is migrated", "replica stop"):
        assert words in for_people.stdout
    assert again["capsule"] == "capsule-2"
    assert len(again["urls"]) == len(files_of(photos))
    assert all(url["url"].startswith(f"{replica['url']}/asset/") for url in again["urls"])
    assert f"{replica['url']}/asset/" in for_people.stdout
    assert doctor["well"] is True


def test_an_interrupted_demo_leaves_no_replica_that_nobody_asked_for(empty: Shell) -> None:
    with empty.start("demo") as running:
        assert "started the embedded replica" in running.line()
        running.process.send_signal(signal.SIGINT)
        *_, last = running.lines()
        assert running.ends() == 8
    assert json.loads(last)["error"] == "Interrupted"
    assert empty.result("replica", "status")["running"] is False
