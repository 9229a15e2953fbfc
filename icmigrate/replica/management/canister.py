"""Interface Specification, "The IC management canister": `aaaaa-aa`, as the ingress filter and the scheduler see it."""

from __future__ import annotations

from icmigrate.protocol.principal import MANAGEMENT_CANISTER, Principal
from icmigrate.replica.errors import system_rejects
from icmigrate.replica.errors.rejected import Rejected
from icmigrate.replica.execution.charging import spend
from icmigrate.replica.management import rejects
from icmigrate.replica.management.candid_types import Record
from icmigrate.replica.management.management_call import ManagementCall
from icmigrate.replica.management.method_table import METHODS, UNAVAILABLE, From, ManagementMethod
from icmigrate.replica.management.operations import CanisterOperations
from icmigrate.replica.management.permissions import authorize, may_call
from icmigrate.replica.management.snapshots import Snapshots
from icmigrate.replica.state.calls import IngressOrigin, SystemOrigin
from icmigrate.replica.state.canister import Canister, CycleUse
from icmigrate.replica.state.responses import Reply, Response
from icmigrate.replica.storage.changes import Changes
from icmigrate.replica.subnet.native_canister import Deferred, NativeCall
from icmigrate.replica.subnet.subnet import Subnet


def _target(method: ManagementMethod, record: Record) -> Principal | None:
    return None if method.target is None else record[method.target]


class ManagementCanister:
    """`aaaaa-aa`, as the scheduler and the ingress filter see it."""

    id = MANAGEMENT_CANISTER

    def __init__(self, subnet: Subnet) -> None:
        self._subnet = subnet
        self._canisters = CanisterOperations(subnet)
        self._snapshots = Snapshots(self._canisters)

    def target(self, method_name: str, arg: bytes) -> Principal | None:
        """The canister that a call works on; None when there is none or the call will be rejected anyway."""
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
        via = From.QUERY if is_query else From.INGRESS
        if method is None and (is_query or method_name not in UNAVAILABLE):
            not_found = rejects.management_query_not_found if is_query else rejects.management_method_not_found
            raise Rejected(not_found(method_name))
        if method is None or via not in method.callable_from:
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
        via: From = From.INGRESS if isinstance(call.origin, IngressOrigin) else From.CANISTER
        if via is From.CANISTER and call.method_name in UNAVAILABLE:
            return UNAVAILABLE[call.method_name](call.method_name)
        method = METHODS.get(call.method_name)
        if method is None or method.callable_from is From.QUERY:
            return rejects.management_method_not_found(call.method_name)
        if not via & method.callable_from:
            return rejects.not_callable_by_ingress(call.method_name)
        return await self._run(method, call, changes)

    async def query(self, caller: Principal, method_name: str, arg: bytes) -> Response:
        """A query call, from outside or by a composite query."""
        method = METHODS.get(method_name)
        if method is None or From.QUERY not in method.callable_from:
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

    async def _run(self, method: ManagementMethod, call: NativeCall, changes: Changes) -> Response | Deferred:
        record = method.decode(call.arg)
        target = _target(method, record)
        paid: Canister | None = None
        if target is not None:
            canister = changes.canister(target)
            if canister is None:
                raise Rejected(system_rejects.not_found(target))
            authorize(method.may, canister, call.caller)
            if isinstance(call.origin, IngressOrigin):
                paid = self._having_paid(canister, call)
                changes.put(paid)
        try:
            result = await method.run(ManagementCall(self._canisters, self._snapshots, changes, call), record)
        except Rejected as rejected:
            raise Rejected(rejected.reject, rejected.charged or paid) from None
        return result if isinstance(result, Deferred) else Reply(method.encode(result))

    def _having_paid(self, canister: Canister, call: NativeCall) -> Canister:
        """The canister that is managed pays for taking the request in, as far as it can."""
        fee = self._subnet.fees.ingress(call.method_name, call.arg)
        return spend(canister, fee, use=CycleUse.INGRESS_INDUCTION)
