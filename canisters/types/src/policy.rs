//! Types of the hub's policy: whose decision an expense of the hub is.

use crate::Quotas;
use candid::CandidType;
use serde::{Deserialize, Serialize};

/// Who may make a capsule of their own. Operators may, and make capsules for others.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum MayCreate {
    Anybody,
    Operators,
}

/// Who may start a migration, which the hub pays for.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum MayMigrate {
    /// And owners of a capsule that an operator has invited.
    Operators,
    /// And owners, each of their own capsule.
    Owners,
}

#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub create: MayCreate,
    pub migrate: MayMigrate,
    /// Most migrations that an owner starts a day, and most that are started of a capsule by its
    /// owners; those that were aborted count.
    pub migrations_a_day: u32,
    /// Most migrations for which cycles are set aside at a time.
    pub migrations_at_once: u32,
    /// The most that one capsule may have.
    pub quotas: Quotas,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            create: MayCreate::Operators,
            migrate: MayMigrate::Operators,
            migrations_a_day: 1,
            migrations_at_once: 32,
            quotas: Quotas::HUB,
        }
    }
}
