//! Everything that a canister of capsules keeps, and the checks that every method begins with.

use crate::http::Http;
use crate::index::Indexed;
use crate::manifest::Manifest;
use crate::operators::Operators;
use crate::records::{check_length, Count, Records};
use crate::registry::Registry;
use crate::visible_assets::VisibleAssets;
use access::{unauthorized, Call};
use blobs::Blobs;
use candid::Principal;
use ic_stable_structures::memory_manager::MemoryManager;
use ic_stable_structures::Memory as StableMemory;
use storage::canonical;
use storage::digest::{hex, sha256};
use storage::header::{CanisterKind, Header};
use storage::memory;
use types::record_kinds::{noun, Record};
use types::*;

/// Access in one capsule of a store.
pub type Access<'a, M> = access::Access<'a, Records<M>>;

pub struct Store<M: StableMemory> {
    /// The canister that this store is in.
    pub me: Principal,
    /// The hub: the canister itself, or the one that the capsule came from.
    pub hub: Principal,
    /// The most that one capsule may have here.
    pub quotas: Quotas,
    pub header: Header<M>,
    pub registry: Registry<M>,
    pub records: Records<M>,
    pub blobs: Blobs<M>,
    pub manifest: Manifest<M>,
    pub operators: Operators<M>,
    pub http: Http<M>,
}

impl<M: StableMemory> Store<M> {
    /// Opens what is in stable memory, or begins it where that is empty. What it costs does not depend on
    /// how much is there: a canister that has grown can still be upgraded.
    pub fn open(memories: &MemoryManager<M>, kind: CanisterKind, me: Principal) -> Self {
        Store {
            me,
            hub: me,
            quotas: match kind {
                CanisterKind::Hub => Quotas::HUB,
                CanisterKind::Personal => Quotas::PERSONAL,
            },
            header: Header::init(memories, kind),
            registry: Registry::init(memories),
            records: Records::init(memories),
            blobs: Blobs::init(memories),
            manifest: Manifest::init(memories),
            operators: Operators::init(memories),
            http: Http::init(memories),
        }
    }

    /// The memories of a store as a canister has them: see `memory.rs`.
    pub fn memories(memory: M, kind: CanisterKind) -> MemoryManager<M> {
        let bucket_pages = match kind {
            CanisterKind::Hub => memory::HUB_BUCKET_PAGES,
            CanisterKind::Personal => memory::PERSONAL_BUCKET_PAGES,
        };
        memory::manager(memory, bucket_pages)
    }

