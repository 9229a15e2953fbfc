//! Types of access: resources, roles, conditions, entries, and pages of what follows from them.

use super::{PersonRef, Time};
use candid::CandidType;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    Capsule,
    Memory(String),
    Folder(String),
    Gallery(String),
}

#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Owner,
    SuperAdmin,
    Admin,
    Member,
    Guest,
}

#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GrantSource {
    User,
    Group,
    MagicLink,
    System,
}

/// When an access entry counts.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
pub enum AccessCondition {
    Immediate,
    Scheduled { accessible_after: Time },
    ExpiresAt { expires: Time },
    EventTriggered { event: String },
}

/// A grant of permissions on one resource.
///
/// The order of the fields is the order in the canonical encoding: never change it.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct AccessEntry {
    pub id: String,
    pub capsule_id: String,
    pub resource: Resource,
    /// None: the group in `source_id`, or everybody when public.
    pub person: Option<PersonRef>,
    pub role: Role,
    /// Mask of 1 view, 2 download, 4 share, 8 manage, 16 own.
    pub permissions: u32,
    pub source: GrantSource,
    pub source_id: Option<String>,
    pub condition: AccessCondition,
    pub is_public: bool,
    pub invited_by: Option<PersonRef>,
    pub created_at: Time,
    pub updated_at: Time,
    /// Whoever made it, `invited_by`, had no more than a grant themselves: it gives what they may grant
    /// at the time, and nothing once that is gone. Left out of the canonical encoding where false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_derived: bool,
}

#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct AccessInput {
    pub id: Option<String>,
    pub resource: Resource,
    pub person: Option<PersonRef>,
    pub role: Role,
    pub permissions: u32,
    pub source: GrantSource,
    pub source_id: Option<String>,
    pub condition: AccessCondition,
    pub is_public: bool,
}

/// One resource that a person can reach.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    pub capsule_id: String,
    pub resource: Resource,
    pub permissions: u32,
}

/// The effective permission of one person (None: everybody) on one resource.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct MatrixRow {
    pub person: Option<PersonRef>,
    pub resource: Resource,
    pub permissions: u32,
}

/// A page of the access matrix; the cursor is opaque.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct MatrixPage {
    pub rows: Vec<MatrixRow>,
    pub next: Option<ByteBuf>,
}
