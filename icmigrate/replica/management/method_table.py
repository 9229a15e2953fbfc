"""Interface Specification, "The IC management canister": every method, as one table.

A row says where a method may be called from, who may call it, its Candid types and the function that does it. The
functions are in the `*_methods.py` beside this file.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Flag, auto

from icmigrate.protocol import candid
from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import Principal
from icmigrate.replica.errors.rejected import Rejected
from icmigrate.replica.management import candid_types as types
from icmigrate.replica.management import code_methods as code
from icmigrate.replica.management import information_methods as information
from icmigrate.replica.management import lifecycle_methods as lifecycle
from icmigrate.replica.management import rejects
from icmigrate.replica.management import snapshot_methods as snapshots
from icmigrate.replica.management.candid_types import Record
from icmigrate.replica.management.management_call import ManagementCall
from icmigrate.replica.management.permissions import May
from icmigrate.replica.state.responses import Reject, RejectCode


class From(Flag):
    """Where a method may be called from."""

    INGRESS = auto()
    CANISTER = auto()
    QUERY = auto()


BOTH = From.INGRESS | From.CANISTER
ANYWHERE = From.INGRESS | From.CANISTER | From.QUERY


@dataclass(frozen=True)
class ManagementMethod:
    """One row of the table. `target` names the argument's field with the canister that the call works on."""

    run: Callable[[ManagementCall, Record], Awaitable[object]]
    callable_from: From
    may: May
    argument: types.Type | None
    result: types.Type | None
    target: str | None = "canister_id"

    @property
    def name(self) -> str:
        """That of the function is the method's."""
        return self.run.__name__

    def decode(self, arg: bytes) -> Record:
        """The decoded argument record, empty for a method without one. Raises Rejected."""
        if self.argument is None:
            return {}
        try:
            (record,) = candid.decode(arg, [self.argument])
        except candid.CandidError as error:
            raise Rejected(rejects.invalid_management_payload(f"Error decoding candid: {error}")) from None
        if not isinstance(record, dict):
            raise TypeError(f"{self.name}: a record was decoded to {type(record).__name__}")
        return record

    def encode(self, result: object) -> bytes:
        return candid.encode([], []) if self.result is None else candid.encode([self.result], [result])


