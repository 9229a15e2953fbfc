"""Interface Specification, "Cycles" and "Cycle cost calculation" of the System API."""

from __future__ import annotations

from dataclasses import dataclass

from icmigrate.protocol import candid
from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import Principal
from icmigrate.replica.errors.canister_errors import ContractViolation, Trapped
from icmigrate.replica.system_api.execution_state import ExecutionState

CYCLES_MINTING_CANISTER = Principal.from_str("rkp4c-7iaaa-aaaaa-aaaca-cai")
_KEY_ALGORITHMS = {"sign_with_ecdsa": 1, "sign_with_schnorr": 2, "vetkd_derive_key": 1}
"""How many curves or algorithms each signing scheme numbers."""
_HTTP_USAGE = T.Record(
    {
        "request_bytes": T.Nat64,
        "http_roundtrip_time_ms": T.Nat64,
        "raw_response_bytes": T.Nat64,
        "transformed_response_bytes": T.Nat64,
        "transform_instructions": T.Nat64,
    }
)


@dataclass(slots=True)
class CyclesFunctions(ExecutionState):
    """Balances, accepting, burning, and what things cost."""

    @staticmethod
    def _narrow(amount: int) -> int:
        if amount >> 64:
            raise Trapped("cycles amount exceeds 64-bit representation")
        return amount

    def msg_cycles_available(self) -> int:
        return self._narrow(self.cycles_available)

    def msg_cycles_available128(self, dst: int) -> None:
        self.give_cycles("msg_cycles_available128", dst, self.cycles_available)

    def msg_cycles_refunded(self) -> int:
        return self._narrow(self.cycles_refunded)

    def msg_cycles_refunded128(self, dst: int) -> None:
        self.give_cycles("msg_cycles_refunded128", dst, self.cycles_refunded)

    def msg_cycles_accept(self, maximum: int) -> int:
        return self._accept(maximum)

    def msg_cycles_accept128(self, high: int, low: int, dst: int) -> None:
        self.give_cycles("msg_cycles_accept128", dst, self._accept(high << 64 | low))

    def _accept(self, maximum: int) -> int:
        taken = min(maximum, self.cycles_available)
        self.cycles_available -= taken
        self.balance += taken
        return taken

    def cycles_burn128(self, high: int, low: int, dst: int) -> None:
        burned = min(high << 64 | low, self.liquid)
        self.balance -= burned
        self.cycles_burned += burned
        self.give_cycles("cycles_burn128", dst, burned)

    def mint_cycles128(self, high: int, low: int, dst: int) -> None:
        own = self.canister.id
        if own != CYCLES_MINTING_CANISTER:
            raise ContractViolation(
                "ic0.mint_cycles128 cannot be executed on non Cycles Minting Canister: "
                f"{own.to_str()} != {CYCLES_MINTING_CANISTER.to_str()}"
            )
        amount = high << 64 | low
        self.balance += amount
        self.give_cycles("mint_cycles128", dst, amount)

    def canister_cycle_balance(self) -> int:
        return self._narrow(self.balance)

    def canister_cycle_balance128(self, dst: int) -> None:
        self.give_cycles("canister_cycle_balance128", dst, self.balance)

    def canister_liquid_cycle_balance128(self, dst: int) -> None:
        self.give_cycles("canister_liquid_cycle_balance128", dst, self.liquid)

    # ------------------------------------------------------------------------------------ what things cost

    def cost_call(self, name_size: int, payload_size: int, dst: int) -> None:
        cost = self.fees.request_transmission(name_size + payload_size)
        self.give_cycles("cost_call", dst, cost + self.fees.response_prepayment(self.limits))

    def cost_create_canister(self, dst: int) -> None:
        self.give_cycles("cost_create_canister", dst, self.fees.canister_creation)

    def cost_http_request(self, request_size: int, maximum_response: int, dst: int) -> None:
        self.give_cycles("cost_http_request", dst, self.fees.http_outcall(request_size, maximum_response))

    def cost_http_request_v2(self, src: int, size: int, dst: int) -> None:
        data = self.take("ic0.cost_http_request_v2 heap", src, size)
        try:
            (usage,) = candid.decode(data, [_HTTP_USAGE])
        except candid.CandidError as error:
            raise ContractViolation(f"Failed to decode HttpRequestV2CostParams from Candid: {error}") from None
        assert isinstance(usage, dict)
        self.give_cycles("cost_http_request_v2", dst, self.fees.http_outcall_v2(**usage))

    def cost_sign_with_ecdsa(self, src: int, size: int, curve: int, dst: int) -> int:
        return self._signing_cost("sign_with_ecdsa", src, size, curve)

    def cost_sign_with_schnorr(self, src: int, size: int, algorithm: int, dst: int) -> int:
        return self._signing_cost("sign_with_schnorr", src, size, algorithm)

    def cost_vetkd_derive_key(self, src: int, size: int, curve: int, dst: int) -> int:
        return self._signing_cost("vetkd_derive_key", src, size, curve)

    def _signing_cost(self, scheme: str, src: int, size: int, algorithm: int) -> int:
        """1 for an unknown algorithm, else 2: this subnet holds no threshold key."""
        name = self.take(f"ic0.cost_{scheme} heap", src, size)
        try:
            name.decode()
        except UnicodeDecodeError:
            text = name.decode(errors="replace")
            raise ContractViolation(f"Failed to decode key name {text}") from None
        return 1 if algorithm >= _KEY_ALGORITHMS[scheme] else 2
