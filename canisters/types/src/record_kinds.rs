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

/// The kinds that are stored as records; blobs have a store of their own.
pub const STORED_KINDS: [RecordKind; 7] = [
    RecordKind::Capsule,
    RecordKind::Memory,
    RecordKind::Folder,
    RecordKind::Gallery,
    RecordKind::AccessEntry,
    RecordKind::Connection,
    RecordKind::Group,
];

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
    STORED_KINDS.into_iter().chain([RecordKind::Blob]).find(|&kind| kind as u8 == byte)
}
