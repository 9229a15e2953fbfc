//! The hub: the shared canister that holds many capsules, the factory and the registry.
//!
//! Endpoints only: who may do what is in the `capsule` crate, the steps of a migration are in
//! `factory`.

#[path = "../../endpoints/data.rs"]
mod data;
mod factory;
#[path = "../../endpoints/http.rs"]
mod http;
mod management;
mod state;
#[path = "../../endpoints/system.rs"]
mod system;

use candid::Principal;
use capsule::access::Call;
use capsule::data::check;
use capsule::store::unauthorized;
use capsule::types::*;
use ic_cdk::{init, inspect_message, post_upgrade, query, update};
use serde_bytes::ByteBuf;
use state::{call, change, read, with, write};

/// Below this many liquid cycles the hub calls itself low.
const LOW_THRESHOLD: u128 = 2_000_000_000_000;

#[init]
fn init(init: Option<HubInit>) {
    state::open();
    let operators = init.map(|init| init.operators).unwrap_or_default();
    let added = with(|state| operators.into_iter().try_for_each(|one| state.store.operators.add(one)));
    if let Err(error) = added {
        ic_cdk::trap(format!("{error:?}"));
    }
}

#[post_upgrade]
fn post_upgrade() {
    state::open();
}

/// Refuses early what is refused anyway: nobody pays for strangers. Each method checks again.
#[inspect_message]
fn inspect_message() {
    let call = call();
    let method = ic_cdk::api::msg_method_name();
    let operators_only = method.starts_with("wasm_") || method.starts_with("operators_");
    let is_known = || with(|state| state.store.records.index.capsule_reached(&call.person(), "").is_some());
    let accepted = call.operator || (!operators_only && (method == "capsules_create" || is_known()));
    if accepted && !call.is_anonymous() {
        ic_cdk::api::accept_message();
    }
}

fn operator(call: &Call) -> Answer<()> {
    if call.operator {
        Ok(())
    } else {
        Err(unauthorized(call))
    }
}

// ---- capsules --------------------------------------------------------------------------------------

#[update]
async fn capsules_create(subject: Option<PersonRef>) -> Answer<Capsule> {
    let call = call();
    let subject = subject.unwrap_or_else(|| call.person());
    if let Some(existing) = with(|state| state.store.capsule_of(&call, &subject))? {
        return Ok(existing);
    }
    // the secret that signs the capsule's asset tokens: nobody can foresee it
    let secret = management::random().await?;
    write("capsules_create", |store, _| store.capsules_create(&call, subject, secret))
}

#[query]
fn capsules_list(after: Option<String>, limit: u32) -> Answer<Page<CapsuleSummary>> {
    read(|store, call| store.capsules_list(call, after.as_deref(), limit))
}

#[update]
fn capsules_delete(capsule: String) -> Answer<()> {
    change("capsules_delete", |state, call| {
        if state.is_migrating(&capsule)? {
            state.may_migrate(call, &capsule)?;
            return Err(Error::Conflict(format!("capsule {capsule} has a migration: abort it first")));
        }
        state.store.capsules_delete(call, &capsule)
    })
}

// ---- operators -------------------------------------------------------------------------------------

#[query]
fn operators_list() -> Vec<Principal> {
    read(|store, _| store.operators.list())
}

#[update]
fn operators_add(principal: Principal) -> Answer<()> {
    write("operators_add", |store, call| {
        operator(call)?;
        store.operators.add(principal)
    })
}

#[update]
fn operators_remove(principal: Principal) -> Answer<()> {
    write("operators_remove", |store, call| {
        operator(call)?;
        store.operators.remove(&principal);
        Ok(())
    })
}

// ---- export, registry, cycles ----------------------------------------------------------------------

#[query]
fn export_records(capsule: String, after: Option<ByteBuf>, max_bytes: u32) -> Answer<RecordPage> {
    read(|store, call| {
        store.export_records(call, &capsule, after.as_ref().map(|after| after.as_slice()), max_bytes)
    })
}

#[query]
fn registry_home(capsule: String) -> Answer<Home> {
    read(|store, _| Ok(store.slots.get(&capsule)?.home))
}

#[query]
fn cycles() -> Cycles {
    let reserved = with(|state| state.journal.reserved()).unwrap_or(u128::MAX);
    system::cycles(reserved, LOW_THRESHOLD)
}

#[query]
fn cycles_by_operation() -> Vec<OperationCost> {
    with(|state| state.costs())
}

// ---- the personal module ---------------------------------------------------------------------------

#[update]
fn wasm_begin(sha256: ByteBuf, length: u64) -> Answer<UploadStatus> {
    change("wasm_begin", |state, call| {
        operator(call)?;
        state.wasm.begin(&sha256, length)
    })
}

#[update]
fn wasm_put_chunk(index: u32, bytes: ByteBuf) -> Answer<()> {
    change("wasm_put_chunk", |state, call| {
        operator(call)?;
        state.wasm.put_chunk(index, bytes.into_vec())
    })
}

#[update]
fn wasm_finish() -> Answer<WasmInfo> {
    change("wasm_finish", |state, call| {
        operator(call)?;
        state.wasm.finish(call.at)
    })
}

#[query]
fn wasm_info() -> Option<WasmInfo> {
    with(|state| state.wasm.info())
}

// ---- migration -------------------------------------------------------------------------------------

#[query]
fn migration_quote(capsule: String) -> Answer<MigrationQuote> {
    let call = call();
    with(|state| {
        state.may_migrate(&call, &capsule)?;
        state.quote(&capsule)
    })
}

#[update]
fn migration_reserve(capsule: String) -> Answer<Migration> {
    factory::reserve(&capsule)
}

#[update]
async fn migration_create_canister(capsule: String) -> Answer<Migration> {
    factory::create(&capsule).await
}

#[update]
async fn migration_install(capsule: String) -> Answer<Migration> {
    factory::install(&capsule).await
}

#[update]
fn migration_freeze(capsule: String) -> Answer<Migration> {
    factory::freeze(&capsule)
}

#[update]
fn migration_thaw(capsule: String) -> Answer<Migration> {
    factory::thaw(&capsule)
}

#[update]
fn migration_build_manifest(capsule: String) -> Answer<ManifestSummary> {
    factory::build_manifest(&capsule)
}

#[update]
async fn migration_cut_over(capsule: String, root: ByteBuf) -> Answer<Migration> {
    factory::cut_over(&capsule, &root).await
}

#[update]
async fn migration_abort(capsule: String) -> Answer<Migration> {
    factory::abort(&capsule).await
}

#[update]
async fn migration_handoff(capsule: String, recovery: Option<Principal>) -> Answer<Migration> {
    factory::handoff(&capsule, recovery).await
}

#[query]
fn migration_get(capsule: String) -> Answer<Option<Migration>> {
    let call = call();
    with(|state| {
        state.may_migrate(&call, &capsule)?;
        Ok(state.journal.newest(&capsule)?.map(|entry| entry.migration))
    })
}

#[query]
fn migration_list(after: Option<u64>, limit: u32) -> Answer<Page<Migration, u64>> {
    let call = call();
    operator(&call)?;
    with(|state| state.journal.list(after, check::limit(limit)?))
}

candid::export_service!();

/// The interface as the code has it, for the test that it equals hub.did.
pub fn export_candid() -> String {
    __export_service()
}