METHODS: dict[str, ManagementMethod] = {
    method.name: method
    for method in (
        ManagementMethod(lifecycle.create_canister, From.CANISTER, May.ANYONE,
                         types.CREATE_CANISTER, types.CREATED, target=None),
        ManagementMethod(lifecycle.provisional_create_canister_with_cycles, BOTH, May.ANYONE,
                         types.PROVISIONAL_CREATE, types.CREATED, target=None),
        ManagementMethod(lifecycle.provisional_top_up_canister, BOTH, May.ANYONE, types.PROVISIONAL_TOP_UP, None),
        ManagementMethod(lifecycle.update_settings, BOTH, May.CONTROLLERS, types.UPDATE_SETTINGS, None),
        ManagementMethod(code.upload_chunk, BOTH, May.CONTROLLERS_OR_SELF, types.UPLOAD_CHUNK, types.HASH),
        ManagementMethod(code.clear_chunk_store, BOTH, May.CONTROLLERS_OR_SELF, types.CANISTER, None),
        ManagementMethod(code.stored_chunks, BOTH, May.CONTROLLERS_OR_SELF, types.CANISTER, T.Vec(types.HASH)),
        ManagementMethod(code.install_code, BOTH, May.CONTROLLERS, types.INSTALL_CODE, None),
        ManagementMethod(code.install_chunked_code, BOTH, May.CONTROLLERS,
                         types.INSTALL_CHUNKED_CODE, None, target="target_canister"),
        ManagementMethod(code.uninstall_code, BOTH, May.CONTROLLERS, types.CANISTER_BY_SENDER, None),
        ManagementMethod(lifecycle.start_canister, BOTH, May.CONTROLLERS, types.CANISTER, None),
        ManagementMethod(lifecycle.stop_canister, BOTH, May.CONTROLLERS, types.CANISTER, None),
        ManagementMethod(lifecycle.delete_canister, BOTH, May.CONTROLLERS, types.CANISTER, None),
        ManagementMethod(information.canister_status, ANYWHERE, May.STATUS_VIEWERS,
                         types.CANISTER, types.CANISTER_STATUS),
        ManagementMethod(information.canister_metrics, ANYWHERE, May.CONTROLLERS,
                         types.CANISTER, types.CANISTER_METRICS),
        ManagementMethod(information.canister_info, From.CANISTER, May.ANYONE,
                         types.CANISTER_INFO, types.CANISTER_INFO_RESULT),
        ManagementMethod(information.canister_metadata, From.CANISTER, May.ANYONE,
                         types.CANISTER_METADATA, types.CANISTER_METADATA_RESULT),
        ManagementMethod(lifecycle.deposit_cycles, From.CANISTER, May.ANYONE, types.CANISTER, None),
        ManagementMethod(information.raw_rand, From.CANISTER, May.ANYONE, None, types.BLOB, target=None),
        ManagementMethod(information.node_metrics_history, From.CANISTER, May.ANYONE,
                         types.NODE_METRICS_HISTORY, types.NODE_METRICS, target=None),
        ManagementMethod(information.subnet_info, From.CANISTER, May.ANYONE,
                         types.SUBNET, types.SUBNET_INFO, target=None),
        ManagementMethod(snapshots.take_canister_snapshot, BOTH, May.CONTROLLERS,
                         types.TAKE_SNAPSHOT, types.SNAPSHOT),
        ManagementMethod(snapshots.load_canister_snapshot, BOTH, May.CONTROLLERS, types.LOAD_SNAPSHOT, None),
        ManagementMethod(snapshots.list_canister_snapshots, BOTH, May.SNAPSHOT_VIEWERS,
                         types.CANISTER, T.Vec(types.SNAPSHOT)),
        ManagementMethod(snapshots.delete_canister_snapshot, BOTH, May.CONTROLLERS, types.SNAPSHOT_OF_CANISTER, None),
        ManagementMethod(snapshots.read_canister_snapshot_metadata, BOTH, May.SNAPSHOT_VIEWERS,
                         types.SNAPSHOT_OF_CANISTER, types.SNAPSHOT_METADATA),
        ManagementMethod(snapshots.read_canister_snapshot_data, BOTH, May.SNAPSHOT_VIEWERS,
                         types.READ_SNAPSHOT_DATA, types.SNAPSHOT_DATA),
        ManagementMethod(snapshots.upload_canister_snapshot_metadata, BOTH, May.CONTROLLERS,
                         types.UPLOAD_SNAPSHOT_METADATA, types.UPLOADED_SNAPSHOT),
        ManagementMethod(snapshots.upload_canister_snapshot_data, BOTH, May.CONTROLLERS,
                         types.UPLOAD_SNAPSHOT_DATA, None),
        ManagementMethod(information.fetch_canister_logs, From.QUERY, May.LOG_VIEWERS,
                         types.FETCH_CANISTER_LOGS, types.CANISTER_LOGS),
        ManagementMethod(information.list_canisters, From.QUERY, May.ANYONE,
                         None, types.CANISTER_RANGES, target=None),
    )
}  # fmt: skip


BITCOIN_CANISTER = Principal.from_str("ghsi2-tqaaa-aaaan-aaaca-cai")


def _not_routed(method_name: str, problem: str) -> Reject:
    text = f"Unable to route management canister request {method_name}: {problem}"
    return Reject(RejectCode.DESTINATION_INVALID, text, "IC0301")


def _no_key(method_name: str) -> Reject:
    return _not_routed(
        method_name, 'ChainKeyError("Requested unknown or disabled threshold key, existing enabled keys: []")'
    )


UNAVAILABLE: dict[str, Callable[[str], Reject]] = {
    "http_request": lambda _: rejects.contract_violation("This API is not enabled on this subnet"),
    "ecdsa_public_key": _no_key,
    "sign_with_ecdsa": _no_key,
    "schnorr_public_key": _no_key,
    "sign_with_schnorr": _no_key,
    "vetkd_public_key": _no_key,
    "vetkd_derive_key": _no_key,
    "bitcoin_get_balance": lambda _: rejects.no_route_to_canister(BITCOIN_CANISTER),
    "bitcoin_get_utxos": lambda _: rejects.no_route_to_canister(BITCOIN_CANISTER),
    "bitcoin_send_transaction": lambda _: rejects.no_route_to_canister(BITCOIN_CANISTER),
    "bitcoin_get_current_fee_percentiles": lambda _: rejects.no_route_to_canister(BITCOIN_CANISTER),
    "bitcoin_get_block_headers": lambda _: rejects.no_route_to_canister(BITCOIN_CANISTER),
}
"""Methods that canisters may call elsewhere, and what they are told on a subnet without that feature."""
