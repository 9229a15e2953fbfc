//! The blob store: immutable bytes addressed by their SHA-256.
//!
//! A blob is cut into chunks of 1,900,000 bytes (the last may be shorter; an empty blob has none),
//! addressed by the blob's SHA-256 and their index. Blobs are shared between the capsules of one
//! canister, but a capsule has only those that it uploaded itself (`uploads.rs`) or that an import
//! brought (`import.rs`): knowing a hash gives nothing. A blob lives as long as somebody owns it: a
//! capsule that refers to it or has uploaded it, or the import.

mod import;
mod layout;
mod uploads;

pub use import::ImportCounts;
pub use layout::Totals;

use ic_stable_structures::memory_manager::MemoryManager;
use ic_stable_structures::{Memory, StableBTreeMap, StableBTreeSet, StableCell};
use layout::{Chunk, References, StoredBlob, Upload};
use serde_bytes::ByteBuf;
use sha2::{Digest as _, Sha256};
use std::ops::Bound;
use storage::digest::hex;
use storage::extents::{Extent, Extents};
use storage::keys::Key;
use storage::memory::{self, Vm};
use types::limits::{CHUNK_SIZE, MAX_BLOB_LENGTH, MAX_PAGE, MAX_PAGE_BYTES};
use types::{chunk_count, chunk_length, Answer, Blob, Digest, Error, Page};

pub struct Blobs<M: Memory> {
    extents: Extents<M>,
    blobs: StableBTreeMap<Digest, StoredBlob, Vm<M>>,
    chunks: StableBTreeMap<(u64, u32), Chunk, Vm<M>>,
    uploads: StableBTreeMap<Vec<u8>, Upload, Vm<M>>,
    references: StableBTreeMap<Vec<u8>, References, Vm<M>>,
    totals: StableBTreeMap<String, Totals, Vm<M>>,
    incomplete: StableBTreeSet<Digest, Vm<M>>,
    imported: StableBTreeSet<Digest, Vm<M>>,
    next_content: StableCell<u64, Vm<M>>,
}

/// A blob's digest in the manifest: SHA-256 of its length (u64 big-endian) and its chunk digests.
pub fn list_digest(length: u64, chunk_digests: &[u8]) -> Digest {
    Sha256::new().chain_update(length.to_be_bytes()).chain_update(chunk_digests).finalize().into()
}

impl<M: Memory> Blobs<M> {
    /// Opens the blob store of a canister, empty the first time.
    pub fn init(memories: &MemoryManager<M>) -> Self {
        Blobs {
            extents: Extents::init(memories),
            blobs: StableBTreeMap::init(memories.get(memory::BLOBS)),
            chunks: StableBTreeMap::init(memories.get(memory::BLOB_CHUNKS)),
            uploads: StableBTreeMap::init(memories.get(memory::BLOB_UPLOADS)),
            references: StableBTreeMap::init(memories.get(memory::BLOB_REFERENCES)),
            totals: StableBTreeMap::init(memories.get(memory::BLOB_TOTALS)),
            incomplete: StableBTreeSet::init(memories.get(memory::BLOB_INCOMPLETE)),
            imported: StableBTreeSet::init(memories.get(memory::BLOB_IMPORTED)),
            next_content: StableCell::init(memories.get(memory::BLOB_NEXT_CONTENT), 1),
        }
    }

    // ---- reading: the caller has checked who asks ---------------------------------------------

    /// A complete blob's description.
    pub fn blob(&self, sha256: &Digest) -> Option<Blob> {
        let entry = self.complete(sha256)?;
        Some(Blob {
            sha256: ByteBuf::from(*sha256),
            length: entry.length,
            chunk_digests: ByteBuf::from(self.chunk_digests(entry.content)),
        })
    }

    /// A complete blob's length in bytes.
    pub fn length(&self, sha256: &Digest) -> Option<u64> {
        self.complete(sha256).map(|entry| entry.length)
    }

    /// A complete blob's digest in the manifest.
    pub fn list_digest(&self, sha256: &Digest) -> Option<Digest> {
        self.complete(sha256).map(|entry| entry.list_digest)
    }

    /// The digest of one chunk of a complete blob.
    pub fn chunk_digest(&self, sha256: &Digest, index: u32) -> Option<Digest> {
        let entry = self.complete(sha256)?;
        self.chunks.get(&(entry.content, index)).map(|chunk| chunk.digest)
    }

