//! How a capsule arrives in its personal canister: import, seal, activate.
//!
//! Importing: blobs and records come in, in any order, each as often as somebody sends it.
//! Sealed: read-only; the manifest is certified. Live: the capsule's home; importers are refused.

use crate::index::Indexed;
use crate::records::check_length;
use crate::registry::{Registration, Residence};
use crate::relocation::FORMS_AT_ONCE;
use crate::store::Store;
use access::{unauthorized, Call};
use candid::Principal;
use ic_stable_structures::memory_manager::MemoryManager;
use ic_stable_structures::{Memory as StableMemory, StableCell};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::collections::BTreeSet;
use storage::canonical;
use storage::memory::{self, Vm};
use types::check;
use types::limits::CONSENT_VALID;
use types::record_kinds::noun;
use types::*;

/// Blobs released, and memories looked at, by one call of `import_seal`.
const BLOBS_AT_ONCE: usize = 2_000;
const MEMORIES_AT_ONCE: usize = 1_000;
/// Blobs in one declaration, and records in one call.
const MAX_ITEMS: usize = 10_000;
/// Declared blobs without a memory that one later call releases.
const RELEASED_AT_ONCE: usize = 500;

/// How far a seal is.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
enum Seal {
    /// Nothing that was found out before counts any more.
    #[default]
    Begun,
    /// Memories up to this id have their blobs.
    Attaching(String),
    /// All memories have their blobs.
    Attached,
}

#[derive(Serialize, Deserialize, Clone, Debug)]
struct State {
    capsule_id: String,
    hub: Principal,
    state: ImportState,
    generation: u64,
    root: Option<ByteBuf>,
    seal: Seal,
    /// The hub and the operators have no part in it any more.
    is_closed: bool,
    /// The newest consent to the hand-off.
    consent: Option<HandoffConsent>,
    /// The secret that signs tokens was made when the hub controlled the canister no more: nobody who
    /// could look into it then has it.
    #[serde(default)]
    is_secret_private: bool,
}

pub struct Import<M: StableMemory> {
    cell: StableCell<Vec<u8>, Vm<M>>,
}

impl<M: StableMemory> Import<M> {
    pub fn init(memories: &MemoryManager<M>) -> Self {
        Import { cell: StableCell::init(memories.get(memory::IMPORT), vec![]) }
    }

    /// Begins the import of a capsule into an empty store.
    pub fn begin(&mut self, store: &mut Store<M>, init: PersonalInit) -> Answer<()> {
        check::id(&init.capsule_id)?;
        for operator in init.operators {
            store.operators.add(operator)?;
        }
        let arriving =
            Registration { token_secret: None, ..Registration::new(Residence::Frozen, ByteBuf::new()) };
        store.registry.put(&init.capsule_id, &arriving);
        self.put(&State {
            capsule_id: init.capsule_id,
            hub: init.hub,
            state: ImportState::Importing,
            generation: 0,
            root: None,
            seal: Seal::Begun,
            is_closed: false,
            consent: None,
            is_secret_private: false,
        });
        store.hub = init.hub;
        Ok(())
    }

    /// Tells the store which hub its capsule came from, if it knows already.
    pub fn introduce(&self, store: &mut Store<M>) {
        if let Ok(state) = self.get() {
            store.hub = state.hub;
        }
    }

    fn get(&self) -> Answer<State> {
        canonical::decode(self.cell.get())
    }

    fn put(&mut self, state: &State) {
        self.cell.set(canonical::encode(state));
    }

    /// The capsule that this canister is for.
    pub fn capsule_id(&self) -> Answer<String> {
        Ok(self.get()?.capsule_id)
    }

    /// Whether a principal may read and export the capsule here whatever its access entries say:
    /// the hub and the operators named at install, until the hand-off.
    pub fn is_operator(&self, store: &Store<M>, principal: &Principal) -> bool {
        match self.get() {
            Ok(state) => !state.is_closed && (state.hub == *principal || store.operators.contains(principal)),
            Err(_) => false,
        }
    }

