"""Interface Specification, "System API": the message being executed, and its answer."""

from __future__ import annotations

from dataclasses import dataclass

from icmigrate.replica.errors.canister_errors import ContractViolation
from icmigrate.replica.errors.documentation import documented
from icmigrate.replica.state.responses import Reject, RejectCode, Reply, Response
from icmigrate.replica.system_api.execution_state import ExecutionState


@dataclass(slots=True)
class MessageFunctions(ExecutionState):
    """Arguments, caller, reject code, replying."""

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
