//! The data methods: create, read, list, update and delete, once for all kinds of records.
//!
//! What differs from kind to kind is in [`Editable`]; what is allowed is in `access::rules`.

mod access_entries;
mod blobs;
mod capsules;
mod folders;
mod galleries;
mod memories;
mod people;
mod stamp;
mod tokens;

use crate::store::{Access, Store};
use access::rules::{rule, Action, Place};
use access::Grantee;
use access::{unauthorized, Call};
use ic_stable_structures::Memory as StableMemory;
use stamp::stamped;
pub use stamp::{Stamp, Stamped};
use types::limits::MAX_PAGE_BYTES;
use types::record_kinds::noun;
use types::*;

/// A kind of record that callers create, update and delete.
pub trait Editable: Stamped {
    /// It gives something to somebody, so that who made it last and by what right is part of it.
    const IS_GRANT: bool = false;

    /// The resource at a place of the rules.
    fn resource(&self, place: Place) -> Resource;
    /// Whether a person may read it besides those whom the rules name.
    fn is_addressed_to(&self, _person: &PersonRef) -> bool {
        false
    }

    /// Bounds of its fields.
    fn check(&self) -> Answer<()>;
    /// Whether all that it refers to is there, and whether the caller may refer to it.
    fn check_references<M: StableMemory>(
        &self,
        _store: &Store<M>,
        _call: &Call,
        _access: &Access<'_, M>,
        _old: Option<&Self>,
    ) -> Answer<()> {
        Ok(())
    }
    /// Unauthorized where the caller may not change or delete this very record.
    fn check_touch<M: StableMemory>(&self, _call: &Call, _access: &Access<'_, M>) -> Answer<()> {
        Ok(())
    }
    /// Conflict where something else still needs it.
    fn check_unused<M: StableMemory>(&self, _store: &Store<M>) -> Answer<()> {
        Ok(())
    }
}

impl<M: StableMemory> Store<M> {
    /// Creates a record. With a given id the call may be repeated: the same content again answers
    /// the existing record, other content is a Conflict.
    pub fn create<R: Editable>(&mut self, call: &Call, capsule: &str, input: R::Input) -> Answer<R> {
        let access = self.reading(call, capsule)?;
        let given = R::given_id(&input).map(str::to_string);
        let stamp = Stamp {
            id: given.clone().unwrap_or_default(),
            capsule_id: capsule.into(),
            author: Some(call.person()),
            is_derived: R::IS_GRANT && !access.manages_by_right(&call.person())?,
            created_at: call.at,
            updated_at: call.at,
            uploaded_at: call.at,
        };
        let mut record = R::make(input, stamp);
        let (place, needed) = rule(R::KIND, Action::Create);
        self.allow(call, &access, &existing(&access, record.resource(place)), needed)?;
        self.writable(call, capsule)?;
        record.check()?;
        if let Some(id) = &given {
            check::id(id)?;
            if let Some(old) = self.records.find::<R>(capsule, id)? {
                if record.restamp(old.stamp()) == old {
                    return Ok(old);
                }
                return Err(Error::Conflict(format!("there is another {} {id}", noun(R::KIND))));
            }
        }
        record.check_references(self, call, &access, None)?;
        if given.is_none() {
            let stamp = Stamp { id: self.new_id::<R>(capsule, call.at), ..record.stamp() };
            record = record.restamp(stamp);
        }
        self.put(&record)?;
        Ok(record)
    }

    pub fn read<R: Editable>(&self, call: &Call, capsule: &str, id: &str) -> Answer<R> {
        let access = self.reading(call, capsule)?;
        let (place, needed) = rule(R::KIND, Action::Read);
        let Some(record) = self.records.find::<R>(capsule, id)? else {
            self.allow_read(call, &access, &Resource::Capsule, needed)?;
            return Err(Error::NotFound(format!("{} {id}", noun(R::KIND))));
        };
        if !record.is_addressed_to(&call.person()) {
            self.allow_read(call, &access, &existing(&access, record.resource(place)), needed)?;
        }
        Ok(record)
    }

