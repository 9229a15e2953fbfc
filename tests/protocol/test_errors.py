"""The error tree is the one that is drawn, and every error says what to do."""

from __future__ import annotations

import re

import pytest

from icmigrate import errors
from icmigrate.errors import CallRejected, CanisterReject, IcmigrateError


def drawn() -> dict[str, str]:
    """Each class of the drawing with its parent."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^    ([│├└─ ]*)([A-Z]\w+)(?:\s|$)", line)
        if found:
            depth = len(found[1]) // 4
            del path[depth:]
            parents[found[2]] = path[-1] if path else ""
            path.append(found[2])
    return parents


def test_the_drawing_in_the_docstring_is_the_tree() -> None:
    classes = {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, IcmigrateError)
    }
    parents = {
        name: next((base.__name__ for base in value.__bases__ if issubclass(base, IcmigrateError)), "")
        for name, value in classes.items()
    }
    assert drawn() == parents


@pytest.mark.parametrize("name", [name for name in drawn() if name != "IcmigrateError"])
def test_every_error_has_a_hint_and_an_exit_code_of_its_own_kind(name: str) -> None:
    kind = getattr(errors, name)
    assert kind.hint
    assert 2 <= kind.exit_code <= 9
    assert kind.__doc__


@pytest.mark.parametrize(
    ("error_code", "exit_code"), [("IC0512", 6), ("IC0207", 7), ("IC0532", 7), ("IC0503", 5), (None, 5)]
)
def test_a_reject_exits_by_what_the_user_has_to_do(error_code: str | None, exit_code: int) -> None:
    assert CallRejected(5, "no", error_code).exit_code == exit_code


def test_only_a_transient_reject_is_worth_another_try() -> None:
    assert CanisterReject(2, "busy").retryable
    assert not CanisterReject(5, "trapped").retryable
    assert str(CanisterReject(5, "trapped", "IC0503")) == "canister error (5), IC0503: trapped"
