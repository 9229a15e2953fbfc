//! ic-cdk 0.6.
#[path = "../../shared/story_before_0_18.rs"]
mod story;

mod edition {
    use candid::Principal;
    use ic_cdk::timer::set_timer_interval;
    use ic_cdk::api::management_canister::main::{
        create_canister_with_extra_cycles, install_code, CanisterIdRecord, CanisterInstallMode, CreateCanisterArgument, InstallCodeArgument,
    };
    use ic_cdk::api::stable;
    use std::time::Duration;

    pub fn every(seconds: u64, task: fn()) {
        set_timer_interval(Duration::from_secs(seconds), task);
    }

    pub fn stable_grow(pages: u64) -> u64 {
        stable::stable64_grow(pages).expect("grown")
    }

    pub fn stable_write(offset: u64, data: &[u8]) {
        stable::stable64_write(offset, data);
    }

    pub fn stable_read(offset: u64, data: &mut [u8]) {
        stable::stable64_read(offset, data);
    }

    pub fn of(canister_id: Principal) -> CanisterIdRecord {
        CanisterIdRecord { canister_id }
    }

    pub async fn create(cycles: u128) -> Principal {
        let settings = CreateCanisterArgument { settings: None };
        create_canister_with_extra_cycles(settings, cycles).await.expect("created").0.canister_id
    }

    pub async fn install(canister_id: Principal, wasm_module: Vec<u8>, arg: Vec<u8>) {
        let mode = CanisterInstallMode::Install;
        install_code(InstallCodeArgument { mode, canister_id, wasm_module, arg }).await.expect("installed");
    }
}
