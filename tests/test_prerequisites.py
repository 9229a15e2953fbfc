"""A test whose prerequisite is missing is skipped, or fails where everything must be there."""

from __future__ import annotations

import pytest

from tests.prerequisites import program


def test_without_a_program_a_test_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ICMIGRATE_REQUIRE_ALL", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed"):
        program("no-such-program", "nor-this-one")


def test_where_everything_is_required_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICMIGRATE_REQUIRE_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-program is not installed"):
        program("no-such-program")


def test_the_first_program_that_is_there_is_taken() -> None:
    assert program("no-such-program", "sh").endswith("/sh")
