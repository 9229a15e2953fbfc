//! The operators of a canister: who may migrate (hub) and import (personal canister).

use candid::Principal;
use ic_stable_structures::memory_manager::MemoryManager;
use ic_stable_structures::{Memory as StableMemory, StableBTreeSet};
use storage::memory::{self, Vm};
use types::limits::MAX_OPERATORS;
use types::{Answer, Error};

pub struct Operators<M: StableMemory> {
    set: StableBTreeSet<Principal, Vm<M>>,
}

impl<M: StableMemory> Operators<M> {
    pub fn init(memories: &MemoryManager<M>) -> Self {
        Operators { set: StableBTreeSet::init(memories.get(memory::OPERATORS)) }
    }

    pub fn contains(&self, principal: &Principal) -> bool {
        self.set.contains(principal)
    }

    pub fn list(&self) -> Vec<Principal> {
        self.set.iter().collect()
    }

    /// One that is there already is no error.
    pub fn add(&mut self, principal: Principal) -> Answer<()> {
        if principal == Principal::anonymous() || principal == Principal::management_canister() {
            return Err(Error::Invalid(format!("{principal} cannot be an operator")));
        }
        if self.set.len() as usize >= MAX_OPERATORS && !self.set.contains(&principal) {
            return Err(Error::Invalid(format!("there are {MAX_OPERATORS} operators already")));
        }
        self.set.insert(principal);
        Ok(())
    }

    /// One that is not there is no error.
    pub fn remove(&mut self, principal: &Principal) {
        self.set.remove(principal);
    }

    pub fn clear(&mut self) {
        self.set.clear();
    }
}
