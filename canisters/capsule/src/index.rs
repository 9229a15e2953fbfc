//! The index: what follows from records, as keys in one ordered set.
//!
//! Every key is a fact that follows from one record alone ([`Indexed::facts`]), so that the whole
//! index is at all times the union of the facts of all records. Lookups are ranges: O(log n).
//!
//! ```text
//!  01 GRANT       grantee, capsule, resource, entry id     who is granted something, and where
//!  02 MEMBER      person, capsule, group id                which groups a person is in
//!  03 ENTRY_ON    capsule, resource, entry id              the entries on a resource
//!  04 IN_GALLERY  capsule, memory id, gallery id           the galleries that show a memory
//!  05 CHILD       capsule, folder id, kind, id             what lies in a folder
//!  06 BLOB_USE    capsule, sha256, memory id               which memories use a blob
//!  07 SUBJECT     person, capsule                          whose capsule it is
//!  08 MEMORY_IN   memory id, capsule                       which capsules have a memory of that id
//!
//!  grantee: 00 everybody | 01 person | 02 group id 00
//! ```
//! Owners and controllers are GRANTs on the capsule with an empty entry id.

use access::Grantee;
use ic_stable_structures::memory_manager::MemoryManager;
use ic_stable_structures::{Memory as StableMemory, StableBTreeSet};
use std::collections::{BTreeMap, BTreeSet};
use storage::keys::{Fields, Key};
use storage::memory::{self, Vm};
use types::record_kinds::Record;
use types::*;

const GRANT: u8 = 1;
const MEMBER: u8 = 2;
const ENTRY_ON: u8 = 3;
const IN_GALLERY: u8 = 4;
const CHILD: u8 = 5;
const BLOB_USE: u8 = 6;
const SUBJECT: u8 = 7;
const MEMORY_IN: u8 = 8;

/// A record whose facts are in the index.
pub trait Indexed: Record {
    fn facts(&self) -> BTreeSet<Vec<u8>>;
    /// The blobs of this canister that it uses, with their lengths.
    fn blobs(&self) -> BTreeMap<Digest, u64> {
        BTreeMap::new()
    }
    /// The memory whose certified public answers depend on it.
    fn shown_memory(&self) -> Option<&str> {
        None
    }
    /// Invalid where it says of bytes what no browser may be told.
    fn check_media_types(&self) -> Answer<()> {
        Ok(())
    }
}

/// The front of the GRANT facts of a grantee; None for nobody.
fn grants_to(grantee: &Grantee) -> Option<Key> {
    let key = Key::tagged(GRANT);
    match grantee {
        Grantee::Everybody => Some(key.bytes(&[0])),
        Grantee::Person(person) => Some(key.bytes(&[1]).person(person)),
        Grantee::Group(group) => Some(key.bytes(&[2]).text(group)),
        Grantee::Nobody => None,
    }
}

fn facts(keys: impl IntoIterator<Item = Key>) -> BTreeSet<Vec<u8>> {
    keys.into_iter().map(Key::into_bytes).collect()
}

fn child(capsule: &str, folder: &Option<String>, kind: RecordKind, id: &str) -> Option<Key> {
    folder
        .as_ref()
        .map(|folder| Key::tagged(CHILD).text(capsule).text(folder).kind(kind).bytes(id.as_bytes()))
}

impl Indexed for Capsule {
    fn facts(&self) -> BTreeSet<Vec<u8>> {
        let persons = self.owners.iter().map(|owner| &owner.person);
        let persons = persons.chain(self.controllers.iter().map(|controller| &controller.person));
        let grants = persons.filter_map(|person| grants_to(&Grantee::Person(person.clone())));
        let grants = grants.map(|key| key.text(&self.id).resource(&Resource::Capsule));
        facts(grants.chain([Key::tagged(SUBJECT).person(&self.subject).bytes(self.id.as_bytes())]))
    }
}