    /// One chunk of a complete blob.
    pub fn read_chunk(&self, sha256: &Digest, index: u32) -> Option<Vec<u8>> {
        let entry = self.complete(sha256)?;
        let extent = self.chunks.get(&(entry.content, index))?.extent?;
        Some(self.extents.read(extent, 0, extent.length))
    }

    /// `length` bytes of a complete blob from `start` on; less where the blob ends before.
    pub fn read(&self, sha256: &Digest, start: u64, length: u64) -> Option<Vec<u8>> {
        let entry = self.complete(sha256)?;
        let end = entry.length.min(start.saturating_add(length));
        let mut bytes = Vec::with_capacity(end.saturating_sub(start) as usize);
        let mut at = start;
        while at < end {
            let extent = self.chunks.get(&(entry.content, (at / CHUNK_SIZE) as u32))?.extent?;
            let piece =
                self.extents.read(extent, (at % CHUNK_SIZE) as u32, (end - at).min(CHUNK_SIZE) as u32);
            at += piece.len() as u64;
            bytes.extend_from_slice(&piece);
        }
        Some(bytes)
    }

    // ---- references ---------------------------------------------------------------------------

    /// Whether this capsule has the whole blob: a memory refers to it, or it was uploaded or imported.
    pub fn has(&self, capsule: &str, sha256: &Digest) -> bool {
        let key = capsule_key(capsule, sha256);
        self.complete(sha256).is_some()
            && (self.references.contains_key(&key)
                || self.imported.contains(sha256)
                || self.uploads.get(&key).is_some_and(|upload| upload.finished))
    }

    /// Adds a reference of the capsule to a blob that it has. NotFound when it has no such blob,
    /// Invalid when the length is another one.
    pub fn attach(&mut self, capsule: &str, sha256: &Digest, length: u64) -> Answer<()> {
        let key = capsule_key(capsule, sha256);
        let mut entry = self
            .blobs
            .get(sha256)
            .filter(|_| self.has(capsule, sha256))
            .ok_or_else(|| Error::NotFound(format!("blob {}", hex(sha256))))?;
        if entry.length != length {
            return Err(Error::Invalid(format!(
                "blob {} has {} bytes, not {length}",
                hex(sha256),
                entry.length
            )));
        }
        match self.references.get(&key) {
            Some(known) => {
                self.references.insert(key, References { count: known.count + 1, ..known });
            }
            None => {
                self.references.insert(key.clone(), References { count: 1, length });
                self.totals.insert(capsule.to_owned(), self.totals(capsule).with(length));
                // The reference takes the place of a finished upload; one still running goes on.
                if self.uploads.get(&key).is_some_and(|upload| upload.finished) {
                    self.uploads.remove(&key);
                } else {
                    entry.owners += 1;
                    self.blobs.insert(*sha256, entry);
                }
            }
        }
        Ok(())
    }

    /// Takes one reference of the capsule back; the last one of all capsules frees the blob.
    /// To replace a reference, attach the new one first. Does nothing where there is none.
    pub fn detach(&mut self, capsule: &str, sha256: &Digest) {
        let key = capsule_key(capsule, sha256);
        match self.references.get(&key) {
            Some(known) if known.count > 1 => {
                self.references.insert(key, References { count: known.count - 1, ..known });
            }
            Some(last) => self.drop_references(capsule, key, sha256, last),
            None => {}
        }
    }

    /// Takes references and uploads of a capsule back, of at most `limit` blobs.
    /// True when nothing is left, else call again.
    pub fn detach_all(&mut self, capsule: &str, limit: usize) -> bool {
        let prefix = Key::default().text(capsule);
        let range = prefix.clone().into_bytes()..prefix.end();
        let referred: Vec<(Vec<u8>, References)> =
            self.references.range(range.clone()).take(limit).map(|entry| entry.into_pair()).collect();
        for (key, references) in &referred {
            self.drop_references(capsule, key.clone(), &sha_of(key), *references);
        }
        let uploads: Vec<Vec<u8>> = self.uploads.keys_range(range).take(limit - referred.len()).collect();
        for key in &uploads {
            self.drop_upload(key);
        }
        referred.len() + uploads.len() < limit
    }

