//! Connections and groups: the people around a capsule.

use super::{check, Editable, Stamp};
use crate::access::rules::Place;
use crate::access::{Access, Call};
use crate::limits::*;
use crate::store::Store;
use crate::types::*;
use ic_stable_structures::Memory as StableMemory;

impl Editable for Connection {
    type Input = ConnectionInput;

    fn given_id(input: &ConnectionInput) -> Option<&str> {
        input.id.as_deref()
    }

    fn make(input: ConnectionInput, stamp: Stamp, _old: Option<&Self>) -> Self {
        Connection {
            id: stamp.id,
            capsule_id: stamp.capsule_id,
            peer: input.peer,
            status: input.status,
            created_at: stamp.created_at,
            updated_at: stamp.updated_at,
        }
    }

    fn stamp(&self) -> Stamp {
        Stamp {
            id: self.id.clone(),
            capsule_id: self.capsule_id.clone(),
            author: None,
            created_at: self.created_at,
            updated_at: self.updated_at,
            uploaded_at: self.created_at,
        }
    }

    fn restamp(self, stamp: Stamp) -> Self {
        let Stamp { id, capsule_id, created_at, updated_at, .. } = stamp;
        Connection { id, capsule_id, created_at, updated_at, ..self }
    }

    fn resource(&self, _place: Place) -> Resource {
        Resource::Capsule
    }

    fn check(&self) -> Answer<()> {
        check::person(&self.peer)
    }

    fn check_references<M: StableMemory>(
        &self,
        _store: &Store<M>,
        _call: &Call,
        _access: &Access<'_, M>,
        _old: Option<&Self>,
    ) -> Answer<()> {
        Ok(())
    }
}

impl Editable for Group {
    type Input = GroupInput;

    fn given_id(input: &GroupInput) -> Option<&str> {
        input.id.as_deref()
    }

    fn make(input: GroupInput, stamp: Stamp, _old: Option<&Self>) -> Self {
        Group {
            id: stamp.id,
            capsule_id: stamp.capsule_id,
            name: input.name,
            description: input.description,
            members: input.members,
            created_at: stamp.created_at,
            updated_at: stamp.updated_at,
        }
    }

    fn stamp(&self) -> Stamp {
        Stamp {
            id: self.id.clone(),
            capsule_id: self.capsule_id.clone(),
            author: None,
            created_at: self.created_at,
            updated_at: self.updated_at,
            uploaded_at: self.created_at,
        }
    }

    fn restamp(self, stamp: Stamp) -> Self {
        let Stamp { id, capsule_id, created_at, updated_at, .. } = stamp;
        Group { id, capsule_id, created_at, updated_at, ..self }
    }

    fn resource(&self, _place: Place) -> Resource {
        Resource::Capsule
    }

    fn check(&self) -> Answer<()> {
        check::text("name", &self.name, MAX_SHORT_TEXT)?;
        check::maybe_text("description", &self.description, MAX_LONG_TEXT)?;
        check::persons("members", &self.members, MAX_MEMBERS)
    }

    fn check_references<M: StableMemory>(
        &self,
        _store: &Store<M>,
        _call: &Call,
        _access: &Access<'_, M>,
        _old: Option<&Self>,
    ) -> Answer<()> {
        Ok(())
    }

    fn check_unused<M: StableMemory>(&self, store: &Store<M>) -> Answer<()> {
        if store.records.index.is_granted_to_group(&self.capsule_id, &self.id) {
            return Err(Error::Conflict(format!(
                "access entries still grant something to group {}",
                self.id
            )));
        }
        Ok(())
    }
}
