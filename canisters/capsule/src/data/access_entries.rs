//! Access entries: which kinds there are, and that nobody grants more, or for longer, than they could.

use super::{Editable, Stamp, Stamped};
use crate::store::{Access, Store};
use access::rules::{self, Place};
use access::{unauthorized, Call};
use ic_stable_structures::Memory as StableMemory;
use types::limits::*;
use types::*;

impl Stamped for AccessEntry {
    type Input = AccessInput;

    fn given_id(input: &AccessInput) -> Option<&str> {
        input.id.as_deref()
    }

    fn make(input: AccessInput, stamp: Stamp) -> Self {
        AccessEntry {
            id: stamp.id,
            capsule_id: stamp.capsule_id,
            resource: input.resource,
            person: input.person,
            role: input.role,
            permissions: input.permissions,
            source: input.source,
            source_id: input.source_id,
            condition: input.condition,
            is_public: input.is_public,
            invited_by: stamp.author,
            created_at: stamp.created_at,
            updated_at: stamp.updated_at,
            is_derived: stamp.is_derived,
        }
    }

    fn stamp(&self) -> Stamp {
        Stamp {
            id: self.id.clone(),
            capsule_id: self.capsule_id.clone(),
            author: self.invited_by.clone(),
            is_derived: self.is_derived,
            created_at: self.created_at,
            updated_at: self.updated_at,
            uploaded_at: self.created_at,
        }
    }

    fn restamp(self, stamp: Stamp) -> Self {
        let Stamp { id, capsule_id, author, is_derived, created_at, updated_at, .. } = stamp;
        AccessEntry { id, capsule_id, invited_by: author, is_derived, created_at, updated_at, ..self }
    }
}

impl Editable for AccessEntry {
    const IS_GRANT: bool = true;

    fn resource(&self, place: Place) -> Resource {
        match place {
            Place::Target => self.resource.clone(),
            Place::Itself | Place::Parent | Place::Capsule => Resource::Capsule,
        }
    }

    fn is_addressed_to(&self, person: &PersonRef) -> bool {
        self.person.as_ref() == Some(person)
    }

    /// The table of entry kinds.
    ///
    /// | source         | person   | is_public | source_id | grants to        |
    /// |----------------|----------|-----------|-----------|------------------|
    /// | any            | somebody | no        | any       | that person      |
    /// | not Group      | nobody   | yes       | any       | everybody        |
    /// | Group          | nobody   | no        | a group   | its members      |
    /// | MagicLink      | nobody   | no        | any       | nobody so far    |
    ///
    /// Everything else is Invalid, and so is a public entry with more than view and download, or a
    /// mask with more than its role can have.
    fn check(&self) -> Answer<()> {
        let kind_is_known =
            match (self.source, self.person.is_some(), self.is_public, self.source_id.is_some()) {
                (_, true, false, _) => true,
                (GrantSource::Group, false, public, group) => !public && group,
                (_, false, true, _) => true,
                (source, false, false, _) => source == GrantSource::MagicLink,
                (_, true, true, _) => false,
            };
        if !kind_is_known {
            return Err(Error::Invalid(
                "an entry grants to one person, to one group, or to everybody".into(),
            ));
        }
        if self.permissions == 0 || self.permissions & !rules::ceiling(self.role) != 0 {
            return Err(Error::Invalid(format!(
                "a {:?} cannot have the permissions {}",
                self.role, self.permissions
            )));
        }
        if self.is_public && self.permissions & !rules::PUBLIC != 0 {
            return Err(Error::Invalid("everybody can have view and download only".into()));
        }
        self.person.as_ref().map_or(Ok(()), check::person)?;
        self.source_id.as_deref().map_or(Ok(()), check::id)?;
        match &self.condition {
            AccessCondition::EventTriggered { event } => check::text("event", event, MAX_SHORT_TEXT),
            _ => Ok(()),
        }
    }

    fn check_references<M: StableMemory>(
        &self,
        store: &Store<M>,
        call: &Call,
        access: &Access<'_, M>,
        old: Option<&Self>,
    ) -> Answer<()> {
        if !access.exists(&self.resource) {
            return Err(Error::Invalid(format!("there is no {:?}", self.resource)));
        }
        if let (GrantSource::Group, Some(group)) = (self.source, &self.source_id) {
            if !store.records.contains(&self.capsule_id, RecordKind::Group, group) {
                return Err(Error::Invalid(format!("there is no group {group}")));
            }
        }
        if old.is_some_and(|old| old.resource != self.resource) {
            return Err(Error::Invalid("an access entry stays on its resource".into()));
        }
        let others = store.records.index.entries_on(&self.capsule_id, &self.resource);
        if old.is_none() && others.take(MAX_ENTRIES).count() == MAX_ENTRIES {
            return Err(Error::Invalid(format!("there are {MAX_ENTRIES} access entries on it already")));
        }
        self.check_touch(call, access)
    }

    /// Nobody grants, changes or takes away more than they could grant themselves; what everybody may
    /// see is for those who manage it.
    fn check_touch<M: StableMemory>(&self, call: &Call, access: &Access<'_, M>) -> Answer<()> {
        let own = access.effective(Some(&call.person()), &self.resource)?;
        let is_shown_to_all = self.is_public && own & rules::MANAGE == 0;
        if is_shown_to_all || self.permissions & !rules::grantable(own) != 0 {
            return Err(unauthorized(call));
        }
        Ok(())
    }
}
