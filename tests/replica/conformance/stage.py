"""Interface Specification, "Overview of imports": one way to bring a canister into each execution context."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from icmigrate.errors import ReplicaError
from tests.replica.conformance.program import Program
from tests.worlds.users import Canister, User

CLEANUP_FAILED = "call_on_cleanup also failed"


@dataclass(frozen=True)
class Part:
    """A program to be run in some context. `answers`: it replies, rejects or accepts by itself."""

    program: Program
    answers: bool = False

    def with_end(self, end: Program) -> Program:
        return self.program if self.answers else self.program.then(end)


@dataclass(frozen=True)
class Stage:
    """A canister in whose contexts parts are run, and one for it to call."""

    canister: Canister
    callee: Canister

    @classmethod
    async def build(cls, user: User) -> Stage:
        variables = [{"name": "A", "value": "1"}]
        return cls(await user.install(environment_variables=variables), await user.install())

    # Each returns the replica's words on why the part failed, None when it did not.

    async def init(self, part: Part) -> str | None:
        return await _failure(self.canister.reinstall(part.program))

    async def post_upgrade(self, part: Part) -> str | None:
        return await _failure(self.canister.upgrade(part.program))

    async def pre_upgrade(self, part: Part) -> str | None:
        await self.canister.update(Program().set_hook("pre_upgrade", part.program).msg_reply())
        return await _failure(self.canister.upgrade())

    async def update(self, part: Part) -> str | None:
        return await _failure(self.canister.update(part.with_end(REPLY)))

    async def replicated_query(self, part: Part) -> str | None:
        return await _failure(self.canister.query_as_update(part.with_end(REPLY)))

    async def query(self, part: Part) -> str | None:
        return await _failure(self.canister.query(part.with_end(REPLY)))

    async def composite_query(self, part: Part) -> str | None:
        return await _failure(self.canister.composite(part.with_end(REPLY)))

    async def reply_callback(self, part: Part) -> str | None:
        return await _failure(self.canister.update(self._call(REPLY, on_reply=part.with_end(REPLY))))

    async def reject_callback(self, part: Part) -> str | None:
        return await _failure(self.canister.update(self._call(REJECT, on_reject=part.with_end(REPLY))))

    async def composite_reply_callback(self, part: Part) -> str | None:
        program = self._call(REPLY, method="run_query", on_reply=part.with_end(REPLY))
        return await _failure(self.canister.composite(program))

    async def composite_reject_callback(self, part: Part) -> str | None:
        program = self._call(REJECT, method="run_query", on_reject=part.with_end(REPLY))
        return await _failure(self.canister.composite(program))

    async def cleanup(self, part: Part) -> str | None:
        return await _cleanup_failure(self.canister.update(self._call(REPLY, on_reply=TRAP, on_cleanup=part.program)))

    async def composite_cleanup(self, part: Part) -> str | None:
        program = self._call(REPLY, method="run_query", on_reply=TRAP, on_cleanup=part.program)
        return await _cleanup_failure(self.canister.composite(program))

    async def inspect_message(self, part: Part) -> str | None:
        await self.canister.reinstall(Program().set_hook("inspect_message", part.with_end(ACCEPT)))
        return await _failure(self.canister.update(REPLY))

    async def system_task(self, part: Part) -> str | None:
        """A task tells nobody why it failed, but a failed one leaves no trace."""
        program = Program().set(b"").set_hook("global_timer", part.program.set(b"done"))
        await self.canister.update(program.global_timer_set(1).drop().msg_reply())
        await self.canister.settled()
        return None if await self.canister.remembered() == b"done" else "the task left no trace"

    def _call(
        self,
        responder: Program,
        *,
        method: str = "run",
        on_reply: Program | None = None,
        on_reject: Program | None = None,
        on_cleanup: Program | None = None,
    ) -> Program:
        """Calls the other canister, which answers with `responder`."""
        return Program().call(
            self.callee.id,
            responder.code,
            method=method,
            on_reply=on_reply,
            on_reject=on_reject,
            on_cleanup=on_cleanup,
        )


REPLY = Program().reply(b"replied")
REJECT = Program().reject(b"rejected")
TRAP = Program().trap(b"the callback fails")
ACCEPT = Program().accept_message()

Act = Callable[[Stage, Part], Awaitable[str | None]]

ACTS: dict[str, tuple[Act, ...]] = {
    "I": (Stage.init, Stage.post_upgrade),
    "G": (Stage.pre_upgrade,),
    "U": (Stage.update,),
    "RQ": (Stage.replicated_query,),
    "NRQ": (Stage.query,),
    "CQ": (Stage.composite_query,),
    "Ry": (Stage.reply_callback,),
    "Rt": (Stage.reject_callback,),
    "CRy": (Stage.composite_reply_callback,),
    "CRt": (Stage.composite_reject_callback,),
    "C": (Stage.cleanup,),
    "CC": (Stage.composite_cleanup,),
    "F": (Stage.inspect_message,),
    "T": (Stage.system_task,),
}
"""By the specification's letters. TQ needs HTTPS outcalls, which the replica has not; s is tested by modules
with a start section."""


async def _failure(pending: Awaitable[object]) -> str | None:
    try:
        await pending
    except ReplicaError as error:
        return error.message
    return None


async def _cleanup_failure(pending: Awaitable[object]) -> str | None:
    """Of the cleanup; the callback before it fails always."""
    text = await _failure(pending)
    assert text is not None and "the callback fails" in text
    _, failed, why = text.partition(CLEANUP_FAILED)
    return why if failed else None
