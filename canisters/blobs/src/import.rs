//! Blobs that an import brings, by declared chunk digests.
//!
//! A declaration names the digests of all chunks; each chunk that arrives is hashed once and must
//! have its digest. The bytes of a blob are never hashed as a whole: that the digests belong to the
//! blob follows from the manifest roots of both sides being equal. The import owns what was
//! declared until it is released.

use super::layout::{Chunk, StoredBlob};
use super::{check_chunk, check_length, list_digest, Blobs};
use ic_stable_structures::Memory;
use serde_bytes::ByteBuf;
use std::ops::Bound;
use storage::digest::{hex, sha256};
use types::limits::{MAX_PAGE, MAX_PAGE_BYTES};
use types::{chunk_count, Answer, Blob, Digest, Error, MissingChunks, Page};

/// How far an import is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportCounts {
    pub declared: u64,
    pub complete: u64,
    /// Chunks stored in this canister.
    pub chunks: u64,
}

impl<M: Memory> Blobs<M> {
    /// Expects a blob. The same declaration again changes nothing; one with other chunk digests
    /// takes the place of the former, whose chunks are dropped.
    pub fn declare(&mut self, blob: &Blob) -> Answer<()> {
        let sha: Digest = digest(&blob.sha256)?;
        check_length(blob.length)?;
        let count = chunk_count(blob.length);
        if blob.chunk_digests.len() != count as usize * 32 {
            return Err(Error::Invalid(format!("a blob of {} bytes has {count} chunk digests", blob.length)));
        }
        // With fewer than two chunks the digest of the whole is known here.
        let known = match count {
            0 => Some(sha256(&[])),
            1 => Some(digest(&blob.chunk_digests)?),
            _ => None,
        };
        if known.is_some_and(|known| known != sha) {
            return Err(Error::DigestMismatch(format!("the chunks of blob {} are not its own", hex(&sha))));
        }
        let list_digest = list_digest(blob.length, &blob.chunk_digests);
        let mut entry = match self.blobs.get(&sha) {
            Some(here) if here.list_digest == list_digest => here,
            Some(here) if !self.imported.contains(&sha) => {
                return Err(Error::Conflict(format!(
                    "blob {} of {} bytes is here already",
                    hex(&sha),
                    here.length
                )))
            }
            replaced => {
                if let Some(entry) = &replaced {
                    self.free_content(entry.content);
                }
                let owners = replaced.map_or(0, |entry| entry.owners);
                let content = self.declare_content(&blob.chunk_digests);
                StoredBlob { content, length: blob.length, missing: count, owners, list_digest }
            }
        };
        if self.imported.insert(sha) {
            entry.owners += 1;
        }
        if entry.missing > 0 {
            self.incomplete.insert(sha);
        }
        self.blobs.insert(sha, entry);
        Ok(())
    }

    /// Takes a chunk of a declared blob, hashed once. The same chunk again is fine.
    pub fn import_chunk(&mut self, sha: &Digest, index: u32, bytes: &[u8]) -> Answer<()> {
        let mut entry = self
            .blobs
            .get(sha)
            .filter(|_| self.imported.contains(sha))
            .ok_or_else(|| Error::NotFound(format!("blob {} was not declared", hex(sha))))?;
        check_chunk(entry.length, index, bytes)?;
        let key = (entry.content, index);
        let mut chunk = self.chunks.get(&key).expect("a declared blob has an entry for each chunk");
        if sha256(bytes) != chunk.digest {
            return Err(Error::DigestMismatch(format!("chunk {index} of blob {}", hex(sha))));
        }
        if chunk.extent.is_some() {
            return Ok(());
        }
        chunk.extent = Some(self.extents.store(bytes)?);
        self.chunks.insert(key, chunk);
        entry.missing -= 1;
        if entry.missing == 0 {
            self.incomplete.remove(sha);
        }
        self.blobs.insert(*sha, entry);
        Ok(())
    }

    /// Which chunks the declared blobs lack, in SHA-256 order; complete blobs are left out.
    pub fn missing_chunks(&self, after: Option<&Digest>, limit: u32) -> Page<MissingChunks, ByteBuf> {
        let start = after.map_or(Bound::Unbounded, |sha| Bound::Excluded(*sha));
        let mut items: Vec<MissingChunks> = Vec::new();
        let mut bytes = 0;
        for sha in self.incomplete.range((start, Bound::Unbounded)) {
            let Some(entry) = self.blobs.get(&sha) else {
                continue;
            };
            bytes += 64 + chunk_count(entry.length) as usize / 8;
            if !items.is_empty() && (items.len() as u32 >= limit.clamp(1, MAX_PAGE) || bytes > MAX_PAGE_BYTES)
            {
                let next = items.last().map(|last| last.sha256.clone());
                return Page { items, next };
            }
            let missing = self.bitmap(entry.content, entry.length, false);
            items.push(MissingChunks { sha256: ByteBuf::from(sha), missing });
        }
        Page { items, next: None }
    }

    /// How far the import is.
    pub fn import_counts(&self) -> ImportCounts {
        let declared = self.imported.len();
        ImportCounts { declared, complete: declared - self.incomplete.len(), chunks: self.extents.count() }
    }

    /// Lets go of what was declared, at most `limit` blobs a call: those that no memory refers to are
    /// freed. True when nothing is left, else call again.
    pub fn release_import(&mut self, limit: usize) -> bool {
        for _ in 0..limit {
            let Some(sha) = self.imported.pop_first() else {
                return true;
            };
            self.drop_owner(&sha);
        }
        self.imported.is_empty()
    }

    fn declare_content(&mut self, chunk_digests: &[u8]) -> u64 {
        let content = self.new_content();
        for (index, digest) in chunk_digests.chunks_exact(32).enumerate() {
            let chunk = Chunk { digest: digest.try_into().expect("32 bytes"), extent: None };
            self.chunks.insert((content, index as u32), chunk);
        }
        content
    }
}

fn digest(bytes: &[u8]) -> Answer<Digest> {
    bytes.try_into().map_err(|_| Error::Invalid("a SHA-256 has 32 bytes".into()))
}
