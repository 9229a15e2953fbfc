"""HTTP gateway protocol specification: what a canister itself answers, and whether a gateway would believe it."""

from __future__ import annotations

import time
from typing import Any

from icmigrate.contract.client import CapsuleClient
from icmigrate.protocol.principal import Principal
from icmigrate.replica.gateway.response_verification import HttpExchange, VerificationError, verify
from tests.canisters.methods import methods


async def ask(
    canister: CapsuleClient,
    url: str,
    method: str = "GET",
    headers: list[tuple[str, str]] | None = None,
    version: int = 2,
) -> dict[str, Any]:
    """The canister's own answer to a request of any shape, whatever a gateway would make of it."""
    request = {"method": method, "url": url, "headers": headers or [], "body": b"", "certificate_version": version}
    contract = methods("hub")["http_request"]
    reply = await canister.agent.query(
        Principal.from_str(canister.canister_id), "http_request", contract.encode(request)
    )
    answer: dict[str, Any] = contract.decode(reply)
    return answer


def certified(canister: CapsuleClient, url: str, answer: dict[str, Any]) -> bool:
    """Whether the canister certified the answer, in the eyes of a gateway's verifier."""
    exchange = HttpExchange(
        method="GET",
        url=url,
        request_headers=[],
        request_body=b"",
        status_code=answer["status_code"],
        headers=[tuple(field) for field in answer["headers"]],
        body=answer["body"],
    )
    principal = Principal.from_str(canister.canister_id)
    try:
        verify(
            exchange,
            canister_id=principal,
            root_key=canister.agent.root_key,
            now_ns=time.time_ns(),
            minimum_version=2,
        )
    except VerificationError:
        return False
    return True


def skips(answer: dict[str, Any]) -> bool:
    """Whether the canister asks that nothing be verified."""
    return any("no_certification" in value for name, value in answer["headers"] if name == "IC-CertificateExpression")
