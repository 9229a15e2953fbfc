//! What a migration costs, quoted before anything is spent.

use candid::Nat;
use types::fees::{BYTES_AROUND, FEES};
use types::*;

/// What an empty personal canister is given: it keeps about 42e9 cycles for each call in flight.
const BASE_ENDOWMENT: u128 = 1_000_000_000_000;
/// Stable memory that an empty personal canister has, in bytes.
const BASE_BYTES: u128 = 64 << 20;
/// Storage that is paid for in advance, in seconds: 90 days.
const STORAGE_SECONDS: u128 = 90 * 24 * 60 * 60;
/// Instructions for a byte that is imported: most of them hash it.
const INSTRUCTIONS_PER_BYTE: u128 = 100;
/// Bytes of records in a message.
const RECORD_BYTES_PER_MESSAGE: u128 = 1_000_000;

/// What the hub keeps for its calls in flight during one migration.
pub const CALL_RESERVE: u128 = 200_000_000_000;
/// What the hub keeps for itself whatever happens.
pub const HUB_FLOOR: u128 = 200_000_000_000;

/// What the hub has for a migration.
pub struct HubFunds {
    /// What the system asks for the creation of a canister.
    pub creation_fee: u128,
    /// The hub's liquid balance.
    pub liquid: u128,
    /// Set aside for other migrations.
    pub reserved: u128,
    pub wasm: Option<WasmInfo>,
}

/// A quote for a capsule with this content and this active migration, if any.
pub fn quote(capsule: &CapsuleSummary, funds: HubFunds, active: Option<Migration>) -> MigrationQuote {
    let endowment = endowment(capsule);
    let budget = funds.creation_fee + endowment + CALL_RESERVE;
    let available = funds.liquid.saturating_sub(funds.reserved + HUB_FLOOR);
    let mut problems = Vec::new();
    if funds.wasm.is_none() {
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
        creation_fee: Nat::from(funds.creation_fee),
        endowment: Nat::from(endowment),
        call_reserve: Nat::from(CALL_RESERVE),
        available: Nat::from(available),
        wasm_sha256: funds.wasm.map(|wasm| wasm.sha256),
        active,
    }
}

/// Cycles that a personal canister needs to take in a capsule and to keep it for 90 days.
fn endowment(capsule: &CapsuleSummary) -> u128 {
    let blob_bytes = u128::from(capsule.blob_bytes);
    let record_bytes = u128::from(capsule.record_bytes);
    let bytes = blob_bytes + record_bytes;
    let chunks = u128::from(capsule.blobs) + u128::from(chunk_count(capsule.blob_bytes));
    let messages = chunks + record_bytes / RECORD_BYTES_PER_MESSAGE + 1;
    let import = messages * FEES.update(BYTES_AROUND, 0)
        + bytes * (FEES.ingress_byte + INSTRUCTIONS_PER_BYTE * FEES.instruction);
    // records and their index take several times their bytes
    let storage =
        (BASE_BYTES + blob_bytes + 4 * record_bytes) * FEES.gib_second * STORAGE_SECONDS / (1 << 30);
    BASE_ENDOWMENT + import + storage
}