    pub fn status(&self, store: &Store<M>) -> Answer<ImportStatus> {
        let state = self.get()?;
        let blobs = store.blobs.import_counts();
        Ok(ImportStatus {
            records: store.records.total(&state.capsule_id).records,
            capsule_id: state.capsule_id,
            hub: state.hub,
            state: state.state,
            generation: state.generation,
            blobs_declared: blobs.declared,
            blobs_complete: blobs.complete,
            chunks_received: blobs.chunks,
            root: state.root,
        })
    }

    /// The state, where the caller may import. Unauthorized for everybody once the capsule is live.
    fn importing(&self, call: &Call) -> Answer<State> {
        let state = self.get()?;
        if !call.operator || state.state == ImportState::Live {
            return Err(unauthorized(call));
        }
        Ok(state)
    }

    /// The same, and Conflict where it is sealed.
    fn open(&self, call: &Call) -> Answer<State> {
        let state = self.importing(call)?;
        if state.state != ImportState::Importing {
            return Err(Error::Conflict("the import is sealed: reopen it first".into()));
        }
        Ok(state)
    }

    pub fn declare_blobs(&mut self, store: &mut Store<M>, call: &Call, blobs: &[Blob]) -> Answer<()> {
        self.open(call)?;
        check::list("blobs", blobs, MAX_ITEMS)?;
        blobs.iter().try_for_each(|blob| store.blobs.declare(blob))
    }

    /// Which chunks are missing, of the declared blobs that lack any.
    pub fn missing_chunks(
        &self,
        store: &Store<M>,
        call: &Call,
        after: Option<&[u8]>,
        limit: u32,
    ) -> Answer<Page<MissingChunks, ByteBuf>> {
        self.importing(call)?;
        let after = after.map(check::digest).transpose()?;
        Ok(store.blobs.missing_chunks(after.as_ref(), check::limit(limit)? as u32))
    }

    /// One chunk of a declared blob, checked against its digest.
    pub fn put_chunk(
        &mut self,
        store: &mut Store<M>,
        call: &Call,
        sha256: &[u8],
        index: u32,
        bytes: &[u8],
    ) -> Answer<()> {
        self.open(call)?;
        store.blobs.import_chunk(&check::digest(sha256)?, index, bytes)
    }

    /// Records of one freeze of the hub, stored as they are. A higher generation drops the records
    /// of the one before; blobs stay.
    pub fn put_records(
        &mut self,
        store: &mut Store<M>,
        call: &Call,
        generation: u64,
        records: Vec<RecordBytes>,
    ) -> Answer<()> {
        let mut state = self.open(call)?;
        check::list("records", &records, MAX_ITEMS)?;
        if generation < state.generation {
            return Err(Error::Conflict(format!("generation {} is being imported", state.generation)));
        }
        // a batch of which anything is refused changes nothing
        let arriving = |record| arrival(&state.capsule_id, record);
        let arrivals: Vec<Arrival<M>> = records.into_iter().map(arriving).collect::<Answer<_>>()?;
        if generation > state.generation {
            store.http.reset();
            store.records.clear();
            store.manifest.reset();
            store.registry.change(&state.capsule_id, |known| known.generation = generation)?;
            state.generation = generation;
        }
        state.seal = Seal::Begun;
        self.put(&state);
        arrivals.into_iter().try_for_each(|store_it| store_it(store))
    }

    /// Whether a secret that signs tokens is still to be made. Unauthorized for who may not seal.
    pub fn needs_secret(&self, store: &Store<M>, call: &Call) -> Answer<bool> {
        if !call.operator {
            return Err(unauthorized(call));
        }
        Ok(store.registry.get(&self.get()?.capsule_id)?.token_secret.is_none())
    }

    /// Keeps the first secret that was made.
    pub fn keep_secret(&self, store: &mut Store<M>, secret: Digest) -> Answer<()> {
        store.registry.change(&self.get()?.capsule_id, |known| {
            known.token_secret.get_or_insert(ByteBuf::from(secret));
        })?;
        Ok(())
    }

