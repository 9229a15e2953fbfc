"""Who may talk to the replica: pages and programs of this machine, and hosts that were allowed by name.

That it listens on loopback addresses only keeps other machines out, not web pages: whoever sees one runs its
scripts. So a request must be addressed to a loopback name (`Host`: a foreign name that resolves to 127.0.0.1 is "DNS
rebinding"), and what may change something must not come from a page of somebody else (`Origin`). Programs send no
Origin, and are not asked for one; HTTP/1.0 knows no Host, and browsers do not speak it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from multidict import CIMultiDict, CIMultiDictProxy

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""What a page of any origin may send: it cannot read the answer, unless a canister lets it."""
ALLOW_ORIGIN = "Access-Control-Allow-Origin"
ALLOW_NETWORK, ASKS_NETWORK = "Access-Control-Allow-Private-Network", "Access-Control-Request-Private-Network"

Headers = CIMultiDictProxy[str] | CIMultiDict[str]


@dataclass(frozen=True)
class Callers:
    """Loopback hosts and those of `allowed`, names in lower case without scheme and port."""

    allowed: frozenset[str] = frozenset()

    def refusal(self, method: str, headers: Headers) -> str | None:
        """Why a request is not answered, in one line; None when it is."""
        for authority in headers.getall("Host", []):
            if authority and not self._may(host_of(f"http://{authority}")):
                return f"This replica does not answer as {_shown(authority)}. {_how_to_allow(f'http://{authority}')}"
        if method not in SAFE_METHODS:
            for origin in headers.getall("Origin", []):
                if not self._may_write(origin, headers):
                    return f"Pages of {_shown(origin)} may not use this replica. {_how_to_allow(origin)}"
        return None

    def permissions(self, method: str, asked: Headers, answered: Headers) -> Mapping[str, str]:
        """Fetch Standard, "CORS protocol": headers that let the page that asks read the answer, if it may.

        What the answer says of origins already stands: a canister's own response.
        """
        origin = asked.get("Origin")
        if origin is None or ALLOW_ORIGIN in answered or not self._may(host_of(origin)):
            return {}
        given = {ALLOW_ORIGIN: origin, "Vary": _with_origin(answered.getall("Vary", []))}
        if method == "OPTIONS" and asked.get(ASKS_NETWORK) == "true":
            given[ALLOW_NETWORK] = "true"
        return given

    def _may_write(self, origin: str, headers: Headers) -> bool:
        # A page without Referrer-Policy hides its origin even from itself; the browser says that it is the same.
        is_hidden = origin == "null" and headers.get("Sec-Fetch-Site") == "same-origin"
        return is_hidden or self._may(host_of(origin))

    def _may(self, host: str | None) -> bool:
        return host is not None and (is_loopback(host) or host in self.allowed)


def host_of(url: str) -> str | None:
    """The host of a URL or an origin in lower case, without brackets and final dot; None when it has none."""
    try:
        host = urlsplit(url).hostname if url.isascii() else None
    except ValueError:
        return None
    return host.removesuffix(".") if host else None


def is_loopback(host: str) -> bool:
    """Whether a host can only be this machine, whatever name servers say."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _with_origin(vary: Sequence[str]) -> str:
    names = [name.strip() for line in vary for name in line.split(",")]
    return ", ".join([*names, *([] if {"*", "origin"} & set(map(str.lower, names)) else ["Origin"])])


def _how_to_allow(url: str) -> str:
    host = host_of(url)
    if host is None:
        return "Only origins that have a host can be allowed."
    return f"To allow it: icmigrate replica start --allow-host {_shown(host)}"


def _shown(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[:100])
