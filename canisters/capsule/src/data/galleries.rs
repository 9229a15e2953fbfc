//! Galleries: memories in an order.

use super::folders::may_pass_on;
use super::{check, Editable, Stamp};
use crate::access::rules::Place;
use crate::access::{rules, Access, Call};
use crate::limits::*;
use crate::store::Store;
use crate::types::*;
use ic_stable_structures::Memory as StableMemory;
use std::collections::BTreeSet;

impl Editable for Gallery {
    type Input = GalleryInput;

    fn given_id(input: &GalleryInput) -> Option<&str> {
        input.id.as_deref()
    }

    fn make(input: GalleryInput, stamp: Stamp, _old: Option<&Self>) -> Self {
        Gallery {
            id: stamp.id,
            capsule_id: stamp.capsule_id,
            title: input.title,
            description: input.description,
            cover_memory_id: input.cover_memory_id,
            items: input.items,
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
        Gallery { id, capsule_id, created_at, updated_at, ..self }
    }

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
