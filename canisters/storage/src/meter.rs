//! The meter: how often each update method was called, and what that has cost by the fee schedule.

use crate::memory::{self, Vm};
use candid::Nat;
use ic_stable_structures::memory_manager::MemoryManager;
use ic_stable_structures::{Memory as StableMemory, StableBTreeMap};
use types::fees::FEES;
use types::OperationCost;

pub struct Meter<M: StableMemory> {
    /// method -> calls, cycles
    operations: StableBTreeMap<String, (u64, u128), Vm<M>>,
}

impl<M: StableMemory> Meter<M> {
    pub fn init(memories: &MemoryManager<M>) -> Self {
        Meter { operations: StableBTreeMap::init(memories.get(memory::METER)) }
    }

    /// Adds a call of a method of this canister: there are as many entries as methods.
    pub fn add(&mut self, method: &'static str, argument_bytes: u64, instructions: u64) {
        let method = method.to_string();
        let (calls, cycles) = self.operations.get(&method).unwrap_or_default();
        let cost = FEES.updates(1, argument_bytes.into(), instructions.into());
        self.operations.insert(method, (calls + 1, cycles.saturating_add(cost)));
    }

    pub fn list(&self) -> Vec<OperationCost> {
        let cost =
            |(operation, (calls, cycles))| OperationCost { operation, calls, cycles: Nat::from(cycles) };
        self.operations.iter().map(|entry| cost(entry.into_pair())).collect()
    }
}
