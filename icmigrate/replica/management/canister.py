"""Interface Specification, "The IC management canister": who may call what, and how.

`METHODS` is the table: where a method may be called from, who may call it, its Candid types and the function
that does it. The functions are in `methods.py` and `snapshot_methods.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, Flag, auto

from icmigrate.protocol import candid
from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import MANAGEMENT_CANISTER, Principal
from icmigrate.replica.errors import system_rejects
from icmigrate.replica.errors.rejected import Rejected
from icmigrate.replica.execution.charging import spend
from icmigrate.replica.management import candid_types as types
from icmigrate.replica.management import methods as run
from icmigrate.replica.management import rejects
from icmigrate.replica.management import snapshot_methods as snapshots
from icmigrate.replica.management.context import Context, Record
from icmigrate.replica.management.operations import CanisterOperations
from icmigrate.replica.management.snapshots import Snapshots
from icmigrate.replica.state.calls import IngressOrigin, SystemOrigin
from icmigrate.replica.state.canister import Canister, CycleUse
from icmigrate.replica.state.responses import Reject, RejectCode, Reply, Response
from icmigrate.replica.state.settings import LogVisibility, Visibility
from icmigrate.replica.storage.changes import Changes
from icmigrate.replica.subnet.native_canister import Deferred, NativeCall
from icmigrate.replica.subnet.subnet import Subnet


class From(Flag):
    """Where a method may be called from."""

    INGRESS = auto()
    CANISTER = auto()
    QUERY = auto()


BOTH = From.INGRESS | From.CANISTER
ANYWHERE = From.INGRESS | From.CANISTER | From.QUERY


class May(Enum):
    """Who may call a method that works on a canister."""

    ANYONE = auto()
    CONTROLLERS = auto()
    CONTROLLERS_OR_SELF = auto()
    STATUS_VIEWERS = auto()
    SNAPSHOT_VIEWERS = auto()
    LOG_VIEWERS = auto()


@dataclass(frozen=True)
class Method:
    """One row of the table. `target` names the argument's field with the canister that the call works on."""

    name: str
    contexts: From
    may: May
    argument: types.Type | None
    result: types.Type | None
    run: Callable[[Context, Record], Awaitable[object]]
    target: str | None = "canister_id"

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


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("create_canister", From.CANISTER, May.ANYONE, types.CREATE_CANISTER, types.CREATED,
               run.create_canister, target=None),
        Method("provisional_create_canister_with_cycles", BOTH, May.ANYONE, types.PROVISIONAL_CREATE,
               types.CREATED, run.provisional_create_canister_with_cycles, target=None),
        Method("provisional_top_up_canister", BOTH, May.ANYONE, types.PROVISIONAL_TOP_UP, None,
               run.provisional_top_up_canister),
        Method("update_settings", BOTH, May.CONTROLLERS, types.UPDATE_SETTINGS, None, run.update_settings),
        Method("upload_chunk", BOTH, May.CONTROLLERS_OR_SELF, types.UPLOAD_CHUNK, types.HASH,
               run.upload_chunk),
        Method("clear_chunk_store", BOTH, May.CONTROLLERS_OR_SELF, types.CANISTER, None,
               run.clear_chunk_store),
        Method("stored_chunks", BOTH, May.CONTROLLERS_OR_SELF, types.CANISTER, T.Vec(types.HASH),
               run.stored_chunks),
        Method("install_code", BOTH, May.CONTROLLERS, types.INSTALL_CODE, None, run.install_code),
        Method("install_chunked_code", BOTH, May.CONTROLLERS, types.INSTALL_CHUNKED_CODE, None,
               run.install_chunked_code, target="target_canister"),
        Method("uninstall_code", BOTH, May.CONTROLLERS, types.CANISTER_BY_SENDER, None, run.uninstall_code),
        Method("start_canister", BOTH, May.CONTROLLERS, types.CANISTER, None, run.start_canister),
        Method("stop_canister", BOTH, May.CONTROLLERS, types.CANISTER, None, run.stop_canister),
        Method("delete_canister", BOTH, May.CONTROLLERS, types.CANISTER, None, run.delete_canister),
        Method("canister_status", ANYWHERE, May.STATUS_VIEWERS, types.CANISTER, types.CANISTER_STATUS,
               run.canister_status),
        Method("canister_metrics", ANYWHERE, May.CONTROLLERS, types.CANISTER, types.CANISTER_METRICS,
               run.canister_metrics),
        Method("canister_info", From.CANISTER, May.ANYONE, types.CANISTER_INFO, types.CANISTER_INFO_RESULT,
               run.canister_info),
        Method("canister_metadata", From.CANISTER, May.ANYONE, types.CANISTER_METADATA,
               types.CANISTER_METADATA_RESULT, run.canister_metadata),
        Method("deposit_cycles", From.CANISTER, May.ANYONE, types.CANISTER, None, run.deposit_cycles),
        Method("raw_rand", From.CANISTER, May.ANYONE, None, types.BLOB, run.raw_rand, target=None),
        Method("node_metrics_history", From.CANISTER, May.ANYONE, types.NODE_METRICS_HISTORY,
               types.NODE_METRICS, run.node_metrics_history, target=None),
        Method("subnet_info", From.CANISTER, May.ANYONE, types.SUBNET, types.SUBNET_INFO, run.subnet_info,
               target=None),
        Method("take_canister_snapshot", BOTH, May.CONTROLLERS, types.TAKE_SNAPSHOT, types.SNAPSHOT,
               snapshots.take_canister_snapshot),
        Method("load_canister_snapshot", BOTH, May.CONTROLLERS, types.LOAD_SNAPSHOT, None,
               snapshots.load_canister_snapshot),
        Method("list_canister_snapshots", BOTH, May.SNAPSHOT_VIEWERS, types.CANISTER,
               T.Vec(types.SNAPSHOT), snapshots.list_canister_snapshots),
        Method("delete_canister_snapshot", BOTH, May.CONTROLLERS, types.SNAPSHOT_OF_CANISTER, None,
               snapshots.delete_canister_snapshot),
        Method("read_canister_snapshot_metadata", BOTH, May.SNAPSHOT_VIEWERS, types.SNAPSHOT_OF_CANISTER,
               types.SNAPSHOT_METADATA, snapshots.read_canister_snapshot_metadata),
        Method("read_canister_snapshot_data", BOTH, May.SNAPSHOT_VIEWERS, types.READ_SNAPSHOT_DATA,
               types.SNAPSHOT_DATA, snapshots.read_canister_snapshot_data),
        Method("upload_canister_snapshot_metadata", BOTH, May.CONTROLLERS, types.UPLOAD_SNAPSHOT_METADATA,
               types.UPLOADED_SNAPSHOT, snapshots.upload_canister_snapshot_metadata),
        Method("upload_canister_snapshot_data", BOTH, May.CONTROLLERS, types.UPLOAD_SNAPSHOT_DATA, None,
               snapshots.upload_canister_snapshot_data),
        Method("fetch_canister_logs", From.QUERY, May.LOG_VIEWERS, types.FETCH_CANISTER_LOGS,
               types.CANISTER_LOGS, run.fetch_canister_logs),
        Method("list_canisters", From.QUERY, May.ANYONE, None, types.CANISTER_RANGES, run.list_canisters,
               target=None),
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


