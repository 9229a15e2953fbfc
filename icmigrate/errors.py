"""The one error tree, split by who must act.

::

    IcmigrateError                     exit code
    ├── Usage                          2   the command line, a file or an identity is wrong: correct it
    ├── PreflightRefused               3   the plan is not feasible: nothing was changed or spent
    ├── VerificationDifference         4   source and target differ: nothing was cut over
    ├── NetworkError                   5   network or replica
    │   ├── TransportError                 HTTP did not carry the request or its answer
    │   │   ├── Unreachable                no connection: nothing was sent
    │   │   ├── AnswerLost                 sent, but no whole answer came back
    │   │   └── HttpStatusError            answered with a status that is not a success
    │   ├── MalformedData                  bytes that are not what the specification says they are
    │   │   ├── CborError
    │   │   ├── CandidError
    │   │   └── EnvelopeError              a request whose form, signature or sender is not valid
    │   ├── CertificateError               an answer that is not certified by the network's root key
    │   ├── ReplicaError                   the replica or the canister said no
    │   │   ├── CallRejected               uncertified: refused before it was executed
    │   │   ├── CanisterReject             certified: the call was executed and rejected
    │   │   └── QueryRejected              a query was rejected
    │   ├── CallUnknown                    no certified outcome of a call can be had
    │   └── DatabaseUnavailable            the durable engine has nowhere to keep its steps
    ├── NotAuthorized                  6   this identity may not do that
    ├── OutOfCycles                    7   a balance is too small
    ├── Interrupted                    8   stopped in between: the same command continues
    └── HeldByAnother                  9   another run works on this capsule

Anything else that comes out is a bug and exits with 1. Errors for malformed data are `ValueError`s too, so
that code which knows nothing of this tree can catch them.
"""

from __future__ import annotations


class IcmigrateError(Exception):
    """Base of every error that is not a bug.

    `exit_code` is what the command line exits with, `hint` says what to do next, `retryable` is true where
    the same request can succeed when it is simply repeated later.
    """

    exit_code: int = 1
    hint: str = ""
    retryable: bool = False

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint


class Usage(IcmigrateError):
    """The command, its options, a file or an identity is wrong."""

    exit_code = 2
    hint = "Correct the command and run it again."


class PreflightRefused(IcmigrateError):
    """The plan is not feasible. Nothing was changed or spent."""

    exit_code = 3
    hint = "Remove the cause and run the same command again."


class VerificationDifference(IcmigrateError):
    """Source and target differ. Nothing was cut over."""

    exit_code = 4
    hint = "The source is still the home of the data; look at the listed differences before going on."


class NetworkError(IcmigrateError):
    """The network or the replica did not do what the protocol promises."""

    exit_code = 5
    hint = "Check the network with `icmigrate doctor`, then run the same command again."


class TransportError(NetworkError):
    """HTTP did not carry the request or its answer."""

    retryable = True


class Unreachable(TransportError):
    """No connection could be made. Nothing was sent."""

    hint = "Is the replica running, and is the URL right?"


class AnswerLost(TransportError):
    """The request was sent, but no whole answer came back: what it did is not known from here."""


class HttpStatusError(TransportError):
    """The server answered with a status that is not a success.

    `status` is the HTTP status, `body` the beginning of what came with it.
    """

    def __init__(self, status: int, body: str, *, hint: str | None = None) -> None:
        super().__init__(f"HTTP status {status}: {body}" if body else f"HTTP status {status}", hint=hint)
        self.status = status
        self.body = body
        self.retryable = status in (429, 502, 503, 504)


class MalformedData(NetworkError, ValueError):
    """Bytes that are not what the specification says they are."""


class CborError(MalformedData):
    """Not the CBOR of the Interface Specification."""


class CandidError(MalformedData):
    """Not Candid, or a value or message that is not of the expected type."""


class EnvelopeError(MalformedData):
    """A request whose form, signature, delegation or sender is not valid."""


