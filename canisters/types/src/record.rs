//! Types of records (capsule, memory, folder, gallery, connection, group) and of their inputs.
//!
//! The order of the fields is the order in the canonical encoding: never change it.

use super::PersonRef;
use candid::CandidType;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// Nanoseconds since 1970-01-01.
pub type Time = u64;

macro_rules! record {
    ($($(#[$meta:meta])* pub struct $name:ident { $($(#[$fmeta:meta])* $field:ident : $type:ty),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$fmeta])* pub $field : $type),* }
    )*};
}

record! {
    pub struct OwnerState { person: PersonRef, since: Time, last_activity_at: Time }
    pub struct ControllerState { person: PersonRef, granted_at: Time, granted_by: PersonRef }
    pub struct HostingPreferences { frontend: String, backend: String, database: String, blobs: String }
    pub struct CapsuleSettings {
        hosting: HostingPreferences,
        has_advanced_settings: bool,
        /// Events that access conditions may wait for and that have happened.
        triggered_events: Vec<String>,
    }
    /// The head of a capsule: one user's whole data.
    pub struct Capsule {
        id: String,
        subject: PersonRef,
        owners: Vec<OwnerState>,
        controllers: Vec<ControllerState>,
        settings: CapsuleSettings,
        created_at: Time,
        updated_at: Time,
    }
    pub struct MemoryMetadata {
        memory_type: MemoryType,
        title: Option<String>,
        description: Option<String>,
        content_type: String,
        tags: Vec<String>,
        people: Vec<String>,
        location: Option<String>,
        notes: Option<String>,
        parent_folder_id: Option<String>,
        created_by: Option<PersonRef>,
        created_at: Time,
        updated_at: Time,
        uploaded_at: Time,
        file_created_at: Option<Time>,
        date_of_memory: Option<Time>,
    }
    pub struct Asset {
        /// Unique in its memory.
        variant_: AssetVariant,
        /// The file's name.
        name: String,
        description: Option<String>,
        mime_type: String,
        tags: Vec<String>,
        detail: AssetDetail,
        location: AssetLocation,
        created_at: Time,
        updated_at: Time,
    }
    pub struct Memory { id: String, capsule_id: String, metadata: MemoryMetadata, assets: Vec<Asset> }
    pub struct Folder {
        id: String,
        capsule_id: String,
        title: String,
        description: Option<String>,
        parent_folder_id: Option<String>,
        created_at: Time,
        updated_at: Time,
    }
    pub struct GalleryItem { memory_id: String, caption: Option<String>, is_featured: bool, metadata: Option<String> }
    pub struct Gallery {
        id: String,
        capsule_id: String,
        title: String,
        description: Option<String>,
        cover_memory_id: Option<String>,
        /// In the order shown.
        items: Vec<GalleryItem>,
        created_at: Time,
        updated_at: Time,
    }
    pub struct Connection {
        id: String,
        capsule_id: String,
        peer: PersonRef,
        status: ConnectionStatus,
        created_at: Time,
        updated_at: Time,
    }
    pub struct Group {
        id: String,
        capsule_id: String,
        name: String,
        description: Option<String>,
        members: Vec<PersonRef>,
        created_at: Time,
        updated_at: Time,
    }
}

#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryType {
    Image,
    Video,
    Audio,
    Document,
    Note,
}

#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AssetVariant {
    Original,
    Display,
    Thumbnail,
    Placeholder,
    Metadata,
    Other(String),
}

#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum AssetDetail {
    Image {
        width: Option<u32>,
        height: Option<u32>,
        color_space: Option<String>,
        exif: Option<String>,
        dpi: Option<u32>,
        orientation: Option<u8>,
    },
    Video {
        width: Option<u32>,
        height: Option<u32>,
        duration_ms: Option<u64>,
        frame_rate_milli: Option<u32>,
        codec: Option<String>,
        bitrate: Option<u64>,
    },
    Audio {
        duration_ms: Option<u64>,
        sample_rate: Option<u32>,
        channels: Option<u8>,
        codec: Option<String>,
        bitrate: Option<u64>,
    },
    Document {
        page_count: Option<u32>,
        language: Option<String>,
        word_count: Option<u32>,
    },
    Note {
        format: Option<String>,
        language: Option<String>,
        word_count: Option<u32>,
    },
}

/// Where the bytes of an asset are.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum AssetLocation {
    /// Here: at most 32 KiB.
    Inline(ByteBuf),
    /// A blob of this canister.
    Internal {
        sha256: ByteBuf,
        length: u64,
    },
    External {
        url: String,
        sha256: Option<ByteBuf>,
        length: Option<u64>,
    },
}

#[derive(CandidType, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionStatus {
    Pending,
    Accepted,
    Blocked,
    Revoked,
}

// ---- inputs: what callers may set ------------------------------------------------------------------

record! {
    pub struct CapsuleUpdate {
        owners: Option<Vec<PersonRef>>,
        controllers: Option<Vec<PersonRef>>,
        settings: Option<CapsuleSettings>,
    }
    pub struct MemoryInput {
        id: Option<String>,
        memory_type: MemoryType,
        title: Option<String>,
        description: Option<String>,
        content_type: String,
        tags: Vec<String>,
        people: Vec<String>,
        location: Option<String>,
        notes: Option<String>,
        parent_folder_id: Option<String>,
        file_created_at: Option<Time>,
        date_of_memory: Option<Time>,
        assets: Vec<Asset>,
    }
    pub struct FolderInput {
        id: Option<String>,
        title: String,
        description: Option<String>,
        parent_folder_id: Option<String>,
    }
    pub struct GalleryInput {
        id: Option<String>,
        title: String,
        description: Option<String>,
        cover_memory_id: Option<String>,
        items: Vec<GalleryItem>,
    }
    pub struct ConnectionInput { id: Option<String>, peer: PersonRef, status: ConnectionStatus }
    pub struct GroupInput {
        id: Option<String>,
        name: String,
        description: Option<String>,
        members: Vec<PersonRef>,
    }
}
