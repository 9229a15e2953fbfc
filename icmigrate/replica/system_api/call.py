"""Interface Specification, "Inter-canister method calls" of the System API."""

from __future__ import annotations

from dataclasses import dataclass

from icmigrate.protocol import candid
from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import MANAGEMENT_CANISTER, Principal
from icmigrate.replica.errors.canister_errors import ContractViolation, InsufficientCycles, InvalidPrincipal
from icmigrate.replica.errors.documentation import documented
from icmigrate.replica.errors.system_rejects import out_of_cycles
from icmigrate.replica.state.calls import Closure
from icmigrate.replica.state.responses import RejectCode
from icmigrate.replica.system_api.execution_state import ExecutionState, OutgoingCall

_WITH_SENDER_VERSION = frozenset(
    {
        "create_canister",
        "provisional_create_canister_with_cycles",
        "update_settings",
        "install_code",
        "install_chunked_code",
        "uninstall_code",
    }
)
_SENDER_VERSION = T.Record({"sender_canister_version": T.Opt(T.Nat64)})


@dataclass(slots=True)
class CallFunctions(ExecutionState):
    """Calls under construction, and sending them."""

    def call_new(
        self,
        callee_src: int,
        callee_size: int,
        name_src: int,
        name_size: int,
        reply_fun: int,
        reply_env: int,
        reject_fun: int,
        reject_env: int,
    ) -> None:
        self._discard_call()
        if name_size > self.limits.method_name_length:
            raise ContractViolation(
                f"Size of method_name {name_size} exceeds the allowed limit of {self.limits.method_name_length}.",
                documented("Try using shorter method names.", "canister-made-a-call-with-too-large-method-name"),
            )
        name = self.take("ic0.call_new method_name", name_src, name_size).decode(errors="replace")
        try:
            callee = Principal(self.take("ic0.call_new callee_src", callee_src, callee_size))
        except ValueError:
            raise InvalidPrincipal from None
        self.under_construction = OutgoingCall(
            callee, name, Closure(reply_fun, reply_env), Closure(reject_fun, reject_env)
        )

    def _discard_call(self) -> None:
        if self.under_construction is not None:
            self.balance += self.under_construction.cycles
            self.under_construction = None

    def _call(self, name: str) -> OutgoingCall:
        if self.under_construction is None:
            raise ContractViolation(f"{name} called when no call is under construction.")
        return self.under_construction

    def call_on_cleanup(self, fun: int, env: int) -> None:
        call = self._call("ic0.call_on_cleanup")
        if call.on_cleanup is not None:
            raise ContractViolation(
                "ic0.call_on_cleanup can be called at most once between `ic0.call_new` and `ic0.call_perform`"
            )
        call.on_cleanup = Closure(fun, env)

    def call_data_append(self, src: int, size: int) -> None:
        call = self._call("ic0.call_data_append")
        total = len(call.method_name.encode()) + len(call.arg) + size
        if total > self.limits.request_payload:
            raise ContractViolation(
                f"Request to {call.callee.to_str()}:{call.method_name} has a payload size of {total}, which "
                f"exceeds the allowed limit of {self.limits.request_payload}.",
                documented(
                    "Check the canister for errors or redesign the target API to allow shorter messages",
                    "canister-made-a-call-with-too-large-payload",
                ),
            )
        call.arg += self.take("ic0.call_data_append", src, size)

    def call_with_best_effort_response(self, timeout: int) -> None:
        call = self._call("ic0.call_with_best_effort_response")
        if call.timeout is not None:
            raise ContractViolation("ic0_call_with_best_effort_response failed because a timeout is already set.")
        call.timeout = min(timeout, self.limits.best_effort_timeout // 1_000_000_000)

    def call_cycles_add(self, amount: int) -> None:
        self._add_cycles("ic0_call_cycles_add", amount)

    def call_cycles_add128(self, high: int, low: int) -> None:
        self._add_cycles("ic0_call_cycles_add128", high << 64 | low)

    def _add_cycles(self, name: str, amount: int) -> None:
        call = self._call(name)
        if amount > self.liquid:
            missing = self._told(max(0, self.freezing_limit - self.canister.reserved_cycles) + amount - self.balance)
            raise InsufficientCycles(out_of_cycles(self.canister.id, missing).message)
        self.balance -= amount
        call.cycles += amount

    def call_perform(self) -> int:
        call = self._call("ic0.call_perform")
        if call.callee == MANAGEMENT_CANISTER and call.method_name in _WITH_SENDER_VERSION:
            self._validate_sender_canister_version(call)
        self.under_construction = None
        payload = len(call.method_name.encode()) + len(call.arg)
        fee = self.fees.request_transmission(payload)
        prepaid = self.fees.response_prepayment(self.limits)
        waiting = sum(1 for other in self.canister.callbacks.values() if other.callee == call.callee)
        waiting += sum(1 for other in self.calls if other.callee == call.callee)
        if waiting >= self.limits.queue_capacity or (self.mode.replicated and fee + prepaid > self.liquid):
            self.balance += call.cycles
            return RejectCode.SYS_TRANSIENT
        if self.mode.replicated:
            self.balance -= fee + prepaid
            self.cycles_for_requests += fee
            call.prepaid = prepaid
        self.calls.append(call)
        return 0

    def _validate_sender_canister_version(self, call: OutgoingCall) -> None:
        """So that a change is recorded with the version that the sender had when it asked for it."""
        try:
            (argument,) = candid.decode(bytes(call.arg), [_SENDER_VERSION])
        except candid.CandidError:
            return  # the management canister will say what is wrong with it
        assert isinstance(argument, dict)
        for version in argument["sender_canister_version"]:
            if version != self.canister.version:
                raise ContractViolation(
                    f"Management canister call payload includes sender canister version {version} that does not "
                    f"match the actual sender canister version {self.canister.version}."
                )
