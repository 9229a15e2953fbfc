//! The store of records: canonical bytes by (capsule, kind, id), and the index over them.
//!
//! Counts, sizes and index keys change together with the record they follow from, and nowhere else.

use crate::index::{Index, Indexed};
use access::{Grantee, Grants};
use ic_stable_structures::memory_manager::MemoryManager;
use ic_stable_structures::{Memory as StableMemory, StableBTreeMap};
use storage::canonical;
use storage::keys::{Fields, Key};
use storage::memory::{self, Vm};
use types::limits::MAX_RECORD;
use types::record_kinds::{kind_of, noun, stored_kinds, Record};
use types::*;

/// How many records, and how many bytes they have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub records: u64,
    pub bytes: u64,
}

/// Invalid for canonical bytes that are too long for a record. To be asked before anything changes.
pub fn check_length<R: Record>(bytes: &[u8]) -> Answer<()> {
    if bytes.len() > MAX_RECORD {
        return Err(Error::Invalid(format!(
            "this {} has {} bytes as a record; the most is {MAX_RECORD}",
            noun(R::KIND),
            bytes.len()
        )));
    }
    Ok(())
}

pub struct Records<M: StableMemory> {
    records: StableBTreeMap<Vec<u8>, Vec<u8>, Vm<M>>,
    /// (capsule, kind) -> records u64 BE, bytes u64 BE
    counts: StableBTreeMap<Vec<u8>, Vec<u8>, Vm<M>>,
    pub index: Index<M>,
}

impl<M: StableMemory> Records<M> {
    pub fn init(memories: &MemoryManager<M>) -> Self {
        Records {
            records: StableBTreeMap::init(memories.get(memory::RECORDS)),
            counts: StableBTreeMap::init(memories.get(memory::COUNTS)),
            index: Index::init(memories),
        }
    }

    pub fn find<R: Record>(&self, capsule: &str, id: &str) -> Answer<Option<R>> {
        self.records.get(&key(capsule, R::KIND, id)).map(|bytes| canonical::decode(&bytes)).transpose()
    }

    pub fn get<R: Record>(&self, capsule: &str, id: &str) -> Answer<R> {
        self.find(capsule, id)?.ok_or_else(|| Error::NotFound(format!("{} {id}", noun(R::KIND))))
    }

    pub fn contains(&self, capsule: &str, kind: RecordKind, id: &str) -> bool {
        self.records.contains_key(&key(capsule, kind, id))
    }

    /// How many bytes a record has, if it is there.
    pub fn length_of(&self, capsule: &str, kind: RecordKind, id: &str) -> Option<u64> {
        self.records.get(&key(capsule, kind, id)).map(|bytes| bytes.len() as u64)
    }

    /// The blobs, with their lengths, that a record uses and no other of its capsule does so far.
    pub fn new_blobs<R: Indexed>(&self, record: &R) -> Vec<(Digest, u64)> {
        let mut blobs = record.blobs();
        blobs.retain(|sha256, _| !self.index.uses_blob(record.capsule_id(), sha256));
        blobs.into_iter().collect()
    }

    /// Stores a record, given with its canonical bytes, in the place of the one with its kind and id.
    /// Answers the blobs that the capsule uses no more.
    pub fn put_bytes<R: Indexed>(&mut self, record: &R, bytes: Vec<u8>) -> Answer<Vec<Digest>> {
        check_length::<R>(&bytes)?;
        let (capsule, length) = (record.capsule_id(), bytes.len());
        let old = self.records.insert(key(capsule, R::KIND, record.id()), bytes);
        let old_length = old.as_ref().map(Vec::len);
        let old: Option<R> = old.map(|bytes| canonical::decode(&bytes)).transpose()?;
        self.count(capsule, R::KIND, old_length, Some(length));
        Ok(self.reindex(capsule, old.as_ref(), Some(record)))
    }

    /// Removes a record; one that is not there is no error.
    /// Answers the record, and the blobs that the capsule uses no more.
    pub fn remove<R: Indexed>(&mut self, capsule: &str, id: &str) -> Answer<Option<(R, Vec<Digest>)>> {
        let Some(bytes) = self.records.remove(&key(capsule, R::KIND, id)) else { return Ok(None) };
        self.count(capsule, R::KIND, Some(bytes.len()), None);
        let old: R = canonical::decode(&bytes)?;
        let ceased = self.reindex(capsule, Some(&old), None);
        Ok(Some((old, ceased)))
    }

