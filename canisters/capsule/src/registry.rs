//! The registry: where each capsule that this canister knows lives.
//!
//! With it is what belongs to a capsule besides its records: the generation of its freezes, the secret
//! that signs its asset tokens and which of them are revoked, the manifest root that is certified.

use candid::Principal;
use certification::LabelTree;
use ic_certification::hash_tree::leaf_hash;
use ic_certification::{leaf, pruned, HashTree};
use ic_stable_structures::memory_manager::MemoryManager;
use ic_stable_structures::{Memory as StableMemory, StableBTreeMap};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use storage::canonical;
use storage::keys::Key;
use storage::memory::{self, Vm};
use types::limits::MAX_REVOKED_MEMORIES;
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

    /// The same as bytes to be certified: a word, or the text of the canister's id.
    pub fn certified(self) -> Vec<u8> {
        match self {
            Residence::Hub => b"hub".to_vec(),
            Residence::Frozen => b"migrating".to_vec(),
            Residence::MovedTo(canister) => canister.to_text().into_bytes(),
            Residence::Personal => b"personal".to_vec(),
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
    /// 32 bytes that sign asset tokens; none in the hub after the capsule was handed off, and none in
    /// the personal canister before it made its own.
    pub token_secret: Option<ByteBuf>,
    /// How often tokens were revoked.
    #[serde(default)]
    pub revocations: u32,
    /// Tokens made at an earlier count are worth nothing.
    #[serde(default)]
    pub tokens_from: u32,
    /// What the hub's tokens are told by, in a live personal canister until the hand-off.
    #[serde(default)]
    pub hub_tokens: Option<HubTokens>,
    /// The hub's tokens, and those that it could have forged, are worth nothing any more.
    #[serde(default)]
    pub hub_tokens_ended: bool,
    /// The manifest root that is certified: of the frozen or imported capsule.
    pub certified_root: Option<ByteBuf>,
    /// Its content is being deleted, in steps.
    pub deleting: bool,
    /// Public answers of the frozen capsule were taken out of the certified tree, so that it can move.
    pub withdrawn: bool,
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
            revocations: 0,
            tokens_from: 0,
            hub_tokens: None,
            hub_tokens_ended: false,
            certified_root: None,
            deleting: false,
            withdrawn: false,
            suspended: false,
        }
    }
}

pub struct Registry<M: StableMemory> {
    registrations: StableBTreeMap<String, Vec<u8>, Vm<M>>,
    /// capsule 00 memory 00 -> the count of revocations before which its tokens are worth nothing
    revoked: StableBTreeMap<Vec<u8>, u32, Vm<M>>,
    /// capsule -> where it lives, as a leaf: certified, so that one node cannot say otherwise
    homes: LabelTree<Vm<M>>,
}

/// A secret that signs tokens, and the count of revocations from which on they are good.
pub struct TokenKey {
    pub secret: ByteBuf,
    pub from: u32,
}

impl<M: StableMemory> Registry<M> {
    pub fn init(memories: &MemoryManager<M>) -> Self {
        Registry {
            registrations: StableBTreeMap::init(memories.get(memory::REGISTRY)),
            revoked: StableBTreeMap::init(memories.get(memory::TOKEN_REVOCATIONS)),
            homes: LabelTree::init(memories.get(memory::CERTIFIED_HOMES)),
        }
    }

    pub fn find(&self, capsule: &str) -> Option<Registration> {
        self.registrations.get(&capsule.to_string()).and_then(|bytes| canonical::decode(&bytes).ok())
    }

    pub fn get(&self, capsule: &str) -> Answer<Registration> {
        self.find(capsule).ok_or_else(|| Error::NotFound(format!("capsule {capsule}")))
    }

    pub fn put(&mut self, capsule: &str, registration: &Registration) {
        self.registrations.insert(capsule.to_string(), canonical::encode(registration));
        let home = leaf_hash(&registration.residence.certified());
        if self.homes.get(capsule.as_bytes()) != Some(home) {
            self.homes.insert(capsule.as_bytes(), &home);
        }
    }

    /// The root of the tree of homes: capsule id -> what [`Residence::certified`] says.
    pub fn homes_root(&self) -> Digest {
        self.homes.root_hash()
    }

    /// That tree with all pruned but the home of a capsule, or the proof that it is not known.
    pub fn home_witness(&self, capsule: &str) -> HashTree {
        let known = self.find(capsule);
        self.homes.witness(capsule.as_bytes(), |digest| {
            known.map_or(pruned(digest), |known| leaf(known.residence.certified()))
        })
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
        self.homes.remove(capsule.as_bytes());
        self.forget_revoked_memories(capsule);
    }

    /// The tokens of a memory, or of the whole capsule, that were made until now are worth nothing.
    pub fn revoke_tokens(&mut self, capsule: &str, memory: Option<&str>) -> Answer<()> {
        let Some(memory) = memory else {
            self.change(capsule, |known| {
                known.revocations += 1;
                known.tokens_from = known.revocations;
                known.hub_tokens = None;
            })?;
            self.forget_revoked_memories(capsule);
            return Ok(());
        };
        let key = revoked_key(capsule, memory);
        if !self.revoked.contains_key(&key) && self.revoked_memories(capsule).len() >= MAX_REVOKED_MEMORIES {
            return Err(Error::Conflict(format!(
                "tokens of {MAX_REVOKED_MEMORIES} memories are revoked: revoke those of the whole capsule"
            )));
        }
        let known = self.change(capsule, |known| known.revocations += 1)?;
        self.revoked.insert(key, known.revocations);
        Ok(())
    }

    /// What tokens of a memory are told by.
    pub fn token_keys(&self, capsule: &str, memory: &str) -> Vec<TokenKey> {
        let Some(known) = self.find(capsule) else { return Vec::new() };
        let revoked = self.revoked.get(&revoked_key(capsule, memory));
        let from = known.tokens_from.max(revoked.unwrap_or(0));
        let own = known.token_secret.map(|secret| TokenKey { secret, from });
        // the hub counted its own revocations: what was revoked here ends all of its tokens
        let hub = known.hub_tokens.filter(|_| revoked.is_none());
        let hub = hub.map(|HubTokens { secret, from }| TokenKey { secret, from });
        own.into_iter().chain(hub).collect()
    }

    /// What the personal canister is told about the hub's tokens when it goes live. It is not told which
    /// memories' tokens are revoked: where any are, all tokens from before that end.
    pub fn tokens_to_go(&self, capsule: &str) -> Answer<Option<HubTokens>> {
        let known = self.get(capsule)?;
        let any = !self.revoked_memories(capsule).is_empty();
        let from = if any { known.revocations } else { known.tokens_from };
        Ok(known.token_secret.map(|secret| HubTokens { secret, from }))
    }

    fn revoked_memories(&self, capsule: &str) -> Vec<Vec<u8>> {
        let prefix = Key::default().text(capsule);
        self.revoked.keys_range(prefix.clone().into_bytes()..prefix.end()).collect()
    }

    fn forget_revoked_memories(&mut self, capsule: &str) {
        for key in self.revoked_memories(capsule) {
            self.revoked.remove(&key);
        }
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

fn revoked_key(capsule: &str, memory: &str) -> Vec<u8> {
    Key::default().text(capsule).text(memory).into_bytes()
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

    /// The canister that the capsule was handed off in: nobody reads what is left of it here.
    pub fn handed_off_to(&self) -> Option<Principal> {
        match self.residence {
            Residence::MovedTo(canister) if self.token_secret.is_none() => Some(canister),
            _ => None,
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