    /// What HTTP sees of the store.
    pub fn assets(&self) -> VisibleAssets<'_, M> {
        VisibleAssets { registry: &self.registry, records: &self.records, blobs: &self.blobs }
    }

    /// The access rules of a capsule whose data may be read here.
    pub fn reading(&self, call: &Call, capsule: &str) -> Answer<Access<'_, M>> {
        let registration = self.registry.get(capsule)?;
        registration.readable(capsule)?;
        let provisioner = registration.provisioner.filter(|one| call.operator && *one == call.caller);
        let access = Access::new(&self.records, capsule, call.at)?;
        Ok(access.with_provisioner(provisioner.map(PersonRef::Principal)))
    }

    /// Ok where the caller is an operator, or may do that on that resource.
    ///
    /// Operators are let through for reading only: nothing that writes calls this.
    pub fn allow_read(
        &self,
        call: &Call,
        access: &Access<'_, M>,
        resource: &Resource,
        needed: u32,
    ) -> Answer<()> {
        if call.operator {
            return Ok(());
        }
        self.allow(call, access, resource, needed)
    }

    /// Ok where the caller has that permission on that resource.
    pub fn allow(&self, call: &Call, access: &Access<'_, M>, resource: &Resource, needed: u32) -> Answer<()> {
        let person = call.person();
        let mask = match access.effective(Some(&person), resource) {
            // only who could see it if it were there may know that it is not
            Err(Error::NotFound(what)) => {
                if access.effective(Some(&person), &Resource::Capsule)? & needed == needed {
                    return Err(Error::NotFound(what));
                }
                0
            }
            other => other?,
        };
        if mask & needed != needed {
            return Err(unauthorized(call));
        }
        Ok(())
    }

    /// Ok where the capsule may be changed now. Checked after the caller, and before the change.
    pub fn writable(&self, call: &Call, capsule: &str) -> Answer<()> {
        if call.is_anonymous() {
            return Err(unauthorized(call));
        }
        self.registry.get(capsule)?.writable(capsule)
    }

    /// Stores a record. Its capsule then refers to the blobs that it uses, and no more to those that it
    /// does not use any longer; manifest and public answers are kept current.
    pub fn put<R: Indexed>(&mut self, record: &R) -> Answer<()> {
        let bytes = canonical::encode(record);
        check_length::<R>(&bytes)?;
        self.check_quotas(record, bytes.len() as u64)?;
        for (blob, length) in self.records.new_blobs(record) {
            self.attach(record.capsule_id(), &blob, length)?;
        }
        self.put_bytes(record, bytes)?;
        self.refresh_http(record);
        Ok(())
    }

    /// OutOfStorage where the capsule would have more than it may. What does not grow is let through.
    fn check_quotas<R: Record>(&self, record: &R, length: u64) -> Answer<()> {
        let capsule = record.capsule_id();
        let Count { records, bytes } = self.records.total(capsule);
        let old = self.records.length_of(capsule, R::KIND, record.id());
        let (records, all) = (records + u64::from(old.is_none()), bytes + length - old.unwrap_or(0));
        let (most, most_bytes) = (self.quotas.records, self.quotas.record_bytes);
        if (records > most && old.is_none()) || (all > most_bytes && all > bytes) {
            return Err(Error::OutOfStorage(format!(
                "capsule {capsule} would have {records} records of {all} bytes; the most is {most} of {most_bytes}"
            )));
        }
        Ok(())
    }

    /// The same with the record's canonical bytes at hand, and without a look at new blobs and public
    /// answers.
    pub(crate) fn put_bytes<R: Indexed>(&mut self, record: &R, bytes: Vec<u8>) -> Answer<()> {
        let capsule = record.capsule_id();
        let (digest, length) = (sha256(&bytes), bytes.len() as u64);
        let ceased = self.records.put_bytes(record, bytes)?;
        self.manifest.put(capsule, R::KIND, record.id(), &digest, length);
        self.detach(capsule, ceased);
        Ok(())
    }

    /// Removes a record, with all that follows from that.
    pub fn remove<R: Indexed>(&mut self, capsule: &str, id: &str) -> Answer<()> {
        let Some((record, ceased)) = self.records.remove::<R>(capsule, id)? else { return Ok(()) };
        self.manifest.remove(capsule, R::KIND, id);
        self.detach(capsule, ceased);
        self.refresh_http(&record);
        Ok(())
    }

    fn refresh_http<R: Indexed>(&mut self, record: &R) {
        if let Some(memory) = record.shown_memory() {
            self.refresh_memory(record.capsule_id(), memory);
        }
    }

    /// Certifies what everybody may see of a memory, and no more than that. Answers how many forms.
    pub(crate) fn refresh_memory(&mut self, capsule: &str, memory: &str) -> usize {
        let Store { http, registry, records, blobs, .. } = self;
        http.refresh(&VisibleAssets { registry, records, blobs }, capsule, memory)
    }

    /// Makes a capsule refer to a blob that it uses.
    pub(crate) fn attach(&mut self, capsule: &str, blob: &Digest, length: u64) -> Answer<()> {
        self.blobs.attach(capsule, blob, length)?;
        if let Some(digest) = self.blobs.list_digest(blob) {
            self.manifest.put(capsule, RecordKind::Blob, &hex(blob), &digest, length);
        }
        Ok(())
    }

    /// Takes back the references to blobs that a capsule uses no more.
    pub(crate) fn detach(&mut self, capsule: &str, blobs: Vec<Digest>) {
        for blob in blobs {
            self.blobs.detach(capsule, &blob);
            self.manifest.remove(capsule, RecordKind::Blob, &hex(&blob));
        }
    }

    /// An id for a new record of that kind: not used in the capsule.
    pub fn new_id<R: Record>(&mut self, capsule: &str, at: Time) -> String {
        loop {
            let number = self.header.next_number();
            let id = format!("{}-{at:x}-{number:x}", noun(R::KIND).replace(' ', "-"));
            if !self.records.contains(capsule, R::KIND, &id) {
                return id;
            }
        }
    }
}
