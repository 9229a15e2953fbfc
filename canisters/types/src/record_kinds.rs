//! The kinds of records: what each has in common, and what it is called.

use crate::*;
use serde::de::DeserializeOwned;
use serde::Serialize;

/// One kind of record.
pub trait Record: Serialize + DeserializeOwned + Clone + PartialEq {
    const KIND: RecordKind;
    fn id(&self) -> &str;
    fn capsule_id(&self) -> &str;
}

macro_rules! records {
    ($($record:ident),*) => {$(
        impl Record for $record {
            const KIND: RecordKind = RecordKind::$record;
            fn id(&self) -> &str { &self.id }
            fn capsule_id(&self) -> &str { &self.capsule_id }
        }
    )*};
}
records!(Memory, Folder, Gallery, AccessEntry, Connection, Group);

impl Record for Capsule {
    const KIND: RecordKind = RecordKind::Capsule;
    fn id(&self) -> &str {
        &self.id
    }
    fn capsule_id(&self) -> &str {
        &self.id
    }
}

/// All kinds, by their byte.
pub const KINDS: [RecordKind; 8] = [
    RecordKind::Capsule,
    RecordKind::Memory,
    RecordKind::Folder,
    RecordKind::Gallery,
    RecordKind::AccessEntry,
    RecordKind::Connection,
    RecordKind::Group,
    RecordKind::Blob,
];

/// The kinds that are stored as records; blobs have a store of their own.
pub fn stored_kinds() -> impl Iterator<Item = RecordKind> {
    KINDS.into_iter().filter(|&kind| kind != RecordKind::Blob)
}

/// What a record is called in an error.
pub fn noun(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Capsule => "capsule",
        RecordKind::Memory => "memory",
        RecordKind::Folder => "folder",
        RecordKind::Gallery => "gallery",
        RecordKind::AccessEntry => "access entry",
        RecordKind::Connection => "connection",
        RecordKind::Group => "group",
        RecordKind::Blob => "blob",
    }
}

/// The kind with this byte.
pub fn kind_of(byte: u8) -> Option<RecordKind> {
    KINDS.get(byte as usize).copied()
}
