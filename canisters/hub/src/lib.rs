//! The hub's endpoints: capsules, operators, the personal module, migrations.
//!
//! Endpoints only: what they do is in the crates `capsule` and `migration`, what they ask of the system
//! in `runtime`.

mod runtime;

use access::{unauthorized, Call};
use candid::Principal;
use ic_cdk::{api, init, inspect_message, post_upgrade, query, update};
use migration::economy::{affordable, floor, Activity};
use migration::{factory, Hub};
use runtime::System;
use serde_bytes::ByteBuf;
use shell::admission::{self, Rule, Who, CHUNK, MANAGE, OWN, SMALL};
use shell::{Canister, Memories, StableMemory, Store};
use storage::header::CanisterKind;
use types::*;

/// This canister.
pub struct SharedHub {
    hub: Hub<StableMemory>,
}

shell::canister!(SharedHub {
    const KIND: CanisterKind = CanisterKind::Hub;
    const LOW_THRESHOLD: u128 = floor(Activity::NewCapsule);

    fn open(memories: &Memories, store: Store) -> Self {
        SharedHub { hub: Hub::init(memories, store) }
    }

    fn store(&self) -> &Store {
        &self.hub.store
    }

    fn store_mut(&mut self) -> &mut Store {
        &mut self.hub.store
    }

    /// An operator is a controller of the hub, or was added by an operator.
    fn is_operator(&self, principal: &Principal) -> bool {
        api::is_controller(principal) || self.hub.store.operators.contains(principal)
    }

    fn reserved(&self) -> u128 {
        self.hub.migrations.reserved(api::time()).unwrap_or(u128::MAX)
    }

    fn may_upload(&self) -> Answer<()> {
        affordable(Activity::Upload, api::canister_liquid_cycle_balance(), self.reserved())
    }

    fn tidy(&mut self) {
        self.hub.store.publish_some();
    }
});

shell::data_endpoints!(SharedHub);
shell::http_endpoints!(SharedHub);
shell::system_endpoints!(SharedHub);

#[init]
fn init(init: Option<HubInit>) {
    SharedHub::start();
    let operators = init.map(|init| init.operators).unwrap_or_default();
    let added = SharedHub::with(|shared| {
        operators.into_iter().try_for_each(|one| shared.hub.store.operators.add(one))
    });
    if let Err(error) = added {
        ic_cdk::trap(format!("{error:?}"));
    }
}

#[post_upgrade]
fn post_upgrade() {
    SharedHub::start();
}

const OWNED: Who = Who::InCapsule(OWN);
const MANAGED: Who = Who::InCapsule(MANAGE);

/// Who may call what only a hub has, and the most bytes of its arguments.
#[rustfmt::skip]
pub const ADMITTED: &[Rule] = &[
    ("capsules_create",          SMALL, Who::Those(may_create)),
    ("capsules_list",            SMALL, Who::Anywhere(MANAGE)),
    ("capsules_delete",          SMALL, OWNED),
    ("capsules_suspend",         SMALL, Who::Operators),
    ("policy_get",               SMALL, Who::Operators),
    ("policy_set",               SMALL, Who::Operators),
    ("migration_invite",         SMALL, Who::Operators),
    ("operators_list",           SMALL, Who::Anywhere(MANAGE)),
    ("operators_add",            SMALL, Who::Operators),
    ("operators_remove",         SMALL, Who::Operators),
    ("export_records",           SMALL, MANAGED),
    ("registry_home",            SMALL, MANAGED),
    ("registry_home_certified",  SMALL, Who::Canisters),
    ("wasm_begin",               SMALL, Who::Operators),
    ("wasm_put_chunk",           CHUNK, Who::Operators),
    ("wasm_finish",              SMALL, Who::Operators),
    ("wasm_info",                SMALL, Who::Anywhere(MANAGE)),
    ("migration_quote",          SMALL, OWNED),
    ("migration_reserve",        SMALL, OWNED),
    ("migration_create_canister", SMALL, OWNED),
    ("migration_install",        SMALL, OWNED),
    ("migration_freeze",         SMALL, OWNED),
    ("migration_thaw",           SMALL, OWNED),
    ("migration_build_manifest", SMALL, OWNED),
    ("migration_cut_over",       SMALL, OWNED),
    ("migration_abort",          SMALL, OWNED),
    ("migration_handoff",        SMALL, Who::Those(|call| is_owner_or(Hub::awaits_handoff, call))),
    ("hub_copy_delete",          SMALL, Who::Those(|call| is_owner_or(Hub::keeps_copy, call))),
    ("migration_get",            SMALL, OWNED),
    ("migration_list",           SMALL, Who::Operators),
];

