//! The contract in Rust: the types of hub.did and personal.did, the bounds of what comes in, and fees.

pub mod check;
pub mod fees;
pub mod limits;
pub mod media_type;
pub mod record_kinds;

mod access;
mod blob;
mod http;
mod migration;
mod policy;
mod quota;
mod record;

pub use access::*;
pub use blob::*;
pub use http::*;
pub use migration::*;
pub use policy::*;
pub use quota::*;
pub use record::*;

use candid::{CandidType, Nat, Principal};
use serde::{Deserialize, Serialize};

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// A person: somebody with a principal, or somebody known by another name only.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PersonRef {
    Principal(Principal),
    Opaque(String),
}

/// Where a capsule lives.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Home {
    Hub,
    /// In the hub, frozen for a migration: read-only.
    Migrating,
    Moved(Principal),
}

/// Why a call was refused.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Error {
    NotFound(String),
    Unauthorized(String),
    /// An argument outside its bounds, or a broken reference.
    Invalid(String),
    /// Other content under the same id, or the wrong phase.
    Conflict(String),
    /// Read-only for the moment: try again later.
    Migrating(String),
    /// Ask that canister.
    Moved(Principal),
    DigestMismatch(String),
    OutOfCycles {
        needed: Nat,
        available: Nat,
    },
    OutOfStorage(String),
    /// Another canister or the system refused.
    Upstream(String),
}

/// What every method that can fail answers.
pub type Answer<T> = Result<T, Error>;

/// A page of a list; `next` is the cursor of the page behind it.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Page<T, C = String> {
    pub items: Vec<T>,
    pub next: Option<C>,
}

/// Cycles and memory of a canister.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Cycles {
    pub balance: Nat,
    pub liquid: Nat,
    /// Set aside for migrations under way.
    pub reserved: Nat,
    pub low_threshold: Nat,
    pub is_low: bool,
    pub stable_bytes: u64,
    pub heap_bytes: u64,
}

/// What the calls of one method have cost so far.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct OperationCost {
    pub operation: String,
    pub calls: u64,
    pub cycles: Nat,
}
