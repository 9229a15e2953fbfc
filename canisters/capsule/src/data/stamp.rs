//! What the canister adds to an input to make it a record.

use crate::index::Indexed;
use types::*;

#[derive(Clone, Debug)]
pub struct Stamp {
    pub id: String,
    pub capsule_id: String,
    /// None where the record before it names nobody.
    pub author: Option<PersonRef>,
    pub created_at: Time,
    pub updated_at: Time,
    /// Of an access entry: its author could grant only what was granted to them.
    pub is_derived: bool,
    /// Of a memory; other kinds have it equal to created_at.
    pub uploaded_at: Time,
}

/// A record that an input and a stamp make.
pub trait Stamped: Indexed {
    type Input;

    /// The id that the caller gives; None: the canister makes one.
    fn given_id(input: &Self::Input) -> Option<&str>;
    fn make(input: Self::Input, stamp: Stamp) -> Self;
    /// Its own stamp.
    fn stamp(&self) -> Stamp;
    /// The same content with another stamp.
    fn restamp(self, stamp: Stamp) -> Self;
}

/// [`Stamped`] for a record that consists of an id, a capsule, two times and the named fields of its input.
macro_rules! stamped {
    ($record:ident from $input:ident { $($field:ident),* }) => {
        impl $crate::data::Stamped for $record {
            type Input = $input;

            fn given_id(input: &$input) -> Option<&str> {
                input.id.as_deref()
            }

            fn make(input: $input, stamp: $crate::data::Stamp) -> Self {
                let $crate::data::Stamp { id, capsule_id, created_at, updated_at, .. } = stamp;
                $record { id, capsule_id, $($field: input.$field,)* created_at, updated_at }
            }

            fn stamp(&self) -> $crate::data::Stamp {
                $crate::data::Stamp {
                    id: self.id.clone(),
                    capsule_id: self.capsule_id.clone(),
                    author: None,
                    is_derived: false,
                    created_at: self.created_at,
                    updated_at: self.updated_at,
                    uploaded_at: self.created_at,
                }
            }

            fn restamp(self, stamp: $crate::data::Stamp) -> Self {
                let $crate::data::Stamp { id, capsule_id, created_at, updated_at, .. } = stamp;
                $record { id, capsule_id, created_at, updated_at, ..self }
            }
        }
    };
}
pub(super) use stamped;