def may_call(may: May, canister: Canister, caller: Principal) -> bool:
    """Whether `caller` has the right `may` on this canister."""
    settings = canister.settings
    is_controller = caller in settings.controllers
    match may:
        case May.ANYONE:
            return True
        case May.CONTROLLERS:
            return is_controller
        case May.CONTROLLERS_OR_SELF:
            return is_controller or caller == canister.id
        case May.STATUS_VIEWERS:
            return is_controller or caller == canister.id or _sees(settings.status_visibility, caller)
        case May.SNAPSHOT_VIEWERS:
            return is_controller or _sees(settings.snapshot_visibility, caller)
        case May.LOG_VIEWERS:
            return is_controller or _sees(settings.log_visibility, caller)


def _sees(visibility: Visibility, caller: Principal) -> bool:
    if visibility.kind is LogVisibility.ALLOWED_VIEWERS:
        return caller in visibility.viewers
    return visibility.kind is LogVisibility.PUBLIC


def _authorize(method: Method, canister: Canister, caller: Principal) -> None:
    """Raises Rejected unless `caller` may call `method` on `canister`."""
    if may_call(method.may, canister, caller):
        return
    if method.may is May.LOG_VIEWERS:
        raise Rejected(rejects.not_allowed_to_read(caller, "canister logs"))
    raise Rejected(rejects.invalid_controller(canister.id, canister.settings.controllers, caller))


