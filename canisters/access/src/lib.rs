//! Who may do what: the rules, the effective permission, the matrix and the reach of a person.
//!
//! Nothing here knows where records are kept: what access follows from comes through [`Grants`].

mod effective;
mod grants;
mod matrix;
mod reach;
pub mod rules;

pub use effective::Access;
pub use grants::{Grantee, Grants};
pub use reach::reach;

use candid::Principal;
use types::{Error, PersonRef, Time};

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

/// The answer to a caller without the permission.
pub fn unauthorized(call: &Call) -> Error {
    Error::Unauthorized(format!("{} may not do this", call.caller))
}
