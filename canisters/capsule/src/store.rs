//! Everything that a canister of capsules keeps, and the checks that every method begins with.

use crate::access::{Access, Call};
use crate::blobs::{hex, sha256, Blobs};
use crate::canonical;
use crate::face::Assets;
use crate::header::{Header, Role};
use crate::http::Http;
use crate::index::Indexed;
use crate::kinds::{noun, Record};
use crate::manifest::Manifest;
use crate::memory;
use crate::operators::Operators;
use crate::records::{check_length, Records};
use crate::slots::Slots;
use crate::types::*;
use candid::Principal;
use ic_stable_structures::memory_manager::MemoryManager;
use ic_stable_structures::Memory as StableMemory;

pub struct Store<M: StableMemory> {
    /// The canister that this store is in.
    pub me: Principal,
    pub header: Header<M>,
    pub slots: Slots<M>,
    pub records: Records<M>,
    pub blobs: Blobs<M>,
    pub manifest: Manifest<M>,
    pub operators: Operators<M>,
    pub http: Http<M>,
}

impl<M: StableMemory> Store<M> {
    /// Opens what is in stable memory, or begins it where that is empty.
    pub fn open(memories: &MemoryManager<M>, role: Role, me: Principal) -> Self {
        let mut store = Store {
            me,
            header: Header::init(memories, role),
            slots: Slots::init(memories),
            records: Records::init(memories),
            blobs: Blobs::init(memories),
            manifest: Manifest::init(memories),
            operators: Operators::init(memories),
            http: Http::init(memories),
        };
        let Store { http, slots, records, blobs, .. } = &mut store;
        http.restore(&Assets { me, slots, records, blobs });
        store
    }

    /// The memories of a store as a canister has them: see `memory.rs`.
    pub fn memories(memory: M, role: Role) -> MemoryManager<M> {
        let bucket_pages = match role {
            Role::Hub => memory::HUB_BUCKET_PAGES,
            Role::Personal => memory::PERSONAL_BUCKET_PAGES,
        };
        memory::manager(memory, bucket_pages)
    }

    /// What HTTP sees of the store.
    pub fn assets(&self) -> Assets<'_, M> {
        Assets { me: self.me, slots: &self.slots, records: &self.records, blobs: &self.blobs }
    }

    /// The access rules of a capsule whose data may be read here.
    pub fn reading(&self, call: &Call, capsule: &str) -> Answer<Access<'_, M>> {
        let slot = self.slots.get(capsule)?;
        slot.readable(capsule, self.me)?;
        let filler = slot.made_by.filter(|maker| call.operator && *maker == call.caller);
        Ok(Access::new(&self.records, capsule, call.at)?.with_filler(filler.map(PersonRef::Principal)))
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
        self.slots.get(capsule)?.writable(capsule, self.me)
    }

    /// Stores a record. The capsule holds the blobs that it uses and lets go of those that it does
    /// not use any more; manifest and public face are kept current.
    pub fn put<R: Indexed>(&mut self, record: &R) -> Answer<()> {
        let bytes = canonical::encode(record);
        check_length::<R>(&bytes)?;
        for (blob, length) in self.records.new_blobs(record) {
            self.hold(record.capsule_id(), &blob, length)?;
        }
        self.put_bytes(record, bytes)
    }

    /// The same with the record's canonical bytes at hand, and without a look at new blobs.
    pub(crate) fn put_bytes<R: Indexed>(&mut self, record: &R, bytes: Vec<u8>) -> Answer<()> {
        let capsule = record.capsule_id();
        let (digest, length) = (sha256(&bytes), bytes.len() as u64);
        let ceased = self.records.put_bytes(record, bytes)?;
        self.manifest.put(capsule, R::KIND, record.id(), &digest, length);
        self.let_go(capsule, ceased);
        self.refresh_http(record);
        Ok(())
    }

    /// Removes a record, with all that follows from that.
    pub fn remove<R: Indexed>(&mut self, capsule: &str, id: &str) -> Answer<()> {
        let Some((record, ceased)) = self.records.remove::<R>(capsule, id)? else { return Ok(()) };
        self.manifest.remove(capsule, R::KIND, id);
        self.let_go(capsule, ceased);
        self.refresh_http(&record);
        Ok(())
    }

    pub(crate) fn refresh_http<R: Indexed>(&mut self, record: &R) {
        if let Some(memory) = record.shown_memory() {
            let Store { http, me, slots, records, blobs, .. } = self;
            http.refresh(&Assets { me: *me, slots, records, blobs }, record.capsule_id(), memory);
        }
    }

    /// Holds a blob for a capsule that uses it.
    pub(crate) fn hold(&mut self, capsule: &str, blob: &Digest, length: u64) -> Answer<()> {
        self.blobs.attach(capsule, blob, length)?;
        if let Some(digest) = self.blobs.list_digest(blob) {
            self.manifest.put(capsule, RecordKind::Blob, &hex(blob), &digest, length);
        }
        Ok(())
    }

    /// Lets go of blobs that a capsule uses no more.
    pub(crate) fn let_go(&mut self, capsule: &str, blobs: Vec<Digest>) {
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

/// The answer to a caller without the permission.
pub fn unauthorized(call: &Call) -> Error {
    Error::Unauthorized(format!("{} may not do this", call.caller))
}
