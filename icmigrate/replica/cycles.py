"""Interface Specification, "Cycles"; the IC's fee schedule: what things cost.

Fees are those of a subnet of 13 nodes; another schedule is another `Fees`. Amounts are cycles.
"""

from __future__ import annotations

from dataclasses import dataclass

SECONDS_PER_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Fees:
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
    sign_with_ecdsa: int = 26_153_846_153
    sign_with_schnorr: int = 26_153_846_153
    vetkd_derive_key: int = 26_153_846_153
    default_provisional_balance: int = 100_000_000_000_000
