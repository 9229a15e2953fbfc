//! What access follows from: the entries of a capsule, and the records that they reach.

use types::*;

/// To whom an access entry grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grantee {
    Everybody,
    Person(PersonRef),
    Group(String),
    /// A magic link that nobody has redeemed.
    Nobody,
}

impl Grantee {
    pub fn of(entry: &AccessEntry) -> Self {
        match (&entry.person, entry.is_public, entry.source, &entry.source_id) {
            (Some(person), ..) => Grantee::Person(person.clone()),
            (None, true, ..) => Grantee::Everybody,
            (None, false, GrantSource::Group, Some(group)) => Grantee::Group(group.clone()),
            (None, false, ..) => Grantee::Nobody,
        }
    }
}

/// The records of capsules, as far as access follows from them.
pub trait Grants {
    /// The head of a capsule: its owners, controllers and the events that have happened.
    fn capsule(&self, id: &str) -> Answer<Capsule>;
    fn memory(&self, capsule: &str, id: &str) -> Answer<Memory>;
    fn folder(&self, capsule: &str, id: &str) -> Answer<Option<Folder>>;
    fn group(&self, capsule: &str, id: &str) -> Answer<Option<Group>>;
    fn contains(&self, capsule: &str, kind: RecordKind, id: &str) -> bool;
    /// The first id of a kind, or the next one behind `after`.
    fn next_id(&self, capsule: &str, kind: RecordKind, after: Option<&str>) -> Option<String>;

    /// The entries on this very resource.
    fn entries_on(&self, capsule: &str, resource: &Resource) -> Answer<Vec<AccessEntry>>;
    /// Those of them that grant to this grantee.
    fn entries_for(&self, grantee: &Grantee, capsule: &str, resource: &Resource) -> Answer<Vec<AccessEntry>>;
    /// The groups of a capsule that a person is in.
    fn groups_of(&self, person: &PersonRef, capsule: &str) -> Vec<String>;
    /// The galleries that show a memory.
    fn galleries_with(&self, capsule: &str, memory: &str) -> Vec<String>;

    /// The first capsule, from `from` on, where a person has a grant or is in a group.
    fn capsule_reached(&self, person: &PersonRef, from: &str) -> Option<String>;
    /// The first resource of a capsule, behind `after`, that a grantee is granted something on.
    fn resource_granted(
        &self,
        grantee: &Grantee,
        capsule: &str,
        after: Option<&Resource>,
    ) -> Option<Resource>;
}