    /// Closes the import of a generation: every memory has its blobs, complete, and the manifest is
    /// built. Bounded work: while `complete` is false, call again.
    pub fn seal(&mut self, store: &mut Store<M>, call: &Call, generation: u64) -> Answer<ManifestSummary> {
        let mut state = self.get()?;
        if !call.operator {
            return Err(unauthorized(call));
        }
        let capsule = state.capsule_id.clone();
        if generation != state.generation {
            return Err(Error::Conflict(format!("generation {} is being imported", state.generation)));
        }
        if state.state != ImportState::Importing {
            return store.manifest_summary(&capsule);
        }
        if !store.records.contains(&capsule, RecordKind::Capsule, &capsule) {
            return Err(Error::Conflict("the capsule's own record has not come in".into()));
        }
        if state.seal == Seal::Begun {
            if !store.blobs.detach_all(&capsule, BLOBS_AT_ONCE) {
                return store.manifest_summary(&capsule);
            }
            state.seal = Seal::Attaching(String::new());
        }
        if let Seal::Attaching(after) = &state.seal {
            state.seal = store.attach_imported(&capsule, after)?;
            self.put(&state);
        }
        if state.seal != Seal::Attached {
            return store.manifest_summary(&capsule);
        }
        let summary = store.build_manifest(&capsule)?;
        if summary.complete {
            state.root = Some(summary.root.clone());
            state.state = ImportState::Sealed;
            self.put(&state);
        }
        Ok(summary)
    }

    /// Opens a sealed import again; one that is open stays so.
    pub fn reopen(&mut self, store: &mut Store<M>, call: &Call) -> Answer<ImportStatus> {
        let mut state = self.importing(call)?;
        if state.state == ImportState::Sealed {
            state.state = ImportState::Importing;
            state.root = None;
            state.seal = Seal::Begun;
            store.registry.change(&state.capsule_id, |known| known.certified_root = None)?;
            self.put(&state);
        }
        self.status(store)
    }

    /// The capsule lives here from now on. By the hub alone, with the root that it has itself. Until the
    /// hand-off the tokens that the hub gave out stay good.
    pub fn activate(
        &mut self,
        store: &mut Store<M>,
        call: &Call,
        root: &[u8],
        hub_tokens: Option<HubTokens>,
    ) -> Answer<ImportStatus> {
        let mut state = self.get()?;
        if call.caller != state.hub || state.is_closed {
            return Err(unauthorized(call));
        }
        if state.state == ImportState::Importing {
            return Err(Error::Conflict("the import is not sealed".into()));
        }
        if state.root.as_deref().map(Vec::as_slice) != Some(root) {
            return Err(Error::DigestMismatch("the sealed manifest has another root".into()));
        }
        if state.state == ImportState::Sealed {
            state.state = ImportState::Live;
            store.registry.change(&state.capsule_id, |known| {
                known.residence = Residence::Personal;
                known.hub_tokens = hub_tokens;
            })?;
            self.put(&state);
        }
        self.status(store)
    }

    /// Whether `close` has anything left to do: it is called again when the hub controls the canister no
    /// more. Unauthorized for everybody but the hub.
    pub fn is_to_be_closed(&self, call: &Call) -> Answer<bool> {
        let state = self.closing(call)?;
        Ok(!state.is_closed || !state.is_secret_private)
    }

    /// The hub and the operators have no part in the capsule any more, and neither have the tokens that
    /// the hub signed or, by a look into this canister while it controlled it, could have signed.
    /// By the hub, at the hand-off, with a new secret.
    pub fn close(
        &mut self,
        store: &mut Store<M>,
        call: &Call,
        secret: Digest,
        hub_controls: bool,
    ) -> Answer<ImportStatus> {
        let mut state = self.closing(call)?;
        if !state.is_closed || !state.is_secret_private {
            store.operators.clear();
            store.registry.change(&state.capsule_id, |known| {
                known.token_secret = Some(ByteBuf::from(secret));
                known.hub_tokens = None;
                known.hub_tokens_ended = true;
            })?;
            state.is_closed = true;
            state.is_secret_private = !hub_controls;
            self.put(&state);
        }
        self.status(store)
    }

