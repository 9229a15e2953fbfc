"""Interface Specification, "The concrete definition of System API imports": what an execution sees and does.

An `ExecutionState` lives as long as one message execution and collects its effects; what becomes of them is
decided in `execution/`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from icmigrate.protocol.principal import Principal
from icmigrate.replica.engine.wasmtime_c_api import Counter, Memory
from icmigrate.replica.errors.canister_errors import ContractViolation
from icmigrate.replica.errors.documentation import documented
from icmigrate.replica.state.calls import Closure, SenderInfo
from icmigrate.replica.state.canister import Canister
from icmigrate.replica.state.fees import MAX_CYCLES, Fees
from icmigrate.replica.state.limits import Limits
from icmigrate.replica.state.responses import Reject, Response
from icmigrate.replica.system_api.execution_modes import ExecutionMode
from icmigrate.replica.system_api.stable_memory import StableMemory


@dataclass(slots=True)
class OutgoingCall:
    """A call under construction, and after `call_perform` one that will be sent."""

    callee: Principal
    method_name: str
    on_reply: Closure
    on_reject: Closure
    on_cleanup: Closure | None = None
    arg: bytearray = field(default_factory=bytearray)
    cycles: int = 0
    timeout: int | None = None
    """Seconds, for best-effort calls."""
    prepaid: int = 0


@dataclass(slots=True)
class ExecutionState:
    """What one execution sees and what it did so far."""

    mode: ExecutionMode
    canister: Canister
    caller: Principal
    time: int
    fees: Fees
    limits: Limits
    subnet_id: Principal
    root_key: bytes
    balance: int
    """Cycles left of the canister's own, after what was set aside for this execution."""
    instruction_limit: int
    interrupted: threading.Event
    """Set when the replica gives up all executions."""
    arg: bytes = b""
    method_name: str = ""
    sender_info: SenderInfo | None = None
    reject: Reject | None = None
    data_certificate: Callable[[], bytes] | None = None
    """Makes the certificate when it is first asked for; None where there is none."""
    cycles_available: int = 0
    cycles_refunded: int = 0
    deadline: int = 0
    must_respond: bool = False
    """Whether the call context is still to be answered."""
    instructions_before: int = 0
    """Instructions that earlier executions in the same call context used."""
    maximum_response: int = 2 << 20
    freezing_limit: int = 0

    # What the execution works on; set by `attach`.
    heap: Memory = field(init=False)
    stable: StableMemory = field(init=False)
    counter: Counter = field(init=False)

    # Effects.
    reply_data: bytearray = field(default_factory=bytearray)
    response: Response | None = None
    under_construction: OutgoingCall | None = None
    calls: list[OutgoingCall] = field(default_factory=list)
    certified_data: bytes | None = None
    global_timer: int | None = None
    accepted: bool = False
    cycles_burned: int = 0
    cycles_for_requests: int = 0
    """Paid for sending them."""
    cycles_refunded_to_caller: int = 0
    """What the response carries back."""
    printed: list[bytes] = field(default_factory=list)

    def attach(self, heap: Memory, stable: StableMemory, counter: Counter) -> None:
        self.heap, self.stable, self.counter = heap, stable, counter

    # ------------------------------------------------------------------------------------ bytes in and out

    def take(self, what: str, source: int, size: int) -> bytes:
        """Bytes out of the canister's heap."""
        limit = self.heap.size
        if source + size > limit:
            raise ContractViolation(f"{what}: src={source} + length={size} exceeds the slice size={limit}")
        return self.heap.read(source, size)

    def give(self, what: str, part: str, destination: int, offset: int, size: int, data: bytes) -> None:
        """`data[offset:offset + size]` into the canister's heap."""
        limit = self.heap.size
        if destination + size > limit:
            raise ContractViolation(
                f"ic0.{what} heap: src={destination} + length={size} exceeds the slice size={limit}"
            )
        if offset + size > len(data):
            raise ContractViolation(
                f"ic0.{what} {part}: src={offset} + length={size} exceeds the slice size={len(data)}"
            )
        if offset == 0 and size == len(data):
            self.heap.write(destination, data)
        else:
            self.heap.write(destination, data[offset : offset + size])

    def give_cycles(self, what: str, destination: int, amount: int) -> None:
        """A 128-bit amount, little endian."""
        limit = self.heap.size
        if destination + 16 > limit:
            raise ContractViolation(
                f"ic0_{what} failed because dst + size is out of bounds."
                f"Found dst = {destination} and size = 16 while must be <= {limit}"
            )
        self.heap.write(destination, min(amount, MAX_CYCLES).to_bytes(16, "little"))

    def forbidden(self, name: str) -> ContractViolation:
        return ContractViolation(
            f'"ic0_{name}" cannot be executed in {self.mode.label} mode',
            documented(
                "Check the ICP documentation to make sure APIs are being called in the correct message types.",
                "calling-a-system-api-from-the-wrong-mode",
            ),
        )

    @property
    def liquid(self) -> int:
        """Cycles that may be spent without freezing the canister."""
        reserved = self.canister.reserved_cycles
        return max(0, self.balance - max(0, self.freezing_limit - reserved))

    def _told(self, missing: int) -> int | None:
        """How many cycles are missing, if the caller may know."""
        return missing if self.caller in self.canister.settings.controllers else None