impl Indexed for Memory {
    fn facts(&self) -> BTreeSet<Vec<u8>> {
        let parent = child(&self.capsule_id, &self.metadata.parent_folder_id, RecordKind::Memory, &self.id);
        let used = |sha256: Digest| {
            Key::tagged(BLOB_USE).text(&self.capsule_id).bytes(&sha256).bytes(self.id.as_bytes())
        };
        let place = Key::tagged(MEMORY_IN).text(&self.id).bytes(self.capsule_id.as_bytes());
        facts(parent.into_iter().chain(self.blobs().into_keys().map(used)).chain([place]))
    }

    fn blobs(&self) -> BTreeMap<Digest, u64> {
        let internal = self.assets.iter().filter_map(|asset| match &asset.location {
            AssetLocation::Internal { sha256, length } => Some((sha256.as_slice().try_into().ok()?, *length)),
            _ => None,
        });
        internal.collect()
    }

    fn shown_memory(&self) -> Option<&str> {
        Some(&self.id)
    }

    fn check_media_types(&self) -> Answer<()> {
        self.assets.iter().try_for_each(|asset| check::media_type("mime_type", &asset.mime_type))
    }
}

impl Indexed for Folder {
    fn facts(&self) -> BTreeSet<Vec<u8>> {
        facts(child(&self.capsule_id, &self.parent_folder_id, RecordKind::Folder, &self.id))
    }
}

impl Indexed for Gallery {
    fn facts(&self) -> BTreeSet<Vec<u8>> {
        let shown = |item: &GalleryItem| {
            Key::tagged(IN_GALLERY).text(&self.capsule_id).text(&item.memory_id).bytes(self.id.as_bytes())
        };
        facts(self.items.iter().map(shown))
    }
}

impl Indexed for AccessEntry {
    fn facts(&self) -> BTreeSet<Vec<u8>> {
        let grant = grants_to(&Grantee::of(self))
            .map(|key| key.text(&self.capsule_id).resource(&self.resource).bytes(self.id.as_bytes()));
        let on =
            Key::tagged(ENTRY_ON).text(&self.capsule_id).resource(&self.resource).bytes(self.id.as_bytes());
        facts(grant.into_iter().chain([on]))
    }

    fn shown_memory(&self) -> Option<&str> {
        match &self.resource {
            Resource::Memory(id) => Some(id),
            _ => None,
        }
    }
}

impl Indexed for Connection {
    fn facts(&self) -> BTreeSet<Vec<u8>> {
        BTreeSet::new()
    }
}

impl Indexed for Group {
    fn facts(&self) -> BTreeSet<Vec<u8>> {
        let member = |person: &PersonRef| {
            Key::tagged(MEMBER).person(person).text(&self.capsule_id).bytes(self.id.as_bytes())
        };
        facts(self.members.iter().map(member))
    }
}

pub struct Index<M: StableMemory> {
    set: StableBTreeSet<Vec<u8>, Vm<M>>,
}

impl<M: StableMemory> Index<M> {
    pub fn init(memories: &MemoryManager<M>) -> Self {
        Index { set: StableBTreeSet::init(memories.get(memory::INDEX)) }
    }

    pub(crate) fn insert(&mut self, fact: Vec<u8>) {
        self.set.insert(fact);
    }

    pub(crate) fn remove(&mut self, fact: &Vec<u8>) {
        self.set.remove(fact);
    }

    /// That a capsule which moved away had this memory: who asks for it is sent after it.
    pub(crate) fn remember_memory(&mut self, capsule: &str, memory: &str) {
        self.insert(Key::tagged(MEMORY_IN).text(memory).bytes(capsule.as_bytes()).into_bytes());
    }

    /// The same of whose capsule it is: they are not given another one.
    pub(crate) fn remember_subject(&mut self, capsule: &str, subject: &PersonRef) {
        self.insert(Key::tagged(SUBJECT).person(subject).bytes(capsule.as_bytes()).into_bytes());
    }

    pub(crate) fn clear(&mut self) {
        self.set.clear();
    }

    /// All facts, for tests and audits.
    pub fn iter(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        self.set.iter()
    }

