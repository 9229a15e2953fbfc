//! Interface Specification, "Entry points": a canister that does what its caller tells it.
//!
//! Every entry point runs a program: methods, `canister_init` and `canister_post_upgrade` the one in their
//! argument, the others the one that `set_hook` gave them. `machine.rs` says what a program is.

#![cfg(target_arch = "wasm32")]

mod ic0;
mod machine;
mod state;

use state::Hook;

#[export_name = "canister_update run"]
extern "C" fn run() {
    run_argument();
}

#[export_name = "canister_query run_query"]
extern "C" fn run_query() {
    run_argument();
}

#[export_name = "canister_composite_query run_composite_query"]
extern "C" fn run_composite_query() {
    run_argument();
}

#[export_name = "canister_init"]
extern "C" fn init() {
    run_argument();
}

#[export_name = "canister_post_upgrade"]
extern "C" fn post_upgrade() {
    run_argument();
}

#[export_name = "canister_pre_upgrade"]
extern "C" fn pre_upgrade() {
    machine::run(&state::hook(Hook::PreUpgrade).unwrap_or_default());
}

#[export_name = "canister_heartbeat"]
extern "C" fn heartbeat() {
    machine::run(&state::hook(Hook::Heartbeat).unwrap_or_default());
}

#[export_name = "canister_global_timer"]
extern "C" fn global_timer() {
    machine::run(&state::hook(Hook::GlobalTimer).unwrap_or_default());
}

#[export_name = "canister_on_low_wasm_memory"]
extern "C" fn on_low_wasm_memory() {
    machine::run(&state::hook(Hook::OnLowWasmMemory).unwrap_or_default());
}

/// Accepts everything unless told otherwise.
#[export_name = "canister_inspect_message"]
extern "C" fn inspect_message() {
    match state::hook(Hook::InspectMessage) {
        Some(program) => machine::run(&program),
        None => {
            ic0::call("accept_message", &[]);
        }
    }
}

fn run_argument() {
    machine::run(&ic0::blob("msg_arg_data", &[]));
}
