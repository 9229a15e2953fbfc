//! Blobs that a capsule uploads, chunk by chunk, in any order, each as often as it likes.
//!
//! Each chunk is hashed when it arrives. The SHA-256 of the whole follows the contiguous prefix;
//! its state is kept between calls, so that finishing is bounded work however long the blob is.
//! Until it is finished an upload shares nothing with a blob of the same hash, so it cannot be used
//! to find out what other capsules have.
//!
//! What was begun counts with its whole length, for as long as no memory refers to it. It expires when
//! it gets no chunk for `UPLOAD_EXPIRES`: the next upload that the capsule begins drops it.

use super::layout::{Chunk, StoredBlob, Upload};
use super::{capsule_key, check_chunk, check_length, list_digest, Blobs};
use ic_stable_structures::Memory;
use serde_bytes::ByteBuf;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256};
use std::ops::Bound;
use storage::digest::{hex, sha256};
use storage::keys::Key;
use types::limits::{MAX_PAGE, UPLOAD_EXPIRES, UPLOAD_YIELDS};
use types::{chunk_count, Answer, Digest, Error, OpenUpload, Page, Quotas, Time, UploadStatus};

/// Stored chunks that the prefix may take up when one arrives: more than arrive, so that it catches up.
const CHUNKS_PER_PUT: u32 = 2;
/// Stored chunks that one call to finish hashes: about 10e9 instructions.
const CHUNKS_PER_FINISH: u32 = 64;
/// Chunks of expired uploads that one call to begin frees, but for those of the last one that it drops.
const CHUNKS_PER_SWEEP: u64 = 2_000;

/// What a capsule has in uploads.
#[derive(Default)]
struct Open {
    count: u64,
    bytes: u64,
    /// Of the unfinished one that was touched longest ago: when, its key, its length.
    oldest: Option<(Time, Vec<u8>, u64)>,
}

impl<M: Memory> Blobs<M> {
    /// Opens an upload, or answers how far the one of the same hash is.
    ///
    /// Where the capsule has as many open as it may, the one that was touched longest ago makes room,
    /// if it is neither finished nor younger than `UPLOAD_YIELDS`.
    pub fn begin_upload(
        &mut self,
        capsule: &str,
        sha: &Digest,
        length: u64,
        quotas: &Quotas,
        at: Time,
    ) -> Answer<UploadStatus> {
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
        let most = u64::from(quotas.open_uploads);
        let mut open = self.drop_expired(capsule, at);
        let yielding = (open.count >= most)
            .then_some(open.oldest.take())
            .flatten()
            .filter(|(touched_at, ..)| at.saturating_sub(*touched_at) > UPLOAD_YIELDS);
        if let Some((_, _, length)) = yielding {
            open.count -= 1;
            open.bytes -= length;
        }
        if open.count >= most {
            return Err(Error::Conflict(format!(
                "{} uploads are open, see uploads_list: create their memories or drop some with uploads_abort",
                open.count
            )));
        }
        let bytes = open.bytes.saturating_add(length);
        let all = bytes.saturating_add(self.totals(capsule).bytes);
        if bytes > quotas.open_upload_bytes || all > quotas.blob_bytes {
            return Err(Error::OutOfStorage(format!(
                "with this upload capsule {capsule} has {all} bytes of blobs, {bytes} of them in open uploads \
                 (see uploads_list); the most is {}, and {} in open uploads",
                quotas.blob_bytes, quotas.open_upload_bytes
            )));
        }
        if let Some((_, key, _)) = yielding {
            self.drop_upload(&key);
        }
        let upload = Upload {
            content: self.new_content(),
            length,
            received: 0,
            hashed: 0,
            finished: false,
            touched_at: at,
            state: Sha256::new().serialize().to_vec(),
        };
        self.uploads.insert(capsule_key(capsule, sha), upload);
        self.upload_status(capsule, sha)
    }

    /// Drops uploads of a capsule that have expired, in bounded work; says what is open besides.
    fn drop_expired(&mut self, capsule: &str, at: Time) -> Open {
        let prefix = Key::default().text(capsule);
        let mut open = Open::default();
        let (mut expired, mut chunks) = (Vec::new(), 0);
        for entry in self.uploads.range(prefix.clone().into_bytes()..prefix.end()) {
            let upload = entry.value();
            if chunks < CHUNKS_PER_SWEEP && at.saturating_sub(upload.touched_at) > UPLOAD_EXPIRES {
                chunks += 1 + u64::from(upload.received);
                expired.push(entry.key().clone());
                continue;
            }
            open.count += 1;
            open.bytes = open.bytes.saturating_add(upload.length);
            let is_older = open.oldest.as_ref().is_none_or(|(oldest, ..)| upload.touched_at < *oldest);
            if !upload.finished && is_older {
                open.oldest = Some((upload.touched_at, entry.key().clone(), upload.length));
            }
        }
        expired.iter().for_each(|key| self.drop_upload(key));
        open
    }

    /// The uploads of a capsule that no memory refers to yet, in SHA-256 order from behind `after`.
    pub fn list_uploads(&self, capsule: &str, after: Option<&[u8]>, limit: u32) -> Page<OpenUpload, ByteBuf> {
        let prefix = Key::default().text(capsule);
        let start = prefix.clone().bytes(after.unwrap_or_default()).into_bytes();
        let start = if after.is_some() { Bound::Excluded(start) } else { Bound::Included(start) };
        let mut items: Vec<OpenUpload> = Vec::new();
        for entry in self.uploads.range((start, Bound::Excluded(prefix.end()))) {
            if items.len() as u32 >= limit.clamp(1, MAX_PAGE) {
                let next = items.last().map(|last| last.sha256.clone());
                return Page { items, next };
            }
            let upload = entry.value();
            items.push(OpenUpload {
                sha256: ByteBuf::from(super::sha_of(entry.key())),
                length: upload.length,
                received: upload.received,
                is_finished: upload.finished,
                touched_at: upload.touched_at,
                expires_at: upload.touched_at.saturating_add(UPLOAD_EXPIRES),
            });
        }
        Page { items, next: None }
    }

    /// Takes a chunk. The same chunk again is fine; other bytes under its index are a Conflict.
    pub fn put_chunk(
        &mut self,
        capsule: &str,
        sha: &Digest,
        index: u32,
        bytes: &[u8],
        at: Time,
    ) -> Answer<()> {
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
        upload.touched_at = at;
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