    /// The state, where the hub may close.
    fn closing(&self, call: &Call) -> Answer<State> {
        let state = self.get()?;
        if call.caller != state.hub {
            return Err(unauthorized(call));
        }
        if state.state != ImportState::Live {
            return Err(Error::Conflict("the capsule does not live here yet".into()));
        }
        Ok(state)
    }

    /// An owner's leave to hand this canister off to these controllers; it takes the place of one before.
    pub fn consent(
        &mut self,
        store: &Store<M>,
        call: &Call,
        controllers: Vec<Principal>,
    ) -> Answer<HandoffConsent> {
        let mut state = self.get()?;
        let owners = owners_of(store, &state)?;
        if !owners.contains(&call.caller) {
            return Err(unauthorized(call));
        }
        if state.state != ImportState::Live {
            return Err(Error::Conflict("the capsule does not live here yet".into()));
        }
        check::controllers(&controllers, state.hub)?;
        let owners: Vec<Principal> = controllers.iter().filter(|one| owners.contains(one)).copied().collect();
        if owners.is_empty() {
            return Err(Error::Invalid("at least one of the controllers is an owner".into()));
        }
        let (given_by, given_at) = (call.caller, call.at);
        let expires_at = given_at + CONSENT_VALID;
        let consent = HandoffConsent { controllers, owners, given_by, given_at, expires_at };
        state.consent = Some(consent.clone());
        self.put(&state);
        Ok(consent)
    }

    /// The consent that is valid now, for owners and operators.
    pub fn consent_now(&self, store: &Store<M>, call: &Call) -> Answer<Option<HandoffConsent>> {
        let state = self.get()?;
        let owners = owners_of(store, &state)?;
        if !call.operator && !owners.contains(&call.caller) {
            return Err(unauthorized(call));
        }
        Ok(valid_consent(&state, &owners, call.at))
    }

    /// What the hub needs to know at the hand-off, and whether `asker` is an owner. For the hub alone.
    pub fn terms(&self, store: &Store<M>, call: &Call, asker: Principal) -> Answer<HandoffTerms> {
        let state = self.get()?;
        if call.caller != state.hub {
            return Err(unauthorized(call));
        }
        let owners = owners_of(store, &state)?;
        let consent = valid_consent(&state, &owners, call.at);
        Ok(HandoffTerms { is_owner: owners.contains(&asker), consent })
    }

    /// Ok where the hub may take its cycles back: not after the capsule went live.
    pub fn may_return_cycles(&self, call: &Call) -> Answer<Principal> {
        let state = self.importing(call)?;
        if call.caller != state.hub {
            return Err(unauthorized(call));
        }
        Ok(state.hub)
    }

    /// After a write, once the capsule is live: frees some of the blobs that were declared and that no
    /// memory uses, and forgets a consent that an owner who left had given or was named in. It does not
    /// become valid again when they come back.
    pub fn tidy(&mut self, store: &mut Store<M>) {
        let Ok(mut state) = self.get() else { return };
        if state.state != ImportState::Live {
            return;
        }
        store.blobs.release_import(RELEASED_AT_ONCE);
        let Some(consent) = &state.consent else { return };
        if !owners_of(store, &state).is_ok_and(|owners| is_borne_out(consent, &owners)) {
            state.consent = None;
            self.put(&state);
        }
    }
}

/// The owners with a principal, by the records here.
fn owners_of<M: StableMemory>(store: &Store<M>, state: &State) -> Answer<BTreeSet<Principal>> {
    let head: Option<Capsule> = store.records.find(&state.capsule_id, &state.capsule_id)?;
    let owners = head.map(|head| head.owners).unwrap_or_default();
    Ok(owners.iter().filter_map(|owner| check::principal_of(&owner.person)).collect())
}

