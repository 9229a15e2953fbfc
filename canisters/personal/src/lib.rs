//! The personal canister: holds exactly one capsule, which its owner controls.
//!
//! Endpoints only: who may do what, and how the capsule comes in, is in the `capsule` crate.

#[path = "../../endpoints/data.rs"]
mod data;
#[path = "../../endpoints/http.rs"]
mod http;
mod state;
#[path = "../../endpoints/system.rs"]
mod system;

use candid::Nat;
use capsule::types::*;
use ic_cdk::{api, init, inspect_message, post_upgrade, query, update};
use ic_cdk_management_canister::{deposit_cycles, DepositCyclesArgs};
use serde_bytes::ByteBuf;
use state::{call, change, with};

/// Below this many liquid cycles the canister calls itself low.
const LOW_THRESHOLD: u128 = 200_000_000_000;
/// What stays here when cycles go back to the hub: the call that sends them, and its answer.
const CYCLES_KEPT: u128 = 5_000_000_000;

#[init]
fn init(init: PersonalInit) {
    state::open();
    if let Err(error) = with(|state| state.begin(init)) {
        ic_cdk::trap(format!("{error:?}"));
    }
}

#[post_upgrade]
fn post_upgrade() {
    state::open();
}

/// Refuses early what is refused anyway: nobody makes the owner pay. Each method checks again.
#[inspect_message]
fn inspect_message() {
    let call = call();
    let imports = api::msg_method_name().starts_with("import_");
    let is_known = with(|state| state.store.records.index.capsule_reached(&call.person(), "").is_some());
    if !call.is_anonymous() && (call.operator || (is_known && !imports)) {
        api::accept_message();
    }
}

#[query]
fn cycles() -> Cycles {
    system::cycles(0, LOW_THRESHOLD)
}

#[query]
fn cycles_by_operation() -> Vec<OperationCost> {
    with(|state| state.costs())
}

// ---- import ----------------------------------------------------------------------------------------

#[query]
fn import_status() -> Answer<ImportStatus> {
    with(|state| state.import.status(&state.store))
}

#[update]
fn import_declare_blobs(blobs: Vec<Blob>) -> Answer<()> {
    change("import_declare_blobs", |state, call| state.import.declare_blobs(&mut state.store, call, &blobs))
}

#[query]
fn import_missing_chunks(after: Option<ByteBuf>, limit: u32) -> Answer<Page<MissingChunks, ByteBuf>> {
    let call = call();
    with(|state| {
        let after = after.as_ref().map(|after| after.as_slice());
        state.import.missing_chunks(&state.store, &call, after, limit)
    })
}

#[update]
fn import_put_chunk(sha256: ByteBuf, index: u32, bytes: ByteBuf) -> Answer<()> {
    change("import_put_chunk", |state, call| {
        state.import.put_chunk(&mut state.store, call, &sha256, index, &bytes)
    })
}

#[update]
fn import_put_records(generation: u64, records: Vec<RecordBytes>) -> Answer<()> {
    change("import_put_records", |state, call| {
        state.import.put_records(&mut state.store, call, generation, records)
    })
}

#[update]
fn import_seal(generation: u64) -> Answer<ManifestSummary> {
    change("import_seal", |state, call| state.import.seal(&mut state.store, call, generation))
}

#[update]
fn import_reopen() -> Answer<ImportStatus> {
    change("import_reopen", |state, call| state.import.reopen(&mut state.store, call))
}

#[update]
fn import_activate(root: ByteBuf) -> Answer<ImportStatus> {
    change("import_activate", |state, call| state.import.activate(&mut state.store, call, &root))
}

#[update]
fn import_close() -> Answer<ImportStatus> {
    change("import_close", |state, call| state.import.close(&mut state.store, call))
}

/// Sends the cycles back to the hub that gave them; before the capsule is live, by the hub alone.
#[update]
async fn import_return_cycles() -> Answer<Nat> {
    let call = call();
    let hub = with(|state| state.import.may_return_cycles(&call))?;
    // name of the method and its argument
    let cost = api::cost_call(14, 100);
    let amount = api::canister_liquid_cycle_balance().saturating_sub(cost + CYCLES_KEPT);
    if amount > 0 {
        deposit_cycles(&DepositCyclesArgs { canister_id: hub }, amount)
            .await
            .map_err(|error| Error::Upstream(format!("deposit_cycles: {error}")))?;
    }
    Ok(Nat::from(amount))
}

candid::export_service!();

/// The interface as the code has it, for the test that it equals personal.did.
pub fn export_candid() -> String {
    __export_service()
}
