"""Interface Specification, "Abstract behavior": what one execution leads to."""

from __future__ import annotations

from dataclasses import dataclass, field

from icmigrate.replica.errors import system_rejects
from icmigrate.replica.state.calls import (
    CallContext,
    Message,
    Origin,
)
from icmigrate.replica.state.canister import Canister
from icmigrate.replica.state.responses import Response


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """A response to the call that came from `origin`, with the cycles that go back."""

    origin: Origin
    response: Response
    refund: int


@dataclass(slots=True)
class Result:
    """The next record of the canister, what it sends, and the answers to those who wait."""

    canister: Canister
    sent: list[Message] = field(default_factory=list)
    answers: list[CallAnswer] = field(default_factory=list)


def bump(canister: Canister) -> Canister:
    """The canister with the next version number."""
    return canister.with_(version=canister.version + 1)


def close_context(result: Result, context: CallContext, response: Response | None, refund: int) -> Result:
    """Sends the response if there is one now, and keeps the call context as long as it is needed."""
    canister = result.canister
    contexts = dict(canister.contexts)
    outstanding = any(callback.context_id == context.id for callback in canister.callbacks.values())
    if response is not None:
        result.answers.append(CallAnswer(context.origin, response, refund))
    elif not context.responded and not outstanding:
        reject = system_rejects.did_not_reply(canister.id)
        result.answers.append(CallAnswer(context.origin, reject, context.cycles_available))
    if outstanding:
        contexts[context.id] = context
    else:
        contexts.pop(context.id, None)
    result.canister = canister.with_(contexts=contexts)
    return result
