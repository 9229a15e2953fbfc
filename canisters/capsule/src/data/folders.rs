//! Folders: what they may lie in, and what may be put into them.

use super::{stamped, Editable};
use crate::store::{Access, Store};
use access::rules::Place;
use access::{rules, unauthorized, Call};
use ic_stable_structures::Memory as StableMemory;
use types::limits::*;
use types::*;

stamped!(Folder from FolderInput { title, description, parent_folder_id });

impl Editable for Folder {
    fn resource(&self, place: Place) -> Resource {
        match place {
            Place::Itself => Resource::Folder(self.id.clone()),
            Place::Parent => parent(&self.parent_folder_id),
            Place::Target | Place::Capsule => Resource::Capsule,
        }
    }

    fn check(&self) -> Answer<()> {
        check::text("title", &self.title, MAX_SHORT_TEXT)?;
        check::maybe_text("description", &self.description, MAX_LONG_TEXT)
    }

    fn check_references<M: StableMemory>(
        &self,
        store: &Store<M>,
        call: &Call,
        access: &Access<'_, M>,
        old: Option<&Self>,
    ) -> Answer<()> {
        let Some(parent) = &self.parent_folder_id else {
            return Ok(());
        };
        let mut next = Some(parent.clone());
        for _ in 0..MAX_FOLDERS_UP {
            let Some(id) = next else {
                if old.is_some_and(|old| old.parent_folder_id != self.parent_folder_id) {
                    let container = Resource::Folder(parent.clone());
                    return may_pass_on(call, access, &self.resource(Place::Itself), &container);
                }
                return Ok(());
            };
            if old.is_some() && id == self.id {
                return Err(Error::Invalid(format!("folder {} would lie in itself", self.id)));
            }
            let folder: Option<Folder> = store.records.find(&self.capsule_id, &id)?;
            next = folder.ok_or_else(|| Error::Invalid(format!("there is no folder {id}")))?.parent_folder_id;
        }
        Err(Error::Invalid(format!("folders are nested more than {MAX_FOLDERS_UP} deep")))
    }

    fn check_unused<M: StableMemory>(&self, store: &Store<M>) -> Answer<()> {
        if store.records.index.has_children(&self.capsule_id, &self.id) {
            return Err(Error::Conflict(format!("folder {} is not empty", self.id)));
        }
        Ok(())
    }
}

/// The resource that something lies in.
pub(super) fn parent(folder: &Option<String>) -> Resource {
    folder.as_ref().map_or(Resource::Capsule, |folder| Resource::Folder(folder.clone()))
}

/// Ok where the caller may put a thing into a container, whose grants then reach the thing: whoever
/// manages the thing, and has nothing on the container that they do not have on the thing.
pub(super) fn may_pass_on<M: StableMemory>(
    call: &Call,
    access: &Access<'_, M>,
    thing: &Resource,
    container: &Resource,
) -> Answer<()> {
    let person = call.person();
    let on_thing = access.effective(Some(&person), thing)?;
    let on_container = access.effective(Some(&person), container)?;
    if on_thing & rules::MANAGE == 0 || on_container & !on_thing != 0 {
        return Err(unauthorized(call));
    }
    Ok(())
}
