//! The effective permission of a person on a resource at a time.
//!
//! It is the union of what the person is granted on the resource, on the folders above it, on the
//! galleries that show it and on the capsule: in person, through groups, or with everybody.
//! Owners and controllers of the capsule have all of it everywhere. A derived entry gives no more than
//! whoever made it may grant on its resource at that time; what derives from itself, or from more than
//! eight grants in a row, gives nothing.

use super::rules;
use crate::{Grantee, Grants};
use std::cell::RefCell;
use std::collections::BTreeMap;
use types::limits::{MAX_DERIVED, MAX_FOLDERS_UP};
use types::*;

/// Access in one capsule at one time.
pub struct Access<'a, G: Grants> {
    pub(super) grants: &'a G,
    pub(super) capsule: Capsule,
    pub(super) at: Time,
    /// Somebody who counts as a controller though the records do not say so.
    provisioner: Option<PersonRef>,
    /// What makers of derived entries may grant, by maker, resource and grants that may still derive
    /// from others.
    grantable: RefCell<BTreeMap<(PersonRef, Resource, u8), u32>>,
}

impl<'a, G: Grants> Access<'a, G> {
    /// NotFound where there is no such capsule.
    pub fn new(grants: &'a G, capsule: &str, at: Time) -> Answer<Self> {
        Ok(Access {
            grants,
            capsule: grants.capsule(capsule)?,
            at,
            provisioner: None,
            grantable: Default::default(),
        })
    }

    /// The same with somebody who counts as a controller though the records do not say so.
    pub fn with_provisioner(self, provisioner: Option<PersonRef>) -> Self {
        Access { provisioner, ..self }
    }

    /// The permission mask of a person, or of everybody (None), on a resource.
    /// NotFound where there is no such resource.
    pub fn effective(&self, person: Option<&PersonRef>, resource: &Resource) -> Answer<u32> {
        self.within(person, &self.scope(resource)?, MAX_DERIVED)
    }

    /// The same on a memory at hand.
    pub fn on_memory(&self, person: &PersonRef, memory: &Memory) -> Answer<u32> {
        self.within(Some(person), &self.scope_of_memory(memory)?, MAX_DERIVED)
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
                _ if self.granted(&entry)? & needed != needed => {}
                AccessCondition::ExpiresAt { expires } => last = last.max(Some(expires)),
                _ => return Ok(None),
            }
        }
        Ok(last)
    }

    /// The mask that a person has from the resources of a scope together.
    fn within(&self, person: Option<&PersonRef>, scope: &[Resource], depth: u8) -> Answer<u32> {
        let mut mask = person.map_or(0, |person| self.standing(person));
        for entry in self.entries_for(person, scope)? {
            mask |= self.granted_through(&entry, depth)?;
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

    /// Whether a person manages the capsule without end and by nobody's leave: as owner or controller, or
    /// by an entry on the capsule that one of them made. What others grant is derived.
    pub fn manages_by_right(&self, person: &PersonRef) -> Answer<bool> {
        if self.standing(person) & rules::MANAGE != 0 {
            return Ok(true);
        }
        let entries = self.entries_for(Some(person), &[Resource::Capsule])?;
        Ok(entries.iter().any(|entry| {
            let ends = matches!(entry.condition, AccessCondition::ExpiresAt { .. });
            !ends && !entry.is_derived && self.said(entry) & rules::MANAGE != 0
        }))
    }

    /// What an entry says that it grants at this time.
    fn said(&self, entry: &AccessEntry) -> u32 {
        if rules::is_met(&entry.condition, self.at, &self.capsule.settings.triggered_events) {
            entry.permissions & rules::ceiling(entry.role)
        } else {
            0
        }
    }

    /// What an entry grants at this time.
    pub(super) fn granted(&self, entry: &AccessEntry) -> Answer<u32> {
        self.granted_through(entry, MAX_DERIVED)
    }

    /// The same where that many more grants may derive from each other.
    fn granted_through(&self, entry: &AccessEntry, depth: u8) -> Answer<u32> {
        let said = self.said(entry);
        match &entry.invited_by {
            _ if said == 0 || !entry.is_derived => Ok(said),
            Some(maker) if depth > 0 => Ok(said & self.grantable(maker, &entry.resource, depth - 1)?),
            _ => Ok(0),
        }
    }

    /// What a maker of derived entries may grant on a resource.
    fn grantable(&self, maker: &PersonRef, resource: &Resource, depth: u8) -> Answer<u32> {
        let key = (maker.clone(), resource.clone(), depth);
        if let Some(known) = self.grantable.borrow().get(&key) {
            return Ok(*known);
        }
        let own = match self.scope(resource) {
            Ok(scope) => self.within(Some(maker), &scope, depth)?,
            Err(Error::NotFound(_)) => 0,
            Err(error) => return Err(error),
        };
        let mask = rules::grantable(own);
        self.grantable.borrow_mut().insert(key, mask);
        Ok(mask)
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
