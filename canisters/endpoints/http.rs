//! HTTP, as the HTTP Gateway Protocol hands it to a canister, and tokens for private assets.

use crate::state::{http_context, read, with};
use capsule::types::*;
use ic_cdk::query;

#[query]
fn asset_tokens(capsule: String, assets: Vec<AssetRef>, valid_seconds: u64) -> Answer<Vec<AssetToken>> {
    read(|store, call| store.asset_tokens(call, &capsule, &assets, valid_seconds))
}

#[query]
fn http_request(request: HttpRequest) -> HttpResponse {
    with(|state| state.store.http.respond(&request, &state.store.assets(), &http_context(state)))
}

#[query]
fn http_request_streaming_callback(token: StreamingToken) -> StreamingCallbackResponse {
    with(|state| state.store.http.stream(&token, &state.store.assets(), &http_context(state)))
        .unwrap_or_else(|| ic_cdk::trap("this asset cannot be seen any more, or has changed"))
}
