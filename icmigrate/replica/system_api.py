"""Interface Specification, "Canister interface (System API)": what each function of `ic0` does.

A `SystemApi` lives as long as one message execution. It has a method for each function, called with unsigned
numbers after the context was checked (imports.py has the table), and collects the execution's effects;
`execution.py` decides what becomes of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from icmigrate.protocol import candid
from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import MANAGEMENT_CANISTER, Principal
from icmigrate.replica.contexts import Context
from icmigrate.replica.cycles import Fees
from icmigrate.replica.engine import Memory
from icmigrate.replica.faults import (
    CalledTrap,
    ContractViolation,
    EnvironmentVariableMissing,
    InsufficientCycles,
    InvalidPrincipal,
    Trapped,
    documented,
)
from icmigrate.replica.limits import Limits
from icmigrate.replica.stable_memory import TOO_BIG_FOR_32_BIT, StableMemory
from icmigrate.replica.state import (
    Canister,
    CanisterStatus,
    Closure,
    Reject,
    RejectCode,
    Reply,
    Response,
    SenderInfo,
)

MAX_TEXT = 32 * 1024
MAX_ENVIRONMENT_NAME = 128
CYCLES_MINTING_CANISTER = Principal.from_str("rkp4c-7iaaa-aaaaa-aaaca-cai")
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
_STATUS_NUMBERS = {CanisterStatus.RUNNING: 1, CanisterStatus.STOPPING: 2, CanisterStatus.STOPPED: 3}
_KEY_ALGORITHMS = {"ecdsa": 1, "schnorr": 2, "vetkd": 1}
"""How many curves or algorithms each signing scheme numbers."""


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
class SystemApi:
    """What one execution sees and what it did so far."""

    context: Context
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
    fuel: Callable[[], int] = field(init=False)

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

    def attach(self, heap: Memory, stable: StableMemory, fuel: Callable[[], int]) -> None:
        self.heap, self.stable, self.fuel = heap, stable, fuel

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
        self.heap.write(destination, amount.to_bytes(16, "little"))

    def forbidden(self, name: str) -> ContractViolation:
        return ContractViolation(
            f'"ic0_{name}" cannot be executed in {self.context.mode} mode',
            documented(
                "Check the ICP documentation to make sure APIs are being called in the correct message types.",
                "calling-a-system-api-from-the-wrong-mode",
            ),
        )

    # ------------------------------------------------------------------------------------ the message

    def msg_arg_data_size(self) -> int:
        return len(self.arg)

    def msg_arg_data_copy(self, dst: int, offset: int, size: int) -> None:
        self.give("msg_arg_data_copy", "payload", dst, offset, size, self.arg)

    def msg_caller_size(self) -> int:
        return len(self.caller.bytes)

    def msg_caller_copy(self, dst: int, offset: int, size: int) -> None:
        self.give("msg_caller_copy", "id", dst, offset, size, self.caller.bytes)

    def msg_caller_info_data_size(self) -> int:
        return len(self._caller_info_data)

    def msg_caller_info_data_copy(self, dst: int, offset: int, size: int) -> None:
        self.give("msg_caller_info_data_copy", "data", dst, offset, size, self._caller_info_data)

    def msg_caller_info_signer_size(self) -> int:
        return len(self._caller_info_signer)

    def msg_caller_info_signer_copy(self, dst: int, offset: int, size: int) -> None:
        self.give("msg_caller_info_signer_copy", "signer", dst, offset, size, self._caller_info_signer)

    @property
    def _caller_info_data(self) -> bytes:
        return self.sender_info.info if self.sender_info else b""

    @property
    def _caller_info_signer(self) -> bytes:
        return self.sender_info.signer.bytes if self.sender_info else b""

    def msg_reject_code(self) -> int:
        return self.reject.code if self.reject else 0

    def msg_reject_msg_size(self) -> int:
        return len(self._reject_message("msg_reject_msg_size"))

    def msg_reject_msg_copy(self, dst: int, offset: int, size: int) -> None:
        message = self._reject_message("msg_reject_msg_copy")
        self.give("msg_reject_msg_copy", "msg", dst, offset, size, message)

    def _reject_message(self, name: str) -> bytes:
        if self.reject is None:
            raise self.forbidden(name)
        return self.reject.message.encode()

    def msg_deadline(self) -> int:
        return self.deadline

    def msg_method_name_size(self) -> int:
        return len(self.method_name.encode())

    def msg_method_name_copy(self, dst: int, offset: int, size: int) -> None:
        self.give("msg_method_name_copy", "payload", dst, offset, size, self.method_name.encode())

    def accept_message(self) -> None:
        if self.accepted:
            raise ContractViolation("ic0.accept_message: the function was already called.")
        self.accepted = True

    # ------------------------------------------------------------------------------------ responding

    def msg_reply_data_append(self, src: int, size: int) -> None:
        if not self.must_respond:
            raise ContractViolation("ic0.msg_reply_data_append: the call is already replied.")
        total = len(self.reply_data) + size
        if total > self.maximum_response:
            raise ContractViolation(
                f"ic0.msg_reply_data_append: application payload size ({total}) cannot be larger than "
                f"{self.maximum_response}.",
                documented(
                    "Consider checking the response size and returning an error if it is too long.",
                    "msg_reply_data_append-payload-too-large",
                ),
            )
        self.reply_data += self.take("msg.reply", src, size)

    def msg_reply(self) -> None:
        if not self.must_respond:
            raise ContractViolation("ic0.msg_reply: the call is already replied")
        self._respond(Reply(bytes(self.reply_data)))

    def msg_reject(self, src: int, size: int) -> None:
        if not self.must_respond:
            raise ContractViolation("ic0.msg_reject: the call is already replied")
        if size > self.maximum_response:
            raise ContractViolation(
                f"ic0.msg_reject: application payload size ({size}) cannot be larger than {self.maximum_response}.",
                documented("Try truncating the error messages that are too long.", "msg_reject-payload-too-large"),
            )
        try:
            message = self.take("ic0.msg_reject", src, size).decode()
        except UnicodeDecodeError:
            raise ContractViolation("ic0.msg_reject: invalid UTF-8 string provided") from None
        self._respond(Reject(RejectCode.CANISTER_REJECT, message, "IC0406"))

    def _respond(self, response: Response) -> None:
        self.response = response
        self.must_respond = False
        self.cycles_refunded_to_caller = self.cycles_available
        self.cycles_available = 0

    # ------------------------------------------------------------------------------------ cycles

    @property
    def liquid(self) -> int:
        """Cycles that may be spent without freezing the canister."""
        reserved = self.canister.reserved_cycles
        return max(0, self.balance - max(0, self.freezing_limit - reserved))

    @staticmethod
    def _narrow(amount: int) -> int:
        if amount >> 64:
            raise Trapped("cycles amount exceeds 64-bit representation")
        return amount

    def msg_cycles_available(self) -> int:
        return self._narrow(self.cycles_available)

    def msg_cycles_available128(self, dst: int) -> None:
        self.give_cycles("msg_cycles_available128", dst, self.cycles_available)

    def msg_cycles_refunded(self) -> int:
        return self._narrow(self.cycles_refunded)

    def msg_cycles_refunded128(self, dst: int) -> None:
        self.give_cycles("msg_cycles_refunded128", dst, self.cycles_refunded)

    def msg_cycles_accept(self, maximum: int) -> int:
        return self._accept(maximum)

    def msg_cycles_accept128(self, high: int, low: int, dst: int) -> None:
        self.give_cycles("msg_cycles_accept128", dst, self._accept(high << 64 | low))

    def _accept(self, maximum: int) -> int:
        taken = min(maximum, self.cycles_available)
        self.cycles_available -= taken
        self.balance += taken
        return taken

    def cycles_burn128(self, high: int, low: int, dst: int) -> None:
        burned = min(high << 64 | low, self.liquid)
        self.balance -= burned
        self.cycles_burned += burned
        self.give_cycles("cycles_burn128", dst, burned)

    def mint_cycles128(self, high: int, low: int, dst: int) -> None:
        own = self.canister.id
        if own != CYCLES_MINTING_CANISTER:
            raise ContractViolation(
                "ic0.mint_cycles128 cannot be executed on non Cycles Minting Canister: "
                f"{own.to_str()} != {CYCLES_MINTING_CANISTER.to_str()}"
            )
        amount = high << 64 | low
        self.balance += amount
        self.give_cycles("mint_cycles128", dst, amount)

    def canister_cycle_balance(self) -> int:
        return self._narrow(self.balance)

    def canister_cycle_balance128(self, dst: int) -> None:
        self.give_cycles("canister_cycle_balance128", dst, self.balance)

    def canister_liquid_cycle_balance128(self, dst: int) -> None:
        self.give_cycles("canister_liquid_cycle_balance128", dst, self.liquid)

    # ------------------------------------------------------------------------------------ the canister

    def canister_self_size(self) -> int:
        return len(self.canister.id.bytes)

    def canister_self_copy(self, dst: int, offset: int, size: int) -> None:
        self.give("canister_self_copy", "id", dst, offset, size, self.canister.id.bytes)

    def canister_status(self) -> int:
        return _STATUS_NUMBERS[self.canister.status]

    def canister_version(self) -> int:
        return self.canister.version

    def subnet_self_size(self) -> int:
        return len(self.subnet_id.bytes)

    def subnet_self_copy(self, dst: int, offset: int, size: int) -> None:
        self.give("subnet_self_copy", "id", dst, offset, size, self.subnet_id.bytes)

    def is_controller(self, src: int, size: int) -> int:
        try:
            principal = Principal(self.take("ic0.is_controller", src, size))
        except ValueError:
            raise InvalidPrincipal from None
        return int(principal in self.canister.settings.controllers)

    def in_replicated_execution(self) -> int:
        return int(self.context.replicated)

    # ------------------------------------------------------------------------------------ calls

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
            raise InsufficientCycles(f"Canister {self.canister.id.to_str()} is out of cycles")
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
        if waiting >= self.limits.queue_capacity or (self.context.replicated and fee + prepaid > self.liquid):
            self.balance += call.cycles
            return RejectCode.SYS_TRANSIENT
        if self.context.replicated:
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

    # ------------------------------------------------------------------------------------ stable memory

    def stable64_grow(self, pages: int) -> int:
        before = self.stable.pages
        if before + pages > self.limits.stable_pages:
            return -1
        self.stable.pages = before + pages
        return before

    def stable_grow(self, pages: int) -> int:
        before = self.stable.pages
        if before > 65_536:
            raise Trapped(TOO_BIG_FOR_32_BIT)
        if before + pages > 65_536:
            return -1
        return self.stable64_grow(pages)

    # ------------------------------------------------------------------------------------ certification, time

    def root_key_size(self) -> int:
        return len(self.root_key)

    def root_key_copy(self, dst: int, offset: int, size: int) -> None:
        self.give("root_key_copy", "bytes", dst, offset, size, self.root_key)

    def certified_data_set(self, src: int, size: int) -> None:
        if size > self.limits.certified_data:
            raise ContractViolation(
                "ic0_certified_data_set failed because the passed data must be no larger than "
                f"{self.limits.certified_data} bytes. Found {size} bytes.",
                documented(
                    "Try certifying just the hash of your data instead of the full contents.",
                    "certified_data_set-payload-too-large",
                ),
            )
        self.certified_data = self.take("ic0_certified_data_set", src, size)

    def data_certificate_present(self) -> int:
        return int(self.data_certificate is not None)

    def data_certificate_size(self) -> int:
        return len(self._certificate("data_certificate_size"))

    def data_certificate_copy(self, dst: int, offset: int, size: int) -> None:
        certificate = self._certificate("data_certificate_copy")
        self.give("data_certificate_copy", "certificate", dst, offset, size, certificate)

    def _certificate(self, name: str) -> bytes:
        if self.data_certificate is None:
            raise self.forbidden(name)
        return self.data_certificate()

    def global_timer_set(self, timestamp: int) -> int:
        before = self.canister.global_timer if self.global_timer is None else self.global_timer
        self.global_timer = timestamp
        return before

    def performance_counter(self, kind: int) -> int:
        used = self.instruction_limit - self.fuel()
        if kind == 0:
            return used
        if kind == 1:
            return self.instructions_before + used
        raise ContractViolation(f"Error getting performance counter type {kind}")

    def cost_call(self, name_size: int, payload_size: int, dst: int) -> None:
        cost = self.fees.request_transmission(name_size + payload_size)
        self.give_cycles("cost_call", dst, cost + self.fees.response_prepayment(self.limits))

    def cost_create_canister(self, dst: int) -> None:
        self.give_cycles("cost_create_canister", dst, self.fees.canister_creation)

    def cost_http_request(self, request_size: int, maximum_response: int, dst: int) -> None:
        self.give_cycles("cost_http_request", dst, self.fees.http_outcall(request_size, maximum_response))

    def cost_sign_with_ecdsa(self, src: int, size: int, curve: int, dst: int) -> int:
        return self._signing_cost("ecdsa", src, size, curve)

    def cost_sign_with_schnorr(self, src: int, size: int, algorithm: int, dst: int) -> int:
        return self._signing_cost("schnorr", src, size, algorithm)

    def cost_vetkd_derive_key(self, src: int, size: int, curve: int, dst: int) -> int:
        return self._signing_cost("vetkd", src, size, curve)

    def _signing_cost(self, scheme: str, src: int, size: int, algorithm: int) -> int:
        """1 for an unknown algorithm, else 2: this subnet holds no threshold key."""
        name = self.take(f"ic0.cost_{scheme} heap", src, size)
        try:
            name.decode()
        except UnicodeDecodeError:
            text = name.decode(errors="replace")
            raise ContractViolation(f"Failed to decode key name {text}") from None
        return 1 if algorithm >= _KEY_ALGORITHMS[scheme] else 2

    # ------------------------------------------------------------------------------------ environment variables

    def env_var_count(self) -> int:
        return len(self.canister.settings.environment_variables)

    def env_var_name_size(self, index: int) -> int:
        return len(self._variable_name(index))

    def env_var_name_copy(self, index: int, dst: int, offset: int, size: int) -> None:
        self.give("env_var_name_copy", "name", dst, offset, size, self._variable_name(index))

    def env_var_name_exists(self, src: int, size: int) -> int:
        return int(self._variable("env_var_name_exists", src, size)[1] is not None)

    def env_var_value_size(self, src: int, size: int) -> int:
        return len(self._variable_value("env_var_value_size", src, size))

    def env_var_value_copy(self, name_src: int, name_size: int, dst: int, offset: int, size: int) -> None:
        value = self._variable_value("env_var_value_copy", name_src, name_size)
        self.give("env_var_value_copy", "value", dst, offset, size, value)

    def _variable_name(self, index: int) -> bytes:
        names = sorted(name for name, _ in self.canister.settings.environment_variables)
        if index >= len(names):
            raise EnvironmentVariableMissing(
                f"Environment variable index {index} is out of bounds. "
                f"The number of environment variables is {len(names)}."
            )
        return names[index].encode()

    def _variable(self, function: str, src: int, size: int) -> tuple[str, str | None]:
        if size > MAX_ENVIRONMENT_NAME:
            raise ContractViolation(f"ic0.{function}: Variable name is too large.", "")
        try:
            name = self.take(f"ic0.{function} heap", src, size).decode()
        except UnicodeDecodeError:
            raise ContractViolation(f"ic0.{function}: Variable name is not a valid UTF-8 string.", "") from None
        return name, dict(self.canister.settings.environment_variables).get(name)

    def _variable_value(self, function: str, src: int, size: int) -> bytes:
        name, value = self._variable(function, src, size)
        if value is None:
            raise EnvironmentVariableMissing(f"Environment variable {name} not found.")
        return value.encode()

    # ------------------------------------------------------------------------------------ debugging aids

    def debug_print(self, src: int, size: int) -> None:
        size = min(size, MAX_TEXT)
        if src + size > self.heap.size:
            self.printed.append(b"(debug_print message out of memory bounds)")
        else:
            self.printed.append(self.heap.read(src, size))

    def trap(self, src: int, size: int) -> None:
        size = min(size, MAX_TEXT)
        if src + size > self.heap.size:
            raise CalledTrap("(trap message out of memory bounds)")
        raise CalledTrap(self.heap.read(src, size).decode(errors="replace"))
