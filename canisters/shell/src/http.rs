//! The HTTP endpoints, and tokens for private assets.

/// Exports the HTTP methods of a canister.
#[macro_export]
macro_rules! http_endpoints {
    ($canister:ident) => {
        mod http_endpoints {
            use super::$canister;
            use shell::Canister;
            use types::*;

            #[::ic_cdk::query]
            fn asset_tokens(
                capsule: String,
                assets: Vec<AssetRef>,
                valid_seconds: u64,
            ) -> Answer<Vec<AssetToken>> {
                $canister::read(|store, call| store.asset_tokens(call, &capsule, &assets, valid_seconds))
            }

            #[::ic_cdk::update]
            fn asset_tokens_revoke(capsule: String, memory: Option<String>) -> Answer<()> {
                $canister::write("asset_tokens_revoke", |store, call| {
                    store.asset_tokens_revoke(call, &capsule, memory.as_deref())
                })
            }

            #[::ic_cdk::query]
            fn http_request(request: HttpRequest) -> HttpResponse {
                $canister::http(|store, context| store.http.respond(&request, &store.assets(), context))
            }

            #[::ic_cdk::query]
            fn http_request_streaming_callback(token: StreamingToken) -> StreamingCallbackResponse {
                $canister::http(|store, context| store.http.stream(&token, &store.assets(), context))
                    .unwrap_or_else(|| ic_cdk::trap("this asset cannot be seen any more, or has changed"))
            }
        }
    };
}
