//! The bytes of the blob store's stable maps. All numbers are little-endian.
//!
//! ```text
//! BLOBS       sha256               -> content u64, length u64, missing u32, owners u32, list digest [32]
//! CHUNKS      (content, index)     -> digest [32], offset u64 (0: not here yet), length u32
//! UPLOADS     capsule 00 sha256    -> content u64, length u64, received u32, hashed u32, flags u8, touched u64, state
//!             flags: bit 0 finished, bit 1 `touched` follows (uploads of older versions lack it)
//! REFERENCES  capsule 00 sha256    -> count u32, length u64
//! TOTALS      capsule              -> blobs u64, bytes u64, chunks u64
//! INCOMPLETE  sha256               declared blobs that lack chunks
//! IMPORTED    sha256               declared blobs, owned by the import
//! ```
//!
//! A content is the run of chunks of one blob or of one upload: finishing an upload hands its
//! content over to the blob without touching a chunk, and an upload never meets the chunks of
//! somebody else's blob.

use ic_stable_structures::storable::{Bound, Storable};
use std::borrow::Cow;
use storage::extents::Extent;
use types::{chunk_count, Digest, Time};

/// A blob; it may be read once nothing is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredBlob {
    pub content: u64,
    pub length: u64,
    /// Chunks that were declared and have not arrived.
    pub missing: u32,
    /// Capsules that refer to it or have uploaded it, and the import. The last one frees it.
    pub owners: u32,
    /// SHA-256 of the length (u64 big-endian) and the chunk digests: the blob's manifest digest.
    pub list_digest: Digest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub digest: Digest,
    pub extent: Option<Extent>,
}

/// An upload in progress, or finished and not yet referred to by a memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Upload {
    pub content: u64,
    pub length: u64,
    pub received: u32,
    /// Chunks of the prefix that `state` has seen.
    pub hashed: u32,
    pub finished: bool,
    /// When it was begun, or last got a chunk.
    pub touched_at: Time,
    /// The SHA-256 of the prefix, in the middle of its work.
    pub state: Vec<u8>,
}

/// The references of one capsule to one blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct References {
    pub count: u32,
    pub length: u64,
}

/// How many blobs a capsule refers to, their bytes and their chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub blobs: u64,
    pub bytes: u64,
    pub chunks: u64,
}

impl Totals {
    /// The totals with one more blob of this length.
    pub fn with(self, length: u64) -> Self {
        Totals {
            blobs: self.blobs + 1,
            bytes: self.bytes + length,
            chunks: self.chunks + u64::from(chunk_count(length)),
        }
    }

    /// The totals with one blob of this length less.
    pub fn without(self, length: u64) -> Self {
        Totals {
            blobs: self.blobs - 1,
            bytes: self.bytes - length,
            chunks: self.chunks - u64::from(chunk_count(length)),
        }
    }
}

/// The flag of an upload that says when it was touched.
const WITH_TIME: u8 = 2;

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_first_chunk::<N>().expect("a value of the blob store is cut off");
        self.0 = rest;
        *head
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

/// Implements Storable from a pair of functions; `$size` is None for values of any length.
macro_rules! storable {
    ($type:ty, $bound:expr, |$value:ident| $encode:expr, |$reader:ident| $decode:expr) => {
        impl Storable for $type {
            const BOUND: Bound = $bound;

            fn to_bytes(&self) -> Cow<'_, [u8]> {
                let $value = self;
                Cow::Owned($encode)
            }

            fn into_bytes(self) -> Vec<u8> {
                self.to_bytes().into_owned()
            }

            fn from_bytes(bytes: Cow<[u8]>) -> Self {
                let mut $reader = Reader(&bytes);
                $decode
            }
        }
    };
}

const fn fixed(max_size: u32) -> Bound {
    Bound::Bounded { max_size, is_fixed_size: true }
}

storable!(
    StoredBlob,
    fixed(56),
    |entry| [
        &entry.content.to_le_bytes()[..],
        &entry.length.to_le_bytes(),
        &entry.missing.to_le_bytes(),
        &entry.owners.to_le_bytes(),
        &entry.list_digest,
    ]
    .concat(),
    |reader| StoredBlob {
        content: reader.u64(),
        length: reader.u64(),
        missing: reader.u32(),
        owners: reader.u32(),
        list_digest: reader.take(),
    }
);

storable!(
    Chunk,
    fixed(44),
    |chunk| {
        let extent = chunk.extent.unwrap_or(Extent { offset: 0, length: 0 });
        [&chunk.digest[..], &extent.offset.to_le_bytes(), &extent.length.to_le_bytes()].concat()
    },
    |reader| Chunk {
        digest: reader.take(),
        extent: Some(Extent { offset: reader.u64(), length: reader.u32() })
            .filter(|extent| extent.offset > 0),
    }
);

storable!(
    Upload,
    Bound::Unbounded,
    |upload| [
        &upload.content.to_le_bytes()[..],
        &upload.length.to_le_bytes(),
        &upload.received.to_le_bytes(),
        &upload.hashed.to_le_bytes(),
        &[u8::from(upload.finished) | WITH_TIME],
        &upload.touched_at.to_le_bytes(),
        &upload.state,
    ]
    .concat(),
    |reader| {
        let (content, length) = (reader.u64(), reader.u64());
        let (received, hashed) = (reader.u32(), reader.u32());
        let [flags] = reader.take();
        let touched_at = if flags & WITH_TIME == 0 { 0 } else { reader.u64() };
        let state = reader.0.to_vec();
        Upload { content, length, received, hashed, finished: flags & 1 == 1, touched_at, state }
    }
);

storable!(
    References,
    fixed(12),
    |references| [&references.count.to_le_bytes()[..], &references.length.to_le_bytes()].concat(),
    |reader| References { count: reader.u32(), length: reader.u64() }
);

storable!(
    Totals,
    fixed(24),
    |totals| [totals.blobs, totals.bytes, totals.chunks].map(u64::to_le_bytes).concat(),
    |reader| Totals { blobs: reader.u64(), bytes: reader.u64(), chunks: reader.u64() }
);
