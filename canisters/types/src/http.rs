//! Types of the HTTP gateway protocol and of asset tokens.

use super::{AssetVariant, Time};
use candid::{define_function, CandidType};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    pub method: String,
    /// Path and query as received.
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: ByteBuf,
    pub certificate_version: Option<u16>,
}

#[derive(CandidType, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    pub status_code: u16,
    pub headers: Vec<(String, String)>,
    pub body: ByteBuf,
    pub streaming_strategy: Option<StreamingStrategy>,
    pub upgrade: Option<bool>,
}

/// What is to be streamed next.
#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct StreamingToken {
    pub memory_id: String,
    pub variant_: String,
    /// Of the whole asset: a stream never goes on with other bytes than it began with.
    pub sha256: ByteBuf,
    /// Chunk index.
    pub index: u32,
    /// The asset token of the request, unless the asset is public.
    pub token: Option<String>,
}

#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct StreamingCallbackResponse {
    pub body: ByteBuf,
    pub token: Option<StreamingToken>,
}

define_function!(pub StreamingCallback : (StreamingToken) -> (StreamingCallbackResponse) query);

#[derive(CandidType, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum StreamingStrategy {
    Callback { callback: StreamingCallback, token: StreamingToken },
}

#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct AssetRef {
    pub memory_id: String,
    pub variant_: AssetVariant,
}

#[derive(CandidType, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct AssetToken {
    pub memory_id: String,
    pub variant_: AssetVariant,
    /// Path with query: /asset/<memory>/<variant>?token=…
    pub path: String,
    pub expires_at: Time,
}
