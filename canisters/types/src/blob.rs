//! Types of blobs, uploads, manifests and exported records; how a blob is cut into chunks.

use crate::limits::CHUNK_SIZE;
use crate::Time;
use candid::CandidType;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// The number of chunks of a blob of this length.
pub fn chunk_count(length: u64) -> u32 {
    length.div_ceil(CHUNK_SIZE) as u32
}

/// The length of one chunk of a blob of this length.
pub fn chunk_length(length: u64, index: u32) -> u64 {
    length.saturating_sub(u64::from(index) * CHUNK_SIZE).min(CHUNK_SIZE)
}

/// Immutable bytes addressed by their SHA-256 and cut into chunks of 1,900,000 bytes.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    pub sha256: ByteBuf,
    pub length: u64,
    /// 32 bytes a chunk, in order.
    pub chunk_digests: ByteBuf,
}

#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct UploadStatus {
    pub sha256: ByteBuf,
    pub length: u64,
    /// Bitmap: chunk i is bit i % 8 (lowest first) of byte i / 8.
    pub received: ByteBuf,
    pub complete: bool,
}

/// An upload that no memory refers to yet.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct OpenUpload {
    pub sha256: ByteBuf,
    pub length: u64,
    /// Chunks.
    pub received: u32,
    pub is_finished: bool,
    /// When it was begun, or last got a chunk.
    pub touched_at: Time,
    /// From then on it is dropped when room is needed.
    pub expires_at: Time,
}

/// The chunks that a declared blob still lacks; same bitmap as in [`UploadStatus`].
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct MissingChunks {
    pub sha256: ByteBuf,
    pub missing: ByteBuf,
}

/// What a manifest leaf stands for. The discriminant is the byte in keys and key hashes.
#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RecordKind {
    Capsule = 0,
    Memory = 1,
    Folder = 2,
    Gallery = 3,
    AccessEntry = 4,
    Connection = 5,
    Group = 6,
    Blob = 7,
}

#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ManifestLeaf {
    pub kind: RecordKind,
    pub id: String,
    pub digest: ByteBuf,
}

#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum ManifestNode {
    /// In key-hash order.
    Leaf(Vec<ManifestLeaf>),
    /// 16 digests, by the next nibble of the key hash.
    Inner(Vec<ByteBuf>),
}

#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ManifestSummary {
    pub generation: u64,
    pub root: ByteBuf,
    pub records: u64,
    pub record_bytes: u64,
    pub blobs: u64,
    pub blob_bytes: u64,
    /// False: the manifest is still being built, call again.
    pub complete: bool,
}

#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct CertifiedRoot {
    pub summary: ManifestSummary,
    /// Certifies the canister's certified data.
    pub certificate: ByteBuf,
    /// CBOR hash tree: /manifest/<capsule id> -> root.
    pub witness: ByteBuf,
}

/// A record as its canonical bytes.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct RecordBytes {
    pub kind: RecordKind,
    pub id: String,
    pub bytes: ByteBuf,
}

#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct RecordPage {
    pub records: Vec<RecordBytes>,
    pub next: Option<ByteBuf>,
}
