//! The effective permission of a person on a resource at a time.
//!
//! It is the union of what the person is granted on the resource, on the folders above it, on the
//! galleries that show it and on the capsule: in person, through groups, or with everybody.
//! Owners and controllers of the capsule have all of it everywhere.

use super::rules;
use crate::{Grantee, Grants};
use types::limits::MAX_FOLDERS_UP;
use types::*;

/// Access in one capsule at one time.
pub struct Access<'a, G: Grants> {
    pub(super) grants: &'a G,
    pub(super) capsule: Capsule,
    pub(super) at: Time,
    /// Somebody who counts as a controller though the records do not say so.
    provisioner: Option<PersonRef>,
}

impl<'a, G: Grants> Access<'a, G> {
    /// NotFound where there is no such capsule.
    pub fn new(grants: &'a G, capsule: &str, at: Time) -> Answer<Self> {
        Ok(Access { grants, capsule: grants.capsule(capsule)?, at, provisioner: None })
    }

    /// The same with somebody who counts as a controller though the records do not say so.
    pub fn with_provisioner(self, provisioner: Option<PersonRef>) -> Self {
        Access { provisioner, ..self }
    }

    /// The permission mask of a person, or of everybody (None), on a resource.
    /// NotFound where there is no such resource.
    pub fn effective(&self, person: Option<&PersonRef>, resource: &Resource) -> Answer<u32> {
        self.within(person, &self.scope(resource)?)
    }

    /// The same on a memory at hand.
    pub fn on_memory(&self, person: &PersonRef, memory: &Memory) -> Answer<u32> {
        self.within(Some(person), &self.scope_of_memory(memory)?)
    }

    /// Until when a person has a permission on a memory that they have now, as far as the entries that
    /// give it say. None where one of them says no end.
    pub fn until(&self, person: &PersonRef, memory: &Memory, needed: u32) -> Answer<Option<Time>> {
        if self.standing(person) & needed == needed {
            return Ok(None);
        }
        let mut last = None;
        for entry in self.entries_for(Some(person), &self.scope_of_memory(memory)?)? {
            match entry.condition {
                _ if self.granted(&entry) & needed != needed => {}
                AccessCondition::ExpiresAt { expires } => last = last.max(Some(expires)),
                _ => return Ok(None),
            }
        }
        Ok(last)
    }

    /// The mask that a person has from the resources of a scope together.
    fn within(&self, person: Option<&PersonRef>, scope: &[Resource]) -> Answer<u32> {
        let mut mask = person.map_or(0, |person| self.standing(person));
        for entry in self.entries_for(person, scope)? {
            mask |= self.granted(&entry);
        }
        Ok(mask)
    }

    /// The entries on the resources of a scope that grant to a person: by name, by group, with everybody.
    fn entries_for(&self, person: Option<&PersonRef>, scope: &[Resource]) -> Answer<Vec<AccessEntry>> {
        let mut grantees = vec![Grantee::Everybody];
        if let Some(person) = person {
            grantees.push(Grantee::Person(person.clone()));
            grantees.extend(self.grants.groups_of(person, &self.capsule.id).into_iter().map(Grantee::Group));
        }
        let mut entries = Vec::new();
        for resource in scope {
            for grantee in &grantees {
                entries.extend(self.grants.entries_for(grantee, &self.capsule.id, resource)?);
            }
        }
        Ok(entries)
    }

    /// Whether there is such a resource.
    pub fn exists(&self, resource: &Resource) -> bool {
        let (kind, id) = match resource {
            Resource::Capsule => return true,
            Resource::Memory(id) => (RecordKind::Memory, id),
            Resource::Folder(id) => (RecordKind::Folder, id),
            Resource::Gallery(id) => (RecordKind::Gallery, id),
        };
        self.grants.contains(&self.capsule.id, kind, id)
    }

    /// The capsule's head.
    pub fn capsule(&self) -> &Capsule {
        &self.capsule
    }

    /// What an owner or controller has on everything; 0 for others.
    pub fn standing(&self, person: &PersonRef) -> u32 {
        let owner = self.capsule.owners.iter().any(|owner| &owner.person == person);
        let controller = self.provisioner.as_ref() == Some(person)
            || self.capsule.controllers.iter().any(|controller| &controller.person == person);
        (if owner { rules::OWNER } else { 0 }) | (if controller { rules::CONTROLLER } else { 0 })
    }

    /// What an entry grants at this time.
    pub(super) fn granted(&self, entry: &AccessEntry) -> u32 {
        if rules::is_met(&entry.condition, self.at, &self.capsule.settings.triggered_events) {
            entry.permissions & rules::ceiling(entry.role)
        } else {
            0
        }
    }

    /// The resource and everything whose grants reach it.
    pub(super) fn scope(&self, resource: &Resource) -> Answer<Vec<Resource>> {
        match resource {
            Resource::Capsule => Ok(vec![Resource::Capsule]),
            Resource::Memory(id) => self.scope_of_memory(&self.grants.memory(&self.capsule.id, id)?),
            Resource::Folder(id) => {
                let mut scope = vec![Resource::Capsule];
                let folder = self.grants.folder(&self.capsule.id, id)?;
                self.folders_up(folder.ok_or_else(|| not_found(resource))?, &mut scope)?;
                Ok(scope)
            }
            Resource::Gallery(_) => {
                if !self.exists(resource) {
                    return Err(not_found(resource));
                }
                Ok(vec![Resource::Capsule, resource.clone()])
            }
        }
    }

    fn scope_of_memory(&self, memory: &Memory) -> Answer<Vec<Resource>> {
        let mut scope = vec![Resource::Capsule, Resource::Memory(memory.id.clone())];
        if let Some(folder) = &memory.metadata.parent_folder_id {
            if let Some(folder) = self.grants.folder(&self.capsule.id, folder)? {
                self.folders_up(folder, &mut scope)?;
            }
        }
        let galleries = self.grants.galleries_with(&self.capsule.id, &memory.id);
        scope.extend(galleries.into_iter().map(Resource::Gallery));
        Ok(scope)
    }

    fn folders_up(&self, mut folder: Folder, scope: &mut Vec<Resource>) -> Answer<()> {
        for _ in 0..MAX_FOLDERS_UP {
            let above = folder.parent_folder_id.take();
            scope.push(Resource::Folder(folder.id));
            match above.map(|id| self.grants.folder(&self.capsule.id, &id)).transpose()?.flatten() {
                Some(parent) => folder = parent,
                None => break,
            }
        }
        Ok(())
    }
}

fn not_found(resource: &Resource) -> Error {
    Error::NotFound(match resource {
        Resource::Capsule => "capsule".into(),
        Resource::Memory(id) => format!("memory {id}"),
        Resource::Folder(id) => format!("folder {id}"),
        Resource::Gallery(id) => format!("gallery {id}"),
    })
}
