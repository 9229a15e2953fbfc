"""HTTP Gateway Protocol, "Canister ID Resolution" and "HTTP Request Encoding": which canister, and what it is asked.

Where the id may stand is the choice of local gateways: in the host, in `?canisterId=`, and in a Referer, so that
what a page loads without naming the canister comes from the page's own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from multidict import CIMultiDictProxy
from yarl import URL

from icmigrate.protocol import candid
from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import Principal
from icmigrate.replica.gateway.errors import Cause, GatewayError

BLOB = T.Vec(T.Nat8)
HEADERS = T.Vec(T.Tuple(T.Text, T.Text))
_REQUEST = {"method": T.Text, "url": T.Text, "headers": HEADERS, "body": BLOB}
HTTP_REQUEST = T.Record({**_REQUEST, "certificate_version": T.Opt(T.Nat16)})
HTTP_UPDATE_REQUEST = T.Record(_REQUEST)

CERTIFICATE_VERSION = 2
"""The highest version of response verification that is understood."""

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Target:
    """Whom a request is for; `is_raw` asks for what is not verified."""

    canister_id: Principal
    is_raw: bool


@dataclass(frozen=True)
class HttpRequest:
    """One HTTP request; `url` is path and query as they were received."""

    target: Target
    method: str
    url: str
    headers: Headers
    body: bytes

    @property
    def is_range_request(self) -> bool:
        """Whether the client asks for a part, and is to get the part as the canister gives it."""
        return any(name.lower() in ("range", "if-range") for name, _ in self.headers)

    def from_byte(self, first: int) -> HttpRequest:
        """The request for what follows in a body of which `first` bytes are there."""
        return replace(self, headers=[*self.headers, ("Range", f"bytes={first}-")])

    def query_arg(self) -> bytes:
        """The argument of `http_request`."""
        return candid.encode([HTTP_REQUEST], [{**self._fields(), "certificate_version": [CERTIFICATE_VERSION]}])

    def update_arg(self) -> bytes:
        """The argument of `http_request_update`."""
        return candid.encode([HTTP_UPDATE_REQUEST], [self._fields()])

    def _fields(self) -> dict[str, object]:
        headers = [_shown(name, value) for name, value in self.headers if name != "x-request-id"]
        return {"method": self.method, "url": self.url, "headers": headers, "body": self.body}


def _shown(name: str, value: str) -> tuple[str, str]:
    """A header as the canister sees it: that bodies may come as they are is always said."""
    if name == "accept-encoding":
        encodings = [encoding.strip() for encoding in value.split(",")]
        if "identity" not in map(str.lower, encodings):
            encodings.append("identity")
        value = ", ".join(encodings)
    return name, value


def target(headers: CIMultiDictProxy[str], url: URL) -> Target:
    """Whom a request is for, by what names the canister first. Raises `GatewayError` when nothing does."""
    host = headers.get("Host")
    if not host:
        raise GatewayError(Cause.CLIENT_NO_AUTHORITY)
    canister_id, is_raw = _of_host(host)
    canister_id = canister_id or _of_query(url) or _of_referer(headers.get("Referer"))
    if canister_id is None:
        raise GatewayError(Cause.CANISTER_ID_NOT_RESOLVED)
    return Target(canister_id, is_raw)


def _of_host(host: str) -> tuple[Principal | None, bool]:
    """`<id>.localhost` and `<id>.raw.localhost`, where the id may follow a name of any kind and `--`.

    Other hosts that reach the replica were allowed by name (`http/callers.py`); the first label may be an id too.
    """
    name = (host if host.endswith("]") else host.rsplit(":", 1)[0]).lower().rstrip(".")
    labels = name.removesuffix(".localhost").split(".")
    is_raw = len(labels) == 2 and labels[1] == "raw"
    if name.endswith(".localhost") and len(labels) > 1 and not is_raw:
        raise GatewayError(Cause.CLIENT_UNKNOWN_DOMAIN, f"The domain {name} is not served by this gateway")
    return _principal(labels[0].rsplit("--", 1)[-1]), is_raw


def _of_query(url: URL) -> Principal | None:
    text = url.query.get("canisterId")
    if text is None:
        return None
    try:
        return Principal.from_str(text)
    except ValueError as error:
        raise GatewayError(Cause.CANISTER_ID_INCORRECT, str(error)) from None


def _of_referer(referer: str | None) -> Principal | None:
    try:
        page = URL(referer or "")
        return _principal((page.host or "").split(".")[0]) or _principal(page.query.get("canisterId", ""))
    except ValueError:
        return None


def _principal(text: str) -> Principal | None:
    try:
        return Principal.from_str(text)
    except ValueError:
        return None


def path_and_query(request_target: str) -> str:
    """The URL that canisters see, of what stands in the request line."""
    if not request_target.startswith(("/", "*")):  # "absolute form" of RFC 9112, as to a proxy
        request_target = "/" + request_target.partition("://")[2].partition("/")[2]
    return request_target.partition("#")[0]


def text_headers(raw: tuple[tuple[bytes, bytes], ...]) -> Headers:
    """Headers as text, names in lower case. Raises `GatewayError` for values that are not plain ASCII."""
    headers = []
    for name_bytes, value_bytes in raw:
        name, value = name_bytes.decode("latin-1").lower(), value_bytes.decode("latin-1")
        if not (value.isascii() and value.replace("\t", "").isprintable()):
            details = f'Failed to parse the "{name}" header value: "{value}"'
            raise GatewayError(Cause.BACKEND_HTTP_GATEWAY, details)
        headers.append((name, value))
    return headers
