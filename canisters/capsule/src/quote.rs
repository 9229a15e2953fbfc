//! What a migration costs, quoted before anything is spent.
//!
//! Fees are those of a subnet of 13 nodes; they change, so they stand here together and the factory
//! passes in what the system itself says (the creation fee).

use crate::blobs::chunk_count;
use crate::types::*;
use candid::Nat;

/// Fees in cycles.
#[derive(Clone, Copy, Debug)]
pub struct FeeSchedule {
    pub ingress_message: u128,
    pub ingress_byte: u128,
    pub update_message: u128,
    pub instruction: u128,
    pub canister_call: u128,
    pub canister_call_byte: u128,
    /// For a GiB of storage, a second.
    pub gib_second: u128,
}

/// Fees on a subnet of 13 nodes.
pub const FEES: FeeSchedule = FeeSchedule {
    ingress_message: 1_200_000,
    ingress_byte: 2_000,
    update_message: 5_000_000,
    instruction: 1,
    canister_call: 260_000,
    canister_call_byte: 1_000,
    gib_second: 127_000,
};

/// What an empty personal canister is given: it keeps about 42e9 cycles for each call in flight.
const BASE_ENDOWMENT: u128 = 1_000_000_000_000;
/// Stable memory that an empty personal canister has, in bytes.
const BASE_BYTES: u128 = 64 << 20;
/// Storage that is paid for in advance, in seconds: 90 days.
const STORAGE_SECONDS: u128 = 90 * 24 * 60 * 60;
/// Instructions for a byte that is imported: most of them hash it.
const INSTRUCTIONS_PER_BYTE: u128 = 100;
/// Candid and envelope around a chunk or a page of records, in bytes.
const BYTES_PER_MESSAGE: u128 = 600;
/// Bytes of records in a message.
const RECORD_BYTES_PER_MESSAGE: u128 = 1_000_000;

/// What the hub keeps for its calls in flight during one migration.
pub const CALL_RESERVE: u128 = 200_000_000_000;
/// What the hub keeps for itself whatever happens.
pub const HUB_FLOOR: u128 = 200_000_000_000;

impl FeeSchedule {
    /// Cycles for an update call of this many argument bytes and instructions.
    pub fn update(&self, bytes: u128, instructions: u128) -> u128 {
        self.ingress_message
            + self.ingress_byte * bytes
            + self.update_message
            + self.instruction * instructions
    }

    /// Cycles for that many calls to other canisters, the bytes sent with them, and the instructions
    /// of the method that makes them.
    pub fn calls(&self, calls: u128, bytes: u128, instructions: u128) -> u128 {
        (calls + 1) * self.update_message
            + calls * (self.canister_call + self.canister_call_byte * BYTES_PER_MESSAGE)
            + bytes * self.canister_call_byte
            + instructions * self.instruction
    }

    /// Cycles that a personal canister needs to take in a capsule and to keep it for 90 days.
    pub fn endowment(&self, capsule: &CapsuleSummary) -> u128 {
        let blob_bytes = u128::from(capsule.blob_bytes);
        let record_bytes = u128::from(capsule.record_bytes);
        let bytes = blob_bytes + record_bytes;
        let chunks = u128::from(capsule.blobs) + u128::from(chunk_count(capsule.blob_bytes));
        let messages = chunks + record_bytes / RECORD_BYTES_PER_MESSAGE + 1;
        let import = messages * self.update(BYTES_PER_MESSAGE, 0)
            + bytes * (self.ingress_byte + INSTRUCTIONS_PER_BYTE * self.instruction);
        // records and their index take several times their bytes
        let storage =
            (BASE_BYTES + blob_bytes + 4 * record_bytes) * self.gib_second * STORAGE_SECONDS / (1 << 30);
        BASE_ENDOWMENT + import + storage
    }
}

/// The hub's side of a quote.
pub struct Means {
    /// What the system asks for the creation of a canister.
    pub creation_fee: u128,
    /// The hub's liquid balance.
    pub liquid: u128,
    /// Set aside for other migrations.
    pub reserved: u128,
    pub wasm: Option<WasmInfo>,
}

/// A quote for a capsule with this content and this active migration, if any.
pub fn quote(capsule: &CapsuleSummary, means: Means, active: Option<Migration>) -> MigrationQuote {
    let endowment = FEES.endowment(capsule);
    let budget = means.creation_fee + endowment + CALL_RESERVE;
    let available = means.liquid.saturating_sub(means.reserved + HUB_FLOOR);
    let mut problems = Vec::new();
    if means.wasm.is_none() {
        problems.push("the hub has no personal module: upload it with wasm_begin".into());
    }
    match capsule.home {
        Home::Moved(place) => problems.push(format!("capsule {} has moved to {place}", capsule.id)),
        Home::Migrating if active.is_none() => problems.push(format!("capsule {} is frozen", capsule.id)),
        _ => {}
    }
    if active.is_none() && available < budget {
        problems.push(format!("the hub can spend {available} cycles; this needs {budget}"));
    }
    MigrationQuote {
        feasible: problems.is_empty(),
        problems,
        budget: Nat::from(budget),
        creation_fee: Nat::from(means.creation_fee),
        endowment: Nat::from(endowment),
        call_reserve: Nat::from(CALL_RESERVE),
        available: Nat::from(available),
        wasm_sha256: means.wasm.map(|wasm| wasm.sha256),
        active,
    }
}
