"""Interface Specification, "The system": one subnet of one node that executes canisters.

`Replica` is the only thing that the outside (endpoints, ingress filter, management canister, gateway) talks
to. All methods belong to the event loop's thread; canister code runs in worker threads behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from icmigrate.protocol.principal import Principal

from icmigrate.replica.changes import Changes
from icmigrate.replica.clock import Clock
from icmigrate.replica.cycles import Fees
from icmigrate.replica.limits import Limits
from icmigrate.replica.native import Deferred, NativeCall, NativeCanister
from icmigrate.replica.state import (
    Canister,
    ChangeOrigin,
    Ingress,
    IngressStatus,
    Reject,
    Response,
    Settings,
    Snapshot,
    SubnetState,
)


class Replica:
    """One subnet. Open it with `await Replica.open(...)`, close it with `await close()`."""

    state: SubnetState
    """What is true after the last commit; look, do not touch."""
    fees: Fees
    limits: Limits
    subnet_id: Principal
    root_key: bytes

    @classmethod
    async def open(
        cls,
        folder: Path | None,
        *,
        subnet_id: Principal,
        root_key: bytes,
        natives: Sequence[NativeCanister] = (),
        data_certificate: Callable[[Principal], bytes] | None = None,
        fees: Fees | None = None,
        limits: Limits | None = None,
        clock: Clock | None = None,
        heartbeats: bool = True,
    ) -> Replica:
        """Opens the state in `folder` (made if absent; None: nothing outlives `close`) and starts to work.

        `data_certificate(canister_id)` gives the certificate that queries see. Raises `StateInUse` when
        another process has the folder open.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Finishes the messages being executed and closes the state. What waits is done after the next open."""
        raise NotImplementedError

    def time_ns(self) -> int:
        """The subnet's time: never goes back, also not over a restart."""
        raise NotImplementedError

    def add_native(self, canister: NativeCanister) -> None:
        """Adds a native canister after opening (the management canister needs the replica to be made)."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------ calls from outside

    async def submit(self, ingress: Ingress) -> IngressStatus:
        """Accepts an authenticated, filtered update call; it is durable when this returns.

        A request id that is known already is not executed again: its present status is returned.
        """
        raise NotImplementedError

    def ingress_status(self, request_id: bytes) -> IngressStatus | None:
        raise NotImplementedError

    async def wait(self, request_id: bytes, timeout: float) -> IngressStatus | None:
        """The status as soon as it is terminal, or whatever it is after `timeout` seconds."""
        raise NotImplementedError

    async def inspect_message(self, ingress: Ingress) -> Reject | None:
        """Runs canister_inspect_message, if the canister has one; None when it accepts."""
        raise NotImplementedError

    async def query(
        self, caller: Principal, canister_id: Principal, method_name: str, arg: bytes
    ) -> Response:
        """A query call: `canister_query` or `canister_composite_query` of a canister, or a native query."""
        raise NotImplementedError

    async def settle(self) -> None:
        """Returns when no message can be executed now (tests: instead of sleeping)."""
        raise NotImplementedError

    def induction_cost(self, ingress: Ingress) -> int:
        """Cycles that the receiver pays for taking this ingress message in."""
        raise NotImplementedError

    def freezing_limit(self, canister: Canister) -> int:
        """Cycles that `freezing_threshold` seconds cost this canister when idle."""
        raise NotImplementedError

    def idle_cycles_burned_per_day(self, canister: Canister) -> int:
        raise NotImplementedError

    # ---------------------------------------------------- operations of the management canister, on `changes`
    # Each raises Refused with the IC's code and text where the IC refuses. Who may call is the caller's part.

    def create_canister(
        self,
        changes: Changes,
        settings: Settings,
        cycles: int,
        origin: ChangeOrigin,
        specified_id: Principal | None = None,
    ) -> Principal:
        """Makes an empty canister holding `cycles`. A taken `specified_id` is refused."""
        raise NotImplementedError

    def update_settings(
        self, changes: Changes, canister_id: Principal, settings: Settings, origin: ChangeOrigin
    ) -> None:
        """Replaces the settings (all fields), with the history entry when controllers change."""
        raise NotImplementedError

    async def install_code(
        self,
        changes: Changes,
        canister_id: Principal,
        mode: str,
        module: bytes,
        arg: bytes,
        sender: Principal,
        origin: ChangeOrigin,
        *,
        skip_pre_upgrade: bool = False,
        wasm_memory_persistence: str | None = None,
    ) -> None:
        """`mode` is install, reinstall or upgrade; `wasm_memory_persistence` keep, replace or None."""
        raise NotImplementedError

    def uninstall_code(self, changes: Changes, canister_id: Principal, origin: ChangeOrigin) -> None:
        """Removes code and memory; open calls are rejected, callbacks' responses will be dropped."""
        raise NotImplementedError

    def start_canister(self, changes: Changes, canister_id: Principal) -> None:
        raise NotImplementedError

    def stop_canister(self, changes: Changes, canister_id: Principal, call: NativeCall) -> Deferred | None:
        """None when the canister is stopped already or at once; else `call` is answered when it is."""
        raise NotImplementedError

    def delete_canister(self, changes: Changes, canister_id: Principal) -> None:
        """Deletes a stopped canister; its cycles are gone."""
        raise NotImplementedError

    def deposit_cycles(self, changes: Changes, canister_id: Principal, amount: int) -> None:
        raise NotImplementedError

    def put_chunk(self, changes: Changes, canister_id: Principal, chunk: bytes) -> bytes:
        """Stores a chunk of at most 1 MiB; returns its SHA-256."""
        raise NotImplementedError

    def clear_chunks(self, changes: Changes, canister_id: Principal) -> None:
        raise NotImplementedError

    def read_chunk(self, canister_id: Principal, digest: bytes) -> bytes | None:
        raise NotImplementedError

    async def take_snapshot(
        self,
        changes: Changes,
        canister_id: Principal,
        *,
        replace: bytes | None = None,
        uninstall_code: bool = False,
        origin: ChangeOrigin,
    ) -> Snapshot:
        raise NotImplementedError

    async def load_snapshot(
        self,
        changes: Changes,
        canister_id: Principal,
        source_canister: Principal,
        snapshot_id: bytes,
        origin: ChangeOrigin,
    ) -> None:
        raise NotImplementedError

    def delete_snapshot(self, changes: Changes, canister_id: Principal, snapshot_id: bytes) -> None:
        raise NotImplementedError

    def read_snapshot(
        self, canister_id: Principal, snapshot_id: bytes, kind: str, offset: int, size: int
    ) -> bytes:
        """`kind` is wasm_module, wasm_memory or stable_memory."""
        raise NotImplementedError

    def create_snapshot(
        self, changes: Changes, canister_id: Principal, snapshot: Snapshot, module_size: int
    ) -> Snapshot:
        """An empty snapshot of the given sizes, to be filled by `write_snapshot` (metadata upload)."""
        raise NotImplementedError

    def write_snapshot(
        self,
        changes: Changes,
        canister_id: Principal,
        snapshot_id: bytes,
        kind: str,
        offset: int,
        data: bytes,
    ) -> None:
        """`kind` as in read_snapshot, or chunk (then `offset` is ignored)."""
        raise NotImplementedError

    def module_bytes(self, module_hash: bytes) -> bytes | None:
        """The bytes of a module as they were uploaded."""
        raise NotImplementedError