    /// What follows the prefix in each key that begins with it.
    fn tails(&self, prefix: Key) -> impl Iterator<Item = Vec<u8>> + '_ {
        let end = prefix.end();
        let start = prefix.into_bytes();
        let skip = start.len();
        self.set.range(start..end).map(move |key| key[skip..].to_vec())
    }

    fn ids(&self, prefix: Key) -> impl Iterator<Item = String> + '_ {
        self.tails(prefix).map(|tail| String::from_utf8_lossy(&tail).into_owned())
    }

    /// The entries that grant something on this very resource to this grantee.
    pub fn grants<'a>(
        &'a self,
        grantee: &Grantee,
        capsule: &str,
        resource: &Resource,
    ) -> impl Iterator<Item = String> + 'a {
        let key = grants_to(grantee).map(|key| key.text(capsule).resource(resource));
        key.into_iter().flat_map(|key| self.ids(key)).filter(|id| !id.is_empty())
    }

    /// The groups of a capsule that a person is in.
    pub fn groups_of<'a>(&'a self, person: &PersonRef, capsule: &str) -> impl Iterator<Item = String> + 'a {
        self.ids(Key::tagged(MEMBER).person(person).text(capsule))
    }

    /// The entries on this very resource.
    pub fn entries_on<'a>(&'a self, capsule: &str, resource: &Resource) -> impl Iterator<Item = String> + 'a {
        self.ids(Key::tagged(ENTRY_ON).text(capsule).resource(resource))
    }

    /// Whether an entry grants something to this group.
    pub fn is_granted_to_group(&self, capsule: &str, group: &str) -> bool {
        let key = grants_to(&Grantee::Group(group.into())).expect("a group is a grantee");
        self.tails(key.text(capsule)).next().is_some()
    }

    /// The galleries that show a memory.
    pub fn galleries_with<'a>(&'a self, capsule: &str, memory: &str) -> impl Iterator<Item = String> + 'a {
        self.ids(Key::tagged(IN_GALLERY).text(capsule).text(memory))
    }

    /// Whether anything lies in a folder.
    pub fn has_children(&self, capsule: &str, folder: &str) -> bool {
        self.tails(Key::tagged(CHILD).text(capsule).text(folder)).next().is_some()
    }

    /// The memories that use a blob.
    pub fn users_of_blob<'a>(&'a self, capsule: &str, sha256: &Digest) -> impl Iterator<Item = String> + 'a {
        self.ids(Key::tagged(BLOB_USE).text(capsule).bytes(sha256))
    }

    pub fn uses_blob(&self, capsule: &str, sha256: &Digest) -> bool {
        self.users_of_blob(capsule, sha256).next().is_some()
    }

    /// The capsules whose subject a person is.
    pub fn capsules_about<'a>(&'a self, person: &PersonRef) -> impl Iterator<Item = String> + 'a {
        self.ids(Key::tagged(SUBJECT).person(person))
    }

    /// The capsules that have a memory of that id: one at most, as no second one is created.
    pub fn capsules_with_memory<'a>(&'a self, memory: &str) -> impl Iterator<Item = String> + 'a {
        self.ids(Key::tagged(MEMORY_IN).text(memory))
    }

    /// The first capsule, from `from` on, where a person has a grant or is in a group.
    pub fn capsule_reached(&self, person: &PersonRef, from: &str) -> Option<String> {
        let grants = grants_to(&Grantee::Person(person.clone())).expect("a person is a grantee");
        let first = |prefix: Key| {
            let end = prefix.end();
            let skip = prefix.clone().into_bytes().len();
            let key = self.set.range(prefix.text(from).into_bytes()..end).next()?;
            Fields(&key[skip..]).text()
        };
        [first(grants), first(Key::tagged(MEMBER).person(person))].into_iter().flatten().min()
    }

    /// The first resource of a capsule, behind `after`, that a grantee is granted something on.
    pub fn resource_granted(
        &self,
        grantee: &Grantee,
        capsule: &str,
        after: Option<&Resource>,
    ) -> Option<Resource> {
        let prefix = grants_to(grantee)?.text(capsule);
        let skip = prefix.clone().into_bytes().len();
        let start = match after {
            Some(resource) => prefix.clone().resource(resource).end(),
            None => prefix.clone().into_bytes(),
        };
        let key = self.set.range(start..prefix.end()).next()?;
        Fields(&key[skip..]).resource()
    }
}
