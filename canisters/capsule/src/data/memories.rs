//! Memories: which folders and blobs they may refer to.

use super::folders::{may_pass_on, parent};
use super::{Editable, Stamp, Stamped};
use crate::store::{Access, Store};
use access::rules::Place;
use access::{rules, unauthorized, Call};
use ic_stable_structures::Memory as StableMemory;
use types::*;

impl Stamped for Memory {
    type Input = MemoryInput;

    fn given_id(input: &MemoryInput) -> Option<&str> {
        input.id.as_deref()
    }

    fn make(input: MemoryInput, stamp: Stamp) -> Self {
        Memory {
            id: stamp.id,
            capsule_id: stamp.capsule_id,
            metadata: MemoryMetadata {
                memory_type: input.memory_type,
                title: input.title,
                description: input.description,
                content_type: input.content_type,
                tags: input.tags,
                people: input.people,
                location: input.location,
                notes: input.notes,
                parent_folder_id: input.parent_folder_id,
                created_by: stamp.author,
                created_at: stamp.created_at,
                updated_at: stamp.updated_at,
                uploaded_at: stamp.uploaded_at,
                file_created_at: input.file_created_at,
                date_of_memory: input.date_of_memory,
            },
            assets: input.assets,
        }
    }

    fn stamp(&self) -> Stamp {
        Stamp {
            id: self.id.clone(),
            capsule_id: self.capsule_id.clone(),
            author: self.metadata.created_by.clone(),
            is_derived: false,
            created_at: self.metadata.created_at,
            updated_at: self.metadata.updated_at,
            uploaded_at: self.metadata.uploaded_at,
        }
    }

    fn restamp(self, stamp: Stamp) -> Self {
        let Stamp { id, capsule_id, author, created_at, updated_at, uploaded_at, .. } = stamp;
        let metadata =
            MemoryMetadata { created_by: author, created_at, updated_at, uploaded_at, ..self.metadata };
        Memory { id, capsule_id, metadata, assets: self.assets }
    }
}

impl Editable for Memory {
    fn resource(&self, place: Place) -> Resource {
        match place {
            Place::Itself => Resource::Memory(self.id.clone()),
            Place::Parent => parent(&self.metadata.parent_folder_id),
            Place::Target | Place::Capsule => Resource::Capsule,
        }
    }

    fn check(&self) -> Answer<()> {
        check::metadata(&self.metadata)?;
        check::assets(&self.assets)
    }

    fn check_references<M: StableMemory>(
        &self,
        store: &Store<M>,
        call: &Call,
        access: &Access<'_, M>,
        old: Option<&Self>,
    ) -> Answer<()> {
        if old.is_none() {
            // `/asset/{memory}/{variant}` names no capsule: one canister has one memory of an id.
            let mut capsules = store.records.index.capsules_with_memory(&self.id);
            if capsules.any(|other| other != self.capsule_id) {
                return Err(Error::Conflict(format!("the memory id {} is taken", self.id)));
            }
        }
        if let Some(folder) = &self.metadata.parent_folder_id {
            let container = Resource::Folder(folder.clone());
            if !access.exists(&container) {
                return Err(Error::Invalid(format!("there is no folder {folder}")));
            }
            if old.is_some_and(|old| old.metadata.parent_folder_id != self.metadata.parent_folder_id) {
                may_pass_on(call, access, &self.resource(Place::Itself), &container)?;
            }
        }
        for asset in &self.assets {
            if let AssetLocation::Internal { sha256, length } = &asset.location {
                let known =
                    old.is_some_and(|old| old.assets.iter().any(|other| other.location == asset.location));
                if !known {
                    check_blob(store, call, access, sha256, *length)?;
                }
            }
        }
        Ok(())
    }

    fn check_unused<M: StableMemory>(&self, store: &Store<M>) -> Answer<()> {
        match store.records.index.galleries_with(&self.capsule_id, &self.id).next() {
            Some(gallery) => Err(Error::Conflict(format!(
                "memory {} is shown in gallery {gallery}: take it out first",
                self.id
            ))),
            None => Ok(()),
        }
    }
}

/// Ok where the capsule has the blob, complete, and the caller may read it: to name a hash in an
/// asset must not open a blob that the caller cannot read.
fn check_blob<M: StableMemory>(
    store: &Store<M>,
    call: &Call,
    access: &Access<'_, M>,
    sha256: &[u8],
    length: u64,
) -> Answer<()> {
    let digest = check::digest(sha256)?;
    let manages = access.effective(Some(&call.person()), &Resource::Capsule)? & rules::MANAGE != 0;
    if !manages && !store.may_download_blob(call, access, &digest)? {
        return Err(unauthorized(call));
    }
    match store.blobs.length(&digest).filter(|_| store.blobs.has(&access.capsule().id, &digest)) {
        Some(found) if found == length => Ok(()),
        Some(found) => Err(Error::Invalid(format!("the blob has {found} bytes, not {length}"))),
        None => Err(Error::Invalid("an asset refers to a blob that is not here: upload it first".into())),
    }
}