    /// The records that the caller may read, in id order from behind `after`. At most `limit` are
    /// looked at, so that a page may have fewer and still have a next one.
    pub fn list<R: Editable>(
        &self,
        call: &Call,
        capsule: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Answer<Page<R>> {
        let access = self.reading(call, capsule)?;
        let limit = check::limit(limit)?;
        if !call.operator && !self.is_known(call, capsule) {
            return Err(unauthorized(call));
        }
        let (place, needed) = rule(R::KIND, Action::Read);
        let person = call.person();
        let reads_all =
            call.operator || access.effective(Some(&person), &Resource::Capsule)? & needed == needed;
        let (mut items, mut last, mut bytes) = (Vec::new(), None, 0);
        for (looked_at, entry) in self.records.list::<R>(capsule, after).enumerate() {
            let (length, record) = entry?;
            if looked_at == limit || (looked_at > 0 && bytes + length > MAX_PAGE_BYTES) {
                return Ok(Page { items, next: last });
            }
            bytes += length;
            last = Some(record.id().to_string());
            let resource = record.resource(place);
            let readable = reads_all
                || record.is_addressed_to(&person)
                || access.effective(Some(&person), &existing(&access, resource))? & needed == needed;
            if readable {
                items.push(record);
            }
        }
        Ok(Page { items, next: None })
    }

    /// Puts what the input says in the place of a record; nothing changes where it says the same.
    pub fn update<R: Editable>(
        &mut self,
        call: &Call,
        capsule: &str,
        id: &str,
        input: R::Input,
    ) -> Answer<R> {
        let access = self.reading(call, capsule)?;
        let old = self.changeable::<R>(call, &access, capsule, id, Action::Change)?;
        if R::given_id(&input).is_some_and(|given| given != id) {
            return Err(Error::Invalid(format!("the id of {} {id} cannot be changed", noun(R::KIND))));
        }
        let mut stamp = Stamp { updated_at: call.at, ..old.stamp() };
        if R::IS_GRANT {
            stamp.author = Some(call.person());
            stamp.is_derived = !access.manages_by_right(&call.person())?;
        }
        let record = R::make(input, stamp);
        let (place, needed) = rule(R::KIND, Action::Create);
        if record.resource(place) != old.resource(place) {
            self.allow(call, &access, &existing(&access, record.resource(place)), needed)?;
        }
        record.check()?;
        record.check_references(self, call, &access, Some(&old))?;
        if record.clone().restamp(old.stamp()) == old {
            return Ok(old);
        }
        self.put(&record)?;
        Ok(record)
    }

    /// Deletes a record, and the access entries on it.
    pub fn delete<R: Editable>(&mut self, call: &Call, capsule: &str, id: &str) -> Answer<()> {
        let access = self.reading(call, capsule)?;
        let record = self.changeable::<R>(call, &access, capsule, id, Action::Delete)?;
        record.check_unused(self)?;
        let itself = record.resource(Place::Itself);
        if itself != Resource::Capsule {
            let entries: Vec<String> = self.records.index.entries_on(capsule, &itself).collect();
            for entry in entries {
                self.remove::<AccessEntry>(capsule, &entry)?;
            }
        }
        self.remove::<R>(capsule, id)
    }

    fn changeable<R: Editable>(
        &self,
        call: &Call,
        access: &Access<'_, M>,
        capsule: &str,
        id: &str,
        action: Action,
    ) -> Answer<R> {
        let (place, needed) = rule(R::KIND, action);
        let record = self.records.find::<R>(capsule, id)?;
        let resource = record.as_ref().map_or(Resource::Capsule, |record| record.resource(place));
        self.allow(call, access, &existing(access, resource), needed)?;
        self.writable(call, capsule)?;
        let record = record.ok_or_else(|| Error::NotFound(format!("{} {id}", noun(R::KIND))))?;
        record.check_touch(call, access)?;
        Ok(record)
    }

    /// Whether anything in the capsule is granted to the caller, by name or with everybody.
    fn is_known(&self, call: &Call, capsule: &str) -> bool {
        let index = &self.records.index;
        index.capsule_reached(&call.person(), capsule).as_deref() == Some(capsule)
            || index.resource_granted(&Grantee::Everybody, capsule, None).is_some()
    }
}

/// The resource, or the capsule in place of one that is not there.
fn existing<M: StableMemory>(access: &Access<'_, M>, resource: Resource) -> Resource {
    if access.exists(&resource) {
        resource
    } else {
        Resource::Capsule
    }
}
