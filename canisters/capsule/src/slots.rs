//! The registry: where each capsule that this canister knows lives, and what belongs to it besides
//! its records: the generation of its freezes and the secret that signs its asset tokens.

use crate::canonical;
use crate::memory::{self, Vm};
use crate::types::*;
use candid::Principal;
use ic_stable_structures::memory_manager::MemoryManager;
use ic_stable_structures::{Memory as StableMemory, StableBTreeMap};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// A capsule's place in the registry.
///
/// Moved to the canister itself means: it lives here for good.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    pub home: Home,
    /// Counts freezes.
    pub generation: u64,
    /// The operator who made the capsule for somebody else. May fill it as a controller could, while
    /// it lives here and no owner has named its controllers; nothing of that moves with the capsule.
    pub made_by: Option<Principal>,
    /// 32 bytes; none after the capsule was handed off.
    pub token_secret: Option<ByteBuf>,
    /// The manifest root that is certified: of the frozen or imported capsule.
    pub certified_root: Option<ByteBuf>,
    /// Its content is being deleted, in steps.
    pub deleting: bool,
}

pub struct Slots<M: StableMemory> {
    slots: StableBTreeMap<String, Vec<u8>, Vm<M>>,
}

impl<M: StableMemory> Slots<M> {
    pub fn init(memories: &MemoryManager<M>) -> Self {
        Slots { slots: StableBTreeMap::init(memories.get(memory::SLOTS)) }
    }

    pub fn find(&self, capsule: &str) -> Option<Slot> {
        self.slots.get(&capsule.to_string()).and_then(|bytes| canonical::decode(&bytes).ok())
    }

    pub fn get(&self, capsule: &str) -> Answer<Slot> {
        self.find(capsule).ok_or_else(|| Error::NotFound(format!("capsule {capsule}")))
    }

    pub fn put(&mut self, capsule: &str, slot: &Slot) {
        self.slots.insert(capsule.to_string(), canonical::encode(slot));
    }

    /// Changes a slot that exists.
    pub fn change(&mut self, capsule: &str, change: impl FnOnce(&mut Slot)) -> Answer<Slot> {
        let mut slot = self.get(capsule)?;
        change(&mut slot);
        self.put(capsule, &slot);
        Ok(slot)
    }

    pub fn remove(&mut self, capsule: &str) {
        self.slots.remove(&capsule.to_string());
    }

    /// Ids in order, from behind `after`.
    pub fn ids<'a>(&'a self, after: Option<&str>) -> impl Iterator<Item = String> + 'a {
        let start = after.map(|id| format!("{id}\0")).unwrap_or_default();
        self.slots.keys_range(start..)
    }

    pub fn len(&self) -> u64 {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

impl Slot {
    /// Ok where the capsule's data may be read in the canister `me`.
    pub fn readable(&self, capsule: &str, me: Principal) -> Answer<()> {
        match self.home {
            _ if self.deleting => Err(Error::NotFound(format!("capsule {capsule}"))),
            Home::Moved(place) if place != me => Err(Error::Moved(place)),
            _ => Ok(()),
        }
    }

    /// Ok where the capsule's data may be changed in the canister `me`.
    pub fn writable(&self, capsule: &str, me: Principal) -> Answer<()> {
        self.readable(capsule, me)?;
        match self.home {
            Home::Migrating => {
                Err(Error::Migrating(format!("capsule {capsule} is read-only while it is being migrated")))
            }
            _ => Ok(()),
        }
    }
}