def _target(method: Method, record: Record) -> Principal | None:
    return None if method.target is None else record[method.target]


class ManagementCanister:
    """`aaaaa-aa`, as the scheduler and the ingress filter see it."""

    id = MANAGEMENT_CANISTER

    def __init__(self, subnet: Subnet) -> None:
        self._subnet = subnet
        self._canisters = CanisterOperations(subnet)
        self._snapshots = Snapshots(self._canisters)

    def target(self, method_name: str, arg: bytes) -> Principal | None:
        """The canister that a call works on; None when there is none or the call will be refused anyway."""
        method = METHODS.get(method_name)
        if method is None:
            return None
        try:
            return _target(method, method.decode(arg))
        except Rejected:
            return None

    # ------------------------------------------------------------------------------------ ingress filter

    def effective_canister_id(self, method_name: str, arg: bytes, *, is_query: bool) -> Principal | None:
        """The principal that the URL has to name; None when any will do. Raises Rejected when none would."""
        method = METHODS.get(method_name)
        context = From.QUERY if is_query else From.INGRESS
        if method is None and (is_query or method_name not in UNAVAILABLE):
            not_found = rejects.management_query_not_found if is_query else rejects.management_method_not_found
            raise Rejected(not_found(method_name))
        if method is None or context not in method.contexts:
            if is_query:
                raise Rejected(rejects.management_query_not_found(method_name))
            raise Rejected(rejects.not_callable_by_ingress(method_name))
        return _target(method, method.decode(arg))

    def filter_ingress(self, sender: Principal, method_name: str, canister: Canister) -> None:
        """Raises Rejected when `sender` may not call this method on the canister that it targets."""
        if not may_call(METHODS[method_name].may, canister, sender):
            raise Rejected(rejects.not_a_controller(canister.id, method_name))

    # ------------------------------------------------------------------------------------------ calls

    async def execute(self, call: NativeCall, changes: Changes) -> Response | Deferred:
        """One replicated call, from a canister or by ingress, inside the transaction `changes`."""
        context: From = From.INGRESS if isinstance(call.origin, IngressOrigin) else From.CANISTER
        if context is From.CANISTER and call.method_name in UNAVAILABLE:
            return UNAVAILABLE[call.method_name](call.method_name)
        method = METHODS.get(call.method_name)
        if method is None or method.contexts is From.QUERY:
            return rejects.management_method_not_found(call.method_name)
        if not context & method.contexts:
            return rejects.not_callable_by_ingress(call.method_name)
        return await self._run(method, call, changes)

    async def query(self, caller: Principal, method_name: str, arg: bytes) -> Response:
        """A query call, from outside or by a composite query."""
        method = METHODS.get(method_name)
        if method is None or From.QUERY not in method.contexts:
            return rejects.management_query_not_found(method_name)
        call = NativeCall(SystemOrigin(), caller, method_name, arg)
        changes = Changes(self._subnet.state, self._subnet.time_ns())
        try:
            response = await self._run(method, call, changes)
        except Rejected as rejected:
            return rejected.reject
        if isinstance(response, Deferred):
            raise TypeError(f"{method_name} deferred the answer to a query")
        return response

    async def _run(self, method: Method, call: NativeCall, changes: Changes) -> Response | Deferred:
        record = method.decode(call.arg)
        target = _target(method, record)
        paid: Canister | None = None
        if target is not None:
            canister = changes.canister(target)
            if canister is None:
                raise Rejected(system_rejects.not_found(target))
            _authorize(method, canister, call.caller)
            if isinstance(call.origin, IngressOrigin):
                paid = self._having_paid(canister, call)
                changes.put(paid)
        try:
            result = await method.run(Context(self._canisters, self._snapshots, changes, call), record)
        except Rejected as rejected:
            raise Rejected(rejected.reject, rejected.charged or paid) from None
        return result if isinstance(result, Deferred) else Reply(method.encode(result))

    def _having_paid(self, canister: Canister, call: NativeCall) -> Canister:
        """The canister that is managed pays for taking the request in, as far as it can."""
        fee = self._subnet.fees.ingress(call.method_name, call.arg)
        return spend(canister, fee, use=CycleUse.INGRESS_INDUCTION)
