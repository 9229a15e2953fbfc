//! What a migration costs, quoted before anything is spent: cycles to set aside, cycles used up.

use crate::migrations::cycles;
use candid::Nat;
use types::fees::{BYTES_AROUND, FEES};
use types::*;

/// What an empty personal canister is given: it keeps about 42e9 cycles for each call in flight.
const BASE_ENDOWMENT: u128 = 1_000_000_000_000;
/// Stable memory that an empty personal canister has, in bytes.
const BASE_BYTES: u128 = 64 << 20;
/// Storage that is paid for in advance, in seconds: 90 days.
const STORAGE_SECONDS: u128 = 90 * 24 * 60 * 60;
/// Instructions for a byte that is imported, with room to spare: most of them hash it.
const ENDOWED_INSTRUCTIONS_PER_BYTE: u128 = 100;

/// Bytes of records in a message of the relay.
const RECORD_BYTES_PER_MESSAGE: u64 = 1_500_000;
/// Blobs that are declared in a message.
const BLOBS_PER_MESSAGE: u64 = 1_000;
/// Calls that every migration makes, whatever its size.
const CONTROL_CALLS: u64 = 12;
const INSTRUCTIONS_PER_CHUNK_BYTE: u128 = 24;
const INSTRUCTIONS_PER_RECORD: u128 = 400_000;

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

/// A quote for a capsule with this content, given its newest migration, if any, and how many of its
/// chunks the personal canister has.
pub fn quote(
    capsule: &CapsuleSummary,
    newest: Option<Migration>,
    chunks_present: u64,
    funds: HubFunds,
) -> MigrationQuote {
    let endowment = endowment(capsule);
    let budget = funds.creation_fee + endowment + CALL_RESERVE;
    let available = funds.liquid.saturating_sub(funds.reserved + HUB_FLOOR);
    let fee = fee_of(newest.as_ref(), funds.creation_fee);
    let active = newest.filter(|migration| migration.is_active);
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
        whole: work(capsule, capsule.chunks, fee),
        rest: rest(capsule, active.as_ref(), chunks_present, funds.creation_fee),
        active,
    }
}

/// What is left to do from where a migration stands.
fn rest(capsule: &CapsuleSummary, active: Option<&Migration>, present: u64, fee: u128) -> MigrationWork {
    if matches!(capsule.home, Home::Moved(_)) {
        return MigrationWork { chunks: 0, bytes: 0, calls: 0, cycles: Nat::from(0u8) };
    }
    let is_created = active.is_some_and(|migration| migration.canister_id.is_some());
    work(capsule, capsule.chunks.saturating_sub(present), if is_created { 0 } else { fee })
}

/// The calls that bring all records and these chunks of the blobs, and what they use up with the fee.
fn work(capsule: &CapsuleSummary, chunks: u64, creation_fee: u128) -> MigrationWork {
    let share = u128::from(capsule.blob_bytes) * u128::from(chunks) / u128::from(capsule.chunks.max(1));
    let calls = chunks
        + capsule.record_bytes / RECORD_BYTES_PER_MESSAGE
        + capsule.blobs / BLOBS_PER_MESSAGE
        + CONTROL_CALLS;
    let instructions =
        share * INSTRUCTIONS_PER_CHUNK_BYTE + u128::from(records(capsule)) * INSTRUCTIONS_PER_RECORD;
    let import = FEES.updates(calls.into(), share + u128::from(capsule.record_bytes), instructions);
    MigrationWork { chunks, bytes: share as u64, calls, cycles: Nat::from(creation_fee + import) }
}

/// What the canister of a migration was, or would be, created for.
fn fee_of(newest: Option<&Migration>, fee: u128) -> u128 {
    let ledger = newest.filter(|migration| migration.phase != MigrationPhase::Aborted);
    let mut entries = ledger.into_iter().flat_map(|migration| &migration.ledger);
    entries.find(|entry| entry.operation == Expense::CreationFee).map_or(fee, |entry| cycles(&entry.amount))
}

/// All records, the capsule's own among them.
fn records(capsule: &CapsuleSummary) -> u64 {
    let CapsuleSummary { memories, folders, galleries, access_entries, connections, groups, .. } = capsule;
    1 + memories + folders + galleries + access_entries + connections + groups
}

/// Cycles that a personal canister needs to take in a capsule and to keep it for 90 days.
fn endowment(capsule: &CapsuleSummary) -> u128 {
    let blob_bytes = u128::from(capsule.blob_bytes);
    let record_bytes = u128::from(capsule.record_bytes);
    let bytes = blob_bytes + record_bytes;
    let messages = capsule.chunks + capsule.record_bytes / RECORD_BYTES_PER_MESSAGE + 1;
    let import = FEES.updates(
        messages.into(),
        u128::from(messages) * BYTES_AROUND + bytes,
        bytes * ENDOWED_INSTRUCTIONS_PER_BYTE,
    );
    // records and their index take several times their bytes
    let storage =
        (BASE_BYTES + blob_bytes + 4 * record_bytes) * FEES.gib_second * STORAGE_SECONDS / (1 << 30);
    BASE_ENDOWMENT + import + storage
}
