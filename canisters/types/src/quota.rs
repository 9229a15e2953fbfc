//! The most that a canister keeps of one capsule.

use crate::limits::MAX_UPLOADS;
use candid::CandidType;
use serde::{Deserialize, Serialize};

#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    pub records: u64,
    pub record_bytes: u64,
    /// Of blobs that memories use and of uploads, each with its whole length from when it was begun.
    pub blob_bytes: u64,
    /// Uploads that no memory refers to yet.
    pub open_uploads: u32,
    /// What they will have together.
    pub open_upload_bytes: u64,
}

impl Quotas {
    /// Of a hub, unless its operators say otherwise.
    pub const HUB: Quotas = Quotas {
        records: 100_000,
        record_bytes: 1_000_000_000,
        blob_bytes: 50_000_000_000,
        open_uploads: MAX_UPLOADS,
        open_upload_bytes: 50_000_000_000,
    };
    /// Of a personal canister: its owner pays, and what it has room for is the only bound.
    pub const PERSONAL: Quotas = Quotas {
        records: u64::MAX,
        record_bytes: u64::MAX,
        blob_bytes: u64::MAX,
        open_uploads: MAX_UPLOADS,
        open_upload_bytes: u64::MAX,
    };
}