class CertificateError(NetworkError):
    """An answer that is not certified by the network's root key, or not recent, or not for this canister."""

    hint = "The answer is not trusted. Check the URL and the root key of the network."


class ReplicaError(NetworkError):
    """The replica or the canister rejected a request.

    `code` is the reject code (1 to 6), `error_code` the implementation's text code such as IC0512, if any.
    Where that says that rights or cycles are missing, exit code and hint are those of `NotAuthorized` and
    `OutOfCycles`.
    """

    def __init__(self, code: int, message: str, error_code: str | None = None) -> None:
        label = f"{REJECT_CODES.get(code, 'reject code')} ({code})"
        super().__init__(f"{label}{f', {error_code}' if error_code else ''}: {message}")
        self.code = code
        self.message = message
        self.error_code = error_code
        self.retryable = code == SYS_TRANSIENT
        if error_code in NOT_AUTHORIZED_CODES:
            self.exit_code, self.hint = NotAuthorized.exit_code, NotAuthorized.hint
        elif error_code in OUT_OF_CYCLES_CODES:
            self.exit_code, self.hint = OutOfCycles.exit_code, OutOfCycles.hint


class CallRejected(ReplicaError):
    """An update call was refused before it was executed. Not certified."""

    def __init__(self, code: int, message: str, error_code: str | None = None) -> None:
        super().__init__(code, message, error_code)
        if error_code in NOT_ACCEPTED_CODES:
            self.exit_code, self.hint = NotAuthorized.exit_code, NotAuthorized.hint


class CanisterReject(ReplicaError):
    """An update call was executed and rejected. Certified."""


class QueryRejected(ReplicaError):
    """A query was rejected."""


class CallUnknown(NetworkError):
    """The outcome of an update call is not known: it may or may not have taken effect, or may yet do so
    until it
    expires, a few minutes after it was made. `request_id` is its id (32 bytes).
    """

    hint = "Ask the canister what it has before doing anything again; running the same command does that."

    def __init__(self, request_id: bytes, reason: str) -> None:
        super().__init__(f"the outcome of call 0x{request_id.hex()} is not known: {reason}")
        self.request_id = request_id


class DatabaseUnavailable(NetworkError):
    """The durable engine's database cannot be opened. Nothing was done with it."""

    hint = "Check the server, or for SQLite the folder, its rights and its disk; then run the same command again."


class NotAuthorized(IcmigrateError):
    """This identity may not do that."""

    exit_code = 6
    hint = "Choose another identity with --identity, or have this one authorized."


class OutOfCycles(IcmigrateError):
    """A cycles balance is too small."""

    exit_code = 7
    hint = "Top up the canister that is named, then run the same command again."


class Interrupted(IcmigrateError):
    """Stopped in between. Nothing is lost."""

    exit_code = 8
    hint = "Run the same command again: it continues."
    retryable = True


class HeldByAnother(IcmigrateError):
    """Another run works on this capsule."""

    exit_code = 9
    hint = "Wait for the other run to end, or stop it."
    retryable = True


# Interface Specification, "Reject codes".
SYS_FATAL, SYS_TRANSIENT, DESTINATION_INVALID, CANISTER_REJECT, CANISTER_ERROR, SYS_UNKNOWN = range(1, 7)
REJECT_CODES = {
    SYS_FATAL: "system error",
    SYS_TRANSIENT: "transient system error",
    DESTINATION_INVALID: "invalid destination",
    CANISTER_REJECT: "rejected by the canister",
    CANISTER_ERROR: "canister error",
    SYS_UNKNOWN: "response unknown",
}

# Error codes of the replica, as far as they decide what the user has to do: the caller is no controller;
# `inspect_message` refused (a canister's own reject has the same code, but only once the call is executed);
# and a balance or a limit on cycles is too small.
NOT_AUTHORIZED_CODES = frozenset({"IC0512", "IC0516"})
NOT_ACCEPTED_CODES = frozenset({"IC0406"})
OUT_OF_CYCLES_CODES = frozenset({"IC0207", "IC0403", "IC0501", *(f"IC05{code}" for code in range(30, 36))})
