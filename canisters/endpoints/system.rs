//! What both canisters say about themselves and take from the system.

use candid::Nat;
use capsule::types::Cycles;
use ic_cdk::api::{canister_cycle_balance, canister_liquid_cycle_balance, stable_size};

const PAGE: u64 = 64 << 10;

/// Balances and memory; `reserved` is what the canister has set aside for others.
pub fn cycles(reserved: u128, low_threshold: u128) -> Cycles {
    let liquid = canister_liquid_cycle_balance();
    Cycles {
        balance: Nat::from(canister_cycle_balance()),
        liquid: Nat::from(liquid),
        reserved: Nat::from(reserved),
        low_threshold: Nat::from(low_threshold),
        is_low: liquid.saturating_sub(reserved) < low_threshold,
        stable_bytes: stable_size() * PAGE,
        heap_bytes: heap_pages() * PAGE,
    }
}

#[cfg(target_arch = "wasm32")]
fn heap_pages() -> u64 {
    core::arch::wasm32::memory_size(0) as u64
}

#[cfg(not(target_arch = "wasm32"))]
fn heap_pages() -> u64 {
    0
}
