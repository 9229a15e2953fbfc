//! Galleries: memories in an order, opened to all whom the gallery is open to.

use super::folders::may_pass_on;
use super::{stamped, Editable};
use crate::store::{Access, Store};
use access::rules::Place;
use access::{rules, Call};
use ic_stable_structures::Memory as StableMemory;
use std::collections::BTreeSet;
use types::limits::*;
use types::*;

stamped!(Gallery from GalleryInput { title, description, cover_memory_id, items });

impl Editable for Gallery {
    fn resource(&self, place: Place) -> Resource {
        match place {
            Place::Itself => Resource::Gallery(self.id.clone()),
            Place::Parent | Place::Target | Place::Capsule => Resource::Capsule,
        }
    }

    fn check(&self) -> Answer<()> {
        check::text("title", &self.title, MAX_SHORT_TEXT)?;
        check::maybe_text("description", &self.description, MAX_LONG_TEXT)?;
        check::list("items", &self.items, MAX_GALLERY_ITEMS)?;
        let mut seen = BTreeSet::new();
        for item in &self.items {
            check::maybe_text("caption", &item.caption, MAX_LONG_TEXT)?;
            check::maybe_text("metadata", &item.metadata, MAX_LONG_TEXT)?;
            if !seen.insert(&item.memory_id) {
                return Err(Error::Invalid(format!("memory {} is in the gallery twice", item.memory_id)));
            }
        }
        Ok(())
    }

    fn check_references<M: StableMemory>(
        &self,
        store: &Store<M>,
        call: &Call,
        access: &Access<'_, M>,
        old: Option<&Self>,
    ) -> Answer<()> {
        let shown = self.items.iter().map(|item| &item.memory_id);
        for memory in shown.clone().chain(&self.cover_memory_id) {
            if !store.records.contains(&self.capsule_id, RecordKind::Memory, memory) {
                return Err(Error::Invalid(format!("there is no memory {memory}")));
            }
        }
        // what is shown in a gallery is open to all whom the gallery is open to
        let Some(old) = old else { return Ok(()) };
        if access.effective(Some(&call.person()), &Resource::Capsule)? & rules::MANAGE != 0 {
            return Ok(());
        }
        let before: BTreeSet<_> = old.items.iter().map(|item| &item.memory_id).collect();
        let added = shown.filter(|memory| !before.contains(memory));
        for memory in added {
            may_pass_on(call, access, &Resource::Memory(memory.clone()), &self.resource(Place::Itself))?;
        }
        Ok(())
    }
}
