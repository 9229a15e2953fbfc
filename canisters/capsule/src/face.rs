//! The face of a store to HTTP: which assets there are, who may see them, and tokens for them.

use crate::access::rules::{self, VIEW};
use crate::access::{Access, Call};
use crate::blobs::Blobs;
use crate::data::check;
use crate::http::{self, asset_path, variant_name};
use crate::index::Grantee;
use crate::limits::{MAX_TOKENS, MAX_TOKEN_SECONDS};
use crate::records::Records;
use crate::slots::Slots;
use crate::store::Store;
use crate::tokens::{self, Scope};
use crate::types::*;
use candid::Principal;
use ic_stable_structures::Memory as StableMemory;

const SECOND: u64 = 1_000_000_000;

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

impl<M: StableMemory> Store<M> {
    pub fn assets(&self) -> Assets<'_, M> {
        Assets { me: self.me, slots: &self.slots, records: &self.records, blobs: &self.blobs }
    }

    /// Tokens for assets that the caller may view, good for that many seconds.
    pub fn asset_tokens(
        &self,
        call: &Call,
        capsule: &str,
        wanted: &[AssetRef],
        valid_seconds: u64,
    ) -> Answer<Vec<AssetToken>> {
        let access = self.reading(call, capsule)?;
        check::list("assets", wanted, MAX_TOKENS)?;
        if valid_seconds > MAX_TOKEN_SECONDS {
            return Err(Error::Invalid(format!("a token is good for {MAX_TOKEN_SECONDS} seconds at most")));
        }
        let secret = self.slots.get(capsule)?.token_secret;
        let secret = secret.ok_or_else(|| Error::Conflict("this canister signs no more tokens".into()))?;
        let expires = call.at / SECOND + valid_seconds;
        let token = |asset: &AssetRef| {
            self.allow_read(call, &access, &Resource::Memory(asset.memory_id.clone()), VIEW)?;
            let memory: Memory = self.records.get(capsule, &asset.memory_id)?;
            if !memory.assets.iter().any(|other| other.variant_ == asset.variant_) {
                return Err(Error::NotFound(format!("{:?} of memory {}", asset.variant_, asset.memory_id)));
            }
            let scope = Scope {
                capsule: capsule.into(),
                memory: asset.memory_id.clone(),
                variant: variant_name(&asset.variant_),
                permissions: VIEW as u8,
                expires,
            };
            let token =
                tokens::mint(&secret, &scope).ok_or_else(|| Error::Invalid("a name is too long".into()))?;
            Ok(AssetToken {
                memory_id: asset.memory_id.clone(),
                variant_: asset.variant_.clone(),
                path: asset_path(&asset.memory_id, &asset.variant_, &token),
                expires_at: expires * SECOND,
            })
        };
        wanted.iter().map(token).collect()
    }
}