    /// The blobs that a capsule refers to, in SHA-256 order; the cursor is a SHA-256.
    pub fn list(&self, capsule: &str, after: Option<&[u8]>, limit: u32) -> Page<Blob, ByteBuf> {
        let prefix = Key::default().text(capsule);
        let start = prefix.clone().bytes(after.unwrap_or_default()).into_bytes();
        let start = if after.is_some() { Bound::Excluded(start) } else { Bound::Included(start) };
        let mut items: Vec<Blob> = Vec::new();
        let mut bytes = 0;
        for key in self.references.keys_range((start, Bound::Excluded(prefix.end()))) {
            let Some(blob) = self.blob(&sha_of(&key)) else {
                continue;
            };
            bytes += 128 + blob.chunk_digests.len();
            if !items.is_empty() && (items.len() as u32 >= limit.clamp(1, MAX_PAGE) || bytes > MAX_PAGE_BYTES)
            {
                let next = items.last().map(|last| last.sha256.clone());
                return Page { items, next };
            }
            items.push(blob);
        }
        Page { items, next: None }
    }

    /// What a capsule refers to, by number and bytes.
    pub fn totals(&self, capsule: &str) -> Totals {
        self.totals.get(&capsule.to_owned()).unwrap_or_default()
    }

    // ---- contents -----------------------------------------------------------------------------

    fn complete(&self, sha256: &Digest) -> Option<StoredBlob> {
        self.blobs.get(sha256).filter(|entry| entry.missing == 0)
    }

    fn new_content(&mut self) -> u64 {
        let content = *self.next_content.get();
        self.next_content.set(content + 1);
        content
    }

    fn chunk_digests(&self, content: u64) -> Vec<u8> {
        self.chunks.range((content, 0)..=(content, u32::MAX)).flat_map(|entry| entry.value().digest).collect()
    }

    /// Bitmap of the chunks of a content for which `here` is asked: bit i % 8 of byte i / 8.
    fn bitmap(&self, content: u64, length: u64, here: bool) -> ByteBuf {
        let count = chunk_count(length);
        let mut bits = vec![if here { 0 } else { 0xff }; count.div_ceil(8) as usize];
        for entry in self.chunks.range((content, 0)..=(content, u32::MAX)) {
            if entry.value().extent.is_some() {
                bits[(entry.key().1 / 8) as usize] ^= 1 << (entry.key().1 % 8);
            }
        }
        if !here && !count.is_multiple_of(8) {
            *bits.last_mut().expect("a bitmap of at least one byte") &= (1 << (count % 8)) - 1;
        }
        ByteBuf::from(bits)
    }

    fn free_content(&mut self, content: u64) {
        let chunks: Vec<((u64, u32), Option<Extent>)> = self
            .chunks
            .range((content, 0)..=(content, u32::MAX))
            .map(|entry| (*entry.key(), entry.value().extent))
            .collect();
        for (key, extent) in chunks {
            self.chunks.remove(&key);
            if let Some(extent) = extent {
                self.extents.free(extent);
            }
        }
    }

    fn drop_references(&mut self, capsule: &str, key: Vec<u8>, sha256: &Digest, references: References) {
        self.references.remove(&key);
        let totals = self.totals(capsule).without(references.length);
        if totals.blobs == 0 {
            self.totals.remove(&capsule.to_owned());
        } else {
            self.totals.insert(capsule.to_owned(), totals);
        }
        self.drop_owner(sha256);
    }

    /// One owner less; the last one frees the blob.
    fn drop_owner(&mut self, sha256: &Digest) {
        let Some(mut entry) = self.blobs.get(sha256) else {
            return;
        };
        entry.owners -= 1;
        if entry.owners > 0 {
            self.blobs.insert(*sha256, entry);
            return;
        }
        self.blobs.remove(sha256);
        self.incomplete.remove(sha256);
        self.free_content(entry.content);
    }
}

fn capsule_key(capsule: &str, sha256: &Digest) -> Vec<u8> {
    Key::default().text(capsule).bytes(sha256).into_bytes()
}

fn sha_of(key: &[u8]) -> Digest {
    *key.last_chunk().expect("a key of a capsule's blob ends with a SHA-256")
}

fn check_length(length: u64) -> Answer<()> {
    if length > MAX_BLOB_LENGTH {
        return Err(Error::Invalid(format!("a blob has at most {MAX_BLOB_LENGTH} bytes")));
    }
    Ok(())
}

/// Refuses a chunk that is not in the blob or has another length.
fn check_chunk(length: u64, index: u32, bytes: &[u8]) -> Answer<()> {
    if index >= chunk_count(length) {
        return Err(Error::Invalid(format!("the blob has {} chunks, no chunk {index}", chunk_count(length))));
    }
    let expected = chunk_length(length, index);
    if bytes.len() as u64 != expected {
        return Err(Error::Invalid(format!("chunk {index} has {expected} bytes, not {}", bytes.len())));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
