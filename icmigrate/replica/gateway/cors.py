"""Fetch Standard, "CORS protocol": what the official gateway adds so that pages of other origins may use canisters.

There everybody may read a public response; here who may is said in `http/callers.py`, unless the canister names
others: its own headers stand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

METHODS = ("HEAD", "GET", "POST", "PUT", "DELETE", "PATCH")

_ALWAYS = {
    "Vary": "origin, access-control-request-method, access-control-request-headers",
}
PREFLIGHT = {
    **_ALWAYS,
    "Access-Control-Allow-Methods": ", ".join(METHODS),
    "Access-Control-Allow-Headers": "user-agent, dnt, if-none-match, if-modified-since, cache-control, content-type, "
    "range, cookie, x-requested-with, x-ic-canister-id",
    "Access-Control-Max-Age": "7200",
}
"""Headers of the answer to OPTIONS."""
ACTUAL = {
    **_ALWAYS,
    "Access-Control-Expose-Headers": "accept-ranges, content-length, content-range, x-request-id, x-ic-canister-id",
}
"""Headers of every other answer."""

_OF_PREFLIGHT = frozenset(name.lower() for name in PREFLIGHT if name != "Vary") | {
    "access-control-allow-origin",
    "access-control-allow-credentials",
}


def headers_for(method: str) -> Mapping[str, str]:
    """What is added to an answer where the canister says nothing else."""
    return PREFLIGHT if method == "OPTIONS" else ACTUAL


def answers_preflight(status: int, headers: Sequence[tuple[str, str]], body: bytes) -> bool:
    """Whether a canister's response to OPTIONS is one that browsers take."""
    return 200 <= status <= 299 and not body and any(name.lower() in _OF_PREFLIGHT for name, _ in headers)
