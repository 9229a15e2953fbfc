"""ICRC-1, ICRC-2 and ICRC-3 of the token standards: balances, allowances and the chain of blocks of one ledger.

Reads and writes within one transaction. Decides nothing: whether a ledger's transaction is valid is judged by the
ledger before it writes. Accounts are keys of bytes, blocks are what the ledger encodes.

    balance || account              decimal text
    allowance || account || spender amount and expiry (nanoseconds; 0: never) as decimal text
    block || index (8 bytes)        the encoded block
    party || account || index       nothing: the block is of this account
    transaction || hash             index of its block (8 bytes) and the canister that it created, if any
    length, tip, supply             number of blocks, hash of the last one, sum of all balances
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from icmigrate.protocol.principal import Principal
from icmigrate.replica.storage.changes import Changes
from icmigrate.replica.system_canisters.system_canister import Failure

TRANSACTION_WINDOW = 24 * 3600 * 10**9
"""For so long (nanoseconds) a transaction with `created_at_time` is known and may be sent."""
PERMITTED_DRIFT = 60 * 10**9
"""So far ahead (nanoseconds) may `created_at_time` lie."""
MAX_MEMO_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a spender may take, until a time (nanoseconds)."""

    amount: int
    expires_at: int | None

    def at(self, now: int) -> Allowance:
        """The same, or nothing when it has expired."""
        return NO_ALLOWANCE if self.expires_at is not None and self.expires_at <= now else self


NO_ALLOWANCE = Allowance(0, None)


def check_created_at_time(created_at_time: int | None, now: int, *, grace: int = 0) -> None:
    """ICRC-1, "Transaction deduplication": refuses what is older than the window and `grace`, or in the future."""
    if created_at_time is None:
        return
    if created_at_time + TRANSACTION_WINDOW + grace < now:
        raise Failure("TooOld")
    if created_at_time > now + PERMITTED_DRIFT:
        raise Failure("CreatedInFuture", ledger_time=now)


MAX_RESULTS = 2000
"""Of one answer of an index canister."""


def newest_first(indices: Sequence[int], start: list[int], max_results: int) -> list[int]:
    """What index canisters answer with, of an account's blocks by increasing index: those before `start` (opt)."""
    before = [index for index in indices if all(index < bound for bound in start)]
    return before[::-1][: min(max_results, MAX_RESULTS)]


class LedgerRecords:
    """The records of the ledger `canister_id`, as one transaction sees them."""

    def __init__(self, changes: Changes, canister_id: Principal) -> None:
        self._changes = changes
        self._namespace = canister_id.to_str()

    # ------------------------------------------------------------------------------------ balances

    def has_account(self, account: bytes) -> bool:
        """Whether a balance was ever written."""
        return self._get(b"balance" + account) is not None

    def balance(self, account: bytes) -> int:
        return self._number(b"balance" + account)

    def accounts(self, prefix: bytes) -> list[bytes]:
        """All accounts that begin like this and have a balance, in order."""
        records = self._changes.native_items(self._namespace, b"balance" + prefix)
        return [key.removeprefix(b"balance") for key, _ in records]

    def total_supply(self) -> int:
        return self._number(b"supply")

    def credit(self, account: bytes, amount: int) -> None:
        self._put_number(b"balance" + account, self.balance(account) + amount)
        self._put_number(b"supply", self.total_supply() + amount)

    def debit(self, account: bytes, amount: int) -> None:
        """The balance has to suffice."""
        self.credit(account, -amount)

    # ------------------------------------------------------------------------------------ allowances

    def allowance(self, account: bytes, spender: bytes) -> Allowance:
        """What was approved and not used, expired or not."""
        return _allowance(self._get(b"allowance" + account + spender))

    def approve(self, account: bytes, spender: bytes, allowance: Allowance) -> None:
        value = b"%d %d" % (allowance.amount, allowance.expires_at or 0) if allowance.amount else None
        self._changes.native_put(self._namespace, b"allowance" + account + spender, value)

    def use_allowance(self, account: bytes, spender: bytes, amount: int) -> None:
        """The allowance has to suffice."""
        held = self.allowance(account, spender)
        self.approve(account, spender, Allowance(held.amount - amount, held.expires_at))

    def allowances(self, prefix: bytes) -> Iterator[tuple[bytes, Allowance]]:
        """All (account || spender, allowance) whose account begins like this, in order."""
        for key, value in self._changes.native_items(self._namespace, b"allowance" + prefix):
            yield key.removeprefix(b"allowance"), _allowance(value)

    # ------------------------------------------------------------------------------------ blocks

    def length(self) -> int:
        return self._number(b"length")

    def tip_hash(self) -> bytes | None:
        """The hash of the last block."""
        return self._get(b"tip")

    def append(self, block: bytes, block_hash: bytes, parties: Iterable[bytes]) -> int:
        """The index of the new block. `parties` are the accounts whose histories it belongs to."""
        index = self.length()
        self._put(b"block" + _index(index), block)
        for account in parties:
            self._put(b"party" + account + _index(index), b"")
        self._put_number(b"length", index + 1)
        self._put(b"tip", block_hash)
        return index

    def block(self, index: int) -> bytes | None:
        return self._get(b"block" + _index(index)) if 0 <= index < self.length() else None

    def blocks(self, start: int, length: int) -> list[bytes]:
        """The blocks of a range, as far as there are."""
        stop = min(start + length, self.length())
        return [block for index in range(start, stop) if (block := self.block(index)) is not None]

    def history(self, account: bytes) -> list[int]:
        """The indices of an account's blocks, in order."""
        records = self._changes.native_items(self._namespace, b"party" + account)
        return [int.from_bytes(key[-8:], "big") for key, _ in records]

    # ------------------------------------------------------------------------------------ deduplication

    def remember(self, transaction_hash: bytes, index: int, created: Principal | None = None) -> None:
        """Notes the block of a transaction, and the canister that it created."""
        self._put(b"transaction" + transaction_hash, _index(index) + (created.bytes if created else b""))

    def remembered(self, transaction_hash: bytes) -> tuple[int, Principal | None] | None:
        """The block of a transaction, and the canister that it created."""
        value = self._get(b"transaction" + transaction_hash)
        if value is None:
            return None
        return int.from_bytes(value[:8], "big"), Principal(value[8:]) if value[8:] else None

    # ------------------------------------------------------------------------------------ records

    def _get(self, key: bytes) -> bytes | None:
        return self._changes.native_get(self._namespace, key)

    def _put(self, key: bytes, value: bytes) -> None:
        self._changes.native_put(self._namespace, key, value)

    def _number(self, key: bytes) -> int:
        return int(self._get(key) or b"0")

    def _put_number(self, key: bytes, value: int) -> None:
        self._put(key, b"%d" % value)


def _index(index: int) -> bytes:
    return index.to_bytes(8, "big")


def _allowance(value: bytes | None) -> Allowance:
    if value is None:
        return NO_ALLOWANCE
    amount, expires_at = map(int, value.split())
    return Allowance(amount, expires_at or None)
