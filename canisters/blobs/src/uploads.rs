//! Blobs that a capsule uploads, chunk by chunk, in any order, each as often as it likes.
//!
//! Each chunk is hashed when it arrives. The SHA-256 of the whole follows the contiguous prefix;
//! its state is kept between calls, so that finishing is bounded work however long the blob is.
//! Until it is finished an upload shares nothing with a blob of the same hash, so it cannot be used
//! to find out what other capsules have. An upload never expires; a capsule has at most
//! `MAX_UPLOADS` that no memory refers to yet.

use super::layout::{Chunk, StoredBlob, Upload};
use super::{capsule_key, check_chunk, check_length, list_digest, Blobs};
use ic_stable_structures::Memory;
use serde_bytes::ByteBuf;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256};
use storage::digest::{hex, sha256};
use storage::keys::Key;
use types::limits::MAX_UPLOADS;
use types::{chunk_count, Answer, Digest, Error, UploadStatus};

/// Stored chunks that the prefix may take up when one arrives: more than arrive, so that it catches up.
const CHUNKS_PER_PUT: u32 = 2;
/// Stored chunks that one call to finish hashes: about 10e9 instructions.
const CHUNKS_PER_FINISH: u32 = 64;

impl<M: Memory> Blobs<M> {
    /// Opens an upload, or answers how far the one of the same hash is.
    pub fn begin_upload(&mut self, capsule: &str, sha: &Digest, length: u64) -> Answer<UploadStatus> {
        check_length(length)?;
        if let Ok(status) = self.upload_status(capsule, sha) {
            if status.length != length {
                return Err(Error::Conflict(format!(
                    "this upload has {} bytes, not {length}",
                    status.length
                )));
            }
            return Ok(status);
        }
        let prefix = Key::default().text(capsule);
        let open = self.uploads.keys_range(prefix.clone().into_bytes()..prefix.end()).count() as u64;
        if open >= MAX_UPLOADS {
            return Err(Error::Conflict(format!(
                "{open} uploads are open: create their memories or abort some"
            )));
        }
        let upload = Upload {
            content: self.new_content(),
            length,
            received: 0,
            hashed: 0,
            finished: false,
            state: Sha256::new().serialize().to_vec(),
        };
        self.uploads.insert(capsule_key(capsule, sha), upload);
        self.upload_status(capsule, sha)
    }

    /// Takes a chunk. The same chunk again is fine; other bytes under its index are a Conflict.
    pub fn put_chunk(&mut self, capsule: &str, sha: &Digest, index: u32, bytes: &[u8]) -> Answer<()> {
        let key = capsule_key(capsule, sha);
        let upload = self.uploads.get(&key).filter(|upload| !upload.finished);
        let Some(mut upload) = upload else {
            return self.repeat_chunk(capsule, sha, index, bytes);
        };
        check_chunk(upload.length, index, bytes)?;
        let digest = sha256(bytes);
        if let Some(chunk) = self.chunks.get(&(upload.content, index)) {
            return same(index, &chunk.digest, &digest);
        }
        let extent = Some(self.extents.store(bytes)?);
        self.chunks.insert((upload.content, index), Chunk { digest, extent });
        upload.received += 1;
        if upload.hashed == index && chunk_count(upload.length) > 1 {
            self.hash_prefix(&mut upload, Some(bytes), CHUNKS_PER_PUT);
        }
        self.uploads.insert(key, upload);
        Ok(())
    }

    /// Checks the SHA-256 and makes the upload a blob of the capsule. `complete` is false while there
    /// is more to hash: call again. A wrong SHA-256 drops the upload.
    pub fn finish_upload(&mut self, capsule: &str, sha: &Digest) -> Answer<UploadStatus> {
        if self.has(capsule, sha) {
            return self.upload_status(capsule, sha);
        }
        let key = capsule_key(capsule, sha);
        let mut upload = self.uploads.get(&key).ok_or_else(|| no_upload(sha))?;
        let count = chunk_count(upload.length);
        if upload.received < count {
            return Err(Error::Conflict(format!("{} chunks are missing", count - upload.received)));
        }
        let Some(found) = self.upload_hash(&mut upload) else {
            self.uploads.insert(key, upload);
            return self.upload_status(capsule, sha);
        };
        if found != *sha {
            self.drop_upload(&key);
            return Err(Error::DigestMismatch(format!("the bytes have SHA-256 {}", hex(&found))));
        }
        match self.blobs.get(sha) {
            Some(mut entry) if entry.missing == 0 => {
                self.free_content(upload.content);
                entry.owners += 1;
                self.blobs.insert(*sha, entry);
            }
            declared => {
                // An import that lacks chunks takes these bytes instead of its own.
                if let Some(entry) = &declared {
                    self.free_content(entry.content);
                    self.incomplete.remove(sha);
                }
                let entry = StoredBlob {
                    content: upload.content,
                    length: upload.length,
                    missing: 0,
                    owners: declared.map_or(1, |entry| entry.owners + 1),
                    list_digest: list_digest(upload.length, &self.chunk_digests(upload.content)),
                };
                self.blobs.insert(*sha, entry);
            }
        }
        upload.finished = true;
        upload.state.clear();
        self.uploads.insert(key, upload);
        self.upload_status(capsule, sha)
    }