/// An owner by the hub's records, or anybody where the personal canister, which alone knows its owners by
/// then, is to be asked.
fn is_owner_or(is_to_be_asked: fn(&Hub<StableMemory>, &str) -> bool, call: &Call) -> bool {
    let Ok(capsule) = candid::decode_one::<String>(&api::msg_arg_data()) else { return false };
    SharedHub::with(|SharedHub { hub }| {
        hub.store.may_somewhere(call, &capsule, OWN) || is_to_be_asked(hub, &capsule)
    })
}

/// Refuses early what is refused anyway: nobody pays for strangers. Each method checks again.
#[inspect_message]
fn inspect_message() {
    admission::inspect::<SharedHub>(ADMITTED);
}

/// Who may make a capsule, and who has one: the call answers it.
fn may_create(call: &Call) -> bool {
    SharedHub::with(|SharedHub { hub }| {
        let mut existing = hub.store.records.index.capsules_about(&call.person());
        hub.economy.may_create(call).is_ok() || existing.next().is_some()
    })
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
    let call = SharedHub::call();
    let subject = subject.unwrap_or_else(|| call.person());
    if let Some(existing) = SharedHub::with(|SharedHub { hub }| hub.store.capsule_of(&call, &subject))? {
        return Ok(existing);
    }
    SharedHub::with(|canister| {
        canister.hub.economy.may_create(&call)?;
        affordable(Activity::NewCapsule, api::canister_liquid_cycle_balance(), canister.reserved())
    })?;
    // the secret that signs the capsule's asset tokens: nobody can foresee it
    let secret = runtime::random().await?;
    SharedHub::write("capsules_create", |store, _| store.capsules_create(&call, subject, secret))
}

#[query]
fn capsules_list(after: Option<String>, limit: u32) -> Answer<Page<CapsuleSummary>> {
    SharedHub::read(|store, call| store.capsules_list(call, after.as_deref(), limit))
}

#[update]
fn capsules_delete(capsule: String) -> Answer<()> {
    SharedHub::change("capsules_delete", |SharedHub { hub }, call| hub.delete_capsule(call, &capsule))
}

#[update]
fn capsules_suspend(capsule: String, suspended: bool) -> Answer<()> {
    SharedHub::write("capsules_suspend", |store, call| store.capsules_suspend(call, &capsule, suspended))
}

// ---- policy ----------------------------------------------------------------------------------------

#[query]
fn policy_get() -> Answer<Policy> {
    operator(&SharedHub::call())?;
    Ok(SharedHub::with(|SharedHub { hub }| hub.economy.policy()))
}

#[update]
fn policy_set(policy: Policy) -> Answer<()> {
    SharedHub::change("policy_set", |SharedHub { hub }, call| {
        operator(call)?;
        hub.set_policy(&policy);
        Ok(())
    })
}

// ---- operators -------------------------------------------------------------------------------------

#[query]
fn operators_list() -> Vec<Principal> {
    SharedHub::read(|store, _| store.operators.list())
}

#[update]
fn operators_add(principal: Principal) -> Answer<()> {
    SharedHub::write("operators_add", |store, call| {
        operator(call)?;
        store.operators.add(principal)
    })
}

#[update]
fn operators_remove(principal: Principal) -> Answer<()> {
    SharedHub::write("operators_remove", |store, call| {
        operator(call)?;
        store.operators.remove(&principal);
        Ok(())
    })
}

// ---- export, registry ----------------------------------------------------------------------

#[query]
fn export_records(capsule: String, after: Option<ByteBuf>, max_bytes: u32) -> Answer<RecordPage> {
    SharedHub::read(|store, call| {
        store.export_records(call, &capsule, after.as_ref().map(|after| after.as_slice()), max_bytes)
    })
}

#[query]
fn registry_home(capsule: String) -> Answer<Home> {
    SharedHub::read(|store, _| Ok(store.registry.get(&capsule)?.residence.home(store.me)))
}

