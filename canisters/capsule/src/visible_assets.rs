//! What HTTP may ask a store: which assets there are, and who may see them.

use crate::http;
use crate::records::Records;
use crate::registry::{Registry, Residence, TokenKey};
use access::rules::{self, VIEW};
use access::Access;
use access::Grantee;
use blobs::Blobs;
use candid::Principal;
use ic_stable_structures::Memory as StableMemory;
use types::*;

/// What HTTP sees of a store.
pub struct VisibleAssets<'a, M: StableMemory> {
    pub registry: &'a Registry<M>,
    pub records: &'a Records<M>,
    pub blobs: &'a Blobs<M>,
}

impl<M: StableMemory> http::Assets for VisibleAssets<'_, M> {
    fn capsule_with(&self, memory: &str) -> Option<String> {
        self.records.index.capsules_with_memory(memory).next()
    }

    fn residence(&self, capsule: &str) -> Option<Residence> {
        self.registry
            .find(capsule)
            .filter(|known| !known.deleting && !known.suspended)
            .map(|known| known.residence)
    }

    fn is_suspended(&self, capsule: &str) -> bool {
        self.registry.find(capsule).is_some_and(|known| known.suspended)
    }

    fn token_keys(&self, capsule: &str, memory: &str) -> Vec<TokenKey> {
        self.registry.token_keys(capsule, memory)
    }

    fn hub_tokens_ended(&self, capsule: &str) -> bool {
        self.registry.find(capsule).is_some_and(|known| known.hub_tokens_ended)
    }

    fn has(&self, person: Principal, permissions: u32, capsule: &str, memory: &str, at: Time) -> bool {
        let (person, memory) = (PersonRef::Principal(person), Resource::Memory(memory.into()));
        let mask = Access::new(self.records, capsule, at)
            .and_then(|access| access.effective(Some(&person), &memory));
        mask.is_ok_and(|mask| mask & permissions == permissions)
    }

    fn memory(&self, capsule: &str, memory: &str) -> Option<Memory> {
        self.records.find(capsule, memory).ok()?
    }

    fn is_public(&self, capsule: &str, memory: &str, at: Time) -> bool {
        let mask = Access::new(self.records, capsule, at)
            .and_then(|access| access.effective(None, &Resource::Memory(memory.into())));
        mask.is_ok_and(|mask| mask & VIEW != 0)
    }

    /// By an entry on the memory itself, so that a change of one entry changes what is public of one memory.
    fn is_always_public(&self, capsule: &str, memory: &str) -> bool {
        let resource = Resource::Memory(memory.into());
        self.records.index.grants(&Grantee::Everybody, capsule, &resource).any(|id| {
            self.records.find::<AccessEntry>(capsule, &id).is_ok_and(|entry| {
                entry.is_some_and(|entry| {
                    entry.condition == AccessCondition::Immediate
                        && !entry.is_derived
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