    /// How far an upload is; a blob that the capsule has is complete.
    pub fn upload_status(&self, capsule: &str, sha: &Digest) -> Answer<UploadStatus> {
        let complete = self.has(capsule, sha);
        let (content, length) = if let Some(entry) = self.blobs.get(sha).filter(|_| complete) {
            (entry.content, entry.length)
        } else {
            let upload = self.uploads.get(&capsule_key(capsule, sha)).ok_or_else(|| no_upload(sha))?;
            (upload.content, upload.length)
        };
        Ok(UploadStatus {
            sha256: ByteBuf::from(*sha),
            length,
            received: self.bitmap(content, length, true),
            complete: complete && self.complete(sha).is_some(),
        })
    }

    /// Drops an upload, finished or not, that no memory refers to. Fine when there is none.
    pub fn abort_upload(&mut self, capsule: &str, sha: &Digest) {
        self.drop_upload(&capsule_key(capsule, sha));
    }

    pub(super) fn drop_upload(&mut self, key: &Vec<u8>) {
        match self.uploads.remove(key) {
            Some(upload) if upload.finished => self.drop_owner(&super::sha_of(key)),
            Some(upload) => self.free_content(upload.content),
            None => {}
        }
    }

    /// A chunk of a blob that the capsule already has.
    fn repeat_chunk(&self, capsule: &str, sha: &Digest, index: u32, bytes: &[u8]) -> Answer<()> {
        let entry = self.complete(sha).filter(|_| self.has(capsule, sha)).ok_or_else(|| no_upload(sha))?;
        check_chunk(entry.length, index, bytes)?;
        let chunk = self.chunks.get(&(entry.content, index)).ok_or_else(|| no_upload(sha))?;
        same(index, &chunk.digest, &sha256(bytes))
    }

    /// The SHA-256 of a fully received upload, or None while there is more to hash.
    fn upload_hash(&self, upload: &mut Upload) -> Option<Digest> {
        if chunk_count(upload.length) == 1 {
            return self.chunks.get(&(upload.content, 0)).map(|chunk| chunk.digest);
        }
        self.hash_prefix(upload, None, CHUNKS_PER_FINISH);
        (upload.hashed == chunk_count(upload.length)).then(|| load(&upload.state).finalize().into())
    }

    /// Lets the hash of the prefix follow: over `next`, the chunk at its end, and `limit` stored ones.
    fn hash_prefix(&self, upload: &mut Upload, next: Option<&[u8]>, limit: u32) {
        let mut hash = load(&upload.state);
        if let Some(bytes) = next {
            hash.update(bytes);
            upload.hashed += 1;
        }
        for _ in 0..limit {
            let stored = self.chunks.get(&(upload.content, upload.hashed)).and_then(|chunk| chunk.extent);
            let Some(extent) = stored else { break };
            hash.update(self.extents.read(extent, 0, extent.length));
            upload.hashed += 1;
        }
        upload.state = hash.serialize().to_vec();
    }
}

fn load(state: &[u8]) -> Sha256 {
    let state = SerializedState::<Sha256>::try_from(state).expect("the state of a SHA-256 has its length");
    Sha256::deserialize(&state).expect("the state of a SHA-256 that this code wrote")
}

fn same(index: u32, here: &Digest, arrived: &Digest) -> Answer<()> {
    if here != arrived {
        return Err(Error::Conflict(format!("chunk {index} is here with other bytes")));
    }
    Ok(())
}

fn no_upload(sha: &Digest) -> Error {
    Error::NotFound(format!("upload {}", hex(sha)))
}
