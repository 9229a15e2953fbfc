//! The table of virtual memories: what is where in stable memory.
//!
//! A canister's stable memory is cut by a `MemoryManager` into numbered virtual memories. A number
//! is given once and never given again, not even after its use has ended.
//!
//! ```text
//!  no  name                 content
//!   0  HEADER               "ICMG" magic, version (see `header.rs`)
//!   1  RECORDS              (capsule, kind, id) -> canonical bytes
//!   2  COUNTS               (capsule, kind) -> records, bytes
//!   3  INDEX                facts that follow from records, see `index.rs` of the capsule crate
//!   4  REGISTRY             capsule -> residence, generation, token secret
//!   5  OPERATORS            principals
//!   6  METER                method -> calls, cycles
//!   7  MIGRATIONS           hub: migration id -> record; newest migration of a capsule
//!   8  WASM                 hub: the personal module
//!   9  IMPORT               personal canister: state of the import
//!  10  ..                   given up
//!  32  ..                   from here: blobs, manifest, http
//!  56  ECONOMY              hub: policy, invitations, migrations started today
//! ```

use ic_stable_structures::memory_manager::{MemoryId, MemoryManager, VirtualMemory};
use ic_stable_structures::Memory;

/// One virtual memory of a canister.
pub type Vm<M> = VirtualMemory<M>;

macro_rules! memories {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        $($(#[$doc])* pub const $name: MemoryId = MemoryId::new($number);)*
        #[cfg(test)]
        const NUMBERS: &[u8] = &[$($number),*];
    };
}

memories! {
    HEADER = 0;
    RECORDS = 1;
    COUNTS = 2;
    INDEX = 3;
    REGISTRY = 4;
    OPERATORS = 5;
    METER = 6;
    MIGRATIONS = 7;
    WASM = 8;
    IMPORT = 9;

    // 32 to 63: extents, blobs, manifest, http
    EXTENT_DATA = 32;
    EXTENT_FREE_BY_OFFSET = 33;
    EXTENT_FREE_BY_LENGTH = 34;
    BLOBS = 35;
    BLOB_CHUNKS = 36;
    BLOB_UPLOADS = 37;
    BLOB_REFERENCES = 38;
    BLOB_TOTALS = 39;
    BLOB_INCOMPLETE = 40;
    BLOB_NEXT_CONTENT = 41;
    MANIFEST_LEAVES = 42;
    MANIFEST_NODES = 43;
    MANIFEST_TOTALS = 44;
    // 45 was given up
    BLOB_IMPORTED = 46;
    PUBLISHED = 47;
    ASSET_LABELS = 48;
    UNPUBLISHED = 49;
    CERTIFIED_ROOTS = 50;
    CERTIFIED_FORMS = 51;
    TOKEN_REVOCATIONS = 52;
    CERTIFIED_HOMES = 53;

    ECONOMY = 56;
}

/// Pages of 64 KiB that a virtual memory grows by in a personal canister: at most 64 GiB in all.
pub const PERSONAL_BUCKET_PAGES: u16 = 32;
/// The same in the hub: at most 256 GiB in all.
pub const HUB_BUCKET_PAGES: u16 = 128;

/// Cuts a canister's stable memory into the virtual memories of this table.
pub fn manager<M: Memory>(memory: M, bucket_pages: u16) -> MemoryManager<M> {
    MemoryManager::init_with_bucket_size(memory, bucket_pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_given_twice() {
        let mut numbers = NUMBERS.to_vec();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), NUMBERS.len());
    }
}
