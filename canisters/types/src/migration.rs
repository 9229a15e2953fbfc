//! Types of migrations: summaries, records, steps, quotes, and the state of an import.

use super::{Home, PersonRef, Time};
use candid::{CandidType, Nat, Principal};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct CapsuleSummary {
    pub id: String,
    pub subject: PersonRef,
    pub memories: u64,
    pub folders: u64,
    pub galleries: u64,
    pub access_entries: u64,
    pub connections: u64,
    pub groups: u64,
    pub blobs: u64,
    pub blob_bytes: u64,
    /// Of all blobs.
    pub chunks: u64,
    pub record_bytes: u64,
    pub home: Home,
}

/// How far a migration is. What each phase means is in `migration::phases`.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationPhase {
    Reserved,
    /// A canister was asked for; nothing is known of it until the answer.
    Creating,
    Created,
    Installed,
    Frozen,
    CutOver,
    HandedOff,
    Aborted,
}

/// What is asked of the factory.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationStep {
    Reserve,
    Create,
    Install,
    Freeze,
    Thaw,
    BuildManifest,
    CutOver,
    Abort,
    Handoff,
}

/// What the hub spent cycles on.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expense {
    /// What the system took for a new canister.
    CreationFee,
    /// What the personal canister was created with.
    Endowment,
    /// Both, for a canister of which nothing is known.
    LostCreation,
    /// The calls that a step made.
    Calls(MigrationStep),
}

#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct CycleEntry {
    pub at: Time,
    pub operation: Expense,
    pub amount: Nat,
    pub balance_after: Nat,
}

/// The hub's record of one migration.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    pub id: u64,
    pub capsule_id: String,
    pub phase: MigrationPhase,
    /// The capsule is taken: there is no other migration of it, and it is not deleted.
    pub is_active: bool,
    pub can_abort: bool,
    pub operator: Principal,
    pub canister_id: Option<Principal>,
    pub module_hash: Option<ByteBuf>,
    /// Cycles set aside at reserve.
    pub budget: Nat,
    /// Cycles the personal canister is created with.
    pub endowment: Nat,
    /// Every cycle the hub spent on it.
    pub ledger: Vec<CycleEntry>,
    /// Cycles that came back by abort.
    pub returned: Nat,
    /// Counts freezes of this capsule.
    pub generation: u64,
    pub root: Option<ByteBuf>,
    pub reserved_at: Time,
    pub frozen_at: Option<Time>,
    pub cut_over_at: Option<Time>,
    pub handed_off_at: Option<Time>,
}

/// What a migration, or the rest of one, has to do, and the cycles that it uses up.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct MigrationWork {
    pub chunks: u64,
    /// Of the chunks.
    pub bytes: u64,
    pub calls: u64,
    pub cycles: Nat,
}

#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct MigrationQuote {
    pub feasible: bool,
    pub problems: Vec<String>,
    pub budget: Nat,
    pub creation_fee: Nat,
    pub endowment: Nat,
    pub call_reserve: Nat,
    pub available: Nat,
    pub wasm_sha256: Option<ByteBuf>,
    pub active: Option<Migration>,
    /// From the start.
    pub whole: MigrationWork,
    /// From where it stands.
    pub rest: MigrationWork,
}

/// Where a capsule lives, with what proves it.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct CertifiedHome {
    pub home: Home,
    /// Certifies the canister's certified data.
    pub certificate: ByteBuf,
    /// CBOR hash tree: /registry/<capsule id> -> "hub", "migrating", or the text of a canister's id.
    pub witness: ByteBuf,
}

#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct WasmInfo {
    pub sha256: ByteBuf,
    pub length: u64,
    pub uploaded_at: Time,
}

#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct HubInit {
    pub operators: Vec<Principal>,
}

#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct PersonalInit {
    pub capsule_id: String,
    pub hub: Principal,
    pub operators: Vec<Principal>,
}

/// What the tokens that the hub gave out are told by.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct HubTokens {
    /// 32 bytes.
    pub secret: ByteBuf,
    /// Tokens made at an earlier count of revocations are worth nothing.
    pub from: u32,
}

/// An owner's leave to hand the personal canister off, and to whom.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct HandoffConsent {
    pub controllers: Vec<Principal>,
    /// Those of the controllers who were owners when it was given: it is void without any of them.
    pub owners: Vec<Principal>,
    pub given_by: Principal,
    pub given_at: Time,
    pub expires_at: Time,
}

/// What a personal canister tells its hub at the hand-off.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct HandoffTerms {
    /// Whether the principal that was asked about is an owner.
    pub is_owner: bool,
    /// The consent that is valid now.
    pub consent: Option<HandoffConsent>,
}

#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportState {
    Importing,
    Sealed,
    Live,
}

#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ImportStatus {
    pub capsule_id: String,
    pub hub: Principal,
    pub state: ImportState,
    pub generation: u64,
    pub records: u64,
    pub blobs_declared: u64,
    pub blobs_complete: u64,
    pub chunks_received: u64,
    pub root: Option<ByteBuf>,
}
