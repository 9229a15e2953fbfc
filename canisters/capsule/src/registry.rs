//! The registry: where each capsule that this canister knows lives.
//!
//! With it is what belongs to a capsule besides its records: the generation of its freezes, the secret
//! that signs its asset tokens, the manifest root that is certified.

use candid::Principal;
use ic_stable_structures::memory_manager::MemoryManager;
use ic_stable_structures::{Memory as StableMemory, StableBTreeMap};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use storage::canonical;
use storage::memory::{self, Vm};
use types::*;

/// Where a capsule lives, seen from this canister.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residence {
    /// Here, in the hub.
    Hub,
    /// Here and read-only: on its way out of the hub, or into its personal canister.
    Frozen,
    /// In that canister.
    MovedTo(Principal),
    /// Here for good: this is its personal canister.
    Personal,
}

impl Residence {
    /// What the canister `me` tells others.
    pub fn home(self, me: Principal) -> Home {
        match self {
            Residence::Hub => Home::Hub,
            Residence::Frozen => Home::Migrating,
            Residence::MovedTo(canister) => Home::Moved(canister),
            Residence::Personal => Home::Moved(me),
        }
    }
}

/// What the registry says of a capsule.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    pub residence: Residence,
    /// Counts freezes.
    pub generation: u64,
    /// The operator who made the capsule for somebody else. May fill it as a controller could, while
    /// it lives here and no owner has named its controllers; nothing of that moves with the capsule.
    pub provisioner: Option<Principal>,
    /// 32 bytes; none after the capsule was handed off.
    pub token_secret: Option<ByteBuf>,
    /// The manifest root that is certified: of the frozen or imported capsule.
    pub certified_root: Option<ByteBuf>,
    /// Its content is being deleted, in steps.
    pub deleting: bool,
    /// By an operator: nothing is written, and nothing is served over HTTP.
    #[serde(default)]
    pub suspended: bool,
}

impl Registration {
    /// A capsule that nothing has happened to.
    pub fn new(residence: Residence, token_secret: ByteBuf) -> Self {
        Registration {
            residence,
            generation: 0,
            provisioner: None,
            token_secret: Some(token_secret),
            certified_root: None,
            deleting: false,
            suspended: false,
        }
    }
}

pub struct Registry<M: StableMemory> {
    registrations: StableBTreeMap<String, Vec<u8>, Vm<M>>,
}

impl<M: StableMemory> Registry<M> {
    pub fn init(memories: &MemoryManager<M>) -> Self {
        Registry { registrations: StableBTreeMap::init(memories.get(memory::REGISTRY)) }
    }

    pub fn find(&self, capsule: &str) -> Option<Registration> {
        self.registrations.get(&capsule.to_string()).and_then(|bytes| canonical::decode(&bytes).ok())
    }

    pub fn get(&self, capsule: &str) -> Answer<Registration> {
        self.find(capsule).ok_or_else(|| Error::NotFound(format!("capsule {capsule}")))
    }

    pub fn put(&mut self, capsule: &str, registration: &Registration) {
        self.registrations.insert(capsule.to_string(), canonical::encode(registration));
    }

    /// Changes what is said of a capsule that is known.
    pub fn change(&mut self, capsule: &str, change: impl FnOnce(&mut Registration)) -> Answer<Registration> {
        let mut registration = self.get(capsule)?;
        change(&mut registration);
        self.put(capsule, &registration);
        Ok(registration)
    }

    pub fn remove(&mut self, capsule: &str) {
        self.registrations.remove(&capsule.to_string());
    }

    /// Ids in order, from behind `after`.
    pub fn ids<'a>(&'a self, after: Option<&str>) -> impl Iterator<Item = String> + 'a {
        let start = after.map(|id| format!("{id}\0")).unwrap_or_default();
        self.registrations.keys_range(start..)
    }

    pub fn len(&self) -> u64 {
        self.registrations.len()
    }

    pub fn is_empty(&self) -> bool {
        self.registrations.is_empty()
    }
}

impl Registration {
    /// Ok where the capsule's data may be read here.
    pub fn readable(&self, capsule: &str) -> Answer<()> {
        match self.residence {
            _ if self.deleting => Err(Error::NotFound(format!("capsule {capsule}"))),
            Residence::MovedTo(canister) => Err(Error::Moved(canister)),
            Residence::Hub | Residence::Frozen | Residence::Personal => Ok(()),
        }
    }

    /// Ok where the capsule's data may be changed here.
    pub fn writable(&self, capsule: &str) -> Answer<()> {
        self.readable(capsule)?;
        match self.residence {
            _ if self.suspended => Err(Error::Conflict(format!(
                "capsule {capsule} is suspended by the operators of this canister"
            ))),
            Residence::Frozen => {
                Err(Error::Migrating(format!("capsule {capsule} is read-only while it is being migrated")))
            }
            _ => Ok(()),
        }
    }
}