fn valid_consent(state: &State, owners: &BTreeSet<Principal>, at: Time) -> Option<HandoffConsent> {
    state.consent.clone().filter(|consent| at < consent.expires_at && is_borne_out(consent, owners))
}

/// Whether who gave a consent is still an owner, and so is everybody whom it names as one.
fn is_borne_out(consent: &HandoffConsent, owners: &BTreeSet<Principal>) -> bool {
    owners.contains(&consent.given_by) && consent.owners.iter().all(|named| owners.contains(named))
}

/// Stores one record that has been checked.
type Arrival<M> = Box<dyn FnOnce(&mut Store<M>) -> Answer<()>>;

fn arrival<M: StableMemory>(capsule: &str, record: RecordBytes) -> Answer<Arrival<M>> {
    match record.kind {
        RecordKind::Capsule => arrival_of::<Capsule, M>(capsule, record),
        RecordKind::Memory => arrival_of::<Memory, M>(capsule, record),
        RecordKind::Folder => arrival_of::<Folder, M>(capsule, record),
        RecordKind::Gallery => arrival_of::<Gallery, M>(capsule, record),
        RecordKind::AccessEntry => arrival_of::<AccessEntry, M>(capsule, record),
        RecordKind::Connection => arrival_of::<Connection, M>(capsule, record),
        RecordKind::Group => arrival_of::<Group, M>(capsule, record),
        RecordKind::Blob => Err(Error::Invalid("blobs come in chunks, not as records".into())),
    }
}

/// A record comes as canonical bytes, and is stored exactly as they are.
fn arrival_of<R: Indexed + 'static, M: StableMemory>(
    capsule: &str,
    record: RecordBytes,
) -> Answer<Arrival<M>> {
    let value: R = canonical::decode_strictly(&record.bytes)?;
    if value.capsule_id() != capsule || value.id() != record.id {
        return Err(Error::Invalid(format!("{} {} is not of this capsule", noun(R::KIND), record.id)));
    }
    check::id(value.id())?;
    check_length::<R>(&record.bytes)?;
    value.check_media_types().map_err(|error| match error {
        Error::Invalid(what) => Error::Invalid(format!("{} {}: {what}", noun(R::KIND), record.id)),
        other => other,
    })?;
    Ok(Box::new(move |store| {
        store.put_bytes(&value, record.bytes.into_vec())?;
        // certified at the seal: its blobs may come later, and many records may be about one memory
        if let Some(memory) = value.shown_memory() {
            store.http.withdraw(value.capsule_id(), memory);
        }
        Ok(())
    }))
}

impl<M: StableMemory> Store<M> {
    /// Refers to the blobs of the next memories behind an id. Conflict where chunks are missing.
    fn attach_imported(&mut self, capsule: &str, after: &str) -> Answer<Seal> {
        let after = Some(after).filter(|after| !after.is_empty());
        let ids = self.records.ids(capsule, RecordKind::Memory, after).take(MEMORIES_AT_ONCE);
        let ids: Vec<String> = ids.collect();
        let mut forms = 0;
        for id in &ids {
            let memory: Memory = self.records.get(capsule, id)?;
            for (blob, length) in memory.blobs() {
                if self.records.index.users_of_blob(capsule, &blob).next().as_deref() == Some(&memory.id) {
                    self.attach(capsule, &blob, length).map_err(|error| match error {
                        Error::NotFound(what) => {
                            Error::Conflict(format!("{what}, of memory {id}, is not complete"))
                        }
                        other => other,
                    })?;
                } else if self.blobs.length(&blob) != Some(length) {
                    return Err(Error::Invalid(format!("memory {} has a blob of another length", memory.id)));
                }
            }
            // what is certified of a long public asset needs the digests of its chunks
            forms += self.refresh_memory(capsule, id);
            if forms >= FORMS_AT_ONCE {
                return Ok(Seal::Attaching(id.clone()));
            }
        }
        Ok(match ids.last() {
            Some(last) if ids.len() == MEMORIES_AT_ONCE => Seal::Attaching(last.clone()),
            _ => Seal::Attached,
        })
    }
}
