//! Connections and groups: the people around a capsule.

use super::{stamped, Editable};
use crate::store::Store;
use access::rules::Place;
use ic_stable_structures::Memory as StableMemory;
use types::limits::*;
use types::*;

stamped!(Connection from ConnectionInput { peer, status });

impl Editable for Connection {
    fn resource(&self, _place: Place) -> Resource {
        Resource::Capsule
    }

    fn check(&self) -> Answer<()> {
        check::person(&self.peer)
    }
}

stamped!(Group from GroupInput { name, description, members });

impl Editable for Group {
    fn resource(&self, _place: Place) -> Resource {
        Resource::Capsule
    }

    fn check(&self) -> Answer<()> {
        check::text("name", &self.name, MAX_SHORT_TEXT)?;
        check::maybe_text("description", &self.description, MAX_LONG_TEXT)?;
        check::persons("members", &self.members, MAX_MEMBERS)
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
