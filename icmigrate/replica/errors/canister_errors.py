"""Interface Specification, "Error codes": the ways in which canister code fails, with the replica's words.

A canister stops in two ways only: it rejects (`ic0.msg_reject`) or it traps with one of these errors. Every
other exception is a mistake in the replica and must surface.
"""

from __future__ import annotations

from icmigrate.protocol.principal import Principal
from icmigrate.replica.errors.documentation import documented
from icmigrate.replica.state.limits import Limits
from icmigrate.replica.state.responses import Reject, RejectCode

_TOOLCHAIN = (
    "If you are running this canister in a test environment (e.g., dfx), make sure the test environment is "
    "up to date. Otherwise, this is likely an error with the compiler/CDK toolchain being used to build the "
    "canister. Please report the error to IC devs on the forum: https://forum.dfinity.org and include which "
    "language/CDK was used to create the canister."
)


class CanisterError(Exception):
    """Canister code ended without success. `text` is without the canister's name, `help` may be empty."""

    error_code = "IC0502"
    help = ""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def reject(self, canister_id: Principal) -> Reject:
        """The reject that callers see."""
        message = f"Error from Canister {canister_id.to_str()}: {self.text}"
        if self.help:
            message = f"{message}.\n{self.help}"
        return Reject(RejectCode.CANISTER_ERROR, message, self.error_code)

    def log_line(self) -> str | None:
        """What the canister's log keeps of it."""
        return None


class Trapped(CanisterError):
    """A Wasm trap; `reason` in the replica's words, for example "heap out of bounds"."""

    help = documented(
        "Consider gracefully handling failures from this canister or altering the canister to handle exceptions.",
        "trapped",
    )

    def __init__(self, reason: str) -> None:
        super().__init__(f"Canister trapped: {reason}")
        self.reason = reason

    def log_line(self) -> str:
        return f"[TRAP]: {self.reason}"


class CalledTrap(CanisterError):
    """The canister called `ic0.trap`."""

    error_code = "IC0503"
    help = documented(
        "Consider gracefully handling failures from this canister or altering the canister to handle exceptions.",
        "trapped-explicitly",
    )

    def __init__(self, message: str) -> None:
        super().__init__(f"Canister called `ic0.trap` with message: '{message}'")
        self.message = message

    def log_line(self) -> str:
        return f"[TRAP]: {self.message or '(no message)'}"


class ContractViolation(CanisterError):
    """The System API was used in a way that its contract forbids."""

    error_code = "IC0504"
    help = _TOOLCHAIN

    def __init__(self, text: str, help: str | None = None) -> None:
        super().__init__(f"Canister violated contract: {text}")
        if help is not None:
            self.help = help


class InvalidPrincipal(CanisterError):
    error_code = "IC0504"
    help = _TOOLCHAIN

    def __init__(self) -> None:
        super().__init__("Canister provided invalid principal id")


class InsufficientCycles(CanisterError):
    """More cycles were asked for than the canister can spend."""

    error_code = "IC0504"


class EnvironmentVariableMissing(CanisterError):
    error_code = "IC0504"


class FunctionNotFound(CanisterError):
    error_code = "IC0513"
    help = _TOOLCHAIN

    def __init__(self, function: int) -> None:
        super().__init__(f"Canister requested to invoke a non-existent Wasm function {function} from table 0")


class InstructionLimitExceeded(CanisterError):
    error_code = "IC0522"
    help = documented(
        "Try optimizing this method to consume fewer instructions or split the work across multiple messages.",
        "instruction-limit-exceeded",
    )

    def __init__(self, limit: int) -> None:
        super().__init__(f"Canister exceeded the limit of {limit} instructions for single message execution.")


class StableWriteLimitExceeded(CanisterError):
    """A message wrote to too many pages of stable memory."""

    error_code = "IC0524"
    help = documented(
        "Try optimizing the use of stable memory so that individual messages don't need to access as much stable "
        "memory.",
        "memory-access-limit-exceeded",
    )

    def __init__(self, limits: Limits) -> None:
        super().__init__(
            "Canister exceeded memory access limits: Exceeded the limit for the number of modified pages in the "
            f"stable memory in a single execution: limit {limits.dirty_pages_update * 4} KB for regular messages, "
            f"{limits.dirty_pages_install * 4} KB for upgrade messages and {limits.dirty_pages_query * 4} KB for "
            "queries."
        )


class InsufficientCyclesInMemoryGrow(CanisterError):
    error_code = "IC0532"
    help = documented("Try topping up the canister.", "insufficient-cycles-in-memory-grow")

    def __init__(self, size: int, missing: int | None) -> None:
        """`missing` is told to those who may top the canister up."""
        text = f"Canister cannot grow memory by {size} bytes due to insufficient cycles."
        if missing is not None:
            text += f" At least {missing} additional cycles are required."
        super().__init__(text)


class MethodNotFound(CanisterError):
    error_code = "IC0536"
    help = documented("Check that the method being called is exported by the target canister.", "method-not-found")

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"Canister has no {kind} method '{name}'.")


class NoModule(CanisterError):
    error_code = "IC0537"
    help = documented("Please install code to this canister before calling it.", "wasm-module-not-found")

    def __init__(self) -> None:
        super().__init__("Attempted to execute a message, but the canister contains no Wasm module.")


class WasmMemoryLimitExceeded(CanisterError):
    error_code = "IC0539"
    help = documented(
        "Try checking the canister for a possible memory leak or modifying it to use more stable memory "
        "instead of Wasm memory.",
        "wasm-memory-limit-exceeded",
    )

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"Canister exceeded its current Wasm memory limit of {limit} bytes. The peak Wasm memory usage was "
            f"{size} bytes. If the canister reaches 4GiB, then it may stop functioning and may become "
            "unrecoverable. Please reach out to the canister owner to investigate the reason for the increased "
            "memory usage. It might be necessary to move data from the Wasm memory to the stable memory. If such "
            "high Wasm memory usage is expected and safe, then the developer can increase the Wasm memory limit "
            "in the canister settings."
        )


class InvalidModule(CanisterError):
    """The module cannot be installed; `reason` in the replica's words."""

    error_code = "IC0505"
    help = _TOOLCHAIN

    def __init__(self, reason: str, help: str | None = None) -> None:
        super().__init__(f"Canister's Wasm module is not valid: {reason}")
        if help is not None:
            self.help = help


class NotInstrumented(InvalidModule):
    """A valid module that the replica cannot prepare."""

    def __init__(self, reason: str) -> None:
        CanisterError.__init__(self, f"Could not instrument wasm module of canister: {reason}")


class WasmEngineError(CanisterError):
    """The engine refuses to run a prepared module."""

    error_code = "IC0521"

    def __init__(self, reason: str) -> None:
        super().__init__(f"Canister encountered a Wasm engine error: Failed to instantiate module: {reason}")


class CleanupFailed(CanisterError):
    """A callback failed and so did its cleanup."""

    def __init__(self, callback: CanisterError, cleanup: CanisterError) -> None:
        super().__init__(f"{callback.text}\n\ncall_on_cleanup also failed:\n\n{cleanup.text}")
        self.error_code = callback.error_code
        self.callback = callback

    def log_line(self) -> str | None:
        return self.callback.log_line()
