//! The endpoints for a canister's cycles and memory.

use crate::Canister;
use candid::Nat;
use ic_cdk::api::{canister_cycle_balance, canister_liquid_cycle_balance, stable_size};
use types::Cycles;

const PAGE: u64 = 64 << 10;

/// Exports what a canister says about itself.
#[macro_export]
macro_rules! system_endpoints {
    ($canister:ident) => {
        mod system_endpoints {
            use super::$canister;
            use shell::Canister;
            use types::*;

            #[::ic_cdk::query]
            fn cycles() -> Cycles {
                shell::cycles::<$canister>()
            }

            #[::ic_cdk::query]
            fn cycles_by_operation() -> Vec<OperationCost> {
                $canister::costs()
            }
        }
    };
}

/// Balances and memory.
pub fn cycles<C: Canister>() -> Cycles {
    let liquid = canister_liquid_cycle_balance();
    let reserved = C::with(|canister| canister.reserved());
    Cycles {
        balance: Nat::from(canister_cycle_balance()),
        liquid: Nat::from(liquid),
        reserved: Nat::from(reserved),
        low_threshold: Nat::from(C::LOW_THRESHOLD),
        is_low: liquid.saturating_sub(reserved) < C::LOW_THRESHOLD,
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
