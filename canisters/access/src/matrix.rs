//! The access matrix: the effective permission of every person on every resource of a capsule.
//!
//! Rows are in order of resource (capsule, memories, folders, galleries, each by id) and, within a
//! resource, of person, everybody first. Only rows with a permission are listed, and only persons
//! whom an owner's or controller's state, an entry or a group names for that resource; what
//! everybody has is in their masks, too.

use super::Access;
use crate::{Grantee, Grants};
use std::collections::BTreeMap;
use std::rc::Rc;
use storage::keys::{Fields, Key};
use types::*;

/// Entries and members that one page looks at before it ends, rows or not: for each row that it may have,
/// and at most.
const WORK_OF_A_ROW: usize = 20;
const WORK_OF_A_PAGE: usize = 20_000;

/// Where a page ended: within a resource (behind a row), or with it.
enum Cursor {
    Behind(Resource, Option<PersonRef>),
    Done(Resource),
}

impl Cursor {
    fn to_bytes(&self) -> Vec<u8> {
        match self {
            Cursor::Behind(resource, None) => Key::default().resource(resource).bytes(&[0]),
            Cursor::Behind(resource, Some(person)) => {
                Key::default().resource(resource).bytes(&[1]).person(person)
            }
            Cursor::Done(resource) => Key::default().resource(resource).bytes(&[2]),
        }
        .into_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let resource = fields.resource()?;
        match fields.byte()? {
            0 => Some(Cursor::Behind(resource, None)),
            1 => Some(Cursor::Behind(resource, Some(fields.person()?))),
            2 => Some(Cursor::Done(resource)),
            _ => None,
        }
    }
}

fn page(rows: Vec<MatrixRow>, cursor: Option<Cursor>) -> MatrixPage {
    MatrixPage { rows, next: cursor.map(|cursor| cursor.to_bytes().into()) }
}

impl<G: Grants> Access<'_, G> {
    /// The rows behind the cursor, at most `limit`, in bounded work.
    pub fn matrix(&self, cursor: Option<&[u8]>, limit: usize) -> Answer<MatrixPage> {
        let cursor = match cursor {
            Some(bytes) => Some(
                Cursor::from_bytes(bytes)
                    .ok_or_else(|| Error::Invalid("not a cursor of this matrix".into()))?,
            ),
            None => None,
        };
        let (mut resource, mut behind) = match cursor {
            None => (Some(Resource::Capsule), None),
            Some(Cursor::Behind(resource, person)) => (Some(resource), Some(person)),
            Some(Cursor::Done(resource)) => (self.resource_after(&resource), None),
        };
        let mut rows = Vec::new();
        let mut work = Work::default();
        let most = WORK_OF_A_PAGE.min(limit.saturating_mul(WORK_OF_A_ROW));
        while let Some(current) = resource {
            for (person, permissions) in self.row_of_masks(&current, &mut work)? {
                if behind.as_ref().is_some_and(|behind| &person <= behind) {
                    continue;
                }
                if rows.len() == limit {
                    let last: Option<MatrixRow> = rows.pop();
                    let cursor =
                        last.as_ref().map(|row| Cursor::Behind(row.resource.clone(), row.person.clone()));
                    rows.extend(last);
                    return Ok(page(rows, cursor));
                }
                rows.push(MatrixRow { person, resource: current.clone(), permissions });
            }
            behind = None;
            resource = self.resource_after(&current);
            if work.done > most && resource.is_some() {
                return Ok(page(rows, Some(Cursor::Done(current))));
            }
        }
        Ok(page(rows, None))
    }

    fn resource_after(&self, resource: &Resource) -> Option<Resource> {
        let (rank, after) = match resource {
            Resource::Capsule => (0, None),
            Resource::Memory(id) => (0, Some(id.as_str())),
            Resource::Folder(id) => (1, Some(id.as_str())),
            Resource::Gallery(id) => (2, Some(id.as_str())),
        };
        type Named = (RecordKind, fn(String) -> Resource);
        const ORDER: [Named; 3] = [
            (RecordKind::Memory, Resource::Memory),
            (RecordKind::Folder, Resource::Folder),
            (RecordKind::Gallery, Resource::Gallery),
        ];
        ORDER[rank..].iter().enumerate().find_map(|(step, (kind, named))| {
            let after = if step == 0 { after } else { None };
            self.grants.next_id(&self.capsule.id, *kind, after).map(named)
        })
    }

    /// The masks of everybody (None) and of each named person on one resource; no empty ones.
    fn row_of_masks(&self, resource: &Resource, work: &mut Work) -> Answer<BTreeMap<Option<PersonRef>, u32>> {
        let mut masks: BTreeMap<Option<PersonRef>, u32> = BTreeMap::new();
        let mut groups: BTreeMap<String, u32> = BTreeMap::new();
        let mut everybody = 0;
        let owners = self.capsule.owners.iter().map(|owner| &owner.person);
        let controllers = self.capsule.controllers.iter().map(|controller| &controller.person);
        for person in owners.chain(controllers) {
            masks.insert(Some(person.clone()), self.standing(person));
        }
        for place in self.scope(resource)? {
            for (grantee, granted) in work.grants(self, &place)?.iter() {
                match grantee {
                    Grantee::Everybody => everybody |= granted,
                    Grantee::Person(person) => *masks.entry(Some(person.clone())).or_default() |= granted,
                    Grantee::Group(group) => *groups.entry(group.clone()).or_default() |= granted,
                    Grantee::Nobody => {}
                }
            }
        }
        for (group, granted) in groups {
            for person in work.members(self, &group)?.iter() {
                *masks.entry(Some(person.clone())).or_default() |= granted;
            }
        }
        masks.values_mut().for_each(|mask| *mask |= everybody);
        masks.insert(None, everybody);
        masks.retain(|_, mask| *mask != 0);
        work.done += 1 + masks.len();
        Ok(masks)
    }
}

/// What a page has read already, and how much it has done.
#[derive(Default)]
struct Work {
    grants: BTreeMap<Resource, Rc<Vec<(Grantee, u32)>>>,
    members: BTreeMap<String, Rc<Vec<PersonRef>>>,
    done: usize,
}

impl Work {
    fn grants<G: Grants>(
        &mut self,
        access: &Access<'_, G>,
        resource: &Resource,
    ) -> Answer<Rc<Vec<(Grantee, u32)>>> {
        if let Some(known) = self.grants.get(resource) {
            return Ok(known.clone());
        }
        let capsule = &access.capsule.id;
        let entries = access.grants.entries_on(capsule, resource)?;
        let granted = |entry: &AccessEntry| Ok((Grantee::of(entry), access.granted(entry)?));
        let grants = entries.iter().map(granted).collect::<Answer<Vec<_>>>()?;
        self.done += 1 + grants.len();
        let grants = Rc::new(grants);
        // a memory's own entries reach nothing else: no need to keep them
        if !matches!(resource, Resource::Memory(_)) {
            self.grants.insert(resource.clone(), grants.clone());
        }
        Ok(grants)
    }

    fn members<G: Grants>(&mut self, access: &Access<'_, G>, group: &str) -> Answer<Rc<Vec<PersonRef>>> {
        if let Some(known) = self.members.get(group) {
            return Ok(known.clone());
        }
        let group_record = access.grants.group(&access.capsule.id, group)?;
        let members = Rc::new(group_record.map(|group| group.members).unwrap_or_default());
        self.done += 1 + members.len();
        self.members.insert(group.into(), members.clone());
        Ok(members)
    }
}
