//! The personal canister's endpoints: its one capsule, and how that comes in.
//!
//! Endpoints only: who may do what, and how the capsule comes in, is in the `capsule` crate.

use candid::{Nat, Principal};
use capsule::import::Import;
use ic_cdk::{api, init, inspect_message, post_upgrade, query, update};
use ic_cdk_management_canister::{deposit_cycles, raw_rand, DepositCyclesArgs};
use serde_bytes::ByteBuf;
use shell::admission::{self, Rule, Who, CHUNK, MANAGE, MESSAGE, OWN, SMALL};
use shell::{Canister, Memories, StableMemory, Store};
use storage::header::CanisterKind;
use types::*;

/// What stays here when cycles go back to the hub: the call that sends them, and its answer.
const CYCLES_KEPT: u128 = 5_000_000_000;

/// What a personal canister has.
pub struct Personal {
    store: Store,
    import: Import<StableMemory>,
}

shell::canister!(Personal {
    const KIND: CanisterKind = CanisterKind::Personal;
    const LOW_THRESHOLD: u128 = 200_000_000_000;

    fn open(memories: &Memories, mut store: Store) -> Self {
        let import = Import::init(memories);
        import.introduce(&mut store);
        Personal { store, import }
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    fn is_operator(&self, principal: &Principal) -> bool {
        self.import.is_operator(&self.store, principal)
    }

    fn own_capsule(&self) -> Option<String> {
        self.import.capsule_id().ok()
    }

    fn tidy(&mut self) {
        self.import.tidy(&mut self.store);
    }
});

shell::data_endpoints!(Personal);
shell::http_endpoints!(Personal);
shell::system_endpoints!(Personal);

#[init]
fn init(init: PersonalInit) {
    Personal::start();
    let begun = Personal::with(|personal| personal.import.begin(&mut personal.store, init));
    if let Err(error) = begun {
        ic_cdk::trap(format!("{error:?}"));
    }
}

#[post_upgrade]
fn post_upgrade() {
    Personal::start();
}

/// Who may call what only a personal canister has, and the most bytes of its arguments.
#[rustfmt::skip]
pub const ADMITTED: &[Rule] = &[
    ("import_status",         SMALL,   Who::Anywhere(MANAGE)),
    ("import_declare_blobs",  MESSAGE, Who::Operators),
    ("import_missing_chunks", SMALL,   Who::Operators),
    ("import_put_chunk",      CHUNK,   Who::Operators),
    ("import_put_records",    MESSAGE, Who::Operators),
    ("import_seal",           SMALL,   Who::Operators),
    ("import_reopen",         SMALL,   Who::Operators),
    ("import_activate",       SMALL,   Who::Canisters),
    ("import_close",          SMALL,   Who::Canisters),
    ("import_return_cycles",  SMALL,   Who::Canisters),
    ("handoff_consent",       SMALL,   Who::Anywhere(OWN)),
    ("handoff_consent_get",   SMALL,   Who::Anywhere(MANAGE)),
    ("handoff_terms",         SMALL,   Who::Canisters),
];

/// Refuses early what is refused anyway: nobody makes the owner pay. Each method checks again.
#[inspect_message]
fn inspect_message() {
    admission::inspect::<Personal>(ADMITTED);
}

// ---- import ----------------------------------------------------------------------------------------

#[query]
fn import_status() -> Answer<ImportStatus> {
    Personal::with(|personal| personal.import.status(&personal.store))
}

#[update]
fn import_declare_blobs(blobs: Vec<Blob>) -> Answer<()> {
    Personal::change("import_declare_blobs", |personal, call| {
        personal.import.declare_blobs(&mut personal.store, call, &blobs)
    })
}

#[query]
fn import_missing_chunks(after: Option<ByteBuf>, limit: u32) -> Answer<Page<MissingChunks, ByteBuf>> {
    let call = Personal::call();
    Personal::with(|personal| {
        let after = after.as_ref().map(|after| after.as_slice());
        personal.import.missing_chunks(&personal.store, &call, after, limit)
    })
}

#[update]
fn import_put_chunk(sha256: ByteBuf, index: u32, bytes: ByteBuf) -> Answer<()> {
    Personal::change("import_put_chunk", |personal, call| {
        personal.import.put_chunk(&mut personal.store, call, &sha256, index, &bytes)
    })
}

#[update]
fn import_put_records(generation: u64, records: Vec<RecordBytes>) -> Answer<()> {
    Personal::change("import_put_records", |personal, call| {
        personal.import.put_records(&mut personal.store, call, generation, records)
    })
}

/// The first one makes the secret that signs asset tokens.
#[update]
async fn import_seal(generation: u64) -> Answer<ManifestSummary> {
    let call = Personal::call();
    if Personal::with(|personal| personal.import.needs_secret(&personal.store, &call))? {
        let secret = random().await?;
        Personal::with(|personal| personal.import.keep_secret(&mut personal.store, secret))?;
    }
    Personal::change("import_seal", |personal, _| {
        personal.import.seal(&mut personal.store, &call, generation)
    })
}

#[update]
fn import_reopen() -> Answer<ImportStatus> {
    Personal::change("import_reopen", |personal, call| personal.import.reopen(&mut personal.store, call))
}

#[update]
fn import_activate(root: ByteBuf, hub_tokens: Option<HubTokens>) -> Answer<ImportStatus> {
    Personal::change("import_activate", |personal, call| {
        personal.import.activate(&mut personal.store, call, &root, hub_tokens)
    })
}

#[update]
async fn import_close() -> Answer<ImportStatus> {
    let call = Personal::call();
    if !Personal::with(|personal| personal.import.is_to_be_closed(&call))? {
        return import_status();
    }
    let secret = random().await?;
    let hub_controls = api::is_controller(&call.caller);
    Personal::change("import_close", |personal, _| {
        personal.import.close(&mut personal.store, &call, secret, hub_controls)
    })
}

/// 32 random bytes that nobody knows yet.
async fn random() -> Answer<Digest> {
    let bytes = raw_rand().await.map_err(|error| Error::Upstream(format!("raw_rand: {error}")))?;
    bytes.try_into().map_err(|_| Error::Upstream("raw_rand: not 32 bytes".into()))
}

/// Sends the cycles back to the hub that gave them; before the capsule is live, by the hub alone.
#[update]
async fn import_return_cycles() -> Answer<Nat> {
    let call = Personal::call();
    let hub = Personal::with(|personal| personal.import.may_return_cycles(&call))?;
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

// ---- hand-off --------------------------------------------------------------------------------------

#[update]
fn handoff_consent(controllers: Vec<Principal>) -> Answer<HandoffConsent> {
    Personal::change("handoff_consent", |personal, call| {
        personal.import.consent(&personal.store, call, controllers)
    })
}

#[query]
fn handoff_consent_get() -> Answer<Option<HandoffConsent>> {
    let call = Personal::call();
    Personal::with(|personal| personal.import.consent_now(&personal.store, &call))
}

/// Asked by the hub: whether `asker` is an owner, and what the owners have consented to.
#[update]
fn handoff_terms(asker: Principal) -> Answer<HandoffTerms> {
    let call = Personal::call();
    Personal::with(|personal| personal.import.terms(&personal.store, &call, asker))
}

candid::export_service!();

/// The interface as the code has it, for the test that it equals personal.did.
pub fn export_candid() -> String {
    __export_service()
}
