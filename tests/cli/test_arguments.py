"""Commands that cannot work say why, how things stand and what to do, and exit accordingly."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Shell


@pytest.mark.parametrize(
    "arguments",
    [
        ["migrat"],
        ["migrate", "--no-such-option"],
        ["migrate", "one", "two"],
        ["ingest"],
        ["ingest", "no/such/folder"],
        ["replica", "start", "--port", "70000"],
        ["replica", "start", "--port", "x"],
        ["capsules", "--network", "nowhere"],
        ["capsules", "--hub", "nonsense", "--network", "http://127.0.0.1:1"],
        ["capsules", "--network", "http://127.0.0.1:1"],  # no hub is known there
        ["capsules", "--network", "ic", "--hub", "rwlgt-iiaaa-aaaaa-aaaaa-cai"],  # no identity named
        ["capsules", "--network", "ic", "--identity", "nobody-has-this-name"],
        ["handoff"],
        ["handoff", "a", "--recovery", "nonsense"],
        ["deploy", "--network", "ic", "--identity", "anonymous"],
    ],
)
def test_wrong_arguments_exit_with_2_and_leave_nothing_behind(arguments: list[str], empty: Shell) -> None:
    result = empty.result(*arguments, code=2)
    assert result["exit_code"] == 2
    assert result["message"] and result["hint"]
    assert not list(empty.folder.iterdir())


def test_a_network_that_does_not_answer_exits_with_5(empty: Shell) -> None:
    result = empty.result("capsules", "--network", "http://127.0.0.1:1", "--hub", "rwlgt-iiaaa-aaaaa-aaaaa-cai", code=5)
    assert result["error"] == "Unreachable"


def test_people_read_errors_on_stderr_and_never_a_traceback(empty: Shell) -> None:
    run = empty.plain("ingest", "no/such/folder")
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr.splitlines()[0] == "error: no/such/folder is not a folder"
    assert "Traceback" not in run.stderr


def test_a_settings_file_with_an_unknown_key_is_named(empty: Shell) -> None:
    (empty.folder / "icmigrate.toml").write_text("netwrok = 'ic'\n")
    run = empty.plain("capsules")
    assert run.returncode == 2
    assert "netwrok" in run.stderr


def test_the_program_without_a_command_shows_its_help(empty: Shell) -> None:
    run = empty.plain()
    assert run.returncode == 2
    assert "Commands:" in run.stdout


def test_a_replica_is_started_found_and_stopped(empty: Shell) -> None:
    assert empty.result("replica", "status") == {"event": "result", "ok": True, "running": False}
    started = empty.result("replica", "start")
    assert empty.result("replica", "start") == started
    assert empty.result("replica", "status") == started
    assert empty.result("replica", "stop")["stopped"] is True
    assert empty.result("replica", "stop")["stopped"] is False
    again = empty.result("replica", "start")
    assert (again["url"], again["root_key"]) == (started["url"], started["root_key"])
    empty.result("replica", "stop")


def test_a_replica_in_the_foreground_says_where_it_listens_and_ends_when_told(empty: Shell) -> None:
    with empty.start("replica", "start", "--foreground", "--port", "0") as running:
        assert '"url": "http://127.0.0.1:' in running.line()
        assert empty.result("replica", "stop")["stopped"] is True
        assert '"event": "result"' in "".join(running.lines())
        assert running.ends() == 0


def test_the_doctor_says_what_is_missing(empty: Shell) -> None:
    result = empty.result("doctor")
    checks = {check["name"]: check for check in result["checks"]}
    assert "does not run" in checks["network"]["found"]
    empty.result("replica", "start")
    try:
        result = empty.result("doctor", code=3)
    finally:
        empty.result("replica", "stop")
    (hub,) = [check for check in result["checks"] if not check["well"]]
    assert hub["advice"] == "Run `icmigrate deploy`."