#[query]
fn registry_home_certified(capsule: String) -> Answer<CertifiedHome> {
    let home = registry_home(capsule.clone())?;
    let (certificate, witness) = SharedHub::home_proof(&capsule)?;
    Ok(CertifiedHome { home, certificate, witness })
}

// ---- the personal module ---------------------------------------------------------------------------

#[update]
fn wasm_begin(sha256: ByteBuf, length: u64) -> Answer<UploadStatus> {
    SharedHub::change("wasm_begin", |SharedHub { hub }, call| {
        operator(call)?;
        hub.modules.begin(&sha256, length)
    })
}

#[update]
fn wasm_put_chunk(index: u32, bytes: ByteBuf) -> Answer<()> {
    SharedHub::change("wasm_put_chunk", |SharedHub { hub }, call| {
        operator(call)?;
        hub.modules.put_chunk(index, bytes.into_vec())
    })
}

#[update]
fn wasm_finish() -> Answer<WasmInfo> {
    SharedHub::change("wasm_finish", |SharedHub { hub }, call| {
        operator(call)?;
        hub.modules.finish(call.at)
    })
}

#[query]
fn wasm_info() -> Option<WasmInfo> {
    SharedHub::with(|SharedHub { hub }| hub.modules.info())
}

// ---- migration -------------------------------------------------------------------------------------

/// `chunks_present`: how many of the capsule's chunks its personal canister says that it has.
#[query]
fn migration_quote(capsule: String, chunks_present: u64) -> Answer<MigrationQuote> {
    let call = SharedHub::call();
    let (fee, liquid) = (api::cost_create_canister(), api::canister_liquid_cycle_balance());
    SharedHub::with(|SharedHub { hub }| {
        hub.may_ask(&call, &capsule, MigrationStep::Reserve)?;
        hub.quote(&call, &capsule, chunks_present, fee, liquid)
    })
}

/// Lets the owners of a capsule start its migration; answers until when.
#[update]
fn migration_invite(capsule: String) -> Answer<Time> {
    SharedHub::change("migration_invite", |SharedHub { hub }, call| {
        operator(call)?;
        hub.invite(call, &capsule)
    })
}

#[update]
fn migration_reserve(capsule: String) -> Answer<Migration> {
    factory::reserve(&System, &SharedHub::call(), &capsule)
}

#[update]
async fn migration_create_canister(capsule: String) -> Answer<Migration> {
    factory::create(&System, &SharedHub::call(), &capsule).await
}

#[update]
async fn migration_install(capsule: String) -> Answer<Migration> {
    factory::install(&System, &SharedHub::call(), &capsule).await
}

#[update]
fn migration_freeze(capsule: String) -> Answer<Migration> {
    factory::freeze(&System, &SharedHub::call(), &capsule)
}

#[update]
fn migration_thaw(capsule: String) -> Answer<Migration> {
    factory::thaw(&System, &SharedHub::call(), &capsule)
}

#[update]
fn migration_build_manifest(capsule: String) -> Answer<ManifestSummary> {
    factory::build_manifest(&System, &SharedHub::call(), &capsule)
}

#[update]
async fn migration_cut_over(capsule: String, root: ByteBuf) -> Answer<Migration> {
    factory::cut_over(&System, &SharedHub::call(), &capsule, &root).await
}

#[update]
async fn migration_abort(capsule: String) -> Answer<Migration> {
    factory::abort(&System, &SharedHub::call(), &capsule).await
}

#[update]
async fn migration_handoff(capsule: String) -> Answer<Migration> {
    factory::handoff(&System, &SharedHub::call(), &capsule).await
}

#[update]
async fn hub_copy_delete(capsule: String) -> Answer<()> {
    factory::delete_copy(&System, &SharedHub::call(), &capsule).await
}

#[query]
fn migration_get(capsule: String) -> Answer<Option<Migration>> {
    let call = SharedHub::call();
    SharedHub::with(|SharedHub { hub }| {
        hub.may_ask(&call, &capsule, MigrationStep::Reserve)?;
        hub.migrations.newest(&capsule)
    })
}

#[query]
fn migration_list(after: Option<u64>, limit: u32) -> Answer<Page<Migration, u64>> {
    let call = SharedHub::call();
    operator(&call)?;
    SharedHub::with(|SharedHub { hub }| hub.migrations.list(after, check::limit(limit)?))
}

candid::export_service!();

/// The interface as the code has it, for the test that it equals hub.did.
pub fn export_candid() -> String {
    __export_service()
}
