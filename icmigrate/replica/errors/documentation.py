"""Where the IC documents its error messages: the help that its replica appends to them."""

from __future__ import annotations

_DOCS = "https://internetcomputer.org/docs/current/references/execution-errors#"


def documented(suggestion: str, section: str) -> str:
    """The help that the replica appends for a mistake of the canister's author."""
    return f"{suggestion} See documentation: {_DOCS}{section}"
