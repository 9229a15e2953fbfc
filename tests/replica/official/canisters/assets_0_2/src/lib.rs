//! The certified asset canister when it knew the first certification only, on ic-cdk 0.5.
use ic_cdk_macros::{init, post_upgrade, pre_upgrade};
use ic_certified_assets::StableState;

#[init]
fn init() {
    ic_certified_assets::init();
}

#[pre_upgrade]
fn pre_upgrade() {
    ic_cdk::storage::stable_save((ic_certified_assets::pre_upgrade(),)).expect("state saved");
}

#[post_upgrade]
fn post_upgrade() {
    let (state,): (StableState,) = ic_cdk::storage::stable_restore().expect("state restored");
    ic_certified_assets::post_upgrade(state);
}
