//! Who may do what: the rules, the effective permission, the matrix and the reach of a person.

mod effective;
mod matrix;
mod reach;
pub mod rules;

pub use effective::Access;

use crate::types::{PersonRef, Time};
use candid::Principal;

/// Who calls, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub caller: Principal,
    /// May read, export and migrate every capsule of this canister, but write only into those that
    /// the caller made for others.
    pub operator: bool,
    pub at: Time,
}

impl Call {
    pub fn person(&self) -> PersonRef {
        PersonRef::Principal(self.caller)
    }

    pub fn is_anonymous(&self) -> bool {
        self.caller == Principal::anonymous()
    }
}
