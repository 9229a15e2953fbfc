//! The hub: the shared canister that holds many capsules, the factory and the registry.
//!
//! Endpoints only: who may do what is in the `capsule` crate, the steps of a migration are in
//! `factory`.

mod factory;
mod management;

use access::{unauthorized, Call};
use candid::Principal;
use ic_cdk::{api, init, inspect_message, post_upgrade, query, update};
use migration::migrations::Migrations;
use migration::module_store::ModuleStore;
use serde_bytes::ByteBuf;
use shell::{Canister, Memories, StableMemory, Store};
use storage::header::Role;
use types::*;

/// What the hub has.
pub struct Hub {
    store: Store,
    migrations: Migrations<StableMemory>,
    wasm: ModuleStore<StableMemory>,
}

shell::canister!(Hub {
    const ROLE: Role = Role::Hub;
    const LOW_THRESHOLD: u128 = 2_000_000_000_000;

    fn open(memories: &Memories, store: Store) -> Self {
        Hub { store, migrations: Migrations::init(memories), wasm: ModuleStore::init(memories) }
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// An operator is a controller of the hub, or was added by an operator.
    fn is_operator(&self, principal: &Principal) -> bool {
        api::is_controller(principal) || self.store.operators.contains(principal)
    }

    fn reserved(&self) -> u128 {
        self.migrations.reserved().unwrap_or(u128::MAX)
    }
});

shell::data_endpoints!(Hub);
shell::http_endpoints!(Hub);
shell::system_endpoints!(Hub);

#[init]
fn init(init: Option<HubInit>) {
    Hub::start();
    let operators = init.map(|init| init.operators).unwrap_or_default();
    let added = Hub::with(|hub| operators.into_iter().try_for_each(|one| hub.store.operators.add(one)));
    if let Err(error) = added {
        ic_cdk::trap(format!("{error:?}"));
    }
}

#[post_upgrade]
fn post_upgrade() {
    Hub::start();
}

/// Refuses early what is refused anyway: nobody pays for strangers. Each method checks again.
#[inspect_message]
fn inspect_message() {
    let call = Hub::call();
    let method = api::msg_method_name();
    let operators_only = method.starts_with("wasm_") || method.starts_with("operators_");
    let is_known = || Hub::with(|hub| hub.store.records.index.capsule_reached(&call.person(), "").is_some());
    let accepted = call.operator || (!operators_only && (method == "capsules_create" || is_known()));
    if accepted && !call.is_anonymous() {
        api::accept_message();
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
    let call = Hub::call();
    let subject = subject.unwrap_or_else(|| call.person());
    if let Some(existing) = Hub::with(|hub| hub.store.capsule_of(&call, &subject))? {
        return Ok(existing);
    }
    // the secret that signs the capsule's asset tokens: nobody can foresee it
    let secret = management::random().await?;
    Hub::write("capsules_create", |store, _| store.capsules_create(&call, subject, secret))
}

#[query]
fn capsules_list(after: Option<String>, limit: u32) -> Answer<Page<CapsuleSummary>> {
    Hub::read(|store, call| store.capsules_list(call, after.as_deref(), limit))
}

#[update]
fn capsules_delete(capsule: String) -> Answer<()> {
    Hub::change("capsules_delete", |hub, call| {
        if hub.is_migrating(&capsule)? {
            hub.may_migrate(call, &capsule)?;
            return Err(Error::Conflict(format!("capsule {capsule} has a migration: abort it first")));
        }
        hub.store.capsules_delete(call, &capsule)
    })
}

// ---- operators -------------------------------------------------------------------------------------

#[query]
fn operators_list() -> Vec<Principal> {
    Hub::read(|store, _| store.operators.list())
}

#[update]
fn operators_add(principal: Principal) -> Answer<()> {
    Hub::write("operators_add", |store, call| {
        operator(call)?;
        store.operators.add(principal)
    })
}

#[update]
fn operators_remove(principal: Principal) -> Answer<()> {
    Hub::write("operators_remove", |store, call| {
        operator(call)?;
        store.operators.remove(&principal);
        Ok(())
    })
}

// ---- export, registry ----------------------------------------------------------------------

#[query]
fn export_records(capsule: String, after: Option<ByteBuf>, max_bytes: u32) -> Answer<RecordPage> {
    Hub::read(|store, call| {
        store.export_records(call, &capsule, after.as_ref().map(|after| after.as_slice()), max_bytes)
    })
}

#[query]
fn registry_home(capsule: String) -> Answer<Home> {
    Hub::read(|store, _| Ok(store.registry.get(&capsule)?.residence.home(store.me)))
}

// ---- the personal module ---------------------------------------------------------------------------

#[update]
fn wasm_begin(sha256: ByteBuf, length: u64) -> Answer<UploadStatus> {
    Hub::change("wasm_begin", |hub, call| {
        operator(call)?;
        hub.wasm.begin(&sha256, length)
    })
}

#[update]
fn wasm_put_chunk(index: u32, bytes: ByteBuf) -> Answer<()> {
    Hub::change("wasm_put_chunk", |hub, call| {
        operator(call)?;
        hub.wasm.put_chunk(index, bytes.into_vec())
    })
}

#[update]
fn wasm_finish() -> Answer<WasmInfo> {
    Hub::change("wasm_finish", |hub, call| {
        operator(call)?;
        hub.wasm.finish(call.at)
    })
}

#[query]
fn wasm_info() -> Option<WasmInfo> {
    Hub::with(|hub| hub.wasm.info())
}

// ---- migration -------------------------------------------------------------------------------------

#[query]
fn migration_quote(capsule: String) -> Answer<MigrationQuote> {
    let call = Hub::call();
    Hub::with(|hub| {
        hub.may_migrate(&call, &capsule)?;
        hub.quote(&capsule)
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
    let call = Hub::call();
    Hub::with(|hub| {
        hub.may_migrate(&call, &capsule)?;
        Ok(hub.migrations.newest(&capsule)?.map(|entry| entry.migration))
    })
}

#[query]
fn migration_list(after: Option<u64>, limit: u32) -> Answer<Page<Migration, u64>> {
    let call = Hub::call();
    operator(&call)?;
    Hub::with(|hub| hub.migrations.list(after, check::limit(limit)?))
}

candid::export_service!();

/// The interface as the code has it, for the test that it equals hub.did.
pub fn export_candid() -> String {
    __export_service()
}
