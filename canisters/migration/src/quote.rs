//! What a migration costs, quoted before anything is spent: cycles to set aside, cycles used up.

use crate::economy::{floor, Activity};
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
/// Bytes of records in a message of the relay.
const RECORD_BYTES_PER_MESSAGE: u64 = 1_500_000;
/// Blobs that are declared in a message.
const BLOBS_PER_MESSAGE: u64 = 1_000;
/// Calls that every migration makes, whatever its size.
const CONTROL_CALLS: u64 = 12;

// Instructions, measured and rounded up, so that a quote is never below what is used up.
/// Of the hub, for a byte of the module that it sends.
const PER_MODULE_BYTE_SENT: u128 = 150;
/// What compiling a module counts as, for a byte of the module as it is stored (gzip).
const PER_MODULE_BYTE_COMPILED: u128 = 12_700;
/// For a byte of a chunk: most of them hash it.
const PER_CHUNK_BYTE: u128 = 85;
const PER_CHUNK: u128 = 500_000;
const PER_BLOB: u128 = 1_500_000;
const PER_RECORD: u128 = 800_000;
const PER_RECORD_BYTE: u128 = 150;
/// Calls that the hub makes to create, install and cut over.
const FACTORY_CALLS: u128 = 6;

/// What the hub keeps for its calls in flight during one migration.
pub const CALL_RESERVE: u128 = 200_000_000_000;
/// What the hub keeps for itself when a migration under way creates its canister.
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

/// A quote for a capsule with this content, given whether its owners can be controllers, its newest
/// migration, if any, and how many of its chunks the personal canister has.
pub fn quote(
    capsule: &CapsuleSummary,
    owners: Answer<()>,
    newest: Option<Migration>,
    chunks_present: u64,
    funds: HubFunds,
) -> MigrationQuote {
    let endowment = endowment(capsule);
    let budget = funds.creation_fee + endowment + CALL_RESERVE;
    let available = funds.liquid.saturating_sub(funds.reserved + floor(Activity::NewMigration));
    let fee = fee_of(newest.as_ref(), funds.creation_fee);
    let active = newest.filter(|migration| migration.is_active);
    let mut problems = Vec::new();
    if funds.wasm.is_none() {
        problems.push("the hub has no personal module: upload it with wasm_begin".into());
    }
    if let Err(Error::Invalid(why)) = owners {
        problems.push(format!("the owners of capsule {} could not be given its canister: {why}", capsule.id));
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
        whole: work(capsule, capsule.chunks, fee + installation(&funds)),
        rest: rest(capsule, active.as_ref(), chunks_present, &funds),
        wasm_sha256: funds.wasm.map(|wasm| wasm.sha256),
        active,
    }
}

/// What is left to do from where a migration stands.
fn rest(
    capsule: &CapsuleSummary,
    active: Option<&Migration>,
    chunks_present: u64,
    funds: &HubFunds,
) -> MigrationWork {
    if matches!(capsule.home, Home::Moved(_)) {
        return MigrationWork { chunks: 0, bytes: 0, calls: 0, cycles: Nat::from(0u8) };
    }
    let is_created = active.is_some_and(|migration| migration.canister_id.is_some());
    let is_installed = active.is_some_and(|migration| migration.module_hash.is_some());
    let creation = if is_created { 0 } else { funds.creation_fee };
    let installation = if is_installed { 0 } else { installation(funds) };
    work(capsule, capsule.chunks.saturating_sub(chunks_present), creation + installation)
}

/// The calls that bring all records and these chunks of the blobs. They and what is spent besides use
/// the cycles up.
fn work(capsule: &CapsuleSummary, chunks: u64, besides: u128) -> MigrationWork {
    let bytes = u128::from(capsule.blob_bytes) * u128::from(chunks) / u128::from(capsule.chunks.max(1));
    let calls = chunks
        + capsule.record_bytes / RECORD_BYTES_PER_MESSAGE
        + capsule.blobs / BLOBS_PER_MESSAGE
        + CONTROL_CALLS;
    let record_bytes = u128::from(capsule.record_bytes);
    let instructions = bytes * PER_CHUNK_BYTE
        + u128::from(chunks) * PER_CHUNK
        + u128::from(capsule.blobs) * PER_BLOB
        + u128::from(records(capsule)) * PER_RECORD
        + record_bytes * PER_RECORD_BYTE;
    let sent = u128::from(calls) * BYTES_AROUND + bytes + record_bytes;
    let cycles = besides + FEES.updates(calls.into(), sent, instructions);
    MigrationWork { chunks, bytes: bytes as u64, calls, cycles: Nat::from(cycles) }
}

/// What the hub's calls and the compilation of the module use up.
fn installation(funds: &HubFunds) -> u128 {
    let length = funds.wasm.as_ref().map_or(0, |wasm| wasm.length.into());
    FEES.calls(FACTORY_CALLS, length, length * PER_MODULE_BYTE_SENT)
        + length * PER_MODULE_BYTE_COMPILED * FEES.instruction
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
    let import = cycles(&work(capsule, capsule.chunks, 0).cycles);
    // records and their index take several times their bytes
    let bytes = BASE_BYTES + u128::from(capsule.blob_bytes) + 4 * u128::from(capsule.record_bytes);
    BASE_ENDOWMENT + import + bytes * FEES.gib_second * STORAGE_SECONDS / (1 << 30)
}
