"""Interface Specification, "Effective canister id" and "Request: Call": which authenticated requests are taken in.

What is refused here raises Rejected: the caller gets the reject, but not certified, and nothing was executed. The
exception is a URL that names another canister than the request, which is a BadRequest.
"""

from __future__ import annotations

from collections.abc import Iterable

from icmigrate.protocol.principal import MANAGEMENT_CANISTER, Principal
from icmigrate.replica.errors import system_rejects
from icmigrate.replica.errors.rejected import Rejected
from icmigrate.replica.execution.admission import no_module, not_running, out_of_cycles
from icmigrate.replica.http.requests import BadRequest, EffectiveId
from icmigrate.replica.management.canister import ManagementCanister
from icmigrate.replica.state.calls import Ingress
from icmigrate.replica.state.canister import Canister
from icmigrate.replica.subnet.subnet import Subnet

SUBNET_CALLS = ("create_canister", "provisional_create_canister_with_cycles")
SUBNET_QUERIES = ("list_canisters",)
"""What can be called without naming a canister: by the id of the subnet, or by `aaaaa-aa`."""


class IngressFilter:
    """Decides, before anything is executed, whether a request is taken in."""

    def __init__(self, subnet: Subnet, management: ManagementCanister, natives: Iterable[Principal] = ()) -> None:
        """`natives` are the canisters that the replica answers itself, besides the management canister."""
        self._subnet = subnet
        self._management = management
        self._natives = frozenset(natives)

    def check_target(self, call: Ingress, target: EffectiveId, *, is_query: bool) -> None:
        """Section "Effective canister id": raises BadRequest unless the URL names what the request goes to.

        Raises Rejected for a management call that would be rejected whatever the URL names.
        """
        if call.canister_id != MANAGEMENT_CANISTER:
            if target.is_subnet:
                raise BadRequest(400, "The subnet endpoint is for the management canister only.")
            _require_equal(call.canister_id, target.id)
            return
        names_no_canister = target.is_subnet or target.id == MANAGEMENT_CANISTER
        if names_no_canister and call.method_name not in (SUBNET_QUERIES if is_query else SUBNET_CALLS):
            raise BadRequest(400, f"Method {call.method_name} needs a canister in the URL.")
        expected = self._management.effective_canister_id(call.method_name, call.arg, is_query=is_query)
        if expected is not None:
            _require_equal(expected, target.id)

    async def check_call(self, ingress: Ingress) -> None:
        """The replica's ingress filter. Raises Rejected with the reject that the caller is told, uncertified."""
        if ingress.canister_id == MANAGEMENT_CANISTER:
            self._check_management_call(ingress)
        elif ingress.canister_id not in self._natives:
            await self._check_canister_call(ingress)

    def _check_management_call(self, ingress: Ingress) -> None:
        method_name = ingress.method_name
        target = self._management.effective_canister_id(method_name, ingress.arg, is_query=False)
        if target is None:
            return
        canister = self._subnet.state.canisters.get(target)
        if canister is None:
            raise Rejected(system_rejects.not_found(target))
        self._management.filter_ingress(ingress.sender, method_name, canister)
        # A canister without cycles has to be reachable for topping up and for a lower freezing threshold.
        if method_name not in ("provisional_top_up_canister", "update_settings"):
            self._check_cycles(ingress, canister)

    async def _check_canister_call(self, ingress: Ingress) -> None:
        canister = self._subnet.state.canisters.get(ingress.canister_id)
        if canister is None:
            raise Rejected(system_rejects.not_found(ingress.canister_id))
        self._check_cycles(ingress, canister)
        reject = not_running(canister) or no_module(canister) or await self._subnet.inspect_message(ingress)
        if reject is not None:
            raise Rejected(reject)

    def _check_cycles(self, ingress: Ingress, payer: Canister) -> None:
        fees = self._subnet.fees
        reject = out_of_cycles(fees, payer, fees.ingress(ingress.method_name, ingress.arg), ingress.sender)
        if reject is not None:
            raise Rejected(reject)


def _require_equal(expected: Principal, given: Principal) -> None:
    if expected != given:
        raise BadRequest(
            400,
            f"Specified CanisterId {expected.to_str()} does not match effective canister id in URL {given.to_str()}",
        )
