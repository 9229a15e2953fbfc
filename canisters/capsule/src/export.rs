//! Export: what an operator, or who manages a capsule, reads of it to move it or to compare it.
//!
//! After the capsule has moved an owner or operator goes on reading what is left of it here, to compare
//! it or to go back, until it is handed off; after that nobody does.

use crate::registry::Residence;
use crate::store::Access;
use crate::store::Store;
use access::rules::{self, rule, Action};
use access::Call;
use ic_stable_structures::Memory as StableMemory;
use serde_bytes::ByteBuf;
use types::limits::MAX_PAGE_BYTES;
use types::record_kinds::kind_of;
use types::*;

/// Records on one page at most.
const MAX_RECORDS: usize = 5_000;

impl<M: StableMemory> Store<M> {
    /// The access rules of a capsule that the caller may export.
    pub fn exporting(&self, call: &Call, capsule: &str) -> Answer<Access<'_, M>> {
        let registration = self.registry.get(capsule)?;
        registration.handed_off_to().map_or(Ok(()), |home| Err(Error::Moved(home)))?;
        let access = Access::new(&self.records, capsule, call.at)?;
        let needed = match registration.residence {
            Residence::MovedTo(_) => rules::OWN,
            _ => rule(RecordKind::Blob, Action::Read).1,
        };
        self.allow_read(call, &access, &Resource::Capsule, needed)?;
        Ok(access)
    }

    /// Canonical bytes of all records in (kind, id) order; the cursor is opaque. A page has at least
    /// one record, and no more than `max_bytes` bytes if that is possible.
    pub fn export_records(
        &self,
        call: &Call,
        capsule: &str,
        after: Option<&[u8]>,
        max_bytes: u32,
    ) -> Answer<RecordPage> {
        self.exporting(call, capsule)?;
        let max_bytes = (max_bytes as usize).min(MAX_PAGE_BYTES);
        let after = after.map(cursor_from_bytes).transpose()?;
        let after = after.as_ref().map(|(kind, id)| (*kind, id.as_str()));
        let mut records: Vec<RecordBytes> = Vec::new();
        let mut bytes = 0;
        for record in self.records.export(capsule, after) {
            // besides the bytes: kind, id and lengths
            bytes += record.bytes.len() + record.id.len() + 16;
            if !records.is_empty() && (bytes > max_bytes || records.len() == MAX_RECORDS) {
                let next = records.last().map(|last| cursor_to_bytes(last.kind, &last.id));
                return Ok(RecordPage { records, next });
            }
            records.push(record);
        }
        Ok(RecordPage { records, next: None })
    }

    /// The effective permission of every person on every resource at the time `at`, in pages.
    pub fn access_matrix(
        &self,
        call: &Call,
        capsule: &str,
        at: Time,
        cursor: Option<&[u8]>,
        limit: u32,
    ) -> Answer<MatrixPage> {
        self.exporting(call, capsule)?;
        Access::new(&self.records, capsule, at)?.matrix(cursor, check::limit(limit)?)
    }

    /// What a person may do on a resource now. Everybody may ask about themselves.
    pub fn access_effective(
        &self,
        call: &Call,
        capsule: &str,
        resource: &Resource,
        person: &PersonRef,
    ) -> Answer<u32> {
        let access = self.reading(call, capsule)?;
        if *person != call.person() {
            let (_, needed) = rule(RecordKind::AccessEntry, Action::Read);
            self.allow_read(call, &access, resource, needed)?;
        }
        let access = access.with_provisioner(None);
        match access.effective(Some(person), resource) {
            // a stranger learns the same of a resource that is there and of one that is not
            Err(Error::NotFound(_)) if *person == call.person() => {
                access.effective(Some(person), &Resource::Capsule)
            }
            other => other,
        }
    }

    /// The resources on which the caller is granted something by name.
    pub fn access_reach(&self, call: &Call, after: Option<&Reach>, limit: u32) -> Answer<Page<Reach, Reach>> {
        let mut page = access::reach(&self.records, &call.person(), after, check::limit(limit)?, call.at)?;
        let is_here = |id: &str| self.registry.find(id).is_some_and(|known| known.readable(id).is_ok());
        page.items.retain(|reach| is_here(&reach.capsule_id));
        Ok(page)
    }
}

fn cursor_to_bytes(kind: RecordKind, id: &str) -> ByteBuf {
    let mut bytes = vec![kind as u8];
    bytes.extend_from_slice(id.as_bytes());
    bytes.into()
}

fn cursor_from_bytes(bytes: &[u8]) -> Answer<(RecordKind, String)> {
    let invalid = || Error::Invalid("not a cursor of this export".into());
    let (kind, id) = bytes.split_first().ok_or_else(invalid)?;
    let id = String::from_utf8(id.to_vec()).map_err(|_| invalid())?;
    Ok((kind_of(*kind).ok_or_else(invalid)?, id))
}
