"""Interface Specification, "Cycles"; the IC's fee schedule: what things cost.

Fees are those of a subnet of 13 nodes; another schedule is another `Fees`. Amounts are cycles.
"""

from __future__ import annotations

from dataclasses import dataclass

from icmigrate.replica.state.canister import Canister
from icmigrate.replica.state.limits import Limits

MAX_CYCLES = (1 << 128) - 1
"""No amount is larger; what would be is this."""
SECONDS_PER_DAY = 86_400
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Fees:
    """The schedule. All charges of the replica come from here."""

    canister_creation: int = 500_000_000_000
    ingress_message: int = 1_200_000
    ingress_byte: int = 2_000
    xnet_call: int = 260_000
    xnet_byte: int = 1_000
    update_message: int = 5_000_000
    billion_instructions: int = 1_000_000_000
    gib_storage_second: int = 127_000
    compute_percent_second: int = 10_000_000
    http_request: int = 49_140_000
    http_request_byte: int = 5_200
    http_response_byte: int = 10_400
    default_provisional_balance: int = 100_000_000_000_000
    nodes: int = 13

    def ingress(self, method_name: str, arg: bytes) -> int:
        """Taking in an ingress message."""
        return self.ingress_message + self.ingress_byte * (len(arg) + len(method_name.encode()))

    def execution(self, instructions: int) -> int:
        """Executing one replicated message."""
        return self.update_message + self.billion_instructions * instructions // 1_000_000_000

    def request_transmission(self, size: int) -> int:
        """Sending a request of `size` bytes (argument and method name)."""
        return self.xnet_call + self.xnet_byte * size

    def response_transmission(self, size: int) -> int:
        """Sending a response of `size` bytes."""
        return self.xnet_byte * size

    def response_prepayment(self, limits: Limits) -> int:
        """What a call sets aside: the largest response sent back and the longest callback executed."""
        return self.response_transmission(limits.response_payload) + self.execution(limits.update_instructions)

    def http_outcall(self, request_size: int, maximum_response: int) -> int:
        """An outcall that is paid by what it may use; sizes in bytes."""
        per_bytes = self.http_request_byte * request_size + self.http_response_byte * maximum_response
        return self.http_request + per_bytes

    def http_outcall_v2(
        self,
        request_bytes: int,
        http_roundtrip_time_ms: int,
        raw_response_bytes: int,
        transformed_response_bytes: int,
        transform_instructions: int,
    ) -> int:
        """An outcall that is paid by what it used."""
        nodes = self.nodes
        fixed = 1_000_000 + 140_000 * nodes + 800 * nodes * nodes
        used = 50 * (request_bytes + raw_response_bytes) + 300 * http_roundtrip_time_ms
        agreed = transform_instructions // nodes + (10 * nodes + 600) * transformed_response_bytes
        return (fixed + used + agreed) * nodes

    def idle_per_day(self, canister: Canister) -> int:
        """Cycles that the canister burns in a day when nobody calls it."""
        storage = canister.allocated_memory * self.gib_storage_second * SECONDS_PER_DAY // _GIB
        return storage + self.compute_per_day(canister)

    def compute_per_day(self, canister: Canister) -> int:
        """Cycles that the compute allocation costs in a day."""
        return canister.settings.compute_allocation * self.compute_percent_second * SECONDS_PER_DAY

    def freezing_limit(self, canister: Canister) -> int:
        """The balance below which the canister is frozen."""
        return self.idle_per_day(canister) * canister.settings.freezing_threshold // SECONDS_PER_DAY
