"""What the gateway answers when no canister does, with the statuses and names of the official gateway (ic-gateway)."""

from __future__ import annotations

import html
import json
from enum import Enum

from aiohttp import web

from icmigrate.replica.state.responses import Reject, RejectCode


class Cause(Enum):
    """Why a canister's response is not passed on. The name, in lower case, is the `error_type` of the answer."""

    CLIENT_NO_AUTHORITY = (400, "Missing Authority", "The request names no host.")
    CLIENT_UNKNOWN_DOMAIN = (400, "Unknown Domain", "This gateway does not serve the domain.")
    CLIENT_BODY_TOO_LARGE = (413, "Payload too Large", "The body does not fit a message of the Internet Computer.")
    CANISTER_ID_NOT_RESOLVED = (400, "Canister ID Not Resolved", "The request does not say which canister it is for.")
    CANISTER_ID_INCORRECT = (400, "Incorrect Canister ID", "What stands for the canister id is not one.")
    CANISTER_NOT_FOUND = (404, "Canister Not Found", "The canister does not exist.")
    CANISTER_REJECT = (503, "Request Rejected", "The canister rejected the request.")
    CANISTER_ERROR = (503, "Canister Error", "The canister failed to process the request.")
    CANISTER_FROZEN = (503, "Canister Temporarily Unavailable", "The canister has run out of cycles.")
    BACKEND_RESPONSE_VERIFICATION = (503, "Response Verification Error", "The response is not certified.")
    BACKEND_HTTP_GATEWAY = (503, "Upstream Unavailable", "The gateway cannot make an HTTP response of the answer.")
    BACKEND_OTHER = (503, "Upstream Unavailable", "The replica did not process the request.")
    INTERNAL_SERVER_ERROR = (500, "Internal Gateway Error", "The response cannot be passed on.")

    def __init__(self, status: int, title: str, description: str) -> None:
        self.status = status
        self.title = title
        self.description = description


class GatewayError(Exception):
    """The request ends with an answer of the gateway itself."""

    def __init__(self, cause: Cause, details: str | None = None) -> None:
        super().__init__(details or cause.description)
        self.cause = cause
        self.details = details

    def answer(self, *, for_browser: bool) -> web.Response:
        """A page for people, JSON for programs."""
        cause = self.cause
        if for_browser:
            heading = html.escape(f"Error {cause.status} - {cause.title}")
            text = f"<p>{html.escape(cause.description)}</p><pre>{html.escape(self.details or '')}</pre>"
            page = f"<!doctype html>\n<title>{heading}</title>\n<h1>{heading}</h1>\n{text}\n"
            return web.Response(status=cause.status, text=page, content_type="text/html")
        message = {"error_type": cause.name.lower(), "description": cause.description, "details": self.details}
        body = json.dumps(message, indent=2, ensure_ascii=False).encode(errors="replace")
        return web.Response(status=cause.status, body=body, content_type="application/json")


_OF_CODE = {
    RejectCode.DESTINATION_INVALID: Cause.CANISTER_NOT_FOUND,
    RejectCode.CANISTER_REJECT: Cause.CANISTER_REJECT,
    RejectCode.CANISTER_ERROR: Cause.CANISTER_ERROR,
}


def error_of_reject(reject: Reject) -> GatewayError:
    """What becomes of a call that the replica or the canister rejects."""
    cause = _OF_CODE.get(reject.code, Cause.BACKEND_OTHER)
    if reject.code is RejectCode.SYS_TRANSIENT and "frozen" in reject.message:
        cause = Cause.CANISTER_FROZEN
    return GatewayError(cause, reject.message)
