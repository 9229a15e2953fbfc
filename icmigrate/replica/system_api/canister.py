"""Interface Specification, "System API": the canister itself, certified data, time, environment, debugging."""

from __future__ import annotations

from dataclasses import dataclass

from icmigrate.protocol.principal import Principal
from icmigrate.replica.errors.canister_errors import (
    CalledTrap,
    ContractViolation,
    EnvironmentVariableMissing,
    InvalidPrincipal,
)
from icmigrate.replica.errors.documentation import documented
from icmigrate.replica.state.canister import CanisterStatus
from icmigrate.replica.system_api.execution_state import ExecutionState

MAX_TEXT = 32 * 1024
MAX_ENVIRONMENT_NAME = 128
_STATUS_NUMBERS = {CanisterStatus.RUNNING: 1, CanisterStatus.STOPPING: 2, CanisterStatus.STOPPED: 3}


@dataclass(slots=True)
class CanisterFunctions(ExecutionState):
    """What a canister asks and says about itself."""

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

    def subnet_self_node_count(self) -> int:
        return self.fees.nodes

    def is_controller(self, src: int, size: int) -> int:
        try:
            principal = Principal(self.take("ic0.is_controller", src, size))
        except ValueError:
            raise InvalidPrincipal from None
        return int(principal in self.canister.settings.controllers)

    def in_replicated_execution(self) -> int:
        return int(self.mode.replicated)

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
        part = "name" if function == "env_var_value_copy" else "heap"
        try:
            name = self.take(f"ic0.{function} {part}", src, size).decode()
        except UnicodeDecodeError:
            raise ContractViolation(
                f"ic0.{function}: Variable name is not a valid UTF-8 string.",
                "Provide a valid UTF-8 string for the environment variable name. See documentation: ",
            ) from None
        return name, dict(self.canister.settings.environment_variables).get(name)

    def _variable_value(self, function: str, src: int, size: int) -> bytes:
        name, value = self._variable(function, src, size)
        if value is None:
            raise EnvironmentVariableMissing(f"Environment variable {name} not found.")
        return value.encode()

    # ------------------------------------------------------------------------------------ certified data, time

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
        self._check_range("certified_data_set", "src", src, size, self.heap.size)
        self.certified_data = self.heap.read(src, size)

    def data_certificate_present(self) -> int:
        return int(self.data_certificate is not None)

    def data_certificate_size(self) -> int:
        return len(self._certificate("data_certificate_size"))

    def data_certificate_copy(self, dst: int, offset: int, size: int) -> None:
        certificate = self._certificate("data_certificate_copy")
        self._check_range("data_certificate_copy", "offset", offset, size, len(certificate))
        self._check_range("data_certificate_copy", "dst", dst, size, self.heap.size)
        self.heap.write(dst, certificate[offset : offset + size])

    @staticmethod
    def _check_range(function: str, what: str, start: int, size: int, limit: int) -> None:
        if start + size > limit:
            raise ContractViolation(
                f"ic0_{function} failed because {what} + size is out of bounds. "
                f"Found {what} = {start} and size = {size} while {what} + size must be <= {limit}"
            )

    def _certificate(self, name: str) -> bytes:
        if self.data_certificate is None:
            raise self.forbidden(name)
        return self.data_certificate()

    def global_timer_set(self, timestamp: int) -> int:
        before = self.canister.global_timer if self.global_timer is None else self.global_timer
        self.global_timer = timestamp
        return before

    def performance_counter(self, kind: int) -> int:
        used = self.counter.used
        if kind == 0:
            return used
        if kind == 1:
            return self.instructions_before + used
        raise ContractViolation(f"Error getting performance counter type {kind}", "")

    # ------------------------------------------------------------------------------------ debugging aids

    def logging_price(self, size: int) -> int:
        """What adding a line of `size` bytes to the log counts as: it is kept twice and sent once, at 50 a byte."""
        capacity = self.canister.settings.log_memory_limit
        left = max(0, capacity - sum(map(len, self.printed)))
        return 2 * min(size, capacity) + 50 * min(size, left)

    def debug_print(self, src: int, size: int) -> None:
        if src + size > self.heap.size:
            self.printed.append(b"(debug_print message out of memory bounds)")
        else:
            self.printed.append(self.heap.read(src, min(size, self.canister.settings.log_memory_limit)))

    def trap(self, src: int, size: int) -> None:
        size = min(size, MAX_TEXT)
        if src + size > self.heap.size:
            raise CalledTrap("(trap message out of memory bounds)")
        raise CalledTrap(self.heap.read(src, size).decode(errors="replace"))
