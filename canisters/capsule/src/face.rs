//! The face of a store to HTTP: which assets there are, and who may see them.

use crate::access::rules::{self, VIEW};
use crate::access::Access;
use crate::blobs::Blobs;
use crate::http;
use crate::index::Grantee;
use crate::records::Records;
use crate::slots::Slots;
use crate::types::*;
use candid::Principal;
use ic_stable_structures::Memory as StableMemory;

/// What HTTP sees of a store.
pub struct Assets<'a, M: StableMemory> {
    pub me: Principal,
    pub slots: &'a Slots<M>,
    pub records: &'a Records<M>,
    pub blobs: &'a Blobs<M>,
}

impl<M: StableMemory> http::Assets for Assets<'_, M> {
    fn capsule_with(&self, memory: &str) -> Option<String> {
        self.records.index.capsules_with_memory(memory).next()
    }

    /// Hub stands for: it lives here.
    fn home(&self, capsule: &str) -> Option<Home> {
        let slot = self.slots.find(capsule).filter(|slot| !slot.deleting)?;
        Some(if slot.home == Home::Moved(self.me) { Home::Hub } else { slot.home })
    }

    fn token_secret(&self, capsule: &str) -> Option<Vec<u8>> {
        self.slots.find(capsule)?.token_secret.map(serde_bytes::ByteBuf::into_vec)
    }

    fn memory(&self, capsule: &str, memory: &str) -> Option<Memory> {
        self.records.find(capsule, memory).ok()?
    }

    fn is_public(&self, capsule: &str, memory: &str, at: Time) -> bool {
        let mask = Access::new(self.records, capsule, at)
            .and_then(|access| access.effective(None, &Resource::Memory(memory.into())));
        mask.is_ok_and(|mask| mask & VIEW != 0)
    }

    /// By an entry on the memory itself, so that a change of one entry changes the face of one memory.
    fn is_always_public(&self, capsule: &str, memory: &str) -> bool {
        let resource = Resource::Memory(memory.into());
        self.records.index.grants(&Grantee::Everybody, capsule, &resource).any(|id| {
            self.records.find::<AccessEntry>(capsule, &id).is_ok_and(|entry| {
                entry.is_some_and(|entry| {
                    entry.condition == AccessCondition::Immediate
                        && entry.permissions & rules::ceiling(entry.role) & VIEW != 0
                })
            })
        })
    }

    fn read_blob(&self, sha256: &Digest, start: u64, length: u64) -> Option<Vec<u8>> {
        self.blobs.read(sha256, start, length)
    }

    fn chunk_digest(&self, sha256: &Digest, index: u32) -> Option<Digest> {
        self.blobs.chunk_digest(sha256, index)
    }
}
