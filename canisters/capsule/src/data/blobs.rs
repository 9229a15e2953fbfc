//! The blobs of a capsule: who may upload them, and who may tell that one is there.
//!
//! Blobs are shared between the capsules of a canister, but only who may read a memory that uses a
//! blob, or manages the capsule that has it, can tell that it is there.

use crate::store::{Access, Store};
use access::rules::{self, rule, Action};
use access::{unauthorized, Call};
use ic_stable_structures::Memory as StableMemory;
use serde_bytes::ByteBuf;
use types::*;

/// Memories that use a blob and are asked whether the caller may download them.
const USERS_ASKED: usize = 256;

impl<M: StableMemory> Store<M> {
    pub fn uploads_begin(
        &mut self,
        call: &Call,
        capsule: &str,
        sha256: &[u8],
        length: u64,
    ) -> Answer<UploadStatus> {
        let sha256 = self.uploader(call, capsule, sha256)?;
        self.blobs.begin_upload(capsule, &sha256, length, &self.quotas, call.at)
    }

    pub fn uploads_put_chunk(
        &mut self,
        call: &Call,
        capsule: &str,
        sha256: &[u8],
        index: u32,
        bytes: &[u8],
    ) -> Answer<()> {
        let sha256 = self.uploader(call, capsule, sha256)?;
        self.blobs.put_chunk(capsule, &sha256, index, bytes, call.at)
    }

    pub fn uploads_finish(&mut self, call: &Call, capsule: &str, sha256: &[u8]) -> Answer<UploadStatus> {
        let sha256 = self.uploader(call, capsule, sha256)?;
        self.blobs.finish_upload(capsule, &sha256)
    }

    pub fn uploads_abort(&mut self, call: &Call, capsule: &str, sha256: &[u8]) -> Answer<()> {
        let sha256 = self.uploader(call, capsule, sha256)?;
        self.blobs.abort_upload(capsule, &sha256);
        Ok(())
    }

    pub fn uploads_status(&self, call: &Call, capsule: &str, sha256: &[u8]) -> Answer<UploadStatus> {
        let access = self.reading(call, capsule)?;
        let (_, needed) = rule(RecordKind::Blob, Action::Read);
        self.allow_read(call, &access, &Resource::Capsule, needed)?;
        self.blobs.upload_status(capsule, &check::digest(sha256)?)
    }

    /// The uploads that no memory refers to yet, in SHA-256 order.
    pub fn uploads_list(
        &self,
        call: &Call,
        capsule: &str,
        after: Option<&[u8]>,
        limit: u32,
    ) -> Answer<Page<OpenUpload, ByteBuf>> {
        let access = self.reading(call, capsule)?;
        let (_, needed) = rule(RecordKind::Blob, Action::Read);
        self.allow_read(call, &access, &Resource::Capsule, needed)?;
        after.map_or(Ok(()), |after| check::digest(after).map(drop))?;
        Ok(self.blobs.list_uploads(capsule, after, check::limit(limit)? as u32))
    }

    /// Ok where the caller may upload into the capsule now.
    fn uploader(&self, call: &Call, capsule: &str, sha256: &[u8]) -> Answer<Digest> {
        let access = self.reading(call, capsule)?;
        let (_, needed) = rule(RecordKind::Blob, Action::Create);
        self.allow(call, &access, &Resource::Capsule, needed)?;
        self.writable(call, capsule)?;
        check::digest(sha256)
    }

    pub fn blobs_get(&self, call: &Call, capsule: &str, sha256: &[u8]) -> Answer<Blob> {
        let sha256 = self.reader_of_blob(call, capsule, sha256)?;
        self.blobs.blob(&sha256).ok_or_else(no_blob)
    }

    /// One chunk; the last one may be shorter than the others.
    pub fn blobs_read_chunk(&self, call: &Call, capsule: &str, sha256: &[u8], index: u32) -> Answer<ByteBuf> {
        let sha256 = self.reader_of_blob(call, capsule, sha256)?;
        self.blobs.read_chunk(&sha256, index).map(ByteBuf::from).ok_or_else(no_blob)
    }

    /// The blobs that memories of the capsule use, in SHA-256 order.
    pub fn blobs_list(
        &self,
        call: &Call,
        capsule: &str,
        after: Option<&[u8]>,
        limit: u32,
    ) -> Answer<Page<Blob, ByteBuf>> {
        self.exporting(call, capsule)?;
        let limit = check::limit(limit)? as u32;
        after.map_or(Ok(()), |after| check::digest(after).map(drop))?;
        Ok(self.blobs.list(capsule, after, limit))
    }

    fn reader_of_blob(&self, call: &Call, capsule: &str, sha256: &[u8]) -> Answer<Digest> {
        let digest = check::digest(sha256)?;
        if self.exporting(call, capsule).is_err() {
            let access = self.reading(call, capsule)?;
            if !self.may_download_blob(call, &access, &digest)? {
                return Err(unauthorized(call));
            }
        }
        if !self.blobs.has(capsule, &digest) {
            return Err(no_blob());
        }
        Ok(digest)
    }

    /// Whether the caller may download a memory that uses the blob.
    pub(super) fn may_download_blob(
        &self,
        call: &Call,
        access: &Access<'_, M>,
        sha256: &Digest,
    ) -> Answer<bool> {
        let capsule = &access.capsule().id;
        for memory in self.records.index.users_of_blob(capsule, sha256).take(USERS_ASKED) {
            let memory: Memory = self.records.get(capsule, &memory)?;
            if access.on_memory(&call.person(), &memory)? & rules::DOWNLOAD != 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn no_blob() -> Error {
    Error::NotFound("this capsule has no such blob".into())
}