    /// Records of one kind in id order, from behind `after`, each with the length of its bytes.
    pub fn list<'a, R: Record + 'a>(
        &'a self,
        capsule: &str,
        after: Option<&str>,
    ) -> impl Iterator<Item = Answer<(usize, R)>> + 'a {
        let prefix = prefix(capsule, R::KIND);
        let start = match after {
            Some(id) => prefix.clone().bytes(id.as_bytes()).next(),
            None => prefix.clone().into_bytes(),
        };
        self.records.range(start..prefix.end()).map(|entry| {
            let bytes = entry.value();
            Ok((bytes.len(), canonical::decode(&bytes)?))
        })
    }

    /// Ids of one kind in order, from behind `after`.
    pub fn ids<'a>(
        &'a self,
        capsule: &str,
        kind: RecordKind,
        after: Option<&str>,
    ) -> impl Iterator<Item = String> + 'a {
        let prefix = prefix(capsule, kind);
        let skip = prefix.clone().into_bytes().len();
        let start = match after {
            Some(id) => prefix.clone().bytes(id.as_bytes()).next(),
            None => prefix.clone().into_bytes(),
        };
        self.records
            .keys_range(start..prefix.end())
            .map(move |key| String::from_utf8_lossy(&key[skip..]).into_owned())
    }

    /// All records of a capsule as canonical bytes, in (kind, id) order, from behind that place.
    pub fn export<'a>(
        &'a self,
        capsule: &str,
        after: Option<(RecordKind, &str)>,
    ) -> impl Iterator<Item = RecordBytes> + 'a {
        let prefix = Key::default().text(capsule);
        let skip = prefix.clone().into_bytes().len();
        let start = match after {
            Some((kind, id)) => prefix.clone().kind(kind).bytes(id.as_bytes()).next(),
            None => prefix.clone().into_bytes(),
        };
        self.records.range(start..prefix.end()).filter_map(move |entry| {
            let mut fields = Fields(&entry.key()[skip..]);
            let kind = kind_of(fields.byte()?)?;
            let id = String::from_utf8(fields.0.to_vec()).ok()?;
            Some(RecordBytes { kind, id, bytes: entry.value().into() })
        })
    }

    pub fn count_of(&self, capsule: &str, kind: RecordKind) -> Count {
        let Some(bytes) = self.counts.get(&prefix(capsule, kind).into_bytes()) else {
            return Count::default();
        };
        let mut fields = Fields(&bytes);
        let mut number = || fields.bytes(8).map_or(0, |b| u64::from_be_bytes(b.try_into().expect("8 bytes")));
        Count { records: number(), bytes: number() }
    }

    /// All kinds together.
    pub fn total(&self, capsule: &str) -> Count {
        stored_kinds().map(|kind| self.count_of(capsule, kind)).fold(Count::default(), |sum, count| Count {
            records: sum.records + count.records,
            bytes: sum.bytes + count.bytes,
        })
    }

    /// Forgets every record of every capsule, at once.
    pub fn clear(&mut self) {
        self.records.clear_new();
        self.counts.clear_new();
        self.index.clear();
    }

    fn count(&mut self, capsule: &str, kind: RecordKind, old: Option<usize>, new: Option<usize>) {
        let count = self.count_of(capsule, kind);
        let (old_records, new_records) = (u64::from(old.is_some()), u64::from(new.is_some()));
        let records = count.records + new_records - old_records;
        let bytes = count.bytes + new.unwrap_or(0) as u64 - old.unwrap_or(0) as u64;
        let key = prefix(capsule, kind).into_bytes();
        if records == 0 {
            self.counts.remove(&key);
        } else {
            self.counts.insert(key, [records.to_be_bytes(), bytes.to_be_bytes()].concat());
        }
    }

    fn reindex<R: Indexed>(&mut self, capsule: &str, old: Option<&R>, new: Option<&R>) -> Vec<Digest> {
        let facts = |record: Option<&R>| record.map(Indexed::facts).unwrap_or_default();
        let (before, after) = (facts(old), facts(new));
        for fact in after.difference(&before) {
            self.index.insert(fact.clone());
        }
        for fact in before.difference(&after) {
            self.index.remove(fact);
        }
        let blobs = old.map(Indexed::blobs).unwrap_or_default();
        blobs.into_keys().filter(|sha256| !self.index.uses_blob(capsule, sha256)).collect()
    }
}

fn prefix(capsule: &str, kind: RecordKind) -> Key {
    Key::default().text(capsule).kind(kind)
}

fn key(capsule: &str, kind: RecordKind, id: &str) -> Vec<u8> {
    prefix(capsule, kind).bytes(id.as_bytes()).into_bytes()
}

impl<M: StableMemory> Grants for Records<M> {
    fn capsule(&self, id: &str) -> Answer<Capsule> {
        self.get(id, id)
    }

    fn memory(&self, capsule: &str, id: &str) -> Answer<Memory> {
        self.get(capsule, id)
    }

    fn folder(&self, capsule: &str, id: &str) -> Answer<Option<Folder>> {
        self.find(capsule, id)
    }

    fn group(&self, capsule: &str, id: &str) -> Answer<Option<Group>> {
        self.find(capsule, id)
    }

    fn contains(&self, capsule: &str, kind: RecordKind, id: &str) -> bool {
        Records::contains(self, capsule, kind, id)
    }

    fn next_id(&self, capsule: &str, kind: RecordKind, after: Option<&str>) -> Option<String> {
        self.ids(capsule, kind, after).next()
    }

    fn entries_on(&self, capsule: &str, resource: &Resource) -> Answer<Vec<AccessEntry>> {
        self.index.entries_on(capsule, resource).map(|id| self.get(capsule, &id)).collect()
    }

    fn entries_for(&self, grantee: &Grantee, capsule: &str, resource: &Resource) -> Answer<Vec<AccessEntry>> {
        self.index.grants(grantee, capsule, resource).map(|id| self.get(capsule, &id)).collect()
    }

    fn groups_of(&self, person: &PersonRef, capsule: &str) -> Vec<String> {
        self.index.groups_of(person, capsule).collect()
    }

    fn galleries_with(&self, capsule: &str, memory: &str) -> Vec<String> {
        self.index.galleries_with(capsule, memory).collect()
    }

    fn capsule_reached(&self, person: &PersonRef, from: &str) -> Option<String> {
        self.index.capsule_reached(person, from)
    }

    fn resource_granted(
        &self,
        grantee: &Grantee,
        capsule: &str,
        after: Option<&Resource>,
    ) -> Option<Resource> {
        self.index.resource_granted(grantee, capsule, after)
    }
}
