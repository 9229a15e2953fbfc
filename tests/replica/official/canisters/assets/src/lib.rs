//! The certified asset canister as its own crate describes it, with its state kept over upgrades.
use ic_cdk::{init, post_upgrade, pre_upgrade};
use ic_certified_assets::types::AssetCanisterArgs;
use ic_certified_assets::StableState;

ic_certified_assets::export_canister_methods!();

#[init]
fn init(args: Option<AssetCanisterArgs>) {
    ic_certified_assets::init(args);
}

#[pre_upgrade]
fn pre_upgrade() {
    ic_cdk::storage::stable_save((ic_certified_assets::pre_upgrade(),)).expect("state saved");
}

#[post_upgrade]
fn post_upgrade(args: Option<AssetCanisterArgs>) {
    let (state,): (StableState,) = ic_cdk::storage::stable_restore().expect("state restored");
    ic_certified_assets::post_upgrade(state, args);
}
