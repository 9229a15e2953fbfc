"""Interface Specification, "Abstract behavior": one transaction on the subnet's state.

A `Changes` is an overlay over `SubnetState`: reads see its own writes, the state is untouched until the commit writes
everything in one database transaction and then into the state. Dropping it undoes it. The one exception are numbers
for canister ids: transactions run side by side, so a number is taken for good when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from icmigrate.protocol.principal import Principal
from icmigrate.replica.errors.rejected import Rejected
from icmigrate.replica.errors.system_rejects import not_found
from icmigrate.replica.state.calls import IngressStatus, Message
from icmigrate.replica.state.canister import Canister
from icmigrate.replica.state.subnet_state import CERTIFIED_DATA, SubnetState

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class Changes:
    """What one message changes. Values of None stand for deletion."""

    base: SubnetState
    time_ns: int
    canisters: dict[Principal, Canister | None] = field(default_factory=dict)
    ingress: dict[bytes, IngressStatus | None] = field(default_factory=dict)
    messages: dict[int, Message | None] = field(default_factory=dict)
    native: dict[tuple[str, bytes], bytes | None] = field(default_factory=dict)
    executed: set[bytes] = field(default_factory=set)
    """Request ids whose ingress message was taken into a call context and is not needed any more."""
    cycles_deleted: int = 0
    """What the canisters that this deletes had consumed and had left."""
    _sent: list[Message] = field(default_factory=list)
    _numbered: int = 0
    """How many of the messages that were sent have their ids."""
    _after_commit: list[Callable[[], None]] = field(default_factory=list)

    @property
    def next_canister(self) -> int:
        """The next number for a canister id, after this transaction."""
        return self.base.next_canister

    @property
    def next_message(self) -> int:
        """The next number for a message, after this transaction."""
        return self.base.next_message + self._numbered

    @property
    def executed_total(self) -> int:
        """How many messages were executed ever, after this transaction."""
        taken = sum(message is None for message in self.messages.values())
        return self.base.executed + len(self.executed) + taken

    @property
    def consumed_by_deleted(self) -> int:
        """Cycles that deleted canisters consumed and had left, after this transaction."""
        return self.base.consumed_by_deleted + self.cycles_deleted

    def canister(self, canister_id: Principal) -> Canister | None:
        """The canister as this transaction sees it."""
        if canister_id in self.canisters:
            return self.canisters[canister_id]
        return self.base.canisters.get(canister_id)

    def existing(self, canister_id: Principal) -> Canister:
        """The canister, or Rejected with IC0301."""
        canister = self.canister(canister_id)
        if canister is None:
            raise Rejected(not_found(canister_id))
        return canister

    def put(self, canister: Canister) -> None:
        """Replaces the canister's record, or adds it."""
        self.canisters[canister.id] = canister

    def delete(self, canister: Canister) -> None:
        """The canister is there no more; its cycles are counted as consumed."""
        self.canisters[canister.id] = None
        self.cycles_deleted += canister.cycles + canister.consumed_cycles

    def set_ingress(self, request_id: bytes, status: IngressStatus | None) -> None:
        """Replaces the status of a request, or forgets it (None)."""
        self.ingress[request_id] = status

    def send(self, message: Message) -> None:
        """Queues a message; its id is given at the commit, in the order of sending."""
        self._sent.append(message)

    def take(self, message_id: int) -> None:
        """The message is dealt with by this transaction."""
        self.messages[message_id] = None

    def fresh_canister_number(self) -> int:
        """A number that no other transaction gets, also when this one is dropped."""
        number = self.base.next_canister
        self.base.next_canister += 1
        return number

    def native_get(self, namespace: str, key: bytes) -> bytes | None:
        """A record of a native canister, as this transaction sees it."""
        if (namespace, key) in self.native:
            return self.native[(namespace, key)]
        return self.base.native.get((namespace, key))

    def native_put(self, namespace: str, key: bytes, value: bytes | None) -> None:
        """Replaces a record of a native canister, or deletes it (None)."""
        self.native[(namespace, key)] = value

    def native_items(self, namespace: str, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """The records whose key begins like this, by increasing key. Looks at every native record."""
        found = {
            key: value
            for records in (self.base.native, self.native)
            for (owner, key), value in records.items()
            if owner == namespace and key.startswith(prefix)
        }
        return sorted((key, value) for key, value in found.items() if value is not None)

    def certify(self, canister_id: Principal, certified_data: bytes) -> None:
        """Sets the certified data of a native canister (at most 32 bytes)."""
        self.native_put(CERTIFIED_DATA, canister_id.bytes, certified_data)

    def after_commit(self, action: Callable[[], None]) -> None:
        """Something to do when this has become true, for example deleting files that are not needed now."""
        self._after_commit.append(action)

    # ------------------------------------------------------------------------------- for the committer

    def number_messages(self) -> None:
        """Gives the sent messages their ids."""
        for message in self._sent:
            self.messages[self.next_message] = replace(message, id=self.next_message)
            self._numbered += 1
        self._sent = []

    def apply(self) -> None:
        """Makes it true in memory, after the database has it."""
        self.base.executed = self.executed_total
        self.base.next_message = self.next_message
        self.base.consumed_by_deleted = self.consumed_by_deleted
        _merge(self.base.canisters, self.canisters)
        _merge(self.base.ingress, self.ingress)
        _merge(self.base.messages, self.messages)
        _merge(self.base.native, self.native)
        for action in self._after_commit:
            action()


def _merge(target: dict[K, V], changed: dict[K, V | None]) -> None:
    for key, value in changed.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = value
